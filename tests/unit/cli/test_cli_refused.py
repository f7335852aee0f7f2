"""A refusal in a terminal names people as far as whoever asked may see names; a program gets the ids of the record."""

from __future__ import annotations

import json

from tests.scenes.governed import World
from tests.unit.cli.conftest import Jurat


def test_whoever_is_refused_and_whom_to_ask_are_named(jurat: Jurat, world: World) -> None:
    assert jurat("principal", "register", "Ada Lovelace").code == 0
    ada = next(p.principal for p in world.store.vault.people() if p.name == "Ada Lovelace")
    assert jurat("role", "grant", ada, "compliance_officer", "--reason", "answers to the supervisor").code == 0
    said = jurat("sql", "SELECT 1")
    assert said.code == 3
    assert f"held by Ada Lovelace (…{ada[-6:]})" in said.err
    assert ada not in said.err


def test_a_program_is_given_ids(jurat: Jurat) -> None:
    said = jurat("sql", "SELECT 1", "--json")
    assert said.code == 3
    assert "`prn_" in json.loads(said.err)["detail"]
