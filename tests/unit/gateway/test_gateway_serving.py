"""`app.serving`: what the gateway knows, how it is kept fresh, and when it stops believing it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
import pytest
from tests.unit.gateway.gateway_world import NOW_NS, STRANGER, TOKEN, World

from jurat.app.admit import hash_token
from jurat.app.serving import DECISION_REMEMBERED_S, TOKEN_REMEMBERED_S, ServingSnapshot
from jurat.core.clock import format_at
from jurat.core.errors import Malformed, Unauthenticated, Unavailable
from jurat.domain import rows
from jurat.domain.state import Put
from jurat.guard.filters import Filter


def caller(world: World, token: str = TOKEN) -> str:
    picture = world.snapshot.picture()
    if not world.snapshot.remembers(picture, hash_token(token)):
        world.snapshot.look_up(picture, hash_token(token))
    return world.snapshot.caller(picture, token).principal


def grant(expires_at: str | None) -> rows.Grant:
    return rows.Grant(
        as_of="evt_g", grant="grt_1", principal="prn_client", role="prediction_client", scope="*",
        reason="r", granted_by="prn_person", expires_at=expires_at,
    )  # fmt: skip


def test_state_is_read_again_only_when_it_moved(world: World) -> None:
    before = world.snapshot.picture()
    world.snapshot.refresh()
    assert world.snapshot.picture() is before
    assert world.source.reads == 1
    world.endpoint(confidence_floor=0.9)
    found = world.snapshot.picture().endpoint("credit")
    assert found is not None
    assert found.confidence_floor == 0.9
    assert world.source.reads == 2


def test_a_picture_that_cannot_be_confirmed_ages_and_then_answers_nobody(world: World) -> None:
    world.source.away = True
    with pytest.raises(Unavailable):
        world.snapshot.refresh()
    world.elapsed[0] += 1.9
    world.snapshot.picture()
    assert world.snapshot.age_s == pytest.approx(1.9)
    world.elapsed[0] += 0.2
    with pytest.raises(Unavailable):
        world.snapshot.picture()
    world.source.away = False
    world.snapshot.refresh()
    world.snapshot.picture()


def test_nothing_is_known_before_the_first_reading(world: World) -> None:
    fresh = ServingSnapshot(world.source, world._authorize, world.clock, world.now_s)
    with pytest.raises(Unavailable):
        fresh.picture()


def test_a_token_is_looked_up_once_and_again_after_a_while_or_a_change(world: World) -> None:
    caller(world)
    caller(world)
    assert world.source.lookups == 1
    world.elapsed[0] += TOKEN_REMEMBERED_S + 0.1
    world.snapshot.refresh()
    caller(world)
    assert world.source.lookups == 2
    world.source.at += 1
    world.snapshot.refresh()
    caller(world)
    assert world.source.lookups == 3


def test_a_revoked_token_is_refused_as_soon_as_its_event_is_seen(world: World) -> None:
    caller(world)
    known = world.source.tokens[hash_token(TOKEN)]
    world.source.tokens[hash_token(TOKEN)] = known._replace(revoked_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert caller(world) == "prn_client"  # the event was not seen yet
    world.source.at += 1
    world.snapshot.refresh()
    with pytest.raises(Unauthenticated):
        caller(world)


def test_a_token_that_was_not_looked_up_proves_nobody(world: World) -> None:
    with pytest.raises(Unauthenticated):
        world.snapshot.caller(world.snapshot.picture(), STRANGER)


def test_an_unknown_token_is_remembered_as_unknown(world: World) -> None:
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            caller(world, "jrt_" + "q" * 43)
    assert world.source.lookups == 1


def test_the_policy_is_asked_once_for_each_caller_and_endpoint(world: World) -> None:
    def ask(endpoint: str = "credit", token: str = TOKEN) -> None:
        picture = world.snapshot.picture()
        caller(world, token)
        world.snapshot.may_request(picture, world.snapshot.caller(picture, token), endpoint)

    ask()
    ask()
    assert len(world.asked_policy) == 1
    ask(endpoint="other")
    ask(token=STRANGER)
    assert len(world.asked_policy) == 3
    world.source.at += 1
    world.snapshot.refresh()
    ask()
    assert len(world.asked_policy) == 4
    world.elapsed[0] += DECISION_REMEMBERED_S + 0.1
    world.snapshot.refresh()
    ask()
    assert len(world.asked_policy) == 5


def test_what_is_remembered_never_outlives_a_grant(world: World) -> None:
    world.source.state.apply([Put("grants", "grt_1", grant(format_at(NOW_NS + 3_000_000_000)))])
    world.source.at += 1
    world.snapshot.refresh()
    caller(world)
    picture = world.snapshot.picture()
    who = world.snapshot.caller(picture, TOKEN)
    world.snapshot.may_request(picture, who, "credit")
    for seconds, asked in ((2.9, 1), (0.2, 2), (10.0, 2)):
        world.elapsed[0] += seconds
        world.clock.advance(seconds)
        world.snapshot.may_request(picture, who, "credit")
        assert len(world.asked_policy) == asked


def test_a_broken_pattern_closes_its_own_endpoint_only(world: World) -> None:
    found = world.snapshot.picture().endpoint("credit")
    assert found is not None
    world.put(msgspec.structs.replace(found, endpoint="broken", blocked_patterns=["("]))
    filters = world.snapshot.picture().filters
    assert isinstance(filters["broken"], Malformed)
    assert isinstance(filters["credit"], Filter)


def test_the_thread_follows_and_survives_a_database_that_is_away(world: World) -> None:
    snapshot = ServingSnapshot(world.source, world._authorize, world.clock)
    snapshot.start()
    try:
        world.source.away = True
        time.sleep(0.25)
        world.source.away = False
        world.endpoint(confidence_floor=0.123)
        deadline = time.monotonic() + 3
        while (found := snapshot.picture().endpoint("credit")) is not None and found.confidence_floor != 0.123:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        snapshot.stop()
