"""Content-addressed bytes: `artefacts/<2 hex>/<64 hex>`. What lies under a digest has that digest, or is refused."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO, Protocol

from jurat.core.digests import check_digest, digest_file
from jurat.core.errors import Malformed, NotFound, Tampered, Unavailable
from jurat.core.files import sync_directory

_CHUNK_BYTES = 1 << 20


class Readable(Protocol):
    """Whatever gives bytes, piece by piece."""

    def read(self, size: int = -1, /) -> bytes: ...


def put_artefact(store: Path, source: Readable) -> str:
    """Keep the bytes of `source`, durable once this returns, and return their digest. Memory use is bounded.

    Raises:
        Unavailable: the disk refused; nothing is left behind.
    """
    store.mkdir(parents=True, exist_ok=True)
    neighbour = store / f".{secrets.token_hex(8)}.tmp"
    sha = hashlib.sha256()
    try:
        with neighbour.open("xb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                sha.update(chunk)
                if chunk.count(0) == len(chunk):
                    file.seek(len(chunk), os.SEEK_CUR)  # a hole stays one: zeros take no space
                else:
                    file.write(chunk)
            file.truncate(file.tell())
            file.flush()
            os.fsync(file.fileno())
        digest = "sha256:" + sha.hexdigest()
        path = artefact_path(store, digest)
        path.parent.mkdir(exist_ok=True)
        neighbour.chmod(0o444)
        neighbour.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        neighbour.unlink(missing_ok=True)
        raise Unavailable(
            f"an artefact could not be stored: {(error.strerror or str(error)).lower()}",
            hint="free some space or repair the volume, then try again; nothing was kept",
            code="storage_failed",
        ) from error
    return digest


def open_artefact(path: Path) -> BinaryIO:
    """Return a file of any size that is really a file: no link is followed, no device or pipe is read.

    Raises:
        NotFound: nothing is there.
        Malformed: a link, a folder, a device, a pipe; or nobody may read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(f"there is no file `{path}`") from None
    except OSError as error:
        if path.is_symlink():
            raise Malformed(f"`{path}` is a symbolic link, expected a file", hint="name the file that it leads to") from error
        raise Malformed(f"`{path}` cannot be read: {(error.strerror or 'failed').lower()}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Malformed(f"`{path}` is not a regular file")
    return os.fdopen(descriptor, "rb")


def get_artefact(store: Path, digest: str) -> Path:
    """Return the path of stored bytes, after checking that they still have their digest.

    Raises:
        NotFound: nothing is stored under it.
        Tampered: something else is.
    """
    path = artefact_path(store, digest)
    if not path.is_file():
        raise NotFound(f"no artefact `{digest[:19]}…` is stored here", hint="register the version again with its files")
    if digest_file(path) != digest:
        raise Tampered(f"artefact `{digest[:19]}…` on disk has other bytes than its name says", hint="restore it; do not load it")
    return path


def artefact_path(store: Path, digest: str) -> Path:
    """Return where bytes of this digest lie."""
    name = check_digest(digest).removeprefix("sha256:")
    return store / name[:2] / name
