"""Tricks of archives: members that are links, that lie outside, that unpack to far more than they are. Reads headers; extracts nothing.

Whatever is no archive passes: what a model file holds is `artefacts`' business.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
from typing import BinaryIO, Final

MOST_MEMBERS: Final = 100_000
MOST_EXPANSION: Final = 100
_SMALL_BYTES: Final = 1 << 20  # what unpacks to less is no bomb, however well it was packed
_LONGEST_NAME: Final = 1_000


def scan_archive(file: BinaryIO) -> list[str]:
    """Return why an archive is refused; nothing if it is none, or a plain one. Leaves `file` at its beginning."""
    head = file.read(512)
    file.seek(0)
    try:
        if head.startswith(b"PK\x03\x04"):
            return _scan_zip(file)
        if head[257:262] == b"ustar":
            return _scan_tar(file)
        return []
    except (zipfile.BadZipFile, tarfile.TarError, ValueError, OSError, EOFError, NotImplementedError, RecursionError, MemoryError) as error:
        return [f"an archive that cannot be read: {type(error).__name__}"]
    finally:
        file.seek(0)


def _scan_zip(file: BinaryIO) -> list[str]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
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


def _scan_tar(file: BinaryIO) -> list[str]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for count, member in enumerate(archive, 1):
            archive.members = []  # type: ignore[attr-defined]  # it keeps every header otherwise
            if count > MOST_MEMBERS:
                return [f"more than {MOST_MEMBERS} members"]
            if fault := _fault_of_name(member.name):
                return [fault]
            if member.issym() or member.islnk():
                return [f"member `{_shown(member.name)}` is a link, to `{_shown(member.linkname)}`"]
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
