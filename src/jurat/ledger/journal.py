"""The write-ahead file: the only truth until the tree is synced. Knows segments, groups and damage; not logs, not trees.

Segments `00000001.wal …` of 64 MiB, preallocated with zeros, mode 0600. A *group* is what one `fdatasync` covers:
group g+1 is written only after g is synced, and nothing is acknowledged before. Therefore

- a bad record whose group has no successor was never acknowledged: a torn tail, and the journal ends before it;
- a bad record with a valid record of a later group behind it *was* acknowledged: `Tampered`, and we stop.

A group is there whole or not at all: what is left of a torn one is not read. Rot in the very last group looks like a
torn tail; only receipts and the lock store's group number show it. A group never spans two segments. Segments are
removed from the front only, once everything in them lies elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from jurat.core.errors import Tampered, Unavailable
from jurat.core.files import sync_directory
from jurat.ledger.crash_points import reach
from jurat.ledger.record import (
    HEADER_SIZE,
    MAGIC,
    MAX_FOLLOWING,
    Batch,
    Header,
    Record,
    first_link,
    pack_record,
    unpack_header,
    unpack_record,
)

SEGMENT_SIZE: Final = 64 * 1024 * 1024  # bytes; one larger group gets a segment of its own size
_CHUNK_SIZE: Final = 1024 * 1024


class Position(NamedTuple):
    """A place between two records. `following` > 0: the group of the record before goes on."""

    segment: int
    offset: int
    group: int  # of the record before; 0: none
    following: int
    link: bytes | None  # of the record before; None: unknown, because the segments before it are gone


class Placed(NamedTuple):
    """A record and the places before and after it."""

    start: Position
    record: Record
    end: Position


def segment_file(directory: Path, number: int) -> Path:
    return directory / f"{number:08d}.wal"


def segment_numbers(directory: Path) -> list[int]:
    """Return the numbers of the segments there are, ascending."""
    return sorted(int(path.stem) for path in directory.glob("*.wal") if path.stem.isdigit())


def journal_uuid(directory: Path) -> bytes:
    """Return the journal's identity, 16 bytes.

    Raises:
        Tampered: the file is missing or does not hold one.
    """
    try:
        raw = bytes.fromhex((directory / "uuid").read_text("ascii").strip())
    except (OSError, ValueError):
        raw = b""
    if len(raw) != 16:
        raise Tampered(
            f"the journal's identity `{directory / 'uuid'}` is missing or damaged",
            hint="is the volume of the ledger mounted? restore this file from a backup; never make a new one",
            code="journal_damaged",
        )
    return raw


def first_position(directory: Path) -> Position:
    """Return the place before the oldest record that is still there."""
    uuid, numbers = journal_uuid(directory), segment_numbers(directory)
    if not numbers or numbers[0] == 1:
        return Position(1, 0, 0, 0, first_link(uuid))
    return Position(numbers[0], 0, 0, 0, None)


def scan(directory: Path, start: Position | None = None) -> Iterator[Placed]:
    """Yield every record from `start` (the oldest) to the end of the last whole group, each linked to the one before.

    May be used while the journal is written: a group that is being written looks like a torn tail. What is yielded
    is not necessarily synced yet; whoever needs that stops at a group that the lock store or the writer vouches for.

    Raises:
        Tampered: a record that was acknowledged is damaged, missing or out of order; named by segment and offset.
    """
    here = first_position(directory) if start is None else start
    group: list[Placed] = []
    while True:
        try:
            descriptor = os.open(segment_file(directory, here.segment), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            later = [number for number in segment_numbers(directory) if number > here.segment]
            if not later:
                return
            if start is not None or here.link is not None:
                raise _damaged(directory, here, f"segment `{later[0]}` is there") from None
            here = Position(later[0], 0, 0, 0, None)  # removed while we looked; nothing was read yet
            continue
        try:
            while placed := _read_placed(descriptor, here):
                here = placed.end
                group.append(placed)
                if here.following == 0:
                    yield from group
                    group.clear()
        finally:
            os.close(descriptor)
        following = _successor(directory, here)
        if following is None:
            return
        here = following


def _successor(directory: Path, here: Position) -> Position | None:
    """Return where to go on when nothing sound follows in this segment, or None at the journal's end."""
    next_segment = here._replace(segment=here.segment + 1, offset=0)
    if here.following == 0 and _read_at(directory, next_segment):
        return next_segment
    damaged_group = here.group if here.following else here.group + 1
    later = _find_later(directory, here, damaged_group)
    if later is None:
        return None
    if _read_at(directory, here):
        return here  # it was being written when we looked first
    if here.following == 0 and _read_at(directory, next_segment):
        return next_segment
    if here.following == 0 and segment_file(directory, next_segment.segment).exists() and _is_blank_behind(directory, here):
        here = next_segment  # this one ended in good order
    raise _damaged(directory, here, f"a record of group `{later}` lies behind it")


def _is_blank_behind(directory: Path, here: Position) -> bool:
    """Tell whether nothing but zeros follows in this segment."""
    with segment_file(directory, here.segment).open("rb") as file:
        file.seek(here.offset)
        return not any(chunk.strip(b"\0") for chunk in iter(lambda: file.read(_CHUNK_SIZE), b""))


def _find_later(directory: Path, here: Position, damaged_group: int) -> int | None:
    """Return the group of the first sound header behind `here` that is later than `damaged_group`."""
    for number in segment_numbers(directory):
        if number < here.segment:
            continue
        at = here.offset if number == here.segment else 0
        try:
            descriptor = os.open(segment_file(directory, number), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            for header in _headers_from(descriptor, at):
                # After a start in the middle nobody knows which group the damage was in: then any survivor is later.
                if header.group > damaged_group or here.link is None:
                    return header.group
        finally:
            os.close(descriptor)
    return None


def _headers_from(descriptor: int, at: int) -> Iterator[Header]:
    """Yield every header with a right CRC from offset `at` on, wherever it lies."""
    window, base = b"", at
    while chunk := os.pread(descriptor, _CHUNK_SIZE, base + len(window)):
        window += chunk
        found = window.find(MAGIC)
        while 0 <= found <= len(window) - HEADER_SIZE:
            if header := unpack_header(window[found : found + HEADER_SIZE]):
                yield header
            found = window.find(MAGIC, found + 1)
        kept = min(len(window), HEADER_SIZE - 1)
        base, window = base + len(window) - kept, window[len(window) - kept :]


def _read_at(directory: Path, here: Position) -> Placed | None:
    try:
        descriptor = os.open(segment_file(directory, here.segment), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _read_placed(descriptor, here)
    finally:
        os.close(descriptor)


def _read_placed(descriptor: int, here: Position) -> Placed | None:
    """Return the record at `here` if it is sound and the one that belongs there."""
    raw_header = os.pread(descriptor, HEADER_SIZE, here.offset)
    header = unpack_header(raw_header)
    if header is None or here.offset + HEADER_SIZE + header.body_size > os.fstat(descriptor).st_size:
        return None
    record = unpack_record(raw_header, os.pread(descriptor, header.body_size, here.offset + HEADER_SIZE))
    if record is None or not _belongs(header, here):
        return None
    end = here.offset + HEADER_SIZE + header.body_size
    return Placed(here, record, Position(here.segment, end, header.group, header.following, record.link))


def _belongs(header: Header, here: Position) -> bool:
    if here.link is None:  # the oldest record, its predecessor removed
        return True
    if here.following:
        expected = (here.link, here.group, here.following - 1)
        return (header.prev, header.group, header.following) == expected
    return (header.prev, header.group) == (here.link, here.group + 1)


def _damaged(directory: Path, here: Position, why: str) -> Tampered:
    return Tampered(
        f"journal record at `{segment_file(directory, here.segment).name}:{here.offset}` is damaged or missing, but {why}",
        hint="it was acknowledged, so it must not be dropped: restore the journal from another copy, and ask who had access to the volume",
        code="journal_damaged",
        segment=here.segment,
        offset=here.offset,
    )


class JournalWriter:
    """The one writer. Whoever makes it holds the journal's flock, and has scanned it up to `end`.

    A group is durable when `append` returns. If a write or a sync fails, `OSError` leaves this class and the process
    must die: after a failed sync the page cache may look clean, so trying again proves nothing.
    """

    def __init__(self, directory: Path, end: Position, *, segment_size: int = SEGMENT_SIZE) -> None:
        self.end = end
        self._directory = directory
        self._segment_size = segment_size
        self._descriptor = -1
        self._room = 0
        if segment_file(directory, end.segment).exists():
            self._open(end.segment)

    def repair_tail(self, last_group: Position) -> None:
        """Make what was scanned durable, and what lies behind it zero. `last_group`: where the last group begins.

        That group may have been written and never synced, or its sync may have failed: its bytes are written again,
        so that the pages are dirty and a sync means something. Behind it no trace of a torn group stays that could
        later be taken for a record.
        """
        for number in segment_numbers(self._directory):
            if number > self.end.segment:  # `scan` found no record in it
                segment_file(self._directory, number).unlink()
        if self._descriptor >= 0:
            size = self.end.offset - last_group.offset
            if last_group.segment == self.end.segment and size:
                _write_fully(self._descriptor, os.pread(self._descriptor, size, last_group.offset), last_group.offset)
            self._clear_from(self.end.offset)
            os.fsync(self._descriptor)
        sync_directory(self._directory)

    def append(self, batches: Sequence[Batch]) -> None:
        """Write one group and sync it. `end` is the place after it.

        Raises:
            Unavailable: no room for a new segment; nothing was written, and the next try may succeed.
            OSError: a write or the sync failed; the outcome is unknown and the process must end.
        """
        assert 0 < len(batches) <= MAX_FOLLOWING
        group, link, raws = self.end.group + 1, self.end.link, []
        assert link is not None
        for following, batch in zip(range(len(batches) - 1, -1, -1), batches, strict=True):
            raw, link = pack_record(batch, group=group, following=following, prev=link)
            raws.append(raw)
        whole = raws[0] if len(raws) == 1 else b"".join(raws)
        if self._descriptor < 0 or self.end.offset + len(whole) > self._room:
            self._roll(len(whole))
        reach("before_journal_write")
        _write_fully(self._descriptor, whole, self.end.offset)
        reach("after_write_before_sync")
        os.fdatasync(self._descriptor)
        self.end = Position(self.end.segment, self.end.offset + len(whole), group, 0, link)

    def rotate(self) -> int:
        """Let the next group begin a new segment; return that segment's number. Those before it can then be removed."""
        if self._descriptor < 0 or not self.end.offset:
            return self.end.segment
        self._room = 0
        return self.end.segment + 1

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _roll(self, needed: int) -> None:
        number = self.end.segment + 1 if self._descriptor >= 0 else self.end.segment
        path = segment_file(self._directory, number)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, max(self._segment_size, needed))
                os.fsync(descriptor)
            except OSError:
                path.unlink()
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable(
                f"no room for the next journal segment `{path.name}`: {(error.strerror or str(error)).lower()}",
                hint="free some space on the ledger's volume; nothing that was acknowledged is lost",
                code="storage_failed",
            ) from error
        sync_directory(self._directory)
        self.close()
        self._open(number)
        self.end = self.end._replace(segment=number, offset=0)

    def _open(self, number: int) -> None:
        self._descriptor = os.open(segment_file(self._directory, number), os.O_RDWR | os.O_CLOEXEC)
        self._room = os.fstat(self._descriptor).st_size

    def _clear_from(self, offset: int) -> None:
        zeros = bytes(_CHUNK_SIZE)
        while chunk := os.pread(self._descriptor, _CHUNK_SIZE, offset):
            if chunk.strip(b"\0"):
                _write_fully(self._descriptor, zeros[: len(chunk)], offset)
            offset += len(chunk)


def _write_fully(descriptor: int, raw: bytes, offset: int) -> None:
    written = os.pwrite(descriptor, raw, offset)
    while written < len(raw):
        written += os.pwrite(descriptor, raw[written:], offset + written)
