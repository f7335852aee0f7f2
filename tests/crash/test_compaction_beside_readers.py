"""Readers beside a follower that archives, merges and deletes as fast as it can: every answer is whole, and nothing is in it twice."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tests.scenes.archive import Bench

from jurat.ledger.query import Events

pytestmark = pytest.mark.timeout(120)
SECONDS, AT_MOST_S = 3.0, 60.0  # however busy the machine is: until enough was merged and read


def test_no_reader_ever_sees_a_double_or_a_gap(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(8):
        bench.append(20)
        bench.archive()
    over, merged, faults = threading.Event(), [0], []
    counts: list[list[int]] = [[], []]

    def read(mine: list[int]) -> None:
        events = Events(bench.root, "main")
        while not over.is_set():
            try:
                answer = events.select("SELECT count(*), count(DISTINCT idx), min(idx), max(idx) FROM events WHERE log = 'main/inference'")
                ((count, distinct, first, last),) = answer.rows
                if not (count == distinct == last - first + 1 and first == 0 and (not mine or count >= mine[-1])):
                    raise AssertionError(f"{count} rows, {distinct} of them different, from {first} to {last}")
                mine.append(count)
            except BaseException as error:
                faults.append(error)
                return

    def is_enough() -> bool:
        return merged[0] > 5 and all(len(each) > 3 for each in counts) and counts[0][-1] > 160

    readers = [threading.Thread(target=read, args=(each,)) for each in counts]
    for reader in readers:
        reader.start()
    try:
        with bench.follower(grace_s=1) as follower:  # a second after the swap the old files are deleted
            began = time.monotonic()
            while (spent_s := time.monotonic() - began) < AT_MOST_S and not faults and (spent_s < SECONDS or not is_enough()):
                bench.append(20)
                bench.seal()
                follower.step(flush=True)
                merged[0] += follower.compact(everything=True)
                bench.clock.advance(0.3)
    finally:
        over.set()
        for reader in readers:
            reader.join()
        bench.close()
    assert not faults, faults
    assert is_enough(), (merged, counts)
