"""What a model file is, before anything loads it: clean, or refused with reasons. Reads bytes; never unpickles, extracts or imports.

What is not known to be harmless is refused: an unknown format, a compressed container, a name that is not on the list.
Loading goes with `scan_bytes` on the very bytes that will be loaded, so that nobody can swap the file in between.
"""

from __future__ import annotations

import os
import stat
import zipfile
from io import BytesIO
from pathlib import Path
from typing import IO, Final

import msgspec
import numpy as np

from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed, NotFound
from jurat.guard.containers import (
    is_hdf5,
    is_keras,
    is_safetensors,
    is_torch_data,
    scan_hdf5,
    scan_keras_config,
    scan_safetensors,
    scan_torch_pickle,
    torch_root,
)
from jurat.guard.onnx import is_onnx, scan_onnx
from jurat.guard.pickles import walk_pickle

MAX_SIZE_BYTES: Final = 512 * 2**20
MAX_MEMBERS: Final = 1_000
MAX_EXPANSION: Final = 100  # unpacked size ÷ packed size of a zip member; deflate's own limit is about 1,000
_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"\x78": "zlib", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x04\x22\x4d\x18": "lz4", b"7z": "7z"}
_JOBLIB_ARRAY: Final = "joblib.numpy_pickle.NumpyArrayWrapper"


class ScanResult(msgspec.Struct, frozen=True):
    """The verdict on one file.

    Attributes:
        verdict: `clean` or `refused`.
        format: `pickle`, `npy`, `zip`, `keras`, `torch`, `hdf5`, `safetensors`, `onnx`, or `unknown`.
        digest: of exactly the bytes that were scanned.
        globals: `module.name` of everything a pickle in it refers to, sorted.
        reasons: why it is refused; empty if and only if it is clean. Safe to show and to log.
    """

    verdict: str
    format: str
    digest: str
    size_bytes: int
    globals: list[str]
    reasons: list[str]

    @property
    def is_clean(self) -> bool:
        return self.verdict == "clean"


def read_artefact(path: Path, *, max_size_bytes: int = MAX_SIZE_BYTES) -> bytes:
    """Return the bytes of a regular file of bounded size.

    Raises:
        NotFound: there is no such file, or it may not be read.
        Malformed: a link, a directory, a device, empty, or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise Malformed(f"artefact `{path}` is a symbolic link, expected a regular file", code="artefact_unreadable") from error
        raise NotFound(f"artefact `{path}` cannot be opened: {(error.strerror or 'unknown').lower()}") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise Malformed(f"artefact `{path}` is not a regular file", code="artefact_unreadable")
        if not 0 < facts.st_size <= max_size_bytes:
            raise Malformed(f"artefact `{path}` has {facts.st_size:,} bytes, expected 1 to {max_size_bytes:,}", code="artefact_unreadable")
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read(max_size_bytes + 1)
    finally:
        os.close(descriptor)
    if len(raw) > max_size_bytes:
        raise Malformed(f"artefact `{path}` grew past {max_size_bytes:,} bytes while it was read", code="artefact_unreadable")
    return raw


def scan_bytes(raw: bytes) -> ScanResult:
    """Return the verdict on some bytes; never raises, whatever they are."""
    form, names, reasons = _scan(raw, may_contain=True)
    return ScanResult(
        verdict="refused" if reasons else "clean",
        format=form,
        digest=digest_bytes(raw),
        size_bytes=len(raw),
        globals=names,
        reasons=reasons,
    )


def _scan(raw: bytes, *, may_contain: bool) -> tuple[str, list[str], list[str]]:
    if raw[:1] == b"\x80":
        names, reasons = walk_pickle(raw)
        if _JOBLIB_ARRAY in names:
            reasons = ["joblib mixes raw bytes into the pickle, which cannot be checked: save with `pickle.dump(model, file, protocol=5)`"]
        return "pickle", names, reasons
    if raw[:6] == b"\x93NUMPY":
        return "npy", [], _scan_npy(raw)
    if raw[:4] == b"PK\x03\x04":
        return _scan_zip(raw) if may_contain else ("zip", [], ["an archive inside an archive"])
    if is_hdf5(raw):
        return "hdf5", [], scan_hdf5(raw)
    if is_safetensors(raw):
        return "safetensors", [], scan_safetensors(raw)
    if is_onnx(raw):
        return ("onnx", *scan_onnx(raw))
    for magic, what in _COMPRESSED.items():
        if raw.startswith(magic):
            return "unknown", [], [f"compressed with {what}, which is not looked into: save it uncompressed"]
    known = "a pickle of protocol 4 or 5, an .npy array, safetensors, ONNX, or a zip of these and JSON"
    return "unknown", [], [f"the format is not known: expected {known}"]


def _scan_npy(raw: bytes) -> list[str]:
    try:
        file = BytesIO(raw)
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            return ["an .npy array of objects holds a pickle"]
        expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if len(raw) - file.tell() != expected:
            return [f"an .npy array says {expected:,} bytes and has {len(raw) - file.tell():,}"]
    except Exception as error:  # the header is a stranger's Python literal: numpy raises many kinds
        return [f"not a readable .npy array: {type(error).__name__}"]
    return []


def _scan_zip(raw: bytes) -> tuple[str, list[str], list[str]]:
    form = "zip"
    names: set[str] = set()
    reasons: list[str] = []
    left = MAX_SIZE_BYTES
    try:
        with zipfile.ZipFile(BytesIO(raw)) as archive:
            members = archive.infolist()
            if not 0 < len(members) <= MAX_MEMBERS:
                return form, [], [f"{len(members)} members, expected 1 to {MAX_MEMBERS:,}"]
            listed = [member.filename for member in members]
            if len(set(listed)) != len(listed):
                return form, [], ["two members have one name"]
            root = torch_root(listed)
            form = "torch" if root is not None else "keras" if is_keras(listed) else form
            for number, member in enumerate(members, 1):
                if fault := _refuse_member(member, left):
                    reasons.append(f"member {number}: {fault}")
                elif not member.is_dir():
                    inner = _read_bounded(archive.open(member), member.file_size)
                    left -= len(inner)
                    found, faults = _scan_member(member.filename, inner, form, root or "")
                    names.update(found)
                    reasons += [f"member {number}: {fault}" for fault in faults]
    except Exception as error:  # zipfile raises many kinds on a hostile archive
        return form, sorted(names), [*reasons, f"not a readable zip archive: {type(error).__name__}"]
    return form, sorted(names), reasons


def _refuse_member(member: zipfile.ZipInfo, left: int) -> str:
    """Return why a member is not even opened, or an empty text."""
    parts = member.filename.replace("\\", "/").split("/")
    if member.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        return "its name points outside"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a symbolic link"
    if member.flag_bits & 0x1:
        return "it is encrypted"
    if member.file_size > left or member.file_size > MAX_EXPANSION * max(1, member.compress_size):
        return f"it unpacks to {member.file_size:,} bytes, more than can be meant"
    return ""


def _scan_member(name: str, inner: bytes, container: str, root: str) -> tuple[list[str], list[str]]:
    """Return names and faults of one member. A JSON document is data; anything else that is not known is refused."""
    if container == "torch" and is_torch_data(name, root):
        return [], []
    if container == "torch" and name == f"{root}data.pkl":
        return scan_torch_pickle(inner)
    if container == "keras" and name == "config.json":
        return [], scan_keras_config(inner)
    form, found, faults = _scan(inner, may_contain=False)
    if form == "unknown" and _is_json(inner):
        return [], []
    return found, faults


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _read_bounded(file: IO[bytes], size_bytes: int) -> bytes:
    with file:
        raw = file.read(size_bytes + 1)
    if len(raw) != size_bytes:
        raise zipfile.BadZipFile("a member is not as long as it says")
    return raw
