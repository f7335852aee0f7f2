"""Access in a real workspace: real PostgreSQL, real ledger, the real command line; only the clock of the law is moved by hand.

One story, because a workspace costs seconds: asked and approved, glass broken, tagged, reviewed, drilled; then a review of access
by what the ledger says, and silence. What holds afterwards is what a rebuild finds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jurat.app.admit import admit, new_token
from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.refold import compare_state
from jurat.app.timekeeper import tick
from jurat.app.walk import act
from jurat.app.wiring import App, open_app
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.ids import new_id
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.domain.commands import GrantRole, ReadRecords, RegisterPrincipal
from jurat.domain.events import decode_event
from jurat.domain.roles import expiry, roles_held
from jurat.domain.values import PrincipalType
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file
from jurat.ledger.prove import verify_evidence
from jurat.policy.policyset import default_sources, default_tests

DAY_NS = 86_400 * 10**9
CAST = {"ada": "data_scientist", "ben": "ml_engineer", "cleo": "ml_lead", "fay": "compliance_officer", "gil": "business_analyst"}


class MovedClock:
    """The system's time, and what was added to it."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.ahead_ns = inner, 0

    def now_ns(self) -> int:
        return int(self.inner.now_ns()) + self.ahead_ns


Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    root = tmp_path_factory.mktemp("access") / "w"
    init_workspace(root, throwaway=True)
    try:
        with open_app(Workspace(root), throwaway=True) as app:
            app.clock = MovedClock(app.clock)  # type: ignore[assignment]
            operator = (root / "credentials" / "operator.token").read_text().strip()
            for name, role in CAST.items():
                who = act(app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name=name.title())).reply["principal"]
                ends = expiry(app.clock.now_ns(), 300 * 86_400)
                act(app, operator, GrantRole(principal=who, role=role, reason="test", expires_at=ends))
                outlive_the_story(app, name, who)
            with app.store.reading() as state:
                outlive_the_story(app, "operator", admit(state, state.vault, operator, app.clock.now_ns()).principal)
            yield app
    finally:
        with contextlib.suppress(Exception):
            remove_workspace(root)


def outlive_the_story(app: App, name: str, who: str) -> None:
    """Give somebody a token that no act would: the story takes two months, and is not about tokens."""
    token, token_hash = new_token()
    with app.store.transaction() as tx:
        ends = datetime(2099, 1, 1, tzinfo=UTC)
        tx.vault.put_token(token_hash, token_id=new_id("tok", app.clock), principal=who, chain=[who], expires_at=ends)
    path = app.workspace.credentials / f"{name}.token"
    path.write_text(token + "\n")
    path.chmod(0o600)


@pytest.fixture
def cli(house: App, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run one command as somebody; return what it printed as JSON, or the refusal's code."""

    def call(who: str, *arguments: str) -> Any:
        capsys.readouterr()
        session = Session(workspace_given=str(house.workspace.root), opener=lambda _workspace: contextlib.nullcontext(house))
        run(["--as", who, "--json", *arguments], session)
        out, err = capsys.readouterr()
        return json.loads(out) if out else json.loads(err.splitlines()[-1])["code"]  # a plan whose tests fail is told, and exits 5

    return call


def person(app: App, who: str) -> str:
    with app.store.reading() as state:
        return {p.name.lower(): p.principal for p in state.vault.people()}[who]


def test_access_is_asked_for_given_and_over(house: App, cli: Cli) -> None:
    asked = cli("gil", "access", "request", "ml_engineer", "--on", "models/prod/", "--for", "2h", "--reason", "OPS-7")
    assert asked["approvers"] == ["ml_lead"]
    assert cli("ben", "access", "show", asked["request"]) == "not_found", "who may not see it, for them it is not there"
    assert cli("gil", "access", "approve", asked["request"], "--shown", asked["shown_digest"]) == "policy_denied"
    assert cli("fay", "access", "approve", asked["request"], "--shown", asked["shown_digest"]) == "role_required"
    shown = cli("cleo", "access", "show", asked["request"])
    given = cli("cleo", "access", "approve", asked["request"], "--shown", shown["shown_digest"])
    assert len(given["events"]) == 2
    gil = person(house, "gil")
    with house.store.reading() as state:
        assert roles_held(state, gil, "models/prod/x@1.0.0", house.clock.now_ns()) == {"business_analyst", "ml_engineer"}
        ends = max(g.expires_at or "" for g in state.find(rows.Grant, principal=gil, role="ml_engineer"))
    house.clock.ahead_ns += 7_201 * 10**9  # type: ignore[attr-defined]
    with house.store.reading() as state:
        assert roles_held(state, gil, "models/prod/x@1.0.0", house.clock.now_ns()) == {"business_analyst"}
    assert cli("operator", "access", "ends") == {"live": len(CAST) + 3, "live_past_end": 0, "ended_unwritten": 1}
    (event,) = tick(house).ended
    house.settle()
    stored = house.events.find(event)
    assert stored is not None
    fact = decode_event(stored.raw)
    assert (fact.kind.name, fact.data.ended_at, fact.actor.type) == ("role.expired.v1", ends, "process")  # type: ignore[attr-defined]
    assert tick(house).ended == []


def test_a_change_of_policies_is_put_to_what_people_did(house: App, cli: Cli, tmp_path: Path) -> None:
    for name, text in default_sources().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "tests").mkdir()
    for name, text in default_tests().items():
        (tmp_path / "tests" / name).write_text(text)
    asked = len(list(house.events.scan(kinds=["access.requested.v1"])))
    same = cli("operator", "policy", "plan", str(tmp_path))["replay"]
    assert same["acts"] == same["same"] > 0
    (tmp_path / "own.cedar").write_text('@id("own.closed") forbid (principal, action == Action::"access:request", resource);\n')
    for arguments in (("diff", str(tmp_path), "--against", "30d"), ("plan", str(tmp_path), "--against", "30d")):
        denied = cli("operator", "policy", *arguments)["replay"]["newly_denied"]
        assert (denied["acts"], denied["policies"]) == (asked, {"own.closed": asked})
        assert denied["principals"] == {person(house, "gil"): asked}
        assert [e["principal"] for e in denied["examples"]] == [person(house, "gil")] * min(3, asked)
    assert cli("operator", "policy", "diff", str(tmp_path), "--against", "never") == "malformed"


def test_glass_is_broken_tagged_reviewed_and_only_then_broken_again(house: App, cli: Cli) -> None:
    said = ("break-glass", "ml_engineer", "--on", "models/prod/", "--reason", "wrong answers", "--ticket", "INC-12")
    broken = cli("ada", *said)
    assert set(broken["told"]) == {person(house, "cleo"), person(house, "fay"), person(house, "operator")}
    assert broken["skipped"] == [person(house, "cleo")]
    (notice,) = cli("cleo", "inbox", "list")
    assert notice["about"] == broken["glass"]
    assert cli("cleo", "inbox", "read", notice["notice"])
    assert cli("cleo", "inbox", "list") == []
    assert cli("ada", "events", "--limit", "1") == "policy_denied"
    cli("fay", "events", "--limit", "1")  # somebody else's act, in the same minutes
    cli("ada", "glass", "close", broken["glass"])
    window = cli("fay", "glass", "show", broken["glass"])
    assert {a["principal"] for a in window["acts"]} == {person(house, "ada")}
    assert "act.denied.v1" in {a["kind"] for a in window["acts"]}, "a refusal in the window is an act in it"
    assert cli("ada", *said) == "review_pending"
    word = ("glass", "review", broken["glass"], "justified", "--comment", "read them")
    assert cli("fay", *word, "--shown", "sha256:" + "0" * 64) == "shown_changed"
    assert cli("ada", *word, "--shown", window["shown_digest"]) == "policy_denied"
    assert cli("cleo", *word, "--shown", window["shown_digest"]) == "role_required"
    assert cli("fay", *word, "--shown", window["shown_digest"])["events"]
    assert cli("ada", *said)["glass"] != broken["glass"]


def test_a_window_that_nobody_closes_is_over_and_written_down(house: App, cli: Cli) -> None:
    (open_one,) = [g for g in cli("fay", "glass", "list") if not g["closed_at"]]
    house.clock.ahead_ns += 3_601 * 10**9  # type: ignore[attr-defined]
    ada = person(house, "ada")
    with house.store.reading() as state:
        assert roles_held(state, ada, "models/prod/x@1.0.0", house.clock.now_ns()) == {"data_scientist"}
    assert len(tick(house).ended) == 1
    (closed,) = [g for g in cli("fay", "glass", "list") if g["glass"] == open_one["glass"]]
    assert closed["closed_at"] == open_one["expires_at"]
    house.clock.ahead_ns += 73 * 3_600 * 10**9  # type: ignore[attr-defined]
    assert cli("ada", "access", "request", "ml_engineer", "--on", "models/dev/", "--reason", "x") == "policy_denied", "a review is overdue"
    shown = cli("fay", "glass", "show", open_one["glass"])
    cli("fay", "glass", "review", open_one["glass"], "justified", "--comment", "ok", "--shown", shown["shown_digest"])
    assert "request" in cli("ada", "access", "request", "ml_engineer", "--on", "models/dev/", "--reason", "x")


def test_a_drill_is_measured_and_its_report_verifies_offline(house: App, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "drill.json"
    said = (
        "break-glass",
        "ml_engineer",
        "--on",
        "models/prod/",
        "--reason",
        "drill of May",
        "--ticket",
        "DR-5",
        "--drill",
        "-o",
        str(file),
    )
    told = cli("ada", *said)
    if told == "policy_denied":  # whoever may not take proofs hands the event to an auditor
        (drill,) = [g for g in cli("fay", "glass", "list") if g["drill"]]
        (event,) = cli("fay", "events", "--kind", "drill.reported.v1")["events"]
        assert event["event"]["data"]["glass"] == drill["glass"]
        told = {"event": event["event_id"], "report": event["event"]["data"]}
        assert cli("fay", "prove", event["event_id"], "-o", str(file)) is not None
    report = told["report"]
    assert 0 < report["to_access_s"] < 20
    assert 0 < report["to_revoke_s"] < 20
    assert set(report["to_notify_s"]) == {person(house, "cleo"), person(house, "fay"), person(house, "operator")}
    keys = load_log_keys(log_keys_file(house.workspace.keys))
    proved = verify_evidence(file.read_bytes(), keys)
    assert proved.kind == "drill.reported.v1"
    assert proved.event["data"]["to_access_s"] == report["to_access_s"]
    with house.store.reading() as state:
        assert roles_held(state, person(house, "ada"), "models/prod/x@1.0.0", house.clock.now_ns()) == {"data_scientist"}


def test_access_is_reviewed_by_what_the_ledger_says(house: App, cli: Cli) -> None:
    token = (house.workspace.credentials / "fay.token").read_text().strip()
    for _ in range(3):
        act(house, token, ReadRecords(question="events", subject="everything", as_of={}))
    house.clock.ahead_ns += 10 * DAY_NS  # type: ignore[attr-defined]
    found = cli("fay", "review", "unused")
    by = {(i["principal"], i["role"]): i for i in found["items"]}
    fay, gil, operator = person(house, "fay"), person(house, "gil"), person(house, "operator")
    assert by[fay, "compliance_officer"]["uses"] >= 3
    assert by[fay, "compliance_officer"]["needed"] >= 3, "nothing else would have let her read"
    assert by[fay, "compliance_officer"]["proposal"] == "keep"
    assert by[gil, "business_analyst"]["uses"] == 0
    assert "too lately" in by[gil, "business_analyst"]["why"]
    assert by[operator, "operator"]["uses"] >= 10
    never = sum(not i["uses"] for i in found["items"])
    assert found["share"] == f"{round(100 * never / len(found['items']))} % ({never} of {len(found['items'])})"

    house.clock.ahead_ns += 20 * DAY_NS  # type: ignore[attr-defined]
    assert by[gil, "business_analyst"]["grant"] in {
        i["grant"] for i in cli("fay", "review", "unused")["items"] if i["proposal"] == "remove"
    }
    assert len(tick(house).opened) >= 2, "a month is over: the clock opens one, and tells the deciders"
    (review,) = cli("fay", "review", "list")
    assert review["opened_by"] != operator
    mine = cli("operator", "review", "show", review["review"], "--mine")
    assert {a["item"]["principal"] for a in mine} >= {fay, gil}
    assert cli("operator", "review", "answer", review["review"], by[fay, "compliance_officer"]["grant"], "keep", "--reason", "she audits")
    assert cli("fay", "review", "answer", review["review"], by[operator, "operator"]["grant"], "keep", "--reason", "x") == "not_yours"
    house.clock.ahead_ns += 13 * DAY_NS  # type: ignore[attr-defined]
    assert len(tick(house).reviews) >= 1, "a reminder"
    assert tick(house).reviews == []
    house.clock.ahead_ns += 2 * DAY_NS  # type: ignore[attr-defined]
    with house.store.reading() as state:
        assert not roles_held(state, gil, "workspace", house.clock.now_ns()), "silence, and no clock has run"
        assert roles_held(state, fay, "workspace", house.clock.now_ns()) == {"compliance_officer"}
    tick(house)
    report = cli("fay", "review", "report", review["review"])
    answers = {line["grant"]: line["answer"] for line in report["lines"]}
    assert answers[by[fay, "compliance_officer"]["grant"]] == "keep"
    assert answers[by[gil, "business_analyst"]["grant"]] == "removed by silence"
    assert report["live_past_end"] == 0
    assert {e["kind"] for e in report["events"]} == {"review.opened.v1", "review.answered.v1", "review.closed.v1"}
    assert all(house.events.find(e["event"]) is not None and "#" in e["place"] for e in report["events"])


def test_what_holds_is_what_the_ledger_says(house: App) -> None:
    token = (house.workspace.credentials / "fay.token").read_text().strip()
    assert compare_state(house, token) == []
