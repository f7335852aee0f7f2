"""A policy set is whole and validated, or it is not loaded."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from jurat.core.errors import Malformed
from jurat.policy.engine import Engine, Request
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources, load_default_policies

SCHEMA = default_sources()[SCHEMA_NAME]
GOOD = '@id("good") permit (principal in Role::"auditor", action == Action::"model:read", resource in Models::"prod");'


def load(text: str, name: str = "a.cedar") -> PolicySet:
    return PolicySet.load({"good.cedar": GOOD, name: text}, SCHEMA)


BAD = {  # fault: (the policy, words that must be said)
    "no_id": ('permit (principal in Role::"auditor", action, resource);', "policy 1 of `a.cedar` has no `@id`"),
    "empty_id": ('@id("") permit (principal in Role::"auditor", action, resource);', "has no `@id`"),
    "id_with_spaces": ('@id("A b") permit (principal in Role::"auditor", action, resource);', '@id("A b")'),
    "id_twice": (GOOD, "policy `good` in `good.cedar` has the same name as one in `a.cedar`"),
    "not_cedar": ("allow everything please", "`a.cedar` cannot be read"),
    "template": ('@id("t") permit (principal == ?principal, action, resource);', "holds a template"),
    "misspelt_role": ('@id("x") permit (principal in Role::"ml_enginer", action, resource);', "policy `x` does not fit the schema"),
    "misspelt_folder": (
        '@id("x") permit (principal in Role::"auditor", action == Action::"model:read", resource in Models::"prd");', "`x`",
    ),
    "misspelt_action": ('@id("x") permit (principal in Role::"auditor", action == Action::"model:raed", resource);', "`x`"),
    "folder_of_another_kind": (
        '@id("x") permit (principal in Role::"auditor", action == Action::"model:read", resource in Data::"training");', "`x`",
    ),
    "attribute_that_may_be_missing": (
        '@id("x") permit (principal in Role::"auditor", action == Action::"data:read", resource) when { context.purpose == "a" };', "`x`",
    ),
    "unknown_attribute": ('@id("x") permit (principal, action == Action::"data:read", resource) when { resource.colour == "a" };', "`x`"),
    "everything_to_everyone": ('@id("x") permit (principal, action, resource);', "permits everything to everyone"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_a_fault_is_refused_by_name(fault: str) -> None:
    text, says = BAD[fault]
    with pytest.raises(Malformed) as refused:
        load(text)
    assert says in refused.value.detail
    assert refused.value.hint


@pytest.mark.parametrize("name", ["../a.cedar", "a.txt", "A.cedar", "a\n.cedar", ".cedar", "a b.cedar", SCHEMA_NAME])
def test_a_file_name_that_could_confuse_the_digest_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        load(GOOD.replace("good", "other"), name)


def test_a_schema_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(Malformed, match=r"`schema\.cedarschema` cannot be read"):
        PolicySet.load({"good.cedar": GOOD}, "entity;")


def test_a_huge_set_is_refused() -> None:
    with pytest.raises(Malformed, match="larger than"):
        load("//" + "x" * 2_000_000)


def test_the_digest_changes_with_every_byte_name_and_the_schema() -> None:
    digest = load(GOOD.replace("good", "other")).digest
    assert digest == load(GOOD.replace("good", "other")).digest
    assert digest != load(GOOD.replace("good", "other") + " ").digest
    assert digest != load(GOOD.replace("good", "other"), "b.cedar").digest
    assert digest != PolicySet.load({"good.cedar": GOOD, "a.cedar": GOOD.replace("good", "other")}, SCHEMA + "// x\n").digest


def test_anyone_can_compute_the_digest_with_sha256sum(tmp_path: Path) -> None:
    for name, text in default_sources().items():
        (tmp_path / name).write_text(text)
    command = "sha256sum *.cedar schema.cedarschema | LC_ALL=C sort -k2 | sha256sum"
    shown = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    assert load_default_policies().digest == "sha256:" + shown.split()[0]


def test_a_set_knows_its_roles_actions_and_sources() -> None:
    shipped = load_default_policies()
    assert {"data_scientist", "ml_lead", "product_owner", "operator", "prediction_client"} <= shipped.roles
    assert {"model:promote", "prediction:request", "ledger:prove"} <= shipped.actions
    assert dict(shipped.sources) == dict(sorted(default_sources().items()))
    assert hashlib.sha256(shipped.sources[SCHEMA_NAME].encode()).hexdigest() != shipped.digest


def test_an_action_group_admits_its_members() -> None:
    schema = """
        entity Role enum ["reader"]; entity Models enum ["prod"];
        entity Person, Service, Agent, Process in [Role] { id: String };
        entity Model in [Models] { name: String, version?: String };
        action "look"; action "gaze" in ["look"];
        action "model:read" in ["gaze"] appliesTo { principal: [Person], resource: [Model] };
        action "model:write" appliesTo { principal: [Person], resource: [Model] };
    """
    grouped = '@id("g") permit (principal in Role::"reader", action in [Action::"look"], resource);'
    asked = Engine(PolicySet.load({"a.cedar": grouped}, schema))

    def may(action: str) -> bool:
        return asked.decide(Request("prn_1", "person", frozenset({"reader"}), action, "models/prod/m")).is_allowed

    assert may("model:read")
    assert not may("model:write")
