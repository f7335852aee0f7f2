"""What the archive must not show, and what it need not hold: `<tenant>/gone.json`, beside the archive.

    masked    events whose erasure is approved: no query shows them, though their bytes may still be there
    touched   files that an erasure writes anew and deletes, named before it does: a run that is killed has said so already
    expired   events whose rows went, and the place of the tombstone that says so

Written whole before anything is taken away, so a reader never misses a row without its reason. Not trusted: a mask only
hides, and a missing row is believed once its tombstone was read in the ledger (`query`), and judged by `verify`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from jurat.core.errors import JuratError, Tampered, Unavailable
from jurat.core.files import drop_neighbours, write_whole
from jurat.core.jsonio import dump_json, load_json
from jurat.domain.facts_keeping import Places
from jurat.domain.places import covers

FILE_NAME: Final = "gone.json"


class Expired(msgspec.Struct, frozen=True):
    """Rows that went, by the word of the event at `tombstone` of the tenant's `configuration` log."""

    tombstone: int
    events: Places


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """Files that the runs of one erasure write anew and delete, by their paths in the ledger."""

    written: list[str] = []
    removed: list[str] = []


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in the file. `masked` and `touched` by the name of the erasure."""

    masked: dict[str, Places] = {}
    expired: list[Expired] = []
    touched: dict[str, Touched] = {}

    def is_masked(self, log: str, index: int) -> bool:
        """Whether nobody may be shown that event any more."""
        return any(covers(places, log, index) for places in self.masked.values())

    def tombstone_of(self, log: str, index: int) -> int | None:
        """Return the index of the tombstone that an expired event has; None if it has none."""
        return next((each.tombstone for each in self.expired if covers(each.events, log, index)), None)


NOTHING: Final = Gone()


def read_gone(events_dir: Path) -> Gone:
    """Return what the file says; nothing where there is none.

    Raises:
        Tampered: it cannot be read: then nobody knows what may be shown.
    """
    path = events_dir.with_name(FILE_NAME)
    try:
        found = path.stat()
        return _read(path, (found.st_ino, found.st_mtime_ns, found.st_size))
    except FileNotFoundError:
        return NOTHING


def change_gone(events_dir: Path, change: Callable[[Gone], Gone]) -> Gone:
    """Put `change(what is there)` in the file's place, durable once this returns; one at a time, whoever asks.

    Raises:
        Tampered: what is there cannot be read.
        Unavailable: the disk refused; what was there still is.
    """
    try:
        events_dir.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(events_dir.with_name(".gone.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"`{events_dir.with_name(FILE_NAME)}` cannot be changed: {(error.strerror or str(error)).lower()}",
            hint="is the volume of the ledger mounted, and may this user write to it?",
            code="storage_failed",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        drop_neighbours(events_dir.with_name(FILE_NAME))
        old = read_gone(events_dir)
        new = change(old)
        if new != old:
            write_whole(events_dir.with_name(FILE_NAME), dump_json(new))
        return new
    finally:
        os.close(descriptor)


def mask(events_dir: Path, request: str, events: Places) -> None:
    """Show these events to nobody from now on."""
    change_gone(events_dir, lambda gone: msgspec.structs.replace(gone, masked=gone.masked | {request: events}))


def note_touched(events_dir: Path, request: str, written: Iterable[str], removed: Iterable[str]) -> Touched:
    """Remember what a run is about to do to files, beside what earlier runs of this erasure did; return all of it."""

    def add(gone: Gone) -> Gone:
        old = gone.touched.get(request, Touched())
        new = Touched(written=sorted({*old.written, *written}), removed=sorted({*old.removed, *removed}))
        return msgspec.structs.replace(gone, touched=gone.touched | {request: new})

    return change_gone(events_dir, add).touched[request]


def unmask(events_dir: Path, request: str) -> None:
    """Take a mask off, and forget the files: what it hid is not there any more, and the certificate names them."""

    def without(gone: Gone) -> Gone:
        masked, touched = ({k: v for k, v in each.items() if k != request} for each in (gone.masked, gone.touched))
        return msgspec.structs.replace(gone, masked=masked, touched=touched)

    change_gone(events_dir, without)


@lru_cache(maxsize=4)
def _read(path: Path, _identity: tuple[int, int, int]) -> Gone:
    try:
        return load_json(path.read_bytes(), Gone, what=f"`{path.name}`")
    except JuratError as error:
        raise Tampered(
            f"the archive's `{path.name}` cannot be read: {error.detail}",
            hint="it says what nobody may be shown: restore it from a backup, or run `jurat erase run` and `jurat retention run` again",
            code="gone_damaged",
        ) from error
