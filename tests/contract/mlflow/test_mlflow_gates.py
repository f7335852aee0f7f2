"""What touches production passes its gates, whichever of MLflow's words it uses; and each refusal says why, and is on record."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import requests
from mlflow.exceptions import RestException
from tests.scenes.mlflow_site import Site

from jurat.app.walk import act
from jurat.core.errors import Conflict, Denied, Malformed
from jurat.domain import rows
from jurat.domain.commands_registry import MoveRegistryAlias, ProtectRegistryAliases

pytestmark = pytest.mark.filterwarnings("ignore:.*stage.*:FutureWarning")
_names = iter(range(10_000))


@pytest.fixture
def name(site: Site) -> str:
    """A registered model with the versions 1 and 2."""
    made = f"gated-{next(_names)}"
    client = site.client()
    client.create_registered_model(made)
    for number in ("1", "2"):
        client.create_model_version(made, f"s3://b/{made}/{number}")
    return made


@pytest.fixture(scope="module")
def staged(site: Site) -> dict[str, str]:
    """Versions that have passed the gates of staging."""
    return {version: site.in_staging(version) for version in ("1.0.0", "1.1.0", "1.2.0")}


def refused(call: Any) -> RestException:
    with pytest.raises(RestException) as caught:
        call()
    return caught.value


def stage_of(site: Site, version: str) -> str:
    with site.app.store.reading() as state:
        found = state.get(rows.Version, version)
    assert found is not None
    return found.stage


def test_an_unmeasured_version_is_no_champion_whatever_it_is_called_and_whoever_asks(site: Site, name: str) -> None:
    client = site.client()
    for alias in ("champion", "Champion", "CHAMPION", "production", "production-eu", "PRODUCTION_2"):
        error = refused(lambda alias=alias: client.set_registered_model_alias(name, alias, "1"))
        assert (error.error_code, error.get_http_status_code()) == ("PERMISSION_DENIED", 403)
        assert "digest is unknown" in str(error)
        assert f"jurat mlflow bind {name} 1" in str(error)
        assert site.denials("digest_unknown")[0].id in str(error)
    for spelling in ("Production", "PRODUCTION", "production"):
        assert "digest is unknown" in str(refused(lambda s=spelling: client.transition_model_version_stage(name, "1", s)))
    assert client.get_registered_model(name).aliases == {}


def test_who_may_not_promote_to_production_is_refused_by_policy_and_told_whom_to_ask(site: Site, name: str) -> None:
    error = refused(lambda: site.client("data_scientist").set_registered_model_alias(name, "champion", "1"))
    assert error.error_code == "PERMISSION_DENIED"
    assert "model:promote" in str(error)
    assert "ml_engineer" in str(error)
    denied = site.denials("policy_denied")[0]
    assert (denied.data.command, denied.resource) == ("MoveRegistryAlias", f"models/prod/{name}@1")
    site.client("data_scientist").set_registered_model_alias(name, "dev", "1")  # a matter of staging


def test_champion_waits_for_sign_off_then_moves_and_the_version_is_in_production(site: Site, name: str, staged: dict[str, str]) -> None:
    version = staged["1.0.0"]
    site.bind(name, 1, version)
    error = refused(lambda: site.client().set_registered_model_alias(name, "champion", "1"))
    assert "approved by ml_lead, product_owner" in str(error)
    assert f"jurat request open {version} production" in str(error)
    assert f"jurat gate check {version} production" in str(error)
    assert stage_of(site, version) == "staging"
    site.sign_off(version)
    site.client().set_registered_model_alias(name, "champion", "1")
    assert site.client().get_model_version_by_alias(name, "champion").version == "1"
    assert stage_of(site, version) == "production"
    kinds = [e.kind.name for e in site.events()][-3:]
    assert kinds == ["gate.checked.v1", "version.promoted.v1", "registry_alias.moved.v1"]
    moved = site.events()[-1]
    assert (moved.data.version, moved.data.protected, moved.data.previous) == (version, True, None)
    assert len(site.events()[-2].data.approvals) == 2

    # what is in production stays findable: it is neither deleted nor renamed nor emptied past its gates
    client = site.client()
    for call in (
        lambda: client.delete_model_version(name, "1"),
        lambda: client.delete_registered_model(name),
        lambda: client.rename_registered_model(name, f"{name}-new"),
    ):
        error = refused(call)
        assert error.error_code == "PERMISSION_DENIED"
        assert "alias `champion` names version `1`" in str(error)
    assert refused(lambda: site.client("data_scientist").delete_registered_model_alias(name, "champion")).error_code == "PERMISSION_DENIED"
    refused(lambda: site.client().set_registered_model_alias(name, "champion", "2"))
    assert site.client().get_registered_model(name).aliases == {"champion": "1"}
    site.client().delete_registered_model_alias(name, "champion")  # by somebody who may promote there
    site.client().rename_registered_model(name, f"{name}-new")
    site.client().set_registered_model_alias(f"{name}-new", "champion", "1")  # what stands behind it came along


def test_the_stage_production_is_the_same_gate(site: Site, name: str, staged: dict[str, str]) -> None:
    version = staged["1.1.0"]
    site.bind(name, 2, version)
    client = site.client()
    assert "approved by" in str(refused(lambda: client.transition_model_version_stage(name, "2", "Production")))
    site.sign_off(version)
    moved = client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    assert (moved.current_stage, stage_of(site, version)) == ("Production", "production")
    assert (
        refused(lambda: site.client("data_scientist").transition_model_version_stage(name, "2", "Archived")).error_code
        == "PERMISSION_DENIED"
    )
    assert "is in `Production`" in str(refused(lambda: site.client().delete_model_version(name, "2")))
    assert site.client().transition_model_version_stage(name, "2", "Archived").current_stage == "Archived"


def test_other_bytes_are_not_bound_and_an_entry_is_bound_once(site: Site, name: str, staged: dict[str, str]) -> None:
    with pytest.raises(Conflict) as wrong:
        site.bind(name, 1, staged["1.0.0"], weights_digest="sha256:" + "9" * 64)
    assert wrong.value.code == "digest_mismatch"
    site.bind(name, 1, staged["1.0.0"])
    with pytest.raises(Conflict) as same:
        site.bind(name, 1, staged["1.0.0"])
    with pytest.raises(Conflict) as other:
        site.bind(name, 1, staged["1.1.0"])
    assert (same.value.code, other.value.code) == ("already_registered", "version_is_immutable")
    site.client().delete_registered_model(name)  # and made again: version 1 is another one now
    site.client().create_registered_model(name)
    site.client().create_model_version(name, "s3://elsewhere/1")
    assert "digest is unknown" in str(refused(lambda: site.client().set_registered_model_alias(name, "champion", "1")))


def test_two_clients_move_one_alias_and_one_of_them_learns_it(site: Site, name: str) -> None:
    client = site.client()
    client.set_registered_model_alias(name, "dev", "1")
    client.create_model_version(name, f"s3://b/{name}/3")
    token = site.tokens["ml_engineer"]
    for number in (2, 3):  # both looked while it named version 1
        move = MoveRegistryAlias(name=name, alias="dev", number=number, seen=1, check_seen=True)
        if number == 2:
            act(site.app, token, move)
        else:
            with pytest.raises(Conflict) as late:
                act(site.app, token, move)
            assert late.value.code == "alias_moved"
    assert site.client().get_registered_model(name).aliases == {"dev": "2"}
    assert site.denials("alias_moved")


def test_the_race_at_the_door_ends_in_one_word_per_client_and_no_half_state(site: Site, name: str) -> None:
    client = site.client()
    client.set_registered_model_alias(name, "dev", "1")
    headers, answers = {"Authorization": f"Bearer {site.tokens['ml_engineer']}"}, []
    start = threading.Barrier(4)

    def move(number: int) -> None:
        start.wait()
        body = {"name": name, "alias": "dev", "version": str(number % 2 + 1)}
        answers.append(requests.post(f"{site.url}/api/2.0/mlflow/registered-models/alias", json=body, headers=headers, timeout=20))

    threads = [threading.Thread(target=move, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {a.status_code for a in answers} <= {200, 409}
    assert any(a.status_code == 200 for a in answers)
    assert all(a.json()["error_code"] == "RESOURCE_CONFLICT" for a in answers if a.status_code == 409)
    assert client.get_registered_model(name).aliases["dev"] in ("1", "2")


def test_what_is_protected_is_said_by_a_rule_with_a_reason(site: Site, name: str) -> None:
    operator = site.tokens["operator"]
    with pytest.raises(Denied):
        act(site.app, site.tokens["data_scientist"], ProtectRegistryAliases(model=name, aliases=[], reason="mine"))
    for bad in (["a b"], ["*x"], ["x**"]):
        with pytest.raises(Malformed):
            act(site.app, operator, ProtectRegistryAliases(model=name, aliases=bad, reason="r"))
    with pytest.raises(Malformed):
        act(site.app, operator, ProtectRegistryAliases(model="*", aliases=[], reason="r"))
    act(site.app, operator, ProtectRegistryAliases(model=name, aliases=["live*"], reason="our word for it"))
    client = site.client()
    client.set_registered_model_alias(name, "champion", "1")
    refused(lambda: client.set_registered_model_alias(name, "live-eu", "1"))
    # a name under which the alias would be protected is no way around
    error = refused(lambda: client.rename_registered_model(name, f"{name}-2"))
    assert "there, alias `champion` is protected" in str(error)


def test_the_ledger_alone_gives_the_same_registry(site: Site, name: str) -> None:
    from jurat.domain.evolve import evolve
    from jurat.domain.state import MemoryState

    site.client().set_registered_model_alias(name, "dev", "2")
    state = MemoryState()
    for event in site.events():
        state.apply(evolve(state, event))
    with site.app.store.reading() as now:
        for row in (rows.RegistryModel, rows.RegistryVersion, rows.RegistryBinding, rows.RegistryProtection):
            assert state.find(row) == now.find(row)
            assert now.find(row)
