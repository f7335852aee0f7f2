"""Archives that lie about what they hold, as a person registers them: compressed, old, overlapping, sparse, endless."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jurat.guard.archives import scan_archive

PACK: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def tar(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT, content: bytes = b"") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def link(name: str, to: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, to
    return member


def said(raw: bytes) -> str:
    file = io.BytesIO(raw)
    found = scan_archive(file)
    assert file.tell() == 0
    return "; ".join(found)


@pytest.mark.parametrize("pack", PACK)
@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (tar(tarfile.TarInfo("a/b"), tarfile.TarInfo("c"), content=b"x" * 5_000), ""),
        (tar(tarfile.TarInfo("a"), link("b", "/etc/passwd")), "is a link"),
        (tar(tarfile.TarInfo("../../b")), "lies outside"),
        (tar(tarfile.TarInfo("/etc/cron.d/x")), "lies outside"),
    ],
    ids=["fine", "link", "climbs", "absolute"],
)
def test_a_tar_is_looked_into_however_it_is_packed(pack: str, raw: bytes, says: str) -> None:
    found = said(PACK[pack](raw))
    assert (says in found) if says else found == ""


def test_a_tar_in_two_streams_is_one() -> None:
    raw = tar(tarfile.TarInfo("a"), link("b", "/etc/passwd"))
    assert "is a link" in said(gzip.compress(raw[:700]) + gzip.compress(raw[700:]))


@pytest.mark.parametrize("pack", PACK)
def test_the_last_of_many_members_is_seen_wherever_a_piece_ends(pack: str) -> None:
    for size in (0, 65_536 - 1_536, 65_536 - 1_024, 65_536 - 512, 65_536):
        padded = -(-size // 512) * 512
        raw = tar(tarfile.TarInfo("a"), content=bytes(size))[: 512 + padded] + tar(link("b", "/etc/passwd"))[:512]  # nothing behind it
        assert "is a link" in said(PACK[pack](raw)), size


def test_an_old_tar_is_a_tar() -> None:
    raw = bytearray(tar(link("b", "/etc/passwd"), form=tarfile.USTAR_FORMAT))
    raw[257:265] = bytes(8)  # as before POSIX, without a magic
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    assert "is a link" in said(bytes(raw))


@pytest.mark.parametrize("pack", ["gz", "bz2", "xz"])
def test_a_bomb_is_left_before_it_goes_off(pack: str) -> None:
    raw = PACK[pack](tar(tarfile.TarInfo("zeros"), link("never", "reached"), content=bytes(40 << 20)))
    tracemalloc.start()
    try:
        assert "a bomb" in said(raw)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", ["gz", "bz2", "xz"])
def test_headers_alone_are_a_bomb_too(pack: str) -> None:
    """Comments of a megabyte each, before members without a byte: there is nothing to pass over, all of it is read."""
    members = [tarfile.TarInfo(f"empty{number}") for number in range(40)]
    for member in members:
        member.pax_headers = {"comment": "x" * 1_000_000}
    assert "a bomb" in said(PACK[pack](tar(*members)))


def test_a_header_that_fills_the_memory_is_not_read(tmp_path: Path) -> None:
    """A name of 3 GB, in a file with a hole: nothing of it is read."""
    header = bytearray(tar(tarfile.TarInfo("x"), form=tarfile.GNU_FORMAT)[:512])
    header[156:157] = tarfile.GNUTYPE_LONGNAME
    header[124:136] = b"%011o\0" % (3 << 30)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "long.tar"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(4 << 30)
    with path.open("rb") as file:
        assert scan_archive(file) == ["an archive that cannot be read: ValueError"]


def test_members_that_overlap_are_a_bomb() -> None:
    """Fifield's trick, in small: two entries of the directory for the same bytes."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("a", bytes(range(256)) * 40)
        archive.filelist.append(zipfile.ZipInfo("b"))
        for name in ("CRC", "compress_size", "file_size", "header_offset"):
            setattr(archive.filelist[1], name, getattr(archive.filelist[0], name))
        archive._didModify = True
    assert "overlap" in said(raw.getvalue())


def test_a_zip_behind_something_else_is_a_zip() -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("../../x", b"y")
    assert "lies outside" in said(b"\x80\x04N." + raw.getvalue())


@pytest.mark.parametrize(
    "raw", [b"", b"\x1f\x8b", b"BZh9", gzip.compress(b"weights" * 99), struct.pack("<512x"), b"\xfd7zXZ\0" + bytes(40)]
)
def test_what_is_no_archive_passes_or_is_refused_and_nothing_is_raised(raw: bytes) -> None:
    assert said(raw) in ("", "an archive that cannot be read: LZMAError")
