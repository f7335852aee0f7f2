"""Digests name bytes: `sha256:` and 64 lower-case hex digits. Two things with one digest are one thing."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Final

from jurat.core.errors import Malformed
from jurat.core.jsonio import dump_json

_FORM: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")


def digest_bytes(raw: bytes) -> str:
    """Return the digest of some bytes."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def digest_json(value: Any) -> str:
    """Return the digest of a value's deterministic JSON (`jsonio.dump_json`)."""
    return digest_bytes(dump_json(value))


def digest_file(path: Path) -> str:
    """Return the digest of a file's bytes, read in bounded memory.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(text: str, *, what: str = "digest") -> str:
    """Return `text` if it is a digest.

    Raises:
        Malformed: it is not.
    """
    if not _FORM.match(text):
        raise Malformed(f"{what} `{text[:80]}` is not `sha256:` and 64 lower-case hex digits")
    return text


def short(digest: str) -> str:
    """Return the first 12 hex digits, for people's eyes only: `3f9a01b2c4d5`."""
    return digest.removeprefix("sha256:")[:12]
