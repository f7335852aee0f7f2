"""Errors as words and exit codes, data on stdout, talk on stderr, JSON on demand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from tests.scenes.governed import World
from tests.unit.cli.conftest import Jurat

from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.cli.show import show_table
from jurat.core import errors


def test_a_refusal_names_reason_hint_and_record(jurat: Jurat, world: World) -> None:
    said = jurat("principal", "register", "Bo", "--as", "business_analyst")
    assert said.code == 3
    assert said.out == ""
    first, hint, recorded = said.err.splitlines()
    who = f"Business_Analyst (…{world.ids['business_analyst'][-6:]})"
    assert first.startswith(f"denied: {who} may not `principal:register`")
    assert hint.startswith("  hint: ")
    assert recorded == f"  recorded as {world.store.events[-1].id}"


def test_a_refusal_as_json_is_the_problem_of_the_api(jurat: Jurat, world: World) -> None:
    said = jurat("--json", "principal", "register", "Bo", "--as", "business_analyst")
    assert said.code == 3
    assert said.out == ""
    problem = json.loads(said.err)
    assert problem["code"] == "policy_denied"
    assert problem["status"] == 403
    assert problem["event"] == world.store.events[-1].id


@pytest.mark.parametrize("family", errors.JuratError.__subclasses__())
def test_every_family_keeps_its_exit_code(world: World, capsys: pytest.CaptureFixture[str], family: type[errors.JuratError]) -> None:
    def refuse(_workspace: object) -> object:
        raise family("no such luck", hint="try later", **({"retry_after_s": 1.0} if family is errors.Exhausted else {}))

    code = run(["model", "list"], Session(workspace_given=str(world.app.workspace.root), opener=refuse))  # type: ignore[arg-type]
    assert code == family.exit_code
    assert capsys.readouterr().err == f"{family.family.replace('_', ' ')}: no such luck\n  hint: try later\n"


def test_a_fault_of_ours_is_opaque_unless_debugging(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def break_down(_workspace: object) -> object:
        raise RuntimeError("the secret is 4711")

    session = Session(workspace_given=str(world.app.workspace.root), opener=break_down)  # type: ignore[arg-type]
    assert run(["model", "list"], session) == 1
    err = capsys.readouterr().err
    assert re.search(r"`err_[0-9a-f]{12}`", err)
    assert "4711" not in err
    assert "Traceback" not in err
    assert run(["model", "list", "--debug"], session) == 1
    assert "4711" in capsys.readouterr().err


def test_ctrl_c_is_not_an_error_of_ours(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_workspace: object) -> object:
        raise KeyboardInterrupt

    assert run(["model", "list"], Session(workspace_given=str(world.app.workspace.root), opener=interrupt)) == 130  # type: ignore[arg-type]
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["model", "nothing"], ["model", "promote"], ["role", "grant", "x", "y"], ["events", "--limit", "0"]]
)
def test_a_call_that_cannot_be_read_says_so_like_everything_else(jurat: Jurat, arguments: list[str]) -> None:
    said = jurat(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("malformed: ")
    assert not said.err.splitlines()[0].endswith(".")
    assert "--help`" in said.err


def test_a_list_is_plain_in_a_pipe_and_whole_in_json(jurat: Jurat, world: World) -> None:
    said = jurat("principal", "list")
    assert said.code == 0
    assert said.err == ""
    title, *lines = said.out.splitlines()
    assert title.split() == ["principal", "name", "type", "answered", "for", "by", "state"]
    assert len(lines) == len(world.ids)
    assert f"{world.ids['operator']}  Operator" in said.out
    assert not re.search(r"[\x1b│─┃]", said.out)
    found = json.loads(jurat("principal", "list", "--json").out)
    assert {row["principal"] for row in found} == set(world.ids.values())


def test_an_empty_list_is_said_aloud_and_prints_nothing(jurat: Jurat) -> None:
    said = jurat("system", "list")
    assert (said.code, said.out, said.err) == (0, "", "no system is registered\n")
    assert jurat("system", "list", "--json").out == "[]\n"


def test_people_are_found_by_name_and_shown_by_name(jurat: Jurat, world: World) -> None:
    made = json.loads(jurat("principal", "register", "Ada Lovelace", "--json").out)
    granted = jurat("role", "grant", "Ada Lovelace", "data_scientist", "--reason", "joined the team", "--for", "30d")
    assert granted.code == 0, granted.err
    shown = jurat("role", "list", "--principal", "Ada Lovelace").out
    assert f"Ada Lovelace (…{made['principal'][-6:]})" in shown
    assert "2025-12-24 16:00:00 UTC" in shown
    said = jurat("role", "grant", "Nobody", "data_scientist", "--reason", "x")
    assert said.code == 4
    assert "nobody" in said.err


def test_names_are_not_shown_to_those_who_may_not_see_them(jurat: Jurat, world: World) -> None:
    jurat(
        "system", "register", "credit", "--purpose", "loans", "--owner", world.ids["operator"], "--risk", "high", "--affected", "applicants"
    )
    said = jurat("system", "list", "--as", "product_owner")
    assert said.code == 0, said.err
    assert world.ids["operator"] in said.out
    assert "Operator" not in said.out


def test_text_from_elsewhere_cannot_move_the_cursor(jurat: Jurat, world: World) -> None:
    wild = "loans\x1b[2J\x1b]0;owned\x07"
    said = jurat("system", "register", "credit", "--purpose", wild, "--owner", world.ids["operator"], "--risk", "high", "--affected", "x")
    assert said.code == 0, said.err
    assert "\x1b" not in jurat("system", "list").out


def test_a_read_of_training_data_by_an_analyst_is_refused_and_recorded(jurat: Jurat, world: World) -> None:
    said = jurat("data", "read", "loans@v1", "--purpose", "curiosity", "--as", "business_analyst")
    assert said.code == 3
    assert world.store.events[-1].kind.name == "act.denied.v1"
    assert world.store.events[-1].id in said.err


def test_whoever_stops_reading_is_no_fault_of_ours() -> None:
    code = "from jurat.cli.main import main; main(['--help'])"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == 0
    assert done.stderr == b""


def test_a_terminal_gets_a_table_whose_ids_are_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Session, "on_terminal", property(lambda _self: True))
    monkeypatch.setenv("COLUMNS", "40")
    ids = [f"evt_{'0' * 25}{n}" for n in range(3)]
    lines = [[i, "credit@1.0.0", "Ada Lovelace", "because of this and that and much else besides", "development"] for i in ids]
    show_table(Session(), ["event", "version", "by", "why", "stage"], lines, empty="")
    out = capsys.readouterr().out
    for line, i in zip([line for line in out.splitlines() if "evt_" in line], ids, strict=True):
        assert line.split()[:4] == [i, "credit@1.0.0", "Ada", "Lovelace"]
        assert line.split()[-1] == "development"
    assert "\x1b" not in out


def test_a_name_that_two_bear_is_no_name(jurat: Jurat, world: World) -> None:
    for _ in range(2):
        assert jurat("principal", "register", "Ada Lovelace").code == 0
    before = len(world.store.events)
    said = jurat("role", "grant", "Ada Lovelace", "data_scientist", "--reason", "joined")
    assert said.code == 4
    assert "more than one principal" in said.err
    assert len(world.store.events) == before
