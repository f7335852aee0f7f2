"""`AsyncClient`: the same client for asyncio. The spool's syncs and the waiting happen in threads, never in the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from jurat.client.producer import Client, Put, Refused

_THREADS: Final = 32  # calls that wait at once; more queue for a thread
T = TypeVar("T")


class AsyncClient:
    """One producer with one spool, for one event loop. See `Client` for what each call promises."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="jurat-client")

    @classmethod
    async def open(cls, url: str, token: str | Callable[[], str], *, spool: Path, **options: Any) -> Self:
        """Return a client whose spool is open; `options` are those of `Client`."""
        return cls(await asyncio.to_thread(partial(Client, url, token, spool=spool, **options)))

    async def put(self, retention: str, event: dict[str, Any] | bytes, *, fail_closed: bool = False, timeout_s: float = 0.0) -> Put:
        """Return once the event is durable: in the spool, or with `fail_closed` in the ledger."""
        return await self._call(partial(self._client.put, retention, event, fail_closed=fail_closed, timeout_s=timeout_s))

    async def put_many(
        self, retention: str, events: Sequence[dict[str, Any] | bytes], *, fail_closed: bool = False, timeout_s: float = 0.0
    ) -> Put:
        """Put several at once, all or none."""
        return await self._call(partial(self._client.put_many, retention, events, fail_closed=fail_closed, timeout_s=timeout_s))

    async def flush(self, timeout_s: float) -> None:
        """Return once everything that was put has its receipt."""
        await self._call(partial(self._client.flush, timeout_s))

    async def close(self, timeout_s: float = 5.0) -> None:
        """Send what waits, say that the stream ends, and stop."""
        try:
            await self._call(partial(self._client.close, timeout_s))
        finally:
            self._threads.shutdown(wait=False)

    @property
    def waiting(self) -> int:
        return self._client.waiting

    @property
    def trouble(self) -> str | None:
        return self._client.trouble

    async def refused(self) -> list[Refused]:
        return await self._call(self._client.refused)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
