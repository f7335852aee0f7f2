"""Writes that are whole or not there at all, and secrets that only their owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from jurat.core.errors import Unavailable


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
