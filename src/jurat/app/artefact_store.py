"""Where artefacts lie: in the workspace, or in an object store behind one URL, with the workspace as its cache.

Every artefact of a version, and every asset, goes through here, so that all six lie in the same place under their digest:
`<2 hex>/<64 hex>`. What the object store gives back is held to that digest, on the way in and on the way out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from jurat.app.artefacts import Readable, artefact_path, get_artefact, put_artefact
from jurat.core.clock import to_ns
from jurat.core.digests import check_digest
from jurat.core.errors import Conflict, NotFound, Tampered
from jurat.ledger.objects import ObjectStore

_HEX: Final = frozenset("0123456789abcdef")


class Lying(NamedTuple):
    """Something that lies in the store. `digest` is empty for what a killed process left half-written."""

    name: str  # below the folder or the URL
    digest: str
    size_bytes: int
    written_ns: int
    is_elsewhere: bool  # in the object store; else in the workspace


class ArtefactStore:
    """Artefacts by digest. `url` empty: the folder is all there is. Opens the object store when it is first needed."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder, self.url = folder, url.rstrip("/")
        self._opened: ObjectStore | None = None

    def put(self, source: Readable) -> str:
        """Keep the bytes of `source`, durable once this returns, and return their digest. Memory use is bounded.

        Raises:
            Unavailable: the disk or the object store refused; nothing counts as kept.
            Conflict: the object store gives back other bytes than it was given.
        """
        digest = put_artefact(self.folder, source)
        if self.url:
            with artefact_path(self.folder, digest).open("rb") as kept:
                send(self._elsewhere, digest, kept)
        return digest

    def get(self, digest: str) -> Path:
        """Return a file with these bytes, fetched first if it lies elsewhere; checked against its digest each time.

        Raises:
            NotFound: nothing is stored under it.
            Tampered: something else is, here or there.
        """
        if self.url and not artefact_path(self.folder, digest).is_file():
            self._fetch(digest)
        return get_artefact(self.folder, digest)

    def where(self, digest: str) -> str:
        """Return where such bytes would be looked for beside this workspace, for whoever has to fetch them by hand; empty: nowhere."""
        return f"{self.url}/{name_of(digest)}" if self.url else ""

    def list(self) -> Iterator[Lying]:
        """Yield everything that lies in the workspace's folder and in the object store, in no order."""
        for path in self.folder.rglob("*") if self.folder.is_dir() else ():
            with suppress(FileNotFoundError):  # somebody else is tidying, or a file got its name just now
                if path.is_file() and not path.is_symlink():
                    name, stat = path.relative_to(self.folder).as_posix(), path.stat()
                    yield Lying(name, _digest_of(name), stat.st_size, stat.st_mtime_ns, is_elsewhere=False)
        for entry in self._elsewhere.entries() if self.url else ():
            yield Lying(entry.name, _digest_of(entry.name), entry.size_bytes, to_ns(entry.written), is_elsewhere=True)

    def remove(self, lying: Lying) -> bool:
        """Take it away, unless it was written again meanwhile; return whether it is gone by this."""
        if lying.is_elsewhere:
            now = next((e for e in self._elsewhere.entries(lying.name) if e.name == lying.name), None)
            if now is None or to_ns(now.written) != lying.written_ns:
                return False
            self._elsewhere.remove([lying.name])
            return True
        path = self.folder / lying.name
        with suppress(FileNotFoundError):
            if path.stat().st_mtime_ns == lying.written_ns:
                path.unlink()
                return True
        return False

    def _fetch(self, digest: str) -> None:
        got = put_artefact(self.folder, PiecewiseFile(self._elsewhere.stream(name_of(digest))))
        if got != digest:  # what came lies under its own name, where nothing looks for it: `jurat artefact clean` finds it
            raise Tampered(f"`{self.url}/{name_of(digest)}` has other bytes than its name says", hint="restore it; do not load it")

    @property
    def _elsewhere(self) -> ObjectStore:
        if self._opened is None:
            self._opened = ObjectStore(self.url)
        return self._opened


class PiecewiseFile:
    """Pieces as a file that can only be read, a piece at a time."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self.size_bytes = pieces, 0

    def read(self, _size: int = -1) -> bytes:
        piece = next(self._pieces, b"")
        self.size_bytes += len(piece)
        return piece


def send(store: ObjectStore, digest: str, file: BinaryIO) -> None:
    """Put a file into an object store under its digest, and read it back.

    Raises:
        Unavailable: the store refused.
        Conflict: what it gives back is not what it was given.
    """
    name = name_of(digest)
    store.upload(name, file)
    sha = hashlib.sha256()
    try:
        for piece in store.stream(name):
            sha.update(piece)
    except NotFound:
        sha = hashlib.sha256(b"nothing came back")
    if "sha256:" + sha.hexdigest() != digest:
        raise Conflict(
            f"`{store.url}/{name}` gives back other bytes than it was given",
            hint="nothing was registered; look at the store", code="digest_mismatch",
        )  # fmt: skip


def name_of(digest: str) -> str:
    """Return the name of an artefact below its store."""
    bare = check_digest(digest).removeprefix("sha256:")
    return f"{bare[:2]}/{bare}"


def _digest_of(name: str) -> str:
    folder, _, bare = name.partition("/")
    return f"sha256:{bare}" if len(bare) == 64 and set(bare) <= _HEX and bare.startswith(folder) else ""
