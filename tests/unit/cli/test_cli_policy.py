"""`jurat policy` and `jurat access why` as they are typed: folders, tests, two people, answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Jurat, World

from jurat.policy.policyset import SCHEMA_NAME, default_sources, default_tests

OWN = '@id("own.closed")\n@reason("closed for now")\nforbid (\n    principal,\n    action == Action::"data:write",\n    resource\n);\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "policies"
    (found / "tests").mkdir(parents=True)
    for name, text in default_sources().items():
        (found / name).write_text(text)
    for name, text in default_tests().items():
        (found / "tests" / name).write_text(text)
    return found


def test_the_shipped_policies_pass_their_own_tests(jurat: Jurat, folder: Path) -> None:
    said = jurat("policy", "test", str(folder), "--json")
    found = json.loads(said.out)
    assert said.code == 0
    assert found["failures"] == []
    assert found["cases"] > 100
    assert found["coverage"]["house.purpose_of_data"] > 0
    assert found["mutation"] is None


def test_a_test_that_does_not_hold_says_where_and_what(jurat: Jurat, folder: Path) -> None:
    (folder / "own.cedar").write_text('@id("own.open") permit (principal, action == Action::"data:read", resource);\n')
    said = jurat("policy", "test", str(folder))
    assert said.code == 2
    assert "house_tests.yaml:" in said.out
    assert "deny" in said.out
    assert "allow by own.open" in said.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "tests:\n  - name: x\n    action: model:sell\n    resource: workspace\n    expect: deny\n",
            "line 3: `model:sell` is none of the acts",
        ),
        ("tests:\n  - name: x\n    action: policy:read\n    resource: nowhere/x\n    expect: deny\n", "line 4"),
        ("tests:\n  - name: x\n    roles: [boss]\n    action: policy:read\n    resource: workspace\n    expect: deny\n", "`boss`"),
        ("tests:\n  - name: x\n    action: policy:read\n    resource: workspace\n    expect: maybe\n", "expected `allow` or `deny`"),
        ("tests:\n  - name: x\n    action: policy:read\n    resource: workspace\n    expect: deny\n    when: noon\n", "unknown key `when`"),
        ("tests: []\n", "empty"),
    ],
)
def test_a_test_file_that_makes_no_sense_is_refused_with_its_line(jurat: Jurat, folder: Path, text: str, words: str) -> None:
    (folder / "tests" / "own.yaml").write_text(text)
    said = jurat("policy", "test", str(folder))
    assert said.code == 2
    assert "own.yaml" in said.err
    assert words in said.err


def test_layout(jurat: Jurat, folder: Path) -> None:
    (folder / "own.cedar").write_text(
        '// why\n@id("own.closed") @reason("closed for now") forbid(principal,action==Action::"data:write",resource);'
    )
    before = json.loads(jurat("policy", "check", str(folder), "--json").out)["policies"]
    assert jurat("policy", "fmt", str(folder), "--check").code == 2
    assert jurat("policy", "fmt", str(folder)).code == 0
    assert jurat("policy", "fmt", str(folder), "--check").code == 0
    text = (folder / "own.cedar").read_text()
    assert text.startswith("// why\n")
    assert json.loads(jurat("policy", "check", str(folder), "--json").out)["policies"] == before


def test_nothing_is_laid_out_if_one_file_cannot_be_read(jurat: Jurat, folder: Path) -> None:
    (folder / "a.cedar").write_text('@id("a") permit(principal,action==Action::"data:write",resource);')
    (folder / "b.cedar").write_text("permit (")
    assert jurat("policy", "fmt", str(folder)).code == 2
    assert (folder / "a.cedar").read_text().startswith('@id("a") permit(principal,')


def test_a_difference_is_of_what_is_said(jurat: Jurat, folder: Path) -> None:
    (folder / "auditor.cedar").write_text("// another comment\n" + (folder / "auditor.cedar").read_text().replace("  ", " "))
    assert "both say the same" in jurat("policy", "diff", str(folder)).err
    (folder / "own.cedar").write_text(OWN)
    assert jurat("policy", "diff", str(folder)).out == "+ own.closed\n"
    found = json.loads(jurat("policy", "diff", str(folder), "--json").out)
    assert found["difference"]["added"] == ["own.closed"]


def test_a_change_as_it_is_typed(jurat: Jurat, world: World, folder: Path) -> None:
    (folder / "own.cedar").write_text(OWN)
    asked: dict[str, Any] = json.loads(jurat("policy", "apply", str(folder), "--reason", "closed", "--json").out)
    shown = jurat("policy", "changes", asked["request"])
    assert "+ own.closed" in shown.out
    assert asked["shown_digest"] in shown.err
    said = jurat("policy", "approve", asked["request"], "--shown", asked["shown_digest"])
    assert said.code == 3  # the operator asked, and may not
    assert json.loads(jurat("policy", "changes", "--json").out)[0]["status"] == "waiting_for_approval"


def test_why_as_it_is_typed(jurat: Jurat, world: World, folder: Path) -> None:
    analyst = world.ids["business_analyst"]
    said = jurat("access", "why", analyst, "data:read", "data/training/loans@v5", "--purpose", "retrain")
    assert said.code == 0
    assert "would be allowed with the role `data_scientist`" in said.out
    assert "`data_scientist` is held by Data_Scientist" in said.out
    found = json.loads(jurat("access", "who-can", "endpoint:read", "endpoints/credit", "--json").out)
    assert {each["principal"] for each in found["found"]} == {analyst, world.ids["operator"]}
    first = jurat("access", "who-can", "endpoint:read", "endpoints/credit", "--limit", "1")
    assert "there is more: --after" in first.err
    by_name = jurat("access", "what-can", "Business_Analyst")
    assert "session:open" in by_name.out
    assert "Business_Analyst (…" in by_name.out
    assert "principals/prn_" not in by_name.out
    assert jurat("access", "why", "Business_Analyst", "data:read", "data/training/loans@v5").code == 0
    (folder / "own.cedar").write_text('@id("own.open") permit (principal, action == Action::"output:read", resource);\n')
    other = jurat("access", "why", analyst, "output:read", "data/production/x", "--with", str(folder), "--json")
    assert json.loads(other.out)["effect"] == "allow"
    assert json.loads(jurat("access", "why", analyst, "output:read", "data/production/x", "--json").out)["effect"] == "deny"
    assert jurat("access", "why", analyst).code == 2
    assert SCHEMA_NAME in default_sources()
