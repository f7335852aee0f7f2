"""The client for producers: what you put is on your disk when `put` returns, and arrives in the ledger once, in order.

Stands alone: imports `core` only, talks HTTP with the standard library. Begin with `producer`.

`producer`        `Client`: put, flush, close; for threads
`async_producer`  `AsyncClient`: the same for asyncio
`spool`           the durable file of what has no receipt yet, and the numbers in it
`sender`          the thread that empties the spool: resends, backs off, states how the stream goes
`door`            one HTTP connection to `/api/v1/ingest`
"""

from __future__ import annotations

from jurat.client.async_producer import AsyncClient
from jurat.client.producer import Client

__all__ = ["AsyncClient", "Client"]
