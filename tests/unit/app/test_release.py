"""Bytes and the word to deploy: for what is in that stage and still green, on record, and nothing otherwise."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from tests.scenes.governed import NOW_NS, World, make_world
from tests.unit.domain.law import Law
from tests.unit.domain.test_rollout_law import WITH_ROLLOUT, to_production

from jurat.app.artefacts import put_artefact
from jurat.app.release import TYPE, authorize_deployment, fetch_artefact
from jurat.app.token_keys import make_key
from jurat.core.errors import JuratError
from jurat.domain import rows
from jurat.domain.state import Put
from jurat.identity import jose, keys


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = make_world(tmp_path / "w", "ml_engineer", "data_scientist")
    law = Law()
    law.now_ns = NOW_NS - 60 * 86_400 * 10**9
    law.apply_gates(WITH_ROLLOUT)
    for handle in ("cleo", "dan"):
        law.grant(handle, "product_owner", lifetime_s=90 * 86_400)
        law.grant(handle, "ml_lead", lifetime_s=90 * 86_400)
    to_production(law, "1.0.0", "1")
    law.register("1.1.0", "2")
    digest = put_artefact(found.app.workspace.artefacts, io.BytesIO(b"weights"))
    for name in ("churn@1.0.0", "churn@1.1.0"):
        version = law.state.get(rows.Version, name)
        assert version is not None
        weights = msgspec.structs.replace(version.artefacts.weights, digest=digest)
        changed = msgspec.structs.replace(version, artefacts=msgspec.structs.replace(version.artefacts, weights=weights))
        law.state.apply([Put("versions", name, changed)])
    for table, tables in law.state.tables.items():
        if table not in ("principals", "grants", "policy_sets"):
            found.store.state.tables[table] |= tables
    found.app.workspace.keys.mkdir(mode=0o700, exist_ok=True)
    row = rows.TokenKeys(as_of="evt_k", issuer="x", keys=[make_key(found.app.workspace)], since="2026-01-01T00:00:00Z")
    found.store.state.apply([Put("token_keys", "current", row)])
    return found


def test_bytes_for_production(world: World, tmp_path: Path) -> None:
    to = tmp_path / "model.pkl"
    fetch_artefact(world.app, world.tokens["ml_engineer"], "churn@1.0.0", "weights", "production", "deploy", to)
    assert to.read_bytes() == b"weights"
    assert world.store.events[-1].kind.name == "artefact.released.v1"
    with pytest.raises(JuratError) as again:
        fetch_artefact(world.app, world.tokens["ml_engineer"], "churn@1.0.0", "weights", "production", "deploy", to)
    assert again.value.code == "exists"


def test_a_link_that_lies_where_the_copy_is_made_is_not_written_through(world: World, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (tmp_path / ".model.pkl.part").symlink_to(mine)
    fetch_artefact(world.app, world.tokens["ml_engineer"], "churn@1.0.0", "weights", "production", "deploy", tmp_path / "model.pkl")
    assert mine.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".model")) == [".model.pkl.part"]


def test_what_has_not_passed_stays_here_and_the_attempt_is_on_record(world: World, tmp_path: Path) -> None:
    to = tmp_path / "model.pkl"
    with pytest.raises(JuratError) as refused:
        fetch_artefact(world.app, world.tokens["ml_engineer"], "churn@1.1.0", "weights", "production", "deploy", to)
    assert refused.value.code == "stage_gate"
    assert not to.exists()
    assert world.store.events[-1].kind.name == "act.denied.v1"


def test_a_word_to_deploy_is_signed_and_says_exactly_what(world: World) -> None:
    done = authorize_deployment(world.app, world.tokens["ml_engineer"], "churn@1.0.0", "production", "eu-1", 600)
    known = world.store.state.get(rows.TokenKeys, "current")
    assert known is not None
    said = jose.verify(done.reply["deployment_token"], known.keys, what="it", types=(TYPE,), algorithms=(keys.ALGORITHM,)).claims
    version = world.store.state.get(rows.Version, "churn@1.0.0")
    assert version is not None
    assert (said["version"], said["version_digest"], said["stage"], said["aud"]) == ("churn@1.0.0", version.digest, "production", "eu-1")
    assert said["exp"] - said["iat"] == 600
    assert said["event"] == done.events[0].id
    with pytest.raises(JuratError):  # it opens no door of ours
        jose.verify(done.reply["deployment_token"], known.keys, what="it", types=("at+jwt",), algorithms=(keys.ALGORITHM,))
    assert done.reply["deployment_token"] not in repr(world.store.events)


@pytest.mark.parametrize(
    ("who", "version"), [("data_scientist", "churn@1.0.0"), ("operator", "churn@1.0.0"), ("ml_engineer", "churn@1.1.0")]
)
def test_nobody_else_and_nothing_else_gets_one(world: World, who: str, version: str) -> None:
    with pytest.raises(JuratError):
        authorize_deployment(world.app, world.tokens[who], version, "production", "eu-1", 600)
    assert world.store.events[-1].kind.name == "act.denied.v1"
