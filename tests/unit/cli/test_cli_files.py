"""What commands are told in files: strict, bounded, named by line, never half-taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.scenes.governed import World
from tests.unit.cli.conftest import Jurat

from jurat.cli.files import read_csv_facts, read_document
from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed, NotFound

SHEET = """\
purpose: decide on loans
source: our own records
collection_method: applications of 2024
licence: internal
known_biases: [few applicants under 25]
sensitive_columns: [age]
label: good
favourable_outcome: "yes"
"""


def test_a_data_set_is_registered_by_what_its_bytes_are(jurat: Jurat, world: World, tmp_path: Path) -> None:
    csv, sheet = tmp_path / "loans.csv", tmp_path / "sheet.yaml"
    csv.write_text("age,good\n30,yes\n41,no\n")
    sheet.write_text(SHEET)
    said = jurat("data", "register", "loans@v1", str(csv), "--sheet", str(sheet), "--as", "data_scientist")
    assert said.code == 0, said.err
    fact = world.store.events[-1].data
    assert (fact.rows, fact.columns, fact.digest) == (2, ["age", "good"], digest_bytes(csv.read_bytes()))
    assert "loans@v1" in jurat("data", "list", "--as", "data_scientist").out
    again = jurat("data", "register", "loans@v1", str(csv), "--sheet", str(sheet), "--as", "data_scientist")
    assert again.code == 4
    assert "conflict: " in again.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SHEET + "colour: red\n", "`colour`"),
        (SHEET.replace("label: good\n", ""), "`label`"),
        (SHEET + "label: again\n", "written twice"),
        (SHEET.replace("[age]", "age"), "`$.sensitive_columns`"),
        ("purpose: [unclosed", "line "),
        ("purpose: &a x\nsource: *a\n", "anchors and aliases"),
    ],
)
def test_a_wrong_sheet_changes_nothing_and_says_what_is_wrong(jurat: Jurat, world: World, tmp_path: Path, text: str, words: str) -> None:
    csv, sheet = tmp_path / "loans.csv", tmp_path / "sheet.yaml"
    csv.write_text("age,good\n30,yes\n")
    sheet.write_text(text)
    before = len(world.store.events)
    said = jurat("data", "register", "loans@v1", str(csv), "--sheet", str(sheet), "--as", "data_scientist")
    assert said.code == 2, said
    assert words in said.err
    assert len(world.store.events) == before


def test_gates_and_policies_that_do_not_stand_change_nothing(jurat: Jurat, world: World, tmp_path: Path) -> None:
    gates, folder = tmp_path / "gates.yaml", tmp_path / "policies"
    checks = "    - type: automated_tests\n      required: true\n      checks: [acuracy >= 0.8]\n"
    gates.write_text(f"deployment_gates:\n  staging:\n{checks}  production:\n{checks}")
    before = len(world.store.events)
    said = jurat("gate", "apply", str(gates), "--reason", "typo")
    assert said.code == 2
    assert "line 5" in said.err
    folder.mkdir()
    assert jurat("policy", "check", str(folder)).code == 2
    (folder / "schema.cedarschema").write_text("entity Person;")
    (folder / "x.cedar").write_text("permit (principal, action, resource)")
    assert jurat("policy", "apply", str(folder), "--reason", "broken").code == 2
    assert len(world.store.events) == before


def test_the_policies_in_force_can_be_taken_out_checked_and_found_unchanged(jurat: Jurat, tmp_path: Path) -> None:
    shown = json.loads(jurat("policy", "show", "--json").out)
    for name, text in shown["files"].items():
        (tmp_path / name).write_text(text)
    checked = json.loads(jurat("policy", "check", str(tmp_path), "--json").out)
    assert checked["digest"] == shown["digest"]
    assert "unchanged" not in jurat("policy", "check", str(tmp_path)).err
    said = jurat("policy", "apply", str(tmp_path), "--reason", "again")
    assert said.code == 4
    assert "already in force" in said.err


def test_csv_facts_refuse_what_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for raw in (b"", b"a,a\n1,2\n", b"a,b\n1\n", b"a,\xff\n1,2\n", b'a,"b\n'):
        path.write_bytes(raw)
        with pytest.raises(Malformed):
            read_csv_facts(path)
    with pytest.raises(NotFound):
        read_csv_facts(tmp_path / "none.csv")


def test_yaml_numbers_are_numbers_and_dates_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 3\nb: 0.5\nc: 2026-11-25\nd: true\ne: null\nf: '3'\n")
    assert read_document(path) == {"a": 3, "b": 0.5, "c": "2026-11-25", "d": True, "e": None, "f": "3"}
    path.write_text("a: 0x1F\n")
    with pytest.raises(Malformed, match="line 1"):
        read_document(path)
