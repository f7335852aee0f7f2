"""Decisions: how many a second on one core, how late the slowest, over HTTP, in a replay, in a search.

`access.decide.eps`, `access.decide_p99_us`  50 policies and more, 1,000 entities asked about again and again
`access.decide_wide.eps`                     10,000 principals × 10,000 resources, each known, no two of them together
`access.authzen_p99_ms`                      over HTTP from another process, 1,000 a second; answers are allows, counted by the minute
`access.authzen_denied_p99_ms`               the same, and every answer is a denial: durable in the ledger before it is told
`access.authzen_new_p99_ms`                  the same with questions that are new, most of them denials: each is durable, too
`access.replay_s`                            1,000,000 recorded acts put to a candidate, in one process
`access.search_s`                            who can, among 10,000; and on what, among 10,000

Times of `decide`, `replay` and `search` are of the processor (this may run beside other work); those of HTTP are of the wall.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from bench.http_load import put_load, request
from bench.registry import Peer, served

from jurat.app.census import Census
from jurat.app.replay import replay_events
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.clock import SystemClock, format_at
from jurat.core.ids import new_id
from jurat.core.jsonio import dump_json
from jurat.core.workspace import Workspace
from jurat.domain import facts, rows
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal
from jurat.domain.decisions import decided
from jurat.domain.events import Actor, Event, encode_event
from jurat.domain.roles import expiry
from jurat.domain.state import MemoryState, Put
from jurat.domain.values import DataSheet, PrincipalType
from jurat.policy.engine import Engine, Request
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources, load_default_policies
from jurat.store.connect import attach_database
from jurat.store.store import Store

_ROLES = ["ml_engineer", "data_scientist", "data_engineer", "compliance_officer", "auditor", "business_analyst"]
_CANDIDATE = '@id("own.no_retiring") forbid (principal, action == Action::"model:retire", resource in Models::"prod");'


def run(quick: bool) -> list[dict[str, Any]]:
    """Return the results."""
    engine = Engine(load_default_policies())
    eps, p99_us = _decide(engine, 5_000 if quick else 50_000, 500)
    wide_eps, _ = _decide(engine, 5_000 if quick else 50_000, 10_000)
    allowed, denied, anew = _authzen(3.0 if quick else 20.0)
    acts = 50_000 if quick else 1_000_000
    replay_s, questions = _replay(acts)
    search_s = _search(engine, 10_000)
    return [
        _result("access.decide.eps", round(eps), "decisions/s", eps / 12_000, "12,000 decisions/s"),
        _result("access.decide_p99_us", round(p99_us, 1), "us", 150 / p99_us, "150 us"),
        _result("access.decide_wide.eps", round(wide_eps), "decisions/s", wide_eps / eps, "access.decide.eps"),
        _result("access.authzen_p99_ms", round(allowed.p99_ms, 2), "ms", 5 / allowed.p99_ms, f"5 ms at 1,000/s; {allowed}"),
        _result("access.authzen_denied_p99_ms", round(denied.p99_ms, 2), "ms", 5 / denied.p99_ms, f"5 ms at 1,000/s; {denied}"),
        _result("access.authzen_new_p99_ms", round(anew.p99_ms, 2), "ms", 5 / anew.p99_ms, f"5 ms at 1,000/s; {anew}"),
        _result("access.replay_s", round(replay_s, 2), "s", acts / replay_s, f"acts/s; {acts:,} acts, {questions} questions"),
        _result("access.search_s", round(search_s, 3), "s", 1 / search_s, "1 s; 10,000 principals, then 10,000 resources"),
    ]


def _result(name: str, value: float, unit: str, ratio: float, against: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ratio": ratio, "against": against}


def _questions(count: int, entities: int, seed: int = 7) -> Iterator[Request]:
    chance = random.Random(seed)
    for _ in range(count):
        number = chance.randrange(entities)
        role = _ROLES[number % len(_ROLES)]
        model = chance.randrange(entities)  # a model lies in one stage, and has one owner
        place = f"models/{('dev', 'staging', 'prod')[model % 3]}/m{model}@1.0.0"
        attributes = {"risk_tier": "high", "owner": f"prn_{model * 7 % entities}", "system": "s"}
        yield Request(f"prn_{number}", "person", frozenset({role}), chance.choice(["model:read", "model:promote"]), place, attributes)


def _decide(engine: Engine, count: int, entities: int) -> tuple[float, float]:
    """Return decisions a second of processor time, and the 99th percentile in µs."""
    asked = list(_questions(count, entities))
    if entities >= 10_000:  # each was asked about before, no two of them together
        for request in _questions(4 * entities, entities, seed=8):
            engine.decide(request)
    else:
        asked = asked[: 2 * entities] * (count // (2 * entities))  # 1,000 entities, asked about again and again
        for request in asked[: 2 * entities]:
            engine.decide(request)
    times_ns = []
    began_s = time.process_time()
    for request in asked:
        before_ns = time.thread_time_ns()
        engine.decide(request)
        times_ns.append(time.thread_time_ns() - before_ns)
    spent_s = time.process_time() - began_s
    return len(asked) / spent_s, statistics.quantiles(times_ns, n=100)[98] / 1000


class _Raw(NamedTuple):
    raw: bytes
    received_ns: int = 0


def _replay(acts: int) -> tuple[float, int]:
    """Return seconds of processor time for that many acts of 2,000 people on 500 models, as their events lie in the ledger."""
    before, sources, clock = Engine(load_default_policies()), default_sources(), SystemClock()
    schema = sources.pop(SCHEMA_NAME)
    candidate = PolicySet.load({**sources, "own.cedar": _CANDIDATE}, schema)
    chance, raws = random.Random(7), []
    actor = Actor(principal="prn_x", type=PrincipalType.PERSON, chain=["prn_x"])
    for number in range(20_000):
        role, action = _ROLES[number % len(_ROLES)], chance.choice(["model:read", "model:retire", "model:promote"])
        place = f"models/{chance.choice(['dev', 'prod'])}/m{chance.randrange(500)}@1.0.0"
        asked = [Request(f"prn_{chance.randrange(2_000)}", "person", frozenset({role}), action, place, {"risk_tier": "high"},
                         {"reason": f"because of {number}"})]  # fmt: skip
        ref = decided(before.decide_chain(asked), asked, id=new_id("dec", clock))
        said = facts.RecordsRead(question="q", subject="s", as_of={})
        event = Event(id=new_id("evt", clock), at=format_at(clock.now_ns()), actor=actor, resource=place, decision=ref, data=said)
        raws.append(_Raw(encode_event(event)))
    began_s = time.process_time()
    found = replay_events((raws[number % len(raws)] for number in range(acts)), candidate, "")
    assert found.acts == acts
    return time.process_time() - began_s, found.questions


def _world(entities: int) -> MemoryState:
    state, ends = MemoryState(), "2100-01-01T00:00:00Z"
    sheet = DataSheet(purpose="p", source="s", collection_method="c", licence="l", known_biases=[], sensitive_columns=["age"], label="y",
                      favourable_outcome="1")  # fmt: skip
    puts = []
    for number in range(entities):
        who = f"prn_{number:026d}"
        puts.append(Put("principals", who, rows.Principal(as_of="", principal=who, type=PrincipalType.PERSON, owner=None, name=None)))
        grant = rows.Grant(as_of="", grant=f"grt_{number}", principal=who, role=_ROLES[number % len(_ROLES)], scope="*", reason="r",
                           granted_by="x", expires_at=ends)  # fmt: skip
        puts.append(Put("grants", grant.grant, grant))
        data = rows.Dataset(as_of="", dataset=f"d{number}@v1", collection="training", digest="", rows=1,
                            registered_by=f"prn_{number % 97:026d}", sheet=sheet)  # fmt: skip
        puts.append(Put("datasets", data.dataset, data))
    state.apply(puts)
    return state


def _search(engine: Engine, entities: int) -> float:
    """Return the slower of the two searches, in seconds of processor time."""
    state, now_ns, said = _world(entities), SystemClock().now_ns(), {"purpose": "debugging"}
    began_s = time.process_time()
    people = list(Census(state, engine, now_ns, said).who_can("data:read", "data/training/d7@v1", "person"))
    middle_s = time.process_time()
    census = Census(state, engine, now_ns, said)
    places = [place for place in census.places() if place.startswith("data/")]
    found = list(census.what_can(f"prn_{1:026d}", ["data:read"], places))
    assert len(people) >= entities // 3
    assert len(found) == entities
    return max(middle_s - began_s, time.process_time() - middle_s)


class _Served(NamedTuple):
    """Of one load: the 99th percentile, answers a second, CPU time of door and PostgreSQL for each, and how many were denied."""

    p99_ms: float
    rate: float
    cpu_ms: float
    denied: float

    def __str__(self) -> str:
        return f"{self.rate:.0f}/s, {self.cpu_ms:.2f} ms of CPU each, {self.denied:.0%} denied"


def _authzen(seconds: float) -> tuple[_Served, _Served, _Served]:
    """Return how the real door answers: allows that come again within a minute, denials, and questions that are new."""
    may, may_not = [1, 2], [4, 5]  # places in _ROLES of who reads training data, and of who never does
    with served(load=_fill, enter=_enforcement_point) as peer:
        _load(peer, 3.0, may, 50)  # warm: and each of the thousand questions is on record, and counted from then on
        return (
            _load(peer, seconds, may, 50),
            _load(peer, seconds, may_not, 50),
            _load(peer, seconds, [*may, *may_not, 3], 1_000, first=50),
        )


def _enforcement_point(app: App, operator: str) -> str:
    person = act(app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name="owner")).reply["principal"]
    asks = act(app, operator, RegisterPrincipal(type=PrincipalType.SERVICE, name="pep", owner=person)).reply["principal"]
    ends = expiry(app.clock.now_ns(), 3600)
    act(app, operator, GrantRole(principal=asks, role="enforcement_point", reason="bench", expires_at=ends))
    return act(app, operator, IssueToken(principal=asks, lifetime_s=3600)).reply["token"]


def _fill(workspace: Workspace) -> None:
    """Load a thousand people, their grants and as many data sets, as a rebuild would."""
    event = "evt_" + "0" * 26
    with Store.open(attach_database(workspace).dsn("owner"), application="bench") as store, store.connection() as connection:
        for table, rows_of in _world(1_000).tables.items():
            if not rows_of:
                continue
            with connection.transaction():
                connection.execute(f"ALTER TABLE view.{table} DISABLE TRIGGER event_required".encode())
                copying = f"COPY view.{table} (key, row, as_of) FROM STDIN".encode()
                with connection.cursor() as cursor, cursor.copy(copying) as copy:
                    for key, row in rows_of.items():
                        copy.write_row((key, dump_json(msgspec.structs.replace(row, as_of=event)).decode(), event))
                connection.execute(f"ALTER TABLE view.{table} ENABLE ALWAYS TRIGGER event_required".encode())
                connection.execute("UPDATE outbox.head SET changed = changed || jsonb_build_object(%s::text, -1)", [table])


def _load(peer: Peer, seconds: float, roles: list[int], turns: int, first: int = 0, rate: int = 1_000, connections: int = 20) -> _Served:
    """Ask `rate` questions a second about people of these roles: `turns` on each connection, again and again."""
    before_s = peer.used_s()

    def ask(number: int) -> bytes:
        at, of = first + number // connections % turns, number % connections
        person = (at * 7 + of) * len(_ROLES) % 996 + roles[number % len(roles)]
        body = {
            "subject": {"type": "person", "id": f"prn_{person:026d}"}, "action": {"name": "data:read"},
            "resource": {"type": "Dataset", "id": f"data/training/d{at % 1000}@v1"}, "context": {"purpose": "bench"},
        }  # fmt: skip
        return request("POST", "/access/v1/evaluation", peer.token, json.dumps(body).encode())

    load = put_load(
        peer.port, ask, int(seconds * rate), connections=connections, per_s=rate, expect=b'"decision":', count=b'"decision":false'
    )
    return _Served(load.p99_ms, load.rate, (peer.used_s() - before_s) * 1000 / load.done, load.counted / load.done)
