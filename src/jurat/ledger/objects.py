"""An object store: a bucket (`s3://…`) or a folder (`file:///…`), by way of obstore, which only this module imports.

Immutable things are put once: what is there already must be the same bytes. One thing per log moves, its checkpoint: where
the store can compare and swap it does; a folder cannot, so one process at a time pushes to one. Credentials come from the
environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …), never from the address, and are in no message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, Final, NamedTuple, cast
from urllib.parse import urlsplit

from jurat.core.errors import Conflict, JuratError, Malformed, NotFound, Unavailable

SCHEMES: Final = ("s3", "file")
_LARGEST: Final = 2**63 - 1
_PIECE_BYTES: Final = 8 * 2**20


class Held(NamedTuple):
    """What lies in the store under a name, and the mark by which it may be swapped."""

    raw: bytes
    mark: str


class Entry(NamedTuple):
    """One name in the store. `written`: when it was put there, by the store's clock, in UTC."""

    name: str
    size_bytes: int
    written: datetime


class ObjectStore:
    """One address. Safe for several threads. Also a `tile_source.Source`.

    Raises (on construction):
        Malformed: not an address of one.
        Unavailable: the library for it is not installed.
    """

    def __init__(self, url: str, *, prefix: str = "", config: dict[str, Any] | None = None) -> None:
        self.url, self._prefix = parse_store_url(url), prefix
        try:
            import obstore
            from obstore import exceptions
            from obstore import store as stores
        except ImportError:
            raise Unavailable(
                f"`{self.url}` needs the library `obstore`", hint="`pip install 'jurat[objects]'`", code="library_missing"
            ) from None
        self._obstore: Any = obstore
        self._errors, open_store = exceptions, cast("Any", stores.from_url)
        more: dict[str, Any] = {"mkdir": True} if self.url.startswith("file:") else {"client_options": _client_options(config or {})}
        try:
            self._store: Any = open_store(self.url, config=config, **more) if config else open_store(self.url, **more)
        except (exceptions.BaseError, ValueError, OSError) as error:
            raise Malformed(f"`{self.url}` cannot be used as an object store: {_short(error)}") from error
        self._can_swap = not isinstance(self._store, stores.LocalStore)

    def below(self, prefix: str) -> ObjectStore:
        """Return the same store, with every name below `prefix`."""
        other = object.__new__(ObjectStore)
        other.__dict__ = {**self.__dict__, "_prefix": f"{self._prefix}{prefix}/"}
        return other

    def read(self, path: str, most_bytes: int = _LARGEST) -> bytes | None:
        """Return the bytes under a name, at most `most_bytes` + 1 of them; None if nothing is there.

        Raises:
            Unavailable: it cannot be known what is there.
        """
        held = self._get(path, most_bytes)
        return None if held is None else held.raw

    def stream(self, path: str) -> Iterator[bytes]:
        """Yield the bytes under a name, piece by piece: memory use is bounded, however large it is.

        Raises:
            NotFound: nothing is there.
            Unavailable: it cannot be read to its end.
        """
        try:
            for piece in self._obstore.get(self._store, self._prefix + path).stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)
        except (FileNotFoundError, self._errors.NotFoundError):
            raise NotFound(
                f"there is nothing at `{self.url}/{self._prefix}{path}`", hint="check the address, and who wrote there"
            ) from None
        except Exception as error:
            raise self._failed(path, error) from error

    def upload(self, path: str, file: BinaryIO) -> None:
        """Put a file under a name that is made of its digest, piece by piece; what is there already has those very bytes, or is replaced.

        Raises:
            Unavailable: the store refused.
        """
        try:
            self._obstore.put(self._store, self._prefix + path, file, chunk_size=_PIECE_BYTES, max_concurrency=2)
        except Exception as error:
            raise self._failed(path, error) from error

    def hold(self, path: str) -> Held | None:
        """Return what is there with its mark, to swap it later."""
        return self._get(path, _LARGEST)

    def create(self, path: str, raw: bytes) -> bool:
        """Put bytes under a name for good; return whether they were not there before.

        Raises:
            Conflict: other bytes are there. They stay.
            Unavailable: the store refused.
        """
        try:
            self._obstore.put(self._store, self._prefix + path, raw, mode="create", use_multipart=False)
            return True
        except self._errors.AlreadyExistsError:
            pass
        except Exception as error:
            raise self._failed(path, error) from error
        if self.read(path) == raw:
            return False
        raise Conflict(
            f"`{self.url}/{self._prefix}{path}` is there with other bytes",
            hint="nothing was overwritten: ask who wrote there, and push to another prefix", code="mirror_altered",
        )  # fmt: skip

    def swap(self, path: str, old: Held | None, raw: bytes) -> None:
        """Put bytes in the place of those that were held.

        Raises:
            Conflict: somebody else was faster.
            Unavailable: the store refused.
        """
        if old is None:
            self.create(path, raw)
            return
        mode: Any = {"e_tag": old.mark} if self._can_swap else "overwrite"
        try:
            self._obstore.put(self._store, self._prefix + path, raw, mode=mode, use_multipart=False)
        except self._errors.PreconditionError:
            raise Conflict(
                f"`{self.url}/{self._prefix}{path}` changed meanwhile", hint="somebody else pushes there: run it again", code="swapped"
            ) from None
        except Exception as error:
            raise self._failed(path, error) from error

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield every name below a prefix.

        Raises:
            Unavailable: the store refused.
        """
        try:
            for batch in self._obstore.list(self._store, prefix=(self._prefix + prefix) or None):
                for each in batch:
                    yield each["path"].removeprefix(self._prefix)
        except Exception as error:
            raise self._failed(prefix, error) from error

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield every name below a prefix, or that is it, with size and time.

        Raises:
            Unavailable: the store refused.
        """
        whole = self._prefix + prefix
        try:  # a prefix of a listing ends at a slash: a name is looked for in its folder
            for batch in self._obstore.list(self._store, prefix=whole.rpartition("/")[0] or None):
                for each in batch:
                    if each["path"].startswith(whole):
                        yield Entry(each["path"].removeprefix(self._prefix), int(each["size"]), each["last_modified"])
        except Exception as error:
            raise self._failed(prefix, error) from error

    def remove(self, paths: list[str]) -> None:
        """Take names away; durable in the store's own sense."""
        if paths:
            try:
                self._obstore.delete(self._store, [self._prefix + path for path in paths])
            except Exception as error:
                raise self._failed(paths[0], error) from error

    def _get(self, path: str, most_bytes: int) -> Held | None:
        try:
            found = self._obstore.get(self._store, self._prefix + path)
            meta = found.meta
            if meta["size"] > most_bytes:  # of what is too large only the size matters
                return Held(bytes(most_bytes + 1), meta["e_tag"] or "")
            return Held(bytes(found.bytes()), meta["e_tag"] or "")
        except (FileNotFoundError, self._errors.NotFoundError):
            return None
        except JuratError:
            raise
        except Exception as error:
            raise self._failed(path, error) from error

    def _failed(self, path: str, error: Exception) -> Unavailable:
        return Unavailable(
            f"`{self.url}/{self._prefix}{path}` could not be reached: {_short(error)}",
            hint="look at the address, the credentials in the environment and the network, then run it again: it goes on where it was",
            code="store_failed",
        )


def _client_options(config: dict[str, Any]) -> dict[str, Any]:
    """Return how the client talks: without TLS only to this machine, or where the environment says so."""
    named = str(config.get("aws_endpoint") or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or "")
    is_local = (urlsplit(named).hostname or "") in ("127.0.0.1", "::1", "localhost")
    return {"timeout": "60s", "allow_http": is_local or os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true"}


def parse_store_url(url: str) -> str:
    """Return the address of an object store, without a slash at the end.

    Raises:
        Malformed: it is none, or carries credentials.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or parts.query or parts.fragment or (parts.scheme == "s3" and not parts.netloc):
        raise Malformed(f"`{url[:120]}` is not an object store", hint="write `s3://bucket/prefix` or `file:///folder`")
    if parts.username or parts.password:
        raise Malformed(
            "an address with credentials in it", hint="put them into the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`"
        )
    return url.rstrip("/")


def not_there(store: ObjectStore, path: str) -> NotFound:
    return NotFound(f"there is nothing at `{store.url}/{path}`", hint="`jurat archive push` puts a mirror there")


def _short(error: Exception) -> str:
    """Return the first line of what a driver says: the rest are its own types, and may hold headers."""
    return f"{type(error).__name__}: {str(error).splitlines()[0][:160].lower() if str(error) else ''}".rstrip(": ")
