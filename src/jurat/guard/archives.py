"""Tricks of archives: members that are links, that lie outside, that unpack to far more than they are. Reads headers; extracts nothing.

A tar may be compressed: it is unpacked in pieces, no further than a bomb would be told by, and no piece is kept. Whatever is no
archive passes: what a model file holds is `artefacts`' business.
"""

from __future__ import annotations

import bz2
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Final, cast

MOST_MEMBERS: Final = 100_000
MOST_EXPANSION: Final = 100
_SMALL_BYTES: Final = 1 << 20  # what unpacks to less is no bomb, however well it was packed
_LONGEST_NAME: Final = 1_000
_LONGEST_HEADER_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 16
_MEMORY_BYTES: Final = 1 << 28  # that an xz file may ask for
_DECOMPRESSORS: Final[dict[bytes, Callable[[], Any]]] = {
    b"\x1f\x8b": lambda: _Zlib(),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES),
}
_FAULTS: Final = (
    zipfile.BadZipFile, tarfile.TarError, ValueError, OSError, EOFError, NotImplementedError, RecursionError, MemoryError,
    zlib.error, lzma.LZMAError,
)  # fmt: skip


def scan_archive(file: BinaryIO) -> list[str]:
    """Return why an archive is refused; nothing if it is none, or a plain one. Leaves `file` at its beginning."""
    head = file.read(512)
    size = file.seek(0, 2)
    file.seek(0)
    try:
        if head.startswith(b"PK\x03\x04") or zipfile.is_zipfile(file):  # a zip may have anything before it
            return _scan_zip(file, size)
        file.seek(0)
        if _is_tar(head):
            return _scan_tar(_Headers(file))
        for magic, begin in _DECOMPRESSORS.items():
            if head.startswith(magic):
                unpacked = _Unpacked(file, begin, max(MOST_EXPANSION * size, _SMALL_BYTES))
                return _scan_tar(_Headers(unpacked)) if _is_tar(unpacked.peek(512)) else []
        return []
    except _BombError as error:
        return [str(error)]
    except _FAULTS as error:
        return [f"an archive that cannot be read: {type(error).__name__}"]
    finally:
        file.seek(0)


def _is_tar(head: bytes) -> bool:
    """Whether these bytes begin a tar of any age: its first header's sum is right."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _scan_zip(file: BinaryIO, size: int) -> list[str]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.compress_size for member in members) > size:
            return ["its members overlap: they unpack to far more than it is"]
        if len(members) > MOST_MEMBERS:
            return [f"{len(members)} members, expected at most {MOST_MEMBERS}"]
        names: set[str] = set()
        for member in members:
            if fault := _fault_of_name(member.orig_filename) or _fault_of_name(member.filename):
                return [fault]
            if stat.S_ISLNK(member.external_attr >> 16):
                return [f"member `{_shown(member.filename)}` is a symbolic link"]
            if member.filename in names:
                return [f"two members are called `{_shown(member.filename)}`"]
            names.add(member.filename)
            if member.file_size > _SMALL_BYTES and member.file_size > MOST_EXPANSION * max(member.compress_size, 1):
                return [f"member `{_shown(member.filename)}` unpacks to {member.file_size} bytes from {member.compress_size}: a bomb"]
    return []


def _scan_tar(file: _Headers) -> list[str]:
    with tarfile.open(fileobj=cast("BinaryIO", file), mode="r:") as archive:
        for count, member in enumerate(archive, 1):
            archive.members = []  # type: ignore[attr-defined]  # it keeps every header otherwise
            if count > MOST_MEMBERS:
                return [f"more than {MOST_MEMBERS} members"]
            if fault := _fault_of_name(member.name):
                return [fault]
            if member.issym() or member.islnk():
                return [f"member `{_shown(member.name)}` is a link, to `{_shown(member.linkname)}`"]
            if member.issparse():
                return [f"member `{_shown(member.name)}` is sparse: it unpacks to more than it is"]
            if not (member.isreg() or member.isdir()):
                return [f"member `{_shown(member.name)}` is a device or a pipe"]
    return []


def _fault_of_name(name: str) -> str:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or (len(name) > 1 and name[1] == ":"):
        return f"member `{_shown(name)}` lies outside of the archive"
    if len(name) > _LONGEST_NAME or any(not c.isprintable() for c in name):
        return f"a member's name `{_shown(name)}` is too long, or does not show"
    return ""


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:80])


class _BombError(Exception):
    """It goes on for longer than an archive of its size may."""


class _Zlib:
    """gzip's decompressor, asked the way the others are."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _Unpacked:
    """What a compressed file unpacks to, read forward only and so far; several streams, one after the other, are one."""

    def __init__(self, file: BinaryIO, begin: Callable[[], Any], most_bytes: int) -> None:
        self._file, self._begin, self._most_bytes = file, begin, most_bytes
        self._stream, self._ready, self._place = begin(), b"", 0

    def peek(self, count: int) -> bytes:
        while len(self._ready) < count and (piece := self._next()):
            self._ready += piece
        return self._ready[:count]

    def read(self, count: int) -> bytes:
        found = self.peek(count)
        self._ready = self._ready[len(found) :]
        self._place += len(found)
        if self._place > self._most_bytes:
            raise _BombError(f"it unpacks to more than {self._most_bytes} bytes: a bomb")
        return found

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> int:
        if place < self._place:
            raise ValueError("it can only be read forward")
        while self._place < place and self.read(min(place - self._place, _PIECE_BYTES)):
            pass
        return self._place

    def _next(self) -> bytes:
        while True:
            if self._stream.eof:
                rest = self._stream.unused_data or self._file.read(_PIECE_BYTES)
                if not rest.strip(b"\0"):
                    return b""
                self._stream = self._begin()
            else:
                rest = self._file.read(_PIECE_BYTES) if self._stream.needs_input else b""
            is_starved = not rest and self._stream.needs_input
            if piece := self._stream.decompress(rest, _PIECE_BYTES):  # asked without more to read, too: gzip's may hold some back
                return cast("bytes", piece)
            if is_starved and not self._stream.eof:
                return b""


class _Headers:
    """A file of which only headers are read: whatever wants more at once wants to fill our memory."""

    def __init__(self, file: BinaryIO | _Unpacked) -> None:
        self._file = file
        self.tell, self.seek = file.tell, file.seek

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= _LONGEST_HEADER_BYTES:
            raise ValueError("a header that is longer than any is")
        return self._file.read(count)
