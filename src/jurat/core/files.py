"""Writes that are whole or not there at all, and secrets that only their owner reads."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from jurat.core.errors import NotFound, Unavailable


def write_whole(path: Path, raw: bytes, *, mode: int = 0o644) -> None:
    """Put `raw` at `path`, durable once this returns; a crash leaves the old file or the new one, never a mixture.

    Written to a neighbour, synced, renamed, and the directory synced.

    Raises:
        Unavailable: the disk refused (full, read-only, failed); the old file is untouched.
    """
    neighbour = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        try:
            descriptor = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            neighbour.replace(path)
        except OSError:
            neighbour.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise Unavailable(
            f"`{path}` could not be written: {(error.strerror or str(error)).lower()}",
            hint="free some space or repair the volume, then try again; nothing was half-written",
            code="storage_failed",
        ) from error


def drop_neighbours(path: Path) -> None:
    """Remove what writers of `path` left beside it when they were killed. For whoever is its only writer now."""
    for neighbour in path.parent.glob(f".{path.name}.*.tmp"):
        neighbour.unlink(missing_ok=True)


def write_secret(path: Path, raw: bytes) -> None:
    """Put a secret at `path`, readable by its owner only (0600)."""
    write_whole(path, raw, mode=0o600)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private(path: Path, *, what: str, most_bytes: int = 4_096) -> str:
    """Return the text of a file that its owner alone can read, without the space around it. Errors show nothing of its content.

    Raises:
        NotFound: there is no such file.
        Unavailable: others can read it too (code `secret_exposed`); or it is no file, too large, or not ASCII.
    """
    try:
        with path.open("rb") as file:
            mode, raw = os.fstat(file.fileno()).st_mode, file.read(most_bytes + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no {what} at `{path}`") from None
    except OSError as error:
        raise Unavailable(f"the {what} at `{path}` cannot be read: {(error.strerror or 'failed').lower()}") from error
    if mode & 0o077:
        raise Unavailable(
            f"others than its owner can read the {what} at `{path}`", hint=f"`chmod 600 {path}`, and replace it", code="secret_exposed"
        )
    if not stat.S_ISREG(mode) or len(raw) > most_bytes or not raw.isascii():
        raise Unavailable(f"`{path}` holds no {what}")
    return raw.decode("ascii").strip()
