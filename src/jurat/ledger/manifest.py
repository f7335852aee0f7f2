"""The list of the Parquet parts that count, and up to where they reach: `<tenant>/events/manifest-<n>.json`.

The highest number holds. A manifest is written whole (temporary neighbour, sync, rename, sync of the directory), so
one that cannot be read is never the trace of a crash: it stops the reader. A part that no manifest lists is garbage.
Not trusted: whoever changes a manifest can hide parts until somebody checks the dense index (`verify`).

    number      n of the file's name
    high_water  per log, the next index: every event below it is in exactly one listed part, none at or above it is
    parts       path, log, kind, date, first and last index, rows, bytes, SHA-256 of the file
    retired     parts that a newer one replaced, kept until the queries that may still read them are over
    digest      of all the rest, so that a flipped bit is seen
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from jurat.core.digests import digest_json
from jurat.core.errors import JuratError, Tampered
from jurat.core.files import write_whole
from jurat.core.jsonio import dump_json, load_json

_NAME: Final = re.compile(r"manifest-([1-9][0-9]*)\.json\Z")
_PART_PATH: Final = re.compile(
    r"class=(?P<name>[a-z]+)/kind=[a-z0-9_.-]+/date=[0-9]{4}-[0-9]{2}-[0-9]{2}/part-(?P<first>[0-9]+)-(?P<last>[0-9]+)(-r[0-9]+)?\.parquet\Z"
)
_KEPT: Final = 3  # manifests; older ones say nothing that the newest does not


class Part(msgspec.Struct, frozen=True):
    """One Parquet file: rows of one kind and one day of one log, ascending by index."""

    path: str  # relative to the events directory
    log: str
    kind: str
    date: str
    first: int
    last: int
    rows: int
    size_bytes: int
    sha256: str


class Retired(msgspec.Struct, frozen=True):
    """A file that is no longer listed, and since when (Unix ns)."""

    path: str
    retired_ns: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive holds at one moment."""

    number: int = 0
    high_water: dict[str, int] = {}
    parts: tuple[Part, ...] = ()
    retired: tuple[Retired, ...] = ()
    digest: str = ""

    def parts_of(self, logs: Iterable[str], kinds: Iterable[str] | None = None) -> list[Part]:
        """Return the parts of these logs (and kinds), ascending by first index."""
        wanted_logs, wanted_kinds = set(logs), None if kinds is None else set(kinds)
        found = [p for p in self.parts if p.log in wanted_logs and (wanted_kinds is None or p.kind in wanted_kinds)]
        return sorted(found, key=lambda part: (part.first, part.path))


def read_manifest(events_dir: Path) -> Manifest:
    """Return the manifest that holds; an empty one, number 0, if nothing was ever archived.

    Raises:
        Tampered: the highest manifest is damaged, or says what no manifest of ours says.
    """
    while True:
        numbers = _numbers(events_dir)
        if not numbers:
            return Manifest()
        path = manifest_path(events_dir, numbers[-1])
        try:
            found = path.stat()
            return _read(path, numbers[-1], (found.st_ino, found.st_mtime_ns, found.st_size))
        except FileNotFoundError:
            continue  # a newer one has replaced it since we looked


def write_manifest(events_dir: Path, manifest: Manifest) -> Manifest:
    """Make `manifest` the one that holds, durable once this returns; return it with its digest."""
    sealed = seal_manifest(manifest)
    write_whole(manifest_path(events_dir, sealed.number), dump_json(sealed))
    for number in _numbers(events_dir)[:-_KEPT]:
        manifest_path(events_dir, number).unlink(missing_ok=True)
    return sealed


def seal_manifest(manifest: Manifest) -> Manifest:
    """Return the manifest with the digest of what it says."""
    return msgspec.structs.replace(manifest, digest=_digest(manifest))


def high_water(events_dir: Path) -> dict[str, int]:
    """Return, per log, the next index: everything below it is durable in the archive. Absent log: nothing is.

    Raises:
        Tampered: the highest manifest is damaged.
    """
    return dict(read_manifest(events_dir).high_water)


def manifest_path(events_dir: Path, number: int) -> Path:
    """Return where manifest `number` lies."""
    return events_dir / f"manifest-{number}.json"


def _numbers(events_dir: Path) -> list[int]:
    if not events_dir.is_dir():
        return []
    return sorted(int(found[1]) for path in events_dir.iterdir() if (found := _NAME.match(path.name)))


def _digest(manifest: Manifest) -> str:
    return digest_json(msgspec.structs.replace(manifest, digest=""))


@lru_cache(maxsize=4)
def _read(path: Path, number: int, _identity: tuple[int, int, int]) -> Manifest:
    """Read and check one file; a file that has not changed is not read again (readers ask every second)."""
    try:
        manifest = load_json(path.read_bytes(), Manifest, what=f"`{path.name}`")
        damage = check_manifest(manifest, number)
    except JuratError as error:
        damage = error.detail
    if damage:
        raise Tampered(
            f"the archive's `{path.name}` is damaged: {damage}",
            hint="run `jurat verify`; the parts themselves may be whole: restore the manifest from a backup",
            code="manifest_damaged",
            file=path.name,
        )
    return manifest


def check_manifest(manifest: Manifest, number: int) -> str:
    """Return what is wrong with a manifest, or nothing."""
    if manifest.number != number:
        return f"it calls itself number `{manifest.number}`, expected {number}"
    if manifest.digest != _digest(manifest):
        return "its digest does not fit its content"
    for part in manifest.parts:
        path = _PART_PATH.match(part.path)  # a path may not lead out of the archive
        if not path or part.log.rpartition("/")[2] != path["name"]:
            return f"`{part.path[:120]}` is not the path of a part of log `{part.log[:60]}`"
        if not 0 <= part.first <= part.last < manifest.high_water.get(part.log, 0) or not 1 <= part.rows <= part.last - part.first + 1:
            return f"`{part.path}` holds `{part.rows}` rows from {part.first} to {part.last}, which cannot be"
    return ""
