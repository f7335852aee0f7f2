"""`jurat gate` for people and for pipelines: exit codes, JUnit, SARIF, what is missing and who can do it."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import msgspec
import pytest
from tests.scenes.governed import NOW_NS, World, make_world
from tests.unit.cli.conftest import Jurat, Said
from tests.unit.domain.law import GATES, Law

from jurat.app.gate_check import Checked
from jurat.app.gate_reports import to_junit, to_sarif
from jurat.domain.values import Clause


@pytest.fixture
def world(tmp_path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("JURAT_WORKSPACE", "JURAT_TOKEN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    found = make_world(tmp_path / "w", "ml_engineer", "ml_lead", "business_analyst")
    law = Law()
    law.now_ns = NOW_NS - 3_600 * 10**9
    law.apply_gates(GATES)
    version = law.register()
    law.good(version)
    for table, rows in law.state.tables.items():
        if table not in ("principals", "grants", "policy_sets"):
            found.store.state.tables[table] |= rows
    return found


def test_a_pass_is_0_and_the_reports_say_so(jurat: Jurat, tmp_path) -> None:
    reports = ("--junit", str(tmp_path / "a.xml"), "--sarif", str(tmp_path / "a.sarif"))
    said = jurat("gate", "check", "churn@1.0.0", "staging", "--as", "ml_engineer", *reports, "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["verdict"] == "pass"
    suite = ET.fromstring((tmp_path / "a.xml").read_text()).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "0", "0")
    assert json.loads((tmp_path / "a.sarif").read_text())["runs"][0]["results"] == []


def test_not_enough_data_is_4_and_red_in_both_reports(jurat: Jurat, tmp_path) -> None:
    reports = ("--junit", str(tmp_path / "a.xml"), "--sarif", str(tmp_path / "a.sarif"))
    said = jurat("gate", "check", "churn@1.0.0", "production", "--as", "ml_engineer", *reports)
    assert said.code == 4
    suite = ET.fromstring((tmp_path / "a.xml").read_text()).find("testsuite")
    assert suite is not None
    assert int(suite.get("errors", "0")) == len(suite.findall("testcase/error")) == 4
    run = json.loads((tmp_path / "a.sarif").read_text())["runs"][0]
    assert {result["level"] for result in run["results"]} == {"error"}
    assert {result["ruleId"] for result in run["results"]} <= {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert len({result["partialFingerprints"]["jurat/v1"] for result in run["results"]}) == 4


def test_who_may_not_is_refused_and_no_report_is_left(jurat: Jurat, tmp_path) -> None:
    said = jurat("gate", "check", "churn@1.0.0", "staging", "--as", "business_analyst", "--junit", str(tmp_path / "a.xml"))
    assert said.code == 3
    assert not (tmp_path / "a.xml").exists()


@pytest.mark.parametrize(
    ("version", "stage", "code"), [("churn@9.9.9", "staging", 4), ("churn@1.0.0", "retired", 4), ("churn@1.0.0", "prod", 2)]
)
def test_what_does_not_exist(jurat: Jurat, version: str, stage: str, code: int) -> None:
    assert jurat("gate", "check", version, stage, "--as", "ml_engineer").code == code


def test_a_preview_says_what_is_missing_and_records_nothing(jurat: Jurat, world: World) -> None:
    before = len(world.store.events)
    said = jurat("gate", "preview", "churn@1.0.0", "production", "--as", "ml_engineer", "--json")
    assert said.code == 0, said.err
    steps = {step["condition"]: step for step in json.loads(said.out)["missing"]}
    assert steps["duration 48h"]["do"] == "jurat model promote churn@1.0.0 staging"
    assert steps["error_rate <= 0.1%"]["do"] == "jurat model soak churn@1.0.0"
    assert steps["approved by ml_lead, product_owner"]["do"] == "jurat request open churn@1.0.0 production"
    assert "is in staging" in steps
    assert len(world.store.events) == before
    assert jurat("gate", "preview", "churn@1.0.0", "production", "--as", "business_analyst").code in (3, 4)


def test_a_rule_in_cel_from_file_to_verdict(jurat: Jurat, world: World, tmp_path) -> None:
    """Applied, previewed, measured and checked by the command line; a file that cannot be read leaves the gates as they are."""
    gates = tmp_path / "gates.yaml"
    rule = "evidence.accuracy >= 0.85 && evidence.recall >= 0.8 || system.risk_tier == 'minimal'"

    def apply(cel: str) -> Said:
        ours = f'    - type: custom\n      name: ours\n      cel: "{cel}"\n  production:'
        gates.write_text(GATES.replace("  production:", ours))
        return jurat("gate", "apply", str(gates), "--reason", "our own rule", "--as", "operator")

    said = apply(rule.replace("recall", "recal"))
    assert said.code == 2
    assert "`cel` at line 1, column 38: `evidence.recal` is unknown" in said.err
    assert "did you mean `evidence.recall`?" in said.err
    assert jurat("gate", "check", "churn@1.0.0", "staging", "--as", "ml_engineer").code == 0  # by the gates that were there
    assert apply(rule).code == 0
    assert json.dumps(rule)[1:-1] in jurat("gate", "show", "--as", "ml_engineer").out
    said = jurat("gate", "check", "churn@1.0.0", "staging", "--as", "ml_engineer", "--json")
    assert said.code == 4
    (clause,) = [c for c in json.loads(said.out)["clauses"] if c["gate"] == "custom ours"]
    assert (clause["verdict"], clause["reason"]) == ("not_enough_data", "`recall` was not measured")
    (step,) = json.loads(jurat("gate", "preview", "churn@1.0.0", "staging", "--as", "ml_engineer", "--json").out)["missing"]
    assert (step["condition"], step["why"]) == (f"cel {rule}", "`recall` was not measured")
    assert step["do"].startswith("jurat model evaluate churn@1.0.0 ")
    assert apply("evidence.accuracy >= 0.85 && system.risk_tier != 'minimal' && version.stage == 'experiment'").code == 0
    said = jurat("gate", "check", "churn@1.0.0", "staging", "--as", "ml_engineer")
    assert said.code == 4
    assert "false where" in said.out
    assert apply("evidence.accuracy >= 0.85 && system.risk_tier != 'minimal' && version.stage == 'development'").code == 0
    assert jurat("gate", "check", "churn@1.0.0", "staging", "--as", "ml_engineer").code == 0


def checked(*clauses: Clause, required: list[bool] | None = None) -> Checked:
    return Checked(
        version="a@1.0.0", version_digest="sha256:" + "0" * 64, stage="staging", gate_file="sha256:" + "1" * 64, verdict="fail",
        clauses=list(clauses), required=required or [True] * len(clauses), missing=[], then="",
    )  # fmt: skip


def test_hostile_text_stays_text() -> None:
    nasty = Clause(gate="custom x", condition="a\x00<&>]]>\ud800", verdict="fail", found="\x1b[2J", reason='"/><failure>')
    raw = to_junit(checked(nasty))
    case = ET.fromstring(raw).find("testsuite/testcase")
    assert case is not None
    assert len(case) == 1
    clean = msgspec.structs.replace(nasty, condition="a<&>")
    assert json.loads(to_sarif(checked(clean)))["runs"][0]["results"][0]["message"]["text"].count("failure") == 1


def test_optional_conditions_are_told_and_are_not_red() -> None:
    clause = Clause(gate="bias_check", condition="c", verdict="fail", found="f", reason="r")
    suite = ET.fromstring(to_junit(checked(clause, required=[False]))).find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    assert json.loads(to_sarif(checked(clause, required=[False])))["runs"][0]["results"][0]["level"] == "warning"


def test_no_gates_are_not_green() -> None:
    assert ET.fromstring(to_junit(checked())).find("testsuite/testcase/error") is not None
