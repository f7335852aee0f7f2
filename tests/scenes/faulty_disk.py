"""A disk that fails at the n-th call: between this process and `os`, where every change of a file passes.

Everything that changes a file below `root` is a *call*, counted from 1: creating, writing, cutting, syncing, renaming, removing, and
each commit of SQLite (whose own writes are its own business: it is all there or not at all). At call `at` one of these happens:

    kill     SIGKILL before it          torn      SIGKILL in the middle of it (half of a write)
    EIO, ENOSPC   it fails, undone      EIO-done  it fails, and was done all the same

Writers in C (pyarrow) and buffered files write through `os.write` here, so that they are seen. With `at=0` nothing happens, and
`calls` lists what there was to fail. `trace` hears of each call before and after: `lost_writes` is made of that.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

FAULTS = ("kill", "torn", "EIO", "ENOSPC", "EIO-done")
Trace = Callable[[str, dict[str, Any]], None]


class FaultyDisk:
    """Installed once, for the life of a process that is about to end anyway."""

    def __init__(self, root: Path, fault: str = "", at: int = 0, trace: Trace | None = None) -> None:
        assert not fault or fault in FAULTS
        self.root, self.fault, self.at, self.trace = str(root.resolve()), fault, at, trace
        self.calls: list[str] = []
        self._real = {name: getattr(os, name) for name in _PATCHED}
        self._connect = sqlite3.connect

    def install(self) -> None:
        for name in _PATCHED:
            setattr(os, name, getattr(self, f"_{name}"))
        disk, real_writer = self, pq.ParquetWriter

        class Writer(real_writer):  # type: ignore[misc, valid-type]
            def __init__(self, where: Path, *args: Any, **options: Any) -> None:
                self._ours = io.BufferedWriter(_Raw(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)), 1 << 16)
                super().__init__(self._ours, *args, **options)

            def close(self) -> None:
                super().close()
                self._ours.close()

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
                if statement == "COMMIT" or (statement.startswith("UPDATE") and not self.in_transaction):
                    return disk._sqlite(self, lambda: super(Connection, self).execute(statement, *values))
                return super().execute(statement, *values)

        pq.ParquetWriter = Writer
        sqlite3.connect = lambda *args, **options: self._connect(*args, **{**options, "factory": Connection})  # type: ignore[assignment]

    def _call(self, name: str, path: str, act: Callable[[], Any], half: Callable[[], Any] | None = None, **facts: Any) -> Any:
        """Do one call, unless it is the one that fails."""
        self.calls.append(f"{name} {os.path.relpath(path, self.root)}")
        if len(self.calls) != self.at:
            result = act()
        elif self.fault in ("kill", "torn"):
            if self.fault == "torn" and half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("unreachable")
        else:
            if self.fault == "EIO-done":
                act()
            code = errno.ENOSPC if self.fault == "ENOSPC" else errno.EIO
            raise OSError(code, os.strerror(code), path)
        if self.trace is not None:
            self.trace(name, {"path": path, **facts})
        return result

    def _mine(self, path: Any) -> str | None:
        found = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - links are not followed
        return found if found.startswith(self.root + os.sep) or found == self.root else None

    def _of(self, descriptor: int) -> str | None:
        try:
            return self._mine(Path(f"/proc/self/fd/{descriptor}").readlink())
        except OSError:
            return None

    def _open(self, path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        mine = self._mine(path) if flags & os.O_CREAT else None
        if mine is None or os.path.lexists(mine):
            return int(self._real["open"](path, flags, mode, **options))
        return int(self._call("create", mine, lambda: self._real["open"](path, flags, mode, **options)))

    def _write(self, descriptor: int, raw: Any) -> int:
        mine = self._of(descriptor)
        if mine is None:
            return int(self._real["write"](descriptor, raw))
        raw, write = bytes(raw), self._real["write"]
        offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        return int(
            self._call(
                "write", mine, lambda: write(descriptor, raw), lambda: write(descriptor, raw[: len(raw) // 2]), offset=offset, raw=raw
            )
        )

    def _pwrite(self, descriptor: int, raw: Any, offset: int) -> int:
        mine, write = self._of(descriptor), self._real["pwrite"]
        if mine is None:
            return int(write(descriptor, raw, offset))
        raw = bytes(raw)
        half = raw[: len(raw) // 2]
        return int(
            self._call(
                "write", mine, lambda: write(descriptor, raw, offset), lambda: write(descriptor, half, offset), offset=offset, raw=raw
            )
        )

    def _ftruncate(self, descriptor: int, size: int) -> None:
        self._on_descriptor("truncate", "ftruncate", descriptor, size, size=size)

    def _posix_fallocate(self, descriptor: int, offset: int, size: int) -> None:
        self._on_descriptor("allocate", "posix_fallocate", descriptor, offset, size, size=offset + size)

    def _fsync(self, descriptor: int) -> None:
        self._on_descriptor("sync", "fsync", descriptor)

    def _fdatasync(self, descriptor: int) -> None:
        self._on_descriptor("sync", "fdatasync", descriptor)

    def _on_descriptor(self, name: str, real: str, descriptor: int, *values: int, **facts: Any) -> None:
        mine = self._of(descriptor)
        if mine is None:
            self._real[real](descriptor, *values)
        else:
            self._call(name, mine, lambda: self._real[real](descriptor, *values), **facts)

    def _rename(self, old: Any, new: Any, **options: Any) -> None:
        self._move("rename", old, new, options)

    def _replace(self, old: Any, new: Any, **options: Any) -> None:
        self._move("replace", old, new, options)

    def _move(self, real: str, old: Any, new: Any, options: dict[str, Any]) -> None:
        mine = self._mine(new)
        if mine is None:
            self._real[real](old, new, **options)
        else:
            self._call("rename", mine, lambda: self._real[real](old, new, **options), old=self._mine(old) or "")

    def _unlink(self, path: Any, **options: Any) -> None:
        self._on_path("unlink", path, options)

    def _mkdir(self, path: Any, mode: int = 0o777, **options: Any) -> None:
        self._on_path("mkdir", path, options, mode)

    def _on_path(self, name: str, path: Any, options: dict[str, Any], *values: int) -> None:
        mine = self._mine(path)
        if mine is None or (name == "unlink") != os.path.lexists(mine):
            self._real[name](path, *values, **options)  # not ours, or it fails by itself
        else:
            self._call(name, mine, lambda: self._real[name](path, *values, **options))

    def _fdopen(self, descriptor: int, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode == "wb" and self._of(descriptor):
            return io.BufferedWriter(_Raw(descriptor), 1 << 16)
        return self._real["fdopen"](descriptor, mode, *args, **options)

    def _sqlite(self, connection: sqlite3.Connection, act: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        if self._mine(path) is None:
            return act()
        try:
            return self._call("commit", path, act)  # type: ignore[no-any-return]
        except OSError as error:
            raise sqlite3.OperationalError("disk I/O error") from error


_PATCHED = (
    "open", "write", "pwrite", "ftruncate", "posix_fallocate", "fsync", "fdatasync", "rename", "replace", "unlink", "mkdir", "fdopen",
)  # fmt: skip


class _Raw(io.RawIOBase):
    """A descriptor as a raw file, written by whatever `os.write` is now."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, raw: Any) -> int:
        return os.write(self._descriptor, raw)

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)
