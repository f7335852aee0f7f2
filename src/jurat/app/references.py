"""Artefacts that lie elsewhere: read piece by piece, and known only once their bytes have been seen here.

An address is `s3://bucket/key` or `file:///path`; credentials come from the environment that S3's own clients read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from jurat.app.artefact_store import PiecewiseFile, name_of, send
from jurat.app.artefacts import open_artefact
from jurat.app.evaluator import evaluator_for
from jurat.app.look import look_at
from jurat.app.walk import Done, act_as
from jurat.app.wiring import App
from jurat.core.digests import short
from jurat.core.errors import Conflict
from jurat.domain import rows
from jurat.domain.commands_lineage import RecordVerification
from jurat.domain.descriptions import check_source
from jurat.ledger.objects import ObjectStore

_CHUNK_BYTES: Final = 1 << 20


class Seen(NamedTuple):
    """What lies at an address."""

    digest: str
    size_bytes: int


def read_reference(source: str) -> Seen:
    """Return digest and size of what lies at an address. Memory use is bounded.

    Raises:
        NotFound, Malformed, Unavailable: nothing is there, it is no file, or it cannot be read to its end.
    """
    sha, size = hashlib.sha256(), 0
    for piece in _pieces(source):
        sha.update(piece)
        size += len(piece)
    return Seen("sha256:" + sha.hexdigest(), size)


def store_elsewhere(store_url: str, path: Path) -> tuple[str, Seen]:
    """Put a file into an object store under its digest, read it back, and return its address.

    Raises:
        Conflict: what the store gives back is not what it was given.
    """
    with open_artefact(path) as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # the stubs want a buffered one
        size_bytes = file.tell()
        file.seek(0)
        send(ObjectStore(store_url), digest, file)
    return check_source(f"{store_url.rstrip('/')}/{name_of(digest)}"), Seen(digest, size_bytes)


def verify_references(app: App, token: str, version_name: str, *, keep: bool = False) -> Done:
    """Read every reference of a version, and record of each that its bytes are those that were registered.

    Args:
        keep: keep the bytes in the workspace too, where they can be measured.
    Raises:
        NotFound: no such version for the caller, or nothing lies there.
        Conflict: there are no references, or other bytes lie there; nothing is recorded of that one.
    """
    version = look_at(app, token, rows.Version, version_name)
    if not version.references:
        raise Conflict(f"every artefact of `{version.version}` was registered with its bytes", hint="nothing to do", code="unchanged")
    evaluator = evaluator_for(app, token)
    events = []
    for name, source in sorted(version.references.items()):
        seen = _kept(app, source) if keep else read_reference(source)
        registered = getattr(version.artefacts, name).digest
        if seen.digest != registered:
            raise Conflict(
                f"`{source}` has digest `{short(seen.digest)}`, `{name}` of `{version.version}` is registered with `{short(registered)}`",
                hint="restore the bytes there, or register what is there as a new version", code="digest_mismatch",
            )  # fmt: skip
        command = RecordVerification(version=version.version, artefact=name, digest=seen.digest, source=source, size_bytes=seen.size_bytes)
        events += act_as(app, evaluator, command).events
    return Done(events)


def _kept(app: App, source: str) -> Seen:
    reader = PiecewiseFile(_pieces(source))
    digest = app.artefacts.put(reader)
    return Seen(digest, reader.size_bytes)


def _pieces(source: str) -> Iterator[bytes]:
    parts = urlsplit(check_source(source))
    if parts.scheme == "s3":
        yield from ObjectStore(f"s3://{parts.netloc}").stream(parts.path.lstrip("/"))
        return
    with open_artefact(Path(unquote(parts.path))) as file:
        yield from iter(lambda: file.read(_CHUNK_BYTES), b"")
