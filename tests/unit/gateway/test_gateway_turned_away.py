"""The gateway tells of callers who are suspended, so that it is on record, and of nobody else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest
from tests.unit.gateway.gateway_world import TOKEN, World

from jurat.app.serving import RequestPrediction
from jurat.core.errors import Unauthenticated
from jurat.domain import rows
from jurat.gateway import flow


def test_a_suspended_caller_is_told_of_and_nobody_else(world: World) -> None:
    told: list[tuple[RequestPrediction, Unauthenticated]] = []
    door = replace(world.door, turned_away=lambda command, error: told.append((command, error)))
    asyncio.run(flow.admit(door, TOKEN, "credit"))
    with pytest.raises(Unauthenticated):
        asyncio.run(flow.admit(door, "jrt_" + "x" * 43, "credit"))
    assert told == []
    client = world.snapshot.picture().state.get(rows.Principal, "prn_client")
    assert client is not None
    world.put(msgspec.structs.replace(client, active=False))
    with pytest.raises(Unauthenticated, match="suspended"):
        asyncio.run(flow.admit(door, TOKEN, "credit"))
    ((command, error),) = told
    assert (command.endpoint, error.fields["principal"]) == ("credit", "prn_client")
