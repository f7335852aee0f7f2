"""Writers that send a tenth of everything twice, readers that take each receipt to a proof in time, verifiers beside them, for a minute.

`JURAT_HAMMER_S` makes it longer. Memory stays flat, and every answer is checked against a signed checkpoint.
"""

from __future__ import annotations

import os
import queue
import random
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ledger_workspace import INFERENCE, PREDICTION_MADE, Daemon, make_workspace, running

from jurat.core.settings import Settings, lock_file
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import checkpoint_file, log_keys_file
from jurat.ledger.receipt import Receipt, open_receipt
from jurat.ledger.verify import verify_workspace
from jurat.merkle.checkpoint import Checkpoint, parse_checkpoint
from jurat.merkle.note import open_note, parse_vkey
from jurat.merkle.tree import hash_leaf, hash_leaves, inclusion_path, root_of, verify_inclusion

SECONDS = float(os.environ.get("JURAT_HAMMER_S", "60"))
WRITERS, BATCH = 3, 50


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
def test_hammer(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    keys = load_log_keys(log_keys_file(workspace.keys))
    mine = next(each for each in keys if each.log == str(INFERENCE))
    receipt_key, log_keys = parse_vkey(mine.receipt_vkey), [parse_vkey(each) for each in mine.vkeys]
    handed_out: queue.Queue[tuple[Receipt, bytes, float]] = queue.Queue()
    failures: list[BaseException] = []
    ends_s = time.monotonic() + SECONDS
    writing, acks_s, proofs_s, looks = threading.Event(), [], [], [0]
    writing.set()

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    def write(daemon: Daemon, number: int) -> Callable[[], None]:
        def work() -> None:
            chance, seq = random.Random(number), 1
            with daemon.connect(producer=900, timeout_s=60) as client:
                while time.monotonic() < ends_s and not failures:
                    raws = [b'{"writer":%d,"seq":%d,"fill":"%s"}' % (number, seq + at, b"x" * 400) for at in range(BATCH)]
                    items = [(PREDICTION_MADE, raw) for raw in raws]
                    began = time.monotonic()
                    done = client.append(INFERENCE, seq, items, want_receipt=True)
                    acks_s.append(time.monotonic() - began)
                    if chance.random() < 0.1:
                        again = client.append(INFERENCE, seq, items, want_receipt=True)
                        assert (again.duplicate, again.first_index, again.receipt) == (True, done.first_index, done.receipt)
                    if chance.random() < 0.2:
                        handed_out.put((open_receipt(str(done.receipt), receipt_key), raws[0], began))
                    seq += BATCH

        return work

    def newest() -> Checkpoint:
        return parse_checkpoint(open_note(checkpoint_file(workspace.ledger, INFERENCE).read_bytes(), log_keys).text)

    def prove() -> None:
        reader = ArrayReader(INFERENCE.directory(workspace.ledger), INFERENCE.entry_size)
        while writing.is_set() or not handed_out.empty():
            try:
                receipt, _, began = handed_out.get(timeout=0.2)
            except queue.Empty:
                continue
            end = receipt.first_index + receipt.count
            while (checkpoint := newest()).size < end:
                assert time.monotonic() - began < receipt.merge_delay_ms / 1000, "not sealed within the promised delay"
                time.sleep(0.05)
            proofs_s.append(time.monotonic() - began)
            entries = reader.entries(receipt.first_index, end)
            assert root_of(hash_leaves(entries)) == receipt.root
            path = inclusion_path(receipt.first_index, checkpoint.size, reader.node)
            verify_inclusion(hash_leaf(entries[0]), receipt.first_index, checkpoint.size, path, checkpoint.root)
        reader.close()

    def look() -> None:
        while writing.is_set():
            assert verify_workspace(workspace.ledger, keys, lock_file(workspace, Settings())).faults == []
            looks[0] += 1

    with running(workspace, segment_bytes=8 << 20) as daemon:
        writers = [guarded(write(daemon, number)) for number in range(WRITERS)]
        others = [guarded(prove), guarded(prove), guarded(look)]
        for thread in (*writers, *others):
            thread.start()
        time.sleep(SECONDS / 3)
        early = rss_bytes(daemon.process.pid)
        for thread in writers:
            thread.join()
        late = rss_bytes(daemon.process.pid)
        writing.clear()
        for thread in others:
            thread.join()
    assert not failures, failures
    assert len(acks_s) > 10
    assert len(proofs_s) > 3
    assert looks[0] > 0
    assert late < early + 200 * 2**20, "memory grows"
    centiles = statistics.quantiles(acks_s, n=100)
    print(
        f"{len(acks_s) * BATCH / SECONDS:.0f} events/s; ack p50 {centiles[49] * 1000:.1f} ms, p99 {centiles[98] * 1000:.1f} ms; "
        f"{len(proofs_s)} proofs, slowest {max(proofs_s):.2f} s; {looks[0]} looks; RSS {late / 2**20:.0f} MiB"
    )
