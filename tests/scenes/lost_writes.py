"""What a disk may hold after the power went: everything that was synced, and any part of what was not (the idea of ALICE, OSDI 2014).

Made of what `faulty_disk` traced. A file keeps each write since its last sync, loses it, or keeps some sectors of it; its length likewise.
A directory keeps each name that was made, moved or removed since its last sync, or not. A commit of SQLite is whole once it returned:
its own syncs are its own business.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECTOR = 512
Traced = list[tuple[str, dict[str, Any]]]


class Inode:
    """A file's bytes as they are on the disk for certain, and what has been done to them since."""

    def __init__(self, raw: bytes = b"") -> None:
        self.synced = bytearray(raw)
        self.waiting: list[Callable[[bytearray, random.Random | None], None]] = []

    def do(self, change: Callable[[bytearray, random.Random | None], None]) -> None:
        self.waiting.append(change)

    def sync(self) -> None:
        for change in self.waiting:
            change(self.synced, None)
        self.waiting.clear()

    def survive(self, chance: random.Random, keep: float) -> bytes:
        raw = bytearray(self.synced)
        for change in self.waiting:
            if chance.random() < keep:
                change(raw, chance if keep < 1 else None)
        return bytes(raw)


class Disk:
    """The files below `root`, as of some moment of a trace."""

    def __init__(self, template: Path, root: str) -> None:
        self.root = root
        self.names: dict[str, Inode] = {}  # as the running system sees it
        self.synced: dict[str, Inode] = {}  # as it is for certain
        self.waiting: dict[str, list[Callable[[dict[str, Inode]], None]]] = {}  # by directory
        self.said: list[dict[str, Any]] = []
        self.directories = {path.relative_to(template).as_posix() for path in template.rglob("*") if path.is_dir()}
        for path in template.rglob("*"):
            if path.is_file():
                self.names[path.relative_to(template).as_posix()] = Inode(path.read_bytes())
        self.synced.update(self.names)

    def apply(self, name: str, facts: dict[str, Any]) -> None:
        """Do what was done next."""
        if name == "said":
            self.said.append(facts)
            return
        path = self._below(facts["path"])
        if name == "create":
            inode = self.names[path] = Inode()
            self._later(path, lambda names: names.__setitem__(path, inode))
        elif name == "rename":
            old, inode = self._below(facts["old"]), self.names.pop(self._below(facts["old"]))
            self.names[path] = inode

            def moved(names: dict[str, Inode]) -> None:
                names.pop(old, None)
                names[path] = inode

            self._later(path, moved)
        elif name == "unlink":
            self.names.pop(path, None)
            self._later(path, lambda names: names.pop(path, None))
        elif name == "mkdir":
            self.directories.add(path)  # an empty folder more or less changes nothing; its files have names of their own
        elif name == "commit":
            self.names[path] = self.synced[path] = Inode(facts["raw"])
        elif name == "sync" and path in self.names:
            self.names[path].sync()
        elif name == "sync":
            for change in self.waiting.pop(path, []):
                change(self.synced)
        else:
            self.names[path].do(_change_of(name, facts))

    def survive(self, into: Path, chance: random.Random, keep: float) -> None:
        """Put what is left into a folder. `keep`: how likely each thing that was not synced is there; 0 and 1 are exact."""
        names = dict(self.synced)
        for changes in self.waiting.values():
            for change in changes:
                if chance.random() < keep:
                    change(names)
        for directory in self.directories:
            (into / directory).mkdir(parents=True, exist_ok=True)
        for name, inode in names.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(inode.survive(chance, keep))
            (into / name).chmod(0o600)

    def _later(self, path: str, change: Callable[[dict[str, Inode]], None]) -> None:
        self.waiting.setdefault(path.rpartition("/")[0], []).append(change)

    def _below(self, path: str) -> str:
        return path.removeprefix(self.root).lstrip("/")


def _change_of(name: str, facts: dict[str, Any]) -> Callable[[bytearray, random.Random | None], None]:
    if name in ("truncate", "allocate"):
        size, is_cut = facts["size"], name == "truncate"

        def resize(raw: bytearray, _chance: random.Random | None) -> None:
            if is_cut:
                del raw[size:]
            raw.extend(bytes(max(0, size - len(raw))))

        return resize
    assert name == "write", name
    offset, written = facts["offset"], facts["raw"]

    def write(raw: bytearray, chance: random.Random | None) -> None:
        raw.extend(bytes(max(0, offset - len(raw))))
        if chance is None or chance.random() < 0.5:
            raw[offset : offset + len(written)] = written
            return
        at = offset
        while at < offset + len(written):  # torn: each sector arrives or does not
            end = min(offset + len(written), at - at % SECTOR + SECTOR)
            raw.extend(bytes(max(0, end - len(raw))))
            if chance.random() < 0.5:
                raw[at:end] = written[at - offset : end - offset]
            at = end

    return write
