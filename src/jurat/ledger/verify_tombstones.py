"""What may be gone, by the ledger's own word: approved erasures, erasures that were carried out, expiries.

Tombstones lie in the `configuration` log. One counts if its bytes and salt give the commitment of the entry at its place, and
that place is signed; an approval, if the person who said yes is not the one who asked. Whether the log as a whole is the
sealed one is judged elsewhere: where it is not, nothing is clean anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow.parquet as pq

from jurat.core.errors import JuratError
from jurat.domain.events import Event, decode_event
from jurat.domain.facts_keeping import ErasureApproved, ErasureRequested, EventsErased, EventsExpired, LogKeyRotated, LogPruned, Places
from jurat.domain.kinds import BY_NAME
from jurat.domain.places import join
from jurat.ledger.journal import scan
from jurat.ledger.layout import events_directory, journal_directory
from jurat.ledger.manifest import read_manifest
from jurat.ledger.verify_log import LogFiles
from jurat.merkle.entry import ENTRY_SIZE, commit_event, unpack_entry

_KINDS: Final = (
    "erasure.requested.v1", "erasure.approved.v1", "events.erased.v1", "events.expired.v1", "log.pruned.v1", "log.key_rotated.v1",
)  # fmt: skip
_CODES: Final = frozenset(BY_NAME[name].code for name in _KINDS)


class Tombstones(NamedTuple):
    """`may`: content may be gone. `must`: it is said to be. `expired`: whole rows may be gone. `pruned`: per log, its minimum index.

    `rotated`: announced changes of keys.
    """

    may: Places
    must: Places
    expired: Places
    pruned: dict[str, int]
    rotated: list[LogKeyRotated]


def gather_tombstones(ledger_root: Path, tenant: str, files: LogFiles, origin_hash: bytes, size: int) -> Tombstones:
    """Return what the first `size` entries of a tenant's `configuration` log say is gone. Never raises for what lies there.

    Args:
        files: the arrays of that log.
        origin_hash: the first 8 bytes of the hash of its origin, as the journal writes it.
    """
    found: dict[int, Event] = {}
    for index, salt, raw in (*_archived(ledger_root, tenant), *_journaled(ledger_root, origin_hash)):
        if index not in found and index < size and _is_sealed(files, index, salt, raw):
            try:
                found[index] = decode_event(raw)
            except JuratError:
                continue
    askers = {event.data.request: event.actor.chain[:1] for event in found.values() if isinstance(event.data, ErasureRequested)}
    may, must, expired, pruned, rotated = [], [], [], dict[str, int](), list[LogKeyRotated]()
    for event in found.values():
        said = event.data
        if isinstance(said, ErasureApproved) and event.actor.chain[:1] not in ([], askers.get(said.request, [])):
            may.append(said.events)
        elif isinstance(said, EventsErased):
            must.append(said.events)
        elif isinstance(said, EventsExpired):
            expired.append(said.events)
        elif isinstance(said, LogPruned):
            pruned[said.log] = max(pruned.get(said.log, 0), said.minimum_index)
        elif isinstance(said, LogKeyRotated):
            rotated.append(said)
    return Tombstones(join(*may), join(*must), join(*expired), pruned, rotated)


def _is_sealed(files: LogFiles, index: int, salt: bytes, raw: bytes) -> bool:
    entries = files.entries(index, index + 1)
    if not entries or len(entries[0]) != ENTRY_SIZE:
        return False
    try:
        entry = unpack_entry(entries[0])
    except JuratError:
        return False
    return entry.kind_code in _CODES and commit_event(salt, raw) == entry.commitment


def _archived(ledger_root: Path, tenant: str) -> Iterator[tuple[int, bytes, bytes]]:
    directory = events_directory(ledger_root, tenant)
    try:
        parts = read_manifest(directory).parts
    except (JuratError, OSError):
        return
    for part in parts:
        if part.log == f"{tenant}/configuration" and part.kind in _KINDS:
            try:
                table = pq.read_table(directory / part.path, columns=["idx", "salt", "raw"], partitioning=None)
                rows = list(zip(*(table[name].to_pylist() for name in ("idx", "salt", "raw")), strict=True))
            except Exception:  # noqa: S112 - the decoder may say anything of hostile bytes; the part itself is judged elsewhere
                continue
            yield from (row for row in rows if row[1] is not None and row[2] is not None)


def _journaled(ledger_root: Path, origin_hash: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    try:
        for placed in scan(journal_directory(ledger_root)):
            header = placed.record.header
            if header.origin_hash == origin_hash:
                entries = placed.record.entries()
                for at, (salt, raw) in enumerate(placed.record.payloads()):
                    if int.from_bytes(entries[at][1:3]) in _CODES:
                        yield header.first_index + at, salt, raw
    except (JuratError, OSError):
        return
