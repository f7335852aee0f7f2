"""What somebody with every right on the disk can do to a ledger. Each leaves as little trace as it can.

Only `sign_again` needs the signing key: it is the operator who cheats.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from tests.scenes.sealed_ledger import START_NS, Scene

from jurat.core.clock import FixedClock
from jurat.core.digests import digest_file
from jurat.ledger.create import load_signers
from jurat.ledger.journal import scan, segment_file
from jurat.ledger.layout import LogName, checkpoint_file, events_directory, hash_origin, journal_directory
from jurat.ledger.manifest import Manifest, Part, manifest_path, read_manifest, write_manifest
from jurat.ledger.parts import write_part
from jurat.ledger.record import HEADER_SIZE, Batch, first_link, pack_record, pack_sizes
from jurat.ledger.rows import SCHEMA
from jurat.ledger.shred import shred
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.entry import ENTRY_SIZE, commit_event
from jurat.merkle.note import sign_note
from jurat.merkle.tree import Frontier, hash_leaves, root_of

Row = dict[str, Any]


def flip_byte(path: Path, offset: int, mask: int = 1) -> None:
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)[0]
        os.pwrite(file.fileno(), bytes([byte ^ mask]), offset)


def entries_of(scene: Scene, log: LogName) -> list[bytes]:
    raw, stride = (log.directory(scene.root) / "entries").read_bytes(), log.entry_size + 2
    return [raw[at + 2 : at + stride] for at in range(0, len(raw), stride)]


def put_entries(scene: Scene, log: LogName, entries: list[bytes], *, levels: bool) -> None:
    """Replace the entries, and every level above them if wanted."""
    directory, prefix = log.directory(scene.root), log.entry_size.to_bytes(2)
    (directory / "entries").write_bytes(b"".join(prefix + entry for entry in entries))
    if levels:
        for level, hashes in enumerate(Frontier().extend(hash_leaves(entries))):
            (directory / f"L{level}").write_bytes(b"".join(hashes))


def change_rows(scene: Scene, log: LogName, change: Callable[[list[Row]], list[Row]], *, high_water: int | None = None) -> None:
    """Rewrite the archive of a log with other rows, and a manifest that fits them."""
    directory = events_directory(scene.root, log.tenant)
    manifest = read_manifest(directory)
    parts = []
    for part in manifest.parts:
        if part.log != str(log):
            parts.append(part)
            continue
        rows = change(pq.read_table(directory / part.path, partitioning=None).to_pylist())
        (directory / part.path).unlink()
        if rows:
            parts.append(_put_part(directory, part, rows))
    if high_water is not None:
        manifest = msgspec.structs.replace(manifest, high_water=manifest.high_water | {str(log): high_water})
    _replace_manifest(directory, manifest, parts)


def _put_part(directory: Path, part: Part, rows: list[Row]) -> Part:
    path = directory / part.path
    written = write_part(path, [pa.Table.from_pylist(rows, schema=SCHEMA)], rows=len(rows))
    return Part(part.path, part.log, part.kind, part.date, written.first, written.last, written.rows, written.size_bytes, digest_file(path))


def _replace_manifest(directory: Path, manifest: Manifest, parts: list[Part]) -> None:
    manifest_path(directory, manifest.number).unlink()
    write_manifest(directory, Manifest(number=manifest.number, high_water=manifest.high_water, parts=tuple(parts)))


def row_with(row: Row, raw: bytes, *, entry_too: bool = False) -> Row:
    """Return the row with other bytes, its columns derived from them, and its commitment too if wanted."""
    changed = row | shred(raw)._asdict() | {"raw": raw}
    return changed | {"commitment": commit_event(row["salt"], raw)} if entry_too else changed


def change_journal(scene: Scene, log: LogName, change: Callable[[int, bytes, bytes, bytes], tuple[bytes, bytes, bytes] | None]) -> None:
    """Rewrite the journal, links and CRCs right, with `change(index, entry, salt, raw)` applied to a log's events; None cuts it there."""
    directory = journal_directory(scene.root)
    mine = hash_origin(log.origin(scene.settings.log_host))[:8]
    link = first_link(bytes.fromhex((directory / "uuid").read_text().strip()))
    out = bytearray()
    for placed in scan(directory):
        record, batch = placed.record, None
        header = record.header
        if header.origin_hash == mine:
            changed = [
                change(header.first_index + at, entry, salt, raw)
                for at, (entry, (salt, raw)) in enumerate(zip(record.entries(), record.payloads(), strict=True))
            ]
            kept = [each for each in changed if each is not None]
            if not kept:
                break
            batch = Batch(
                header.origin_hash, header.first_index, len(kept), b"".join(entry for entry, _, _ in kept),
                pack_sizes([raw for _, _, raw in kept]), b"".join(salt + raw for _, salt, raw in kept),
            )  # fmt: skip
        else:
            size = record.entry_size * header.count
            batch = Batch(
                header.origin_hash, header.first_index, header.count, record.body[:size], record.body[size : size + 4 * header.count],
                record.body[size + 4 * header.count :],
            )  # fmt: skip
        raw, link = pack_record(batch, group=header.group, following=header.following, prev=link)
        out += raw
    path = segment_file(directory, 1)
    path.write_bytes(bytes(out).ljust(path.stat().st_size, b"\0"))


def entry_with(entry: bytes, salt: bytes, raw: bytes) -> bytes:
    """Return the entry with the commitment of other bytes."""
    return entry[: ENTRY_SIZE - 32] + commit_event(salt, raw)


def rewrite_event(scene: Scene, log: LogName, index: int, raw: bytes) -> None:
    """The strongest attack without a key: event, entry, tree, archive and journal all say the new thing."""
    entries = entries_of(scene, log)

    def in_archive(rows: list[Row]) -> list[Row]:
        for row in rows:
            if row["idx"] == index:
                entries[index] = entry_with(entries[index], row["salt"], raw)
        return [row_with(row, raw, entry_too=True) if row["idx"] == index else row for row in rows]

    def in_journal(at: int, entry: bytes, salt: bytes, old: bytes) -> tuple[bytes, bytes, bytes]:
        if at != index:
            return entry, salt, old
        entries[index] = entry_with(entry, salt, raw)
        return entries[index], salt, raw

    change_journal(scene, log, in_journal)
    change_rows(scene, log, in_archive)
    put_entries(scene, log, entries, levels=True)


def swap_everywhere(scene: Scene, log: LogName, one: int, other: int) -> None:
    """Exchange two events, with their entries, in every place there is."""
    partner = {one: other, other: one}
    entries = entries_of(scene, log)
    found: dict[int, tuple[bytes, bytes, bytes]] = {}
    change_journal(scene, log, lambda at, *event: found.setdefault(at, event))  # type: ignore[arg-type]
    change_journal(scene, log, lambda at, *event: found[partner[at]] if at in partner else event)  # type: ignore[return-value]

    def in_archive(rows: list[Row]) -> list[Row]:
        by_index = {row["idx"]: row for row in rows}
        return [by_index[partner[row["idx"]]] | {"idx": row["idx"]} if row["idx"] in partner else row for row in rows]

    change_rows(scene, log, in_archive)
    entries[one], entries[other] = entries[other], entries[one]
    put_entries(scene, log, entries, levels=True)


def drop_newest(scene: Scene, log: LogName, size: int) -> None:
    """Cut a log back to `size` everywhere but in its checkpoints."""
    put_entries(scene, log, entries_of(scene, log)[:size], levels=True)
    change_rows(scene, log, lambda rows: [row for row in rows if row["idx"] < size])
    change_journal(scene, log, lambda at, *event: event if at < size else None)  # type: ignore[return-value]


def put_back(scene: Scene, older: Scene) -> None:
    """Restore an older copy of the ledger; the lock store is on another volume."""
    shutil.rmtree(scene.root)
    shutil.copytree(older.root, scene.root)


def sign_again(scene: Scene, log: LogName) -> None:
    """Sign whatever the entries now are, and let the lock store know only that."""
    entries = entries_of(scene, log)
    put_entries(scene, log, entries, levels=True)
    signer = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[log]
    checkpoint = Checkpoint(signer.public.origin, len(entries), root_of(hash_leaves(entries)))
    note = sign_note(format_checkpoint(checkpoint), signer.checkpoint)
    checkpoint_file(scene.root, log).write_text(note)
    database = sqlite3.connect(scene.lock)
    with database:
        database.execute(
            "UPDATE logs SET size = ?, root = ?, note = ? WHERE origin = ?", (checkpoint.size, checkpoint.root, note, checkpoint.origin)
        )
    database.close()


def renamed(raw: bytes, **data: Any) -> bytes:
    """Return an event's bytes with other data."""
    event = json.loads(raw)
    event["data"] |= data
    return json.dumps(event, separators=(",", ":"), sort_keys=True).encode()


def payload_offset(scene: Scene, log: LogName, index: int) -> tuple[Path, int]:
    """Return where in the journal the first byte of an event's content lies."""
    directory = journal_directory(scene.root)
    mine = hash_origin(log.origin(scene.settings.log_host))[:8]
    for placed in scan(directory):
        header = placed.record.header
        if header.origin_hash == mine and header.first_index <= index < placed.record.end_index:
            at = placed.start.offset + HEADER_SIZE + header.count * (ENTRY_SIZE + 4)
            for number, (salt, raw) in enumerate(placed.record.payloads(), start=header.first_index):
                if number == index:
                    return segment_file(directory, placed.start.segment), at + len(salt)
                at += len(salt) + len(raw)
    raise AssertionError(f"#{index} is not in the journal")
