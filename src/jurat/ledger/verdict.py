"""From what the passes saw to faults with names: which entry, which event, which hash; once each, and no consequence as a cause.

If the root came out as signed, the entries are the measure of everything else. If not, `locate` says which are not the
sealed ones, and an event that still fits a sealed leaf is a witness, not a suspect.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jurat.domain.facts_keeping import LogKeyRotated
from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.faults import Faults
from jurat.ledger.locate import Located, locate
from jurat.ledger.verify_checkpoints import Claims
from jurat.ledger.verify_events import EventCheck, Suspect
from jurat.ledger.verify_log import LogFiles, TreeCheck
from jurat.merkle.entry import ENTRY_SIZE
from jurat.merkle.tree import hash_leaf

_MAX_SPAN = 1_000_000  # entries that are searched for a wrong order
_GONE = bytes(32)  # commitment of an event without content


def judge_tree(claim: Claims, check: TreeCheck, events: EventCheck, faults: Faults) -> Located:
    """Note what is wrong with a log's arrays; return what is known of the entries that are not authentic."""
    log, files = str(claim.log), claim.files
    faults.add_runs(log, "entry_altered", "its size prefix is wrong", check.bad_prefixes, file=_file(claim, "entries"))
    judge_minimum(claim, events, faults)
    for level, count in check.short.items():
        faults.add(log, "tree_altered", f"`L{level}` ends after {count} hashes", file=_file(claim, f"L{level}"))
    root = claim.newest.root if claim.newest else None
    if root is None or (check.present == check.size and check.root == root):
        for level, indexes in check.differing.items():
            faults.add_runs(
                log, "tree_altered", f"hashes in `L{level}` are not those of the entries", indexes, file=_file(claim, f"L{level}")
            )
        for waypoint in check.missed:
            detail = f"{waypoint.witness} has another root at size {waypoint.size} than the sealed entries"
            faults.add(log, waypoint.what, detail, index=waypoint.size - 1)
        for index, detail in check.gaps:
            faults.add(log, "sequence_gap", detail, index=index)
        faults.add_runs(log, "time_went_back", "received before the entry ahead of it", check.time_breaks)
        return Located()
    located = _locate(claim, check, events)
    _name_entries(claim, check, located, events, faults)
    for level, indexes in located.wrong_hashes.items():
        faults.add_runs(
            log, "tree_altered", f"hashes in `L{level}` are not those that were signed", indexes, file=_file(claim, f"L{level}")
        )
    for begin, end in located.unknown:
        if end > check.present:  # the span ends in what is missing: no root can be made, so nobody is accused
            if begin < check.present:
                detail = "no checkpoint can be met behind these while later entries are missing"
                faults.add(log, "entries_unjudged", detail, index=begin, last_index=check.present - 1)
        elif begin < check.floor:
            detail = "a hash that stands for pruned entries was altered, or an entry behind them and everything rewritten to match"
            faults.add(log, "tree_altered", detail, index=begin, last_index=end - 1)
        else:
            _name_span(log, files, begin, end, events, faults)
    return located


def judge_minimum(claim: Claims, events: EventCheck, faults: Faults) -> None:
    """Note a minimum index that the tombstones do not bear out; whoever sees hashes only has none to ask."""
    minimum = claim.files.minimum
    if not minimum or events.said_pruned is None:
        return
    if minimum > events.said_pruned:
        detail = f"the anchor log has minimum index {minimum}, the last `log.pruned.v1` on record says {events.said_pruned}"
        faults.add(str(claim.log), "minimum_false", detail, index=events.said_pruned, last_index=minimum - 1)
    kept = np.flatnonzero(~events.expired[:minimum])
    faults.add_runs(str(claim.log), "minimum_false", "pruned, and no expiry on record covers it", kept.tolist())


def judge_keys(claims: Sequence[Claims], rotated: Sequence[LogKeyRotated], faults: Faults) -> None:
    """Note keys that an auditor was given for a log without the log's own announcement, made while the old keys signed."""
    for claim in claims:
        for before, period in itertools.pairwise(claim.keys.periods):
            if period.first_size is None:
                continue  # announced in the file only: it signs, and nobody demands it
            said = (claim.keys.origin, before.vkeys, period.vkeys, period.receipt_vkey, period.first_size, before.last_size)
            if all((e.origin, e.old_vkeys, e.new_vkeys, e.new_receipt_vkey, e.first_size, e.last_size) != said for e in rotated):
                detail = f"no `log.key_rotated.v1` on record says that they sign from size {period.first_size} on"
                faults.add(str(claim.log), "key_unannounced", detail)


def judge_events(check: EventCheck, located: Located, faults: Faults, *, is_archived: bool) -> None:
    """Note which events are not the sealed ones, and which are not there once."""
    for index, suspects in check.suspects.items():
        authentic = located.altered.get(index) or located.missing.get(index)
        for suspect in suspects:
            if authentic is not None and hash_leaf(suspect.entry) == authentic:
                continue
            _name_event(check, index, suspect, located, faults)
    if is_archived:
        missing = np.flatnonzero((check.archived == 0) & ~check.journaled & ~check.expired).tolist()
        faults.add_runs(check.log, "row_missing", "neither in the archive nor in the journal", missing)
    faults.add_runs(check.log, "row_duplicated", "more than once in the archive", np.flatnonzero(check.archived > 1).tolist())


def _locate(claim: Claims, check: TreeCheck, events: EventCheck) -> Located:
    assert claim.newest is not None
    overlay = {index: [suspect.entry for suspect in suspects] for index, suspects in events.suspects.items()}
    located = locate(claim.files, check, claim.newest.root, overlay)
    if located.unknown == [(0, check.size)] and check.present < check.size and check.missed:
        # The newest root is out of reach, but an older one covers what is there.
        older = check.missed[-1]
        shorter = locate(claim.files, replace(check, size=older.size), older.root, overlay)
        if shorter.unknown != [(0, older.size)]:
            located = replace(shorter, unknown=[*shorter.unknown, (older.size, check.size)])
    first_missed = check.missed[0].size if check.missed else check.size
    narrowed = []
    for begin, end in located.unknown:
        if end > check.held:  # what lies before a waypoint that was met is whole
            narrowed.append((max(begin, check.held), min(end, max(first_missed, check.held + 1))))
    return replace(located, unknown=[span for span in narrowed if span[0] < span[1]])


def _name_entries(claim: Claims, check: TreeCheck, located: Located, events: EventCheck, faults: Faults) -> None:
    log, file = str(claim.log), _file(claim, "entries")
    sealed_at = {leaf: index for known in (located.altered, located.missing) for index, leaf in known.items()}
    for index, authentic in sorted(located.altered.items()):
        found = claim.files.entries(index, index + 1)
        origin = sealed_at.get(hash_leaf(found[0])) if found else None
        name = next((suspect.event_id for suspect in events.suspects.get(index, ()) if hash_leaf(suspect.entry) == authentic), None)
        if origin is None:
            faults.add(log, "entry_altered", "it is not the entry that was sealed here", index=index, event_id=name, file=file)
        else:
            faults.add(log, "entries_swapped", f"the entry sealed at {origin} lies here", index=index, event_id=name, file=file)
    if check.present == check.size:
        return
    public, span = claim.public, {"index": check.present, "last_index": check.size - 1, "file": file}
    if public is not None and public.size < check.size and check.held >= public.size:
        detail = f"the ledger is whole up to size {check.present}, and was signed up to size {check.size}: an older copy was put back"
        faults.add(log, "rolled_back", detail, **span)  # type: ignore[arg-type]
    else:
        faults.add(log, "entries_missing", f"entries {check.present} to {check.size - 1} are missing", **span)  # type: ignore[arg-type]


def _name_span(log: str, files: LogFiles, begin: int, end: int, events: EventCheck, faults: Faults) -> None:
    """Say what can be said of a span in which something was altered, and everything rewritten to match."""
    entries = files.entries(begin, min(end, begin + _MAX_SPAN))
    if not entries:
        return  # missing, and named so
    last = begin + len(entries) - 1
    misplaced = _misplaced(entries) if len(entries[0]) == ENTRY_SIZE else []
    for at in misplaced:
        name = next((suspect.event_id for suspect in events.suspects.get(begin + at, ())), None)
        detail = "its producer's number is out of order, and everything was rewritten to match"
        faults.add(log, "entries_swapped", detail, index=begin + at, event_id=name)
    if not misplaced:
        detail = "one or more of these were altered and everything rewritten to match; behind them nothing can be judged yet"
        faults.add(log, "entry_altered", detail, index=begin, last_index=last)


def _misplaced(entries: list[bytes]) -> list[int]:
    """Return the places whose producer number would be another one if each producer's were in order."""
    table = np.frombuffer(b"".join(entries), ENTRY_FIELDS)
    streams = table["producer"].astype(np.uint64) << np.uint64(32) | table["epoch"].astype(np.uint64)
    found: list[int] = []
    for stream in np.unique(streams):
        places = np.flatnonzero(streams == stream)
        numbers = table["seq"][places].astype(np.uint64)
        found += places[numbers != np.sort(numbers)].tolist()
    return sorted(found)


def _name_event(check: EventCheck, index: int, suspect: Suspect, located: Located, faults: Faults) -> None:
    if suspect.entry[-32:] == _GONE and len(suspect.entry) == ENTRY_SIZE:
        return  # its content is gone; said where it was read
    unsure = any(begin <= index < end for begin, end in located.unknown)
    detail = (
        "the event and its entry disagree, and one of them was altered"
        if unsure
        else "its bytes, salt or entry fields are not those sealed"
    )
    faults.add(check.log, "event_altered", detail, index=index, event_id=suspect.event_id, file=suspect.file)


def _file(claim: Claims, name: str) -> str:
    return f"{claim.log}/{name}"
