"""`jurat verify` of what everybody can see: exported directories and log servers, from signed roots down to each entry.

The tiles of a source are read as if they were the flat arrays of a ledger, so that the same passes judge them; a resource
that is not there is named by its path. Events are not public, so nothing is said about their bytes.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from jurat.core.errors import JuratError, Malformed
from jurat.ledger.faults import Fault, Faults, LogReport, Report
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import ANCHOR, parse_log_name
from jurat.ledger.minimum import MINIMUM_FILE, open_minimum
from jurat.ledger.tile_source import Source
from jurat.ledger.verdict import judge_tree
from jurat.ledger.verify_checkpoints import Claims, bind_anchors, bind_kept, judge_pruned, open_checkpoint
from jurat.ledger.verify_events import EventCheck
from jurat.ledger.verify_log import LogFiles, TreeCheck, check_tree
from jurat.ledger.verify_receipts import check_receipts
from jurat.ledger.verify_witnesses import bind_witnessed
from jurat.merkle.note import MAX_NOTE_SIZE
from jurat.merkle.policy import Policy
from jurat.merkle.tile import TILE_WIDTH, format_tile_path
from jurat.merkle.tree import HASH_SIZE

_LANES: Final = 8  # tiles that are asked for at once
_MOST_MISSING: Final = 100  # tiles; beyond, the log counts as cut there
_LARGEST_PROOF: Final = 64 * 1024
_CACHED: Final = 1024  # tiles, some 10 MB
_ARRAY: Final = re.compile(r"/(?:entries|L([0-9]+))\Z")


class TiledFiles(LogFiles):
    """A source's tiles, read like the flat arrays that they were cut from. `missing`: (array, first, end, path, what is wrong)."""

    def __init__(self, source: Source, entry_size: int, lanes: ThreadPoolExecutor) -> None:
        super().__init__(Path(), entry_size)
        self.size = 0  # of the signed checkpoint, which says how wide the last tiles are
        self.missing: list[tuple[str, int, int, str, str]] = []
        self._source = source
        self._lanes = lanes
        self._tiles: dict[tuple[str, int], bytes] = {}

    def count(self, name: str) -> int:
        """Return how many records the signed size promises."""
        return self.size if name == "entries" else self.size >> 8 * int(name[1:])

    def read(self, name: str, first: int, end: int) -> bytes:
        """Return the records [first, end). A tile that is not there reads as zeros, and is noted."""
        end = min(end, self.count(name))
        if first >= end:
            return b""
        stride = HASH_SIZE if name != "entries" else self.stride
        numbers = range(first // TILE_WIDTH, (end - 1) // TILE_WIDTH + 1)
        wanted = [number for number in numbers if (name, number) not in self._tiles]
        if len(self._tiles) + len(wanted) > _CACHED:
            self._tiles.clear()
            wanted = list(numbers)
        for number, raw in zip(wanted, self._lanes.map(lambda number: self._fetch(name, number, stride), wanted), strict=True):
            self._tiles[name, number] = raw
        raw = b"".join(itertools.takewhile(bool, (self._tiles[name, number] for number in numbers)))
        begin = numbers[0] * TILE_WIDTH
        return raw[(first - begin) * stride : (end - begin) * stride]

    def _fetch(self, name: str, number: int, stride: int) -> bytes:
        level = None if name == "entries" else int(name[1:])
        first = number * TILE_WIDTH
        width = min(TILE_WIDTH, self.count(name) - first)
        path = format_tile_path(level, number, width)
        for candidate in dict.fromkeys((width, TILE_WIDTH)):  # a partial tile may go once the full one is there
            raw = self._source.read(format_tile_path(level, number, candidate), TILE_WIDTH * stride)
            if raw is None:
                continue
            if len(raw) == candidate * stride:
                return raw[: width * stride]
            self.missing.append((name, first, first + width, path, f"`{len(raw)}` bytes, expected {candidate * stride}"))
            return raw[: width * stride].ljust(width * stride, b"\0")
        self.missing.append((name, first, first + width, path, "it is not there"))
        return bytes(width * stride) if len(self.missing) <= _MOST_MISSING else b""


def verify_public(
    logs: Sequence[tuple[LogKeys, Source]],
    *,
    since: Sequence[str | bytes] = (),
    receipts: Sequence[str | bytes] = (),
    progress: Callable[[int, int], None] | None = None,
    policy: Policy | None = None,
    anchor_keys: LogKeys | None = None,
) -> Report:
    """Return everything that is wrong with some public logs, each with its place.

    Args:
        logs: the auditor's own keys of each log, and where it is served. With the anchor log among them, each log is also
            held to the checkpoints that are anchored.
        since: signed checkpoints that somebody kept, which the logs must continue.
        receipts: receipts that producers kept, which the logs must honour.
        progress: called with (entries done, entries in all).
        policy: whose cosignatures are demanded on the anchor log's checkpoint.
        anchor_keys: the auditor's own keys of the anchor log, which says from which index on a pruned log can be checked.
    Raises:
        Malformed: no log.
        Unavailable: a source did not answer; nothing is known then.
    """
    if not logs:
        raise Malformed("no log to verify", hint="give the keys of at least one: `log-keys.json`")
    faults = Faults()
    with ThreadPoolExecutor(_LANES) as lanes:
        claims, notes = [], list(since)
        for keys, source in sorted(logs, key=lambda each: each[0].log != str(ANCHOR)):  # the anchor first: it must not be newer
            claim, files, raw = _claim(keys, source, lanes, faults)
            claims.append((claim, files))
            notes += [raw] if raw and claim.log == ANCHOR else []
            if raw and anchor_keys is not None and claim.log != ANCHOR:
                _read_minimum(claim, source, anchor_keys, faults)
        only = [claim for claim, _ in claims]
        for note in since:
            bind_kept(only, note, faults)
        witnessed = None if policy is None else bind_witnessed(only, notes, policy, time.time(), faults)
        total, done = sum(files.size for _, files in claims), 0

        def tick(count: int) -> None:
            nonlocal done
            done += count
            if progress:
                progress(done, total)

        reports = []
        for claim, files in claims:
            tree = check_tree(files, claim.newest.size if claim.newest else 0, claim.waypoints, tick)
            found = _judge(claim, files, tree)
            if claim.log == ANCHOR and len(only) > 1:
                damaged = {index for fault in found for index in _span(fault)}
                bind_anchors(only, claim, damaged, faults)
            for fault in found:
                faults.take(fault)
            sealed = claim.newest.size if claim.newest else 0
            reach = witnessed if claim.log == ANCHOR else None
            reports.append(
                LogReport(
                    log=str(claim.log), size=files.size, sealed=sealed, checked_entries=tree.present - tree.floor, witnessed=reach,
                    pruned=files.minimum,
                )
            )  # fmt: skip
        for unjudged in (judge_pruned(only, faults), check_receipts(only, receipts, faults)):
            for each in reports:
                each.unjudged = each.unjudged + unjudged.get(each.log, [])
    return Report(logs=reports, faults=faults.all())


def _claim(keys: LogKeys, source: Source, lanes: ThreadPoolExecutor, faults: Faults) -> tuple[Claims, TiledFiles, bytes | None]:
    log = parse_log_name(keys.log)
    files = TiledFiles(source, log.entry_size, lanes)
    claim = Claims(log, keys, files)
    raw = source.read("checkpoint", MAX_NOTE_SIZE)
    if raw is None:
        faults.add(str(log), "checkpoint_bad", "it is not there", file="checkpoint")
        return claim, files, None
    try:
        claim.public = open_checkpoint(raw, keys)
    except JuratError as error:
        faults.add(str(log), "checkpoint_bad", error.detail, file="checkpoint")
        return claim, files, None
    claim.bind(claim.public, "forked", f"the public checkpoint of size {claim.public.size}")
    files.size = claim.public.size
    return claim, files, raw


def _read_minimum(claim: Claims, source: Source, anchor_keys: LogKeys, faults: Faults) -> None:
    """Take the log's minimum index from a proof beside it, if the anchor log bears it out."""
    raw = source.read(MINIMUM_FILE, _LARGEST_PROOF)
    if raw is None:
        return
    try:
        claim.files.minimum = open_minimum(raw, claim.keys, anchor_keys)
    except JuratError as error:
        faults.add(str(claim.log), "minimum_false", error.detail, file=MINIMUM_FILE)


def _judge(claim: Claims, files: TiledFiles, tree: TreeCheck) -> list[Fault]:
    """Return what is wrong with one log: tiles that are not there by their path, and nothing that only follows from that."""
    judged, said = Faults(), Faults()
    judge_tree(claim, tree, EventCheck(str(claim.log), files, tree.size, judged), judged)
    gone: dict[str, set[int]] = {}
    for name, first, end, path, why in sorted(set(files.missing)):
        gone.setdefault(name, set()).update(range(first, end))
        what = "entries_missing" if name == "entries" else "tree_altered"
        said.add(str(claim.log), what, why, index=first, last_index=end - 1, file=path)
    for fault in judged.all():
        array = fault.file.rpartition("/")[2] or "entries"
        if not (fault.index is not None and set(_span(fault)) <= gone.get(array, set())):
            said.take(msgspec.structs.replace(fault, file=_path(fault)))
    return said.all()


def _span(fault: Fault) -> range:
    return range(0) if fault.index is None else range(fault.index, (fault.index if fault.last_index is None else fault.last_index) + 1)


def _path(fault: Fault) -> str:
    """Return the full tile that a fault in a flat array lies in; the last one of a log is a partial one."""
    array = _ARRAY.search(fault.file)
    if array is None or fault.index is None:
        return fault.file
    return format_tile_path(None if array[1] is None else int(array[1]), fault.index // TILE_WIDTH)
