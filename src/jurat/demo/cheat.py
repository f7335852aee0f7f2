"""The attacker of the demo: full rights on disk and in the database. Each attack is done, looked for, and undone.

Every attack runs on a stopped workspace, on the real files; what finds it is the ordinary `jurat verify` and
`jurat rebuild --compare`, which are told nothing of it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from jurat.core.digests import digest_file
from jurat.core.errors import JuratError
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.ledger.faults import Fault
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import LogName, events_directory, log_keys_file
from jurat.ledger.manifest import read_manifest, write_manifest
from jurat.ledger.verify import verify_workspace
from jurat.merkle.entry import ENTRY_SIZE

_STRIDE: Final = ENTRY_SIZE + 2  # an entry lies behind its length, u16


class Target(NamedTuple):
    """An event that the attacker is after."""

    event_id: str
    log: LogName
    position: int


class Attack(NamedTuple):
    """What was done, and what the verifier said, which knew nothing of it."""

    name: str
    done: str
    found: list[str]  # one sentence a fault
    faults: list[Fault]


def attack_ledger(workspace: Workspace, settings: Settings, target: Target, older: Path, kept_checkpoints: list[str]) -> list[Attack]:
    """Play every attack on the ledger's files, one after the other; the workspace is afterwards as it was.

    Args:
        older: a copy of `ledger/` and `lock/` from earlier in the story.
        kept_checkpoints: what the auditor noted down, on paper or on another machine.
    """
    files = _Files(workspace, target)
    log, at = target.log, target.position
    attacks: list[tuple[str, str, Callable[[], None]]] = [
        (
            "alter an event",
            f"changed the answer in event {target.position} of `{target.log}`, in the archive and its manifest",
            files.alter_event,
        ),
        ("alter an entry", f"flipped one bit of entry {at} of `{log}`", files.alter_entry),
        ("drop the newest events", f"cut the last 5 entries off `{log}`, with journal and archive", files.drop_newest),
        ("swap two events", f"swapped entries {at} and {at + 1} of `{log}`, and their hashes", files.swap),
        ("restore an older ledger", "put an older copy of `ledger/` in place", lambda: files.restore(older, "ledger")),
        (
            "restore the lock store too",
            "put older copies of `ledger/` and `lock/` in place",
            lambda: files.restore(older, "ledger", "lock"),
        ),
    ]
    results = []
    for name, done, attack in attacks:
        with _undone(workspace):
            attack()
            results.append(Attack(name, done, *_look(workspace, settings, kept_checkpoints)))
    return results


def look(workspace: Workspace, settings: Settings, kept_checkpoints: list[str]) -> list[Fault]:
    """Return what `jurat verify` finds wrong with the ledger."""
    keys = load_log_keys(log_keys_file(workspace.keys))
    return verify_workspace(workspace.ledger, keys, lock_file(workspace, settings), since=kept_checkpoints).faults


def _look(workspace: Workspace, settings: Settings, kept_checkpoints: list[str]) -> tuple[list[str], list[Fault]]:
    try:
        faults = look(workspace, settings, kept_checkpoints)
    except JuratError as error:
        return [f"{error.family}: {error.detail}"], []
    return [describe(fault) for fault in faults], faults


def describe(fault: Fault) -> str:
    """Return a fault as one sentence: what, where, which event."""
    place = f"{fault.log}#{fault.index}" if fault.index is not None else fault.log
    span = f" to #{fault.last_index}" if fault.last_index is not None and fault.last_index != fault.index else ""
    event = f" ({fault.event_id})" if fault.event_id else ""
    return f"{fault.what} at {place}{span}{event}: {fault.detail}"


class _Files:
    """The attacks themselves."""

    def __init__(self, workspace: Workspace, target: Target) -> None:
        self._workspace = workspace
        self._log = target.log
        self._index = target.position
        self._event_id = target.event_id
        self._directory = target.log.directory(workspace.ledger)
        self._events = events_directory(workspace.ledger, target.log.tenant)

    def alter_event(self) -> None:
        """Turn a refusal into an approval, and make the archive's own list of digests agree."""
        manifest = read_manifest(self._events)
        part = next(p for p in manifest.parts_of([str(self._log)]) if self._event_id in _ids(self._events / p.path))
        path = self._events / part.path
        table = pq.read_table(path, partitioning=None)
        raws = [
            raw.replace(b'"output":false', b'"output":true') if self._event_id.encode() in raw else raw
            for raw in table.column("raw").to_pylist()
        ]
        position = table.schema.get_field_index("raw")
        pq.write_table(table.set_column(position, table.schema.field(position), pa.array(raws, table.schema.field(position).type)), path)
        listed = msgspec.structs.replace(part, sha256=digest_file(path), size_bytes=path.stat().st_size)
        parts = tuple(listed if p.path == part.path else p for p in manifest.parts)
        write_manifest(self._events, msgspec.structs.replace(manifest, number=manifest.number + 1, parts=parts))

    def alter_entry(self) -> None:
        _change(self._directory / "entries", self._index * _STRIDE + _STRIDE - 1, lambda b: bytes([b[0] ^ 1]), 1)

    def drop_newest(self) -> None:
        size = (self._directory / "entries").stat().st_size // _STRIDE
        with (self._directory / "entries").open("r+b") as entries, (self._directory / "L0").open("r+b") as hashes:
            entries.truncate((size - 5) * _STRIDE)
            hashes.truncate((size - 5) * 32)
        for segment in (self._workspace.ledger / "journal").glob("*.wal"):
            segment.unlink()
        for part in read_manifest(self._events).parts_of([str(self._log)]):
            if part.last >= size - 5:
                (self._events / part.path).unlink()

    def swap(self) -> None:
        for name, width in (("entries", _STRIDE), ("L0", 32)):
            _change(self._directory / name, self._index * width, lambda b: b[len(b) // 2 :] + b[: len(b) // 2], 2 * width)

    def restore(self, older: Path, *names: str) -> None:
        for name in names:
            shutil.rmtree(self._workspace.root / name)
            shutil.copytree(older / name, self._workspace.root / name)


def copy_ledger(workspace: Workspace, to: Path) -> None:
    """Keep a copy of `ledger/` and `lock/`, as a backup would."""
    for name in ("ledger", "lock"):
        shutil.copytree(workspace.root / name, to / name)


@contextlib.contextmanager
def _undone(workspace: Workspace) -> Iterator[None]:
    """Put everything back as it was, whatever happened meanwhile."""
    safe = workspace.root / ".before-the-attack"
    copy_ledger(workspace, safe)
    try:
        yield
    finally:
        for name in ("ledger", "lock"):
            shutil.rmtree(workspace.root / name)
            (safe / name).rename(workspace.root / name)
        safe.rmdir()


def _change(path: Path, offset: int, change: Callable[[bytes], bytes], length: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        old = file.read(length)
        file.seek(offset)
        file.write(change(old))


def _ids(path: Path) -> set[str]:
    return set(pq.read_table(path, columns=["event_id"], partitioning=None).column("event_id").to_pylist())
