"""Two versions behind one endpoint: who answers whom, what is on record, and a shadow that holds up nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.gateway_world import TOKEN, WEIGHTS, World, answer, body

from jurat.app.serving import routing_changes
from jurat.core.errors import Malformed
from jurat.domain import rows
from jurat.gateway import arms, flow, shadow
from jurat.gateway.upstream import Reply

NEW_WEIGHTS = "sha256:" + "7" * 64
ROLLOUT = rows.Rollout(
    as_of="evt_r", rollout="rol_1", endpoint="credit", version="credit@1.2.0", version_digest="sha256:" + "8" * 64,
    from_version="credit@1.1.0", upstream="http://127.0.0.1:10", steps_bp=[100, 5_000, 10_000], hold_s=1.0, requests=1, criteria=[],
    shadow=False, started_by="prn_person", step=1, step_since="2026-11-25T19:40:00Z", status="running",
)  # fmt: skip


class TwoModels:
    """Each upstream has its own weights and number."""

    def __init__(self, world: World) -> None:
        self.asked: list[int] = []
        self.broken: set[int] = set()
        world.door = msgspec_replace(world.door, models=self)

    async def request(self, upstream: Any, method: str, path: str, sent: bytes, timeout_s: float) -> Reply:
        self.asked.append(upstream.port)
        await asyncio.sleep(0)
        if upstream.port in self.broken:
            return Reply(500, b"")
        old = upstream.port == 9
        said = answer(digest=WEIGHTS if old else NEW_WEIGHTS) | {"model_version": "1.1.0" if old else "1.2.0"}
        return Reply(200, msgspec.json.encode({"id": msgspec.json.decode(sent)["id"], **said}))


def msgspec_replace(door: flow.Door, **changes: Any) -> flow.Door:
    from dataclasses import replace

    return replace(door, **changes)


@pytest.fixture
def models(world: World) -> TwoModels:
    found = world.source.state.get(rows.Version, "credit@1.1.0")
    assert found is not None
    weights = msgspec.structs.replace(found.artefacts.weights, digest=NEW_WEIGHTS)
    new = msgspec.structs.replace(
        found, version="credit@1.2.0", digest=ROLLOUT.version_digest, artefacts=msgspec.structs.replace(found.artefacts, weights=weights)
    )
    world.put(new)
    put(world)
    return TwoModels(world)


def put(world: World, **changes: Any) -> None:
    from jurat.domain.state import Put

    world.source.state.apply([Put("rollouts", "credit", msgspec.structs.replace(ROLLOUT, **changes))])
    world.source.at += 1
    world.snapshot.refresh()


def ask(world: World, subject: str | None = None, **more: Any) -> str:
    given = subject.encode() if subject else None
    found = asyncio.run(flow.predict(world.door, TOKEN, "credit", body(**more), subject=given, segment="sex=female"))
    return str(found.body["parameters"]["version"])


def test_a_subject_stays_with_one_version_and_half_of_them_move(world: World, models: TwoModels) -> None:
    world.endpoint(requests_per_minute=1_000_000)
    first = {f"s{n}": ask(world, f"s{n}") for n in range(60)}
    assert {f"s{n}": ask(world, f"s{n}") for n in range(60)} == first
    assert 15 < sum(v == "credit@1.2.0" for v in first.values()) < 45
    put(world, step=2)
    assert {ask(world, f"s{n}") for n in range(60)} == {"credit@1.2.0"}


def test_the_record_names_who_answered(world: World, models: TwoModels) -> None:
    put(world, step=2)
    ask(world, "s")
    made = world.ledger.only("prediction.made.v1").data
    assert (made.version, made.version_digest, made.segment) == ("credit@1.2.0", ROLLOUT.version_digest, "sex=female")  # type: ignore[attr-defined]
    assert world.ledger.only("prediction.requested.v1").because == ["evt_r"]
    assert b"s1" not in b"".join(msgspec.json.encode(event.data) for _, event in world.ledger.events if event.data == "subject")


@pytest.mark.parametrize("status", ["completed", "rolled_back", "aborted"])
def test_one_that_is_over_moves_nobody(world: World, models: TwoModels, status: str) -> None:
    put(world, step=2, status=status)
    assert ask(world, "s") == "credit@1.1.0"


@pytest.mark.parametrize("changes", [{"stage": "retired"}, {"stage": "staging"}, {"digest": "sha256:" + "0" * 64}])
def test_a_new_version_that_may_not_serve_gets_nobody(world: World, models: TwoModels, changes: dict[str, str]) -> None:
    put(world, step=2)
    new = world.source.state.get(rows.Version, "credit@1.2.0")
    assert new is not None
    world.put(msgspec.structs.replace(new, **changes))
    assert ask(world, "s") == "credit@1.1.0"


def test_without_a_subject_the_same_case_is_answered_alike(world: World, models: TwoModels) -> None:
    cases = [body(id=str(n)) for n in range(40)]
    places = {arms.place_of("rol_1", arms.read_subject(None, case)) for case in cases}
    assert len(places) > 30
    assert arms.read_subject(None, cases[0]) == arms.read_subject(None, cases[0])
    assert arms.read_subject(b"body", cases[0]) != arms.read_subject(None, b"body")


async def ask_and_wait(world: World) -> flow.Answer:
    found = await flow.predict(world.door, TOKEN, "credit", body())
    for _ in range(200):
        await asyncio.sleep(0)
        if not shadow._under_way:
            break
    return found


def test_the_shadow_answers_on_record_only(world: World, models: TwoModels) -> None:
    put(world, shadow=True, steps_bp=[0], step=0)
    found = asyncio.run(ask_and_wait(world))
    assert found.body["parameters"]["version"] == "credit@1.1.0"
    beside = world.ledger.only("prediction.shadowed.v1").data
    assert (beside.version, beside.output, beside.failure, beside.prediction) == ("credit@1.2.0", True, "", found.prediction)  # type: ignore[attr-defined]
    assert beside.rollout == "rol_1"  # type: ignore[attr-defined]
    assert world.ledger.kinds.count("prediction.made.v1") == 1


def test_a_broken_shadow_is_on_record_and_harms_nobody(world: World, models: TwoModels) -> None:
    put(world, shadow=True, steps_bp=[0], step=0)
    models.broken = {10}
    assert asyncio.run(ask_and_wait(world)).body["parameters"]["outcome"] == "released"
    assert "status 500" in world.ledger.only("prediction.shadowed.v1").data.failure  # type: ignore[attr-defined]


def test_a_slow_shadow_is_left_out_when_too_many_wait(world: World, models: TwoModels, monkeypatch: pytest.MonkeyPatch) -> None:
    put(world, shadow=True, steps_bp=[0], step=0)
    monkeypatch.setattr(shadow, "AT_ONCE", 0)
    asyncio.run(ask_and_wait(world))
    assert models.asked == [9]


@pytest.mark.parametrize("header", [b"x" * 40, b"sex=", b"=f", b"sex=f\x00", b"Sex=f", b"sex=" + b"f" * 40, "sex=é".encode()])
def test_a_segment_that_is_none_is_refused(header: bytes) -> None:
    with pytest.raises(Malformed):
        arms.read_segment(header)


def test_a_subject_has_a_size() -> None:
    with pytest.raises(Malformed):
        arms.read_subject(b"x" * 257, b"")


@given(st.binary(max_size=64), st.integers(0, 9_999), st.integers(0, 9_999))
def test_a_share_only_grows(subject: bytes, one: int, other: int) -> None:
    """Whoever moved at a smaller share has moved at a larger one."""
    place = arms.place_of("rol_x", subject)
    assert 0 <= place < arms.WHOLE_BP
    small, large = sorted((one, other))
    assert not (place < small and place >= large)


def test_what_changes_the_traffic_is_told_once(world: World, models: TwoModels) -> None:
    told: list[Any] = []
    world.snapshot.on_routing = told.append
    world.put(rows.Principal(as_of="evt_x", principal="prn_x", type="person", owner=None, name=None))  # type: ignore[arg-type]
    assert told == []
    put(world, step=2, as_of="evt_s")
    assert [(t.endpoint, t.version, t.share_bp, t.event) for t in told] == [("credit", "credit@1.1.0", 10_000, "evt_s")]
    assert routing_changes(world.source.state, world.source.state) == []
