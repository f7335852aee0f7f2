"""A small world for the gateway: real state, real snapshot, fakes for the three ports that would wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from jurat.app.admit import hash_token
from jurat.app.serving import ServingSnapshot
from jurat.core.clock import FixedClock
from jurat.core.errors import Denied, JuratError, Unavailable
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.events import Actor, DecisionRef, Event, decode_event
from jurat.domain.state import MemoryState, Put, State
from jurat.domain.upstreams import Upstream
from jurat.domain.values import Artefact, Artefacts, PrincipalType
from jurat.gateway.flow import Door
from jurat.gateway.records import Recorder
from jurat.gateway.upstream import Reply
from jurat.guard.limits import RateLimit
from jurat.ledger.layout import LogName
from jurat.store.vault import KnownToken

TOKEN = "jrt_" + "a" * 43
STRANGER = "jrt_" + "b" * 43
NOW_NS = 1_795_000_000_000_000_000
WEIGHTS = "sha256:" + "1" * 64
VERSION_DIGEST = "sha256:" + "2" * 64
ALLOW = DecisionRef(effect="allow", policies=["prediction_client.request"], policy_set="sha256:" + "3" * 64)
DENY = DecisionRef(effect="deny", policies=[], policy_set="sha256:" + "3" * 64)
REQUEST = {
    "inputs": [
        {"name": "age", "shape": [1], "datatype": "INT64", "data": [41]},
        {"name": "purpose", "shape": [1], "datatype": "BYTES", "data": ["a car"]},
    ]
}


def body(request: dict[str, Any] | None = None, **more: Any) -> bytes:
    return msgspec.json.encode({**(request or REQUEST), **more})


def answer(
    approved: Any = True, confidence: float | None = 0.9, *, datatype: str = "BOOL", digest: str | None = WEIGHTS, **more: Any
) -> dict[str, Any]:
    outputs: list[dict[str, Any]] = [{"name": "approved", "shape": [1], "datatype": datatype, "data": [approved]}]
    if confidence is not None:
        outputs.append({"name": "confidence", "shape": [1], "datatype": "FP64", "data": [confidence]})
    parameters = {} if digest is None else {"model_digest": digest}
    return {"model_name": "credit", "model_version": "1.1.0", "parameters": parameters, "outputs": outputs, **more}


class Placed(NamedTuple):
    entry_index: int


class FakeLedger:
    """Durable at once, unless told otherwise by `fault`: a function of the event's kind that may wait or raise."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []
        self.fault: Callable[[str], Any] | None = None

    async def put(self, log: LogName, kind_code: int, raw: bytes) -> Placed:
        event = decode_event(raw)
        assert event.kind.code == kind_code
        await asyncio.sleep(0)
        if self.fault is not None and (waiting := self.fault(event.kind.name)) is not None:
            await waiting
        self.events.append((str(log), event))
        return Placed(sum(1 for name, _ in self.events if name == str(log)) - 1)

    @property
    def kinds(self) -> list[str]:
        return [event.kind.name for _, event in self.events]

    def only(self, kind: str) -> Event:
        (found,) = [event for _, event in self.events if event.kind.name == kind]
        return found


class FakeModel:
    """Answers what it is told; notes what it was asked."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] | bytes | Exception = answer()
        self.status = 200
        self.asked: list[tuple[str, str, bytes]] = []
        self.before: Callable[[], Any] | None = None

    async def request(self, upstream: Upstream, method: str, path: str, body: bytes, timeout_s: float) -> Reply:
        self.asked.append((method, path, body))
        if self.before is not None:
            await self.before()
        await asyncio.sleep(0)
        if isinstance(self.reply, Exception):
            raise self.reply
        if isinstance(self.reply, bytes):
            return Reply(self.status, self.reply)
        asked = msgspec.json.decode(body) if body else {}
        return Reply(self.status, msgspec.json.encode({"id": asked.get("id", ""), **self.reply}))


class Verdict(NamedTuple):
    decision: DecisionRef
    refusal: JuratError | None


class FakeSource:
    """State in memory, with a position that grows when it is told to."""

    def __init__(self, state: MemoryState) -> None:
        self.state = state
        self.at = 1
        self.tokens: dict[bytes, KnownToken] = {}
        self.lookups = 0
        self.reads = 0
        self.away = False

    def position(self) -> int:
        if self.away:
            raise Unavailable("the database is away")
        return self.at

    def read(self) -> tuple[int, MemoryState]:
        self.reads += 1
        copy = MemoryState()
        copy.tables = {name: dict(table) for name, table in self.state.tables.items()}
        return self.position(), copy

    def find_token(self, token_hash: bytes) -> KnownToken | None:
        self.lookups += 1
        return self.tokens.get(token_hash)


@dataclass
class World:
    source: FakeSource
    ledger: FakeLedger
    model: FakeModel
    clock: FixedClock
    elapsed: list[float] = field(default_factory=lambda: [100.0])
    allowed: set[str] = field(default_factory=lambda: {"prn_client"})
    asked_policy: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.snapshot = ServingSnapshot(self.source, self._authorize, self.clock, self.now_s)
        self.snapshot.refresh()
        self.door = Door(self.snapshot, RateLimit(self.now_s), self.model, Recorder(self.ledger, "main"), self.clock, self.now_s)

    def now_s(self) -> float:
        return self.elapsed[0]

    def put(self, *puts: rows.Row) -> None:
        """Change state, as an event would."""
        for row in puts:
            table = rows.TABLE_OF[type(row)]
            self.source.state.apply([Put(table, getattr(row, table.removesuffix("s")), row)])
        self.source.at += 1
        self.snapshot.refresh()

    def endpoint(self, **changes: Any) -> None:
        found = self.source.state.get(rows.Endpoint, "credit")
        assert found is not None
        self.put(msgspec.structs.replace(found, **changes))

    def version(self, **changes: Any) -> None:
        found = self.source.state.get(rows.Version, "credit@1.1.0")
        assert found is not None
        self.put(msgspec.structs.replace(found, **changes))

    def _authorize(self, state: State, caller: Actor, command: Command, now_ns: int) -> Verdict:
        self.asked_policy.append((caller.principal, command.permission, command.resource(state)))
        if caller.principal in self.allowed:
            return Verdict(ALLOW, None)
        return Verdict(DENY, Denied(f"`{caller.principal}` may not", hint="ask", code="policy_denied", reasons=["no policy permits it"]))


def make_world() -> World:
    state = MemoryState()
    part = Artefact(version="1", digest="sha256:" + "9" * 64)
    artefacts = Artefacts(
        weights=Artefact(version="1.1.0", digest=WEIGHTS), training_code=part, training_data=part,
        feature_definitions=part, serving_configuration=part, dependencies=part,
    )  # fmt: skip
    version = rows.Version(
        as_of="evt_v", version="credit@1.1.0", model="credit", system="lending", digest=VERSION_DIGEST, artefacts=artefacts,
        training_dataset="german-credit@v1", author="prn_author", registered="evt_v", stage="production", stage_since="2026-11-25T19:40Z",
    )  # fmt: skip
    endpoint = rows.Endpoint(
        as_of="evt_e", endpoint="credit", version="credit@1.1.0", version_digest=VERSION_DIGEST, stage="production", system="lending",
        upstream="http://127.0.0.1:9", confidence_floor=0.6, requests_per_minute=600, blocked_patterns=[r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b"],
    )  # fmt: skip
    person = rows.Principal(as_of="evt_p", principal="prn_person", type=PrincipalType.PERSON, owner=None, name=None)
    client = rows.Principal(as_of="evt_c", principal="prn_client", type=PrincipalType.SERVICE, owner="prn_person", name="loan desk")
    for table, key, row in (
        ("versions", "credit@1.1.0", version),
        ("endpoints", "credit", endpoint),
        ("principals", "prn_person", person),
        ("principals", "prn_client", client),
    ):
        state.apply([Put(table, key, row)])
    source = FakeSource(state)
    for token, principal in ((TOKEN, "prn_client"), (STRANGER, "prn_person")):
        source.tokens[hash_token(token)] = KnownToken(
            token_id=f"tok_{principal}", principal=principal, chain=["prn_person"], scope="*",
            expires_at=datetime(2030, 1, 1, tzinfo=UTC), revoked_at=None,
        )  # fmt: skip
    return World(source, FakeLedger(), FakeModel(), FixedClock(NOW_NS))
