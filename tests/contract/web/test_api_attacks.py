"""Attacks through the API, with the real database behind it: forged and ended tokens, borrowed rights, tricks with paths, races.

A test's name begins with the rule of the house that it keeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.contract.web.conftest import Live
from tests.scenes.asgi_client import Reply, call
from tests.unit.domain.law import HELD_OUT, dataset, version_command

from jurat.app.evaluator import evaluator_for
from jurat.app.walk import act, act_as
from jurat.domain import commands, rows
from jurat.domain.events import decode_event
from jurat.domain.roles import expiry
from jurat.domain.values import Metric, RiskTier
from jurat.store.connect import attach_database
from jurat.store.rebuild import STATE_KINDS, compare
from jurat.store.store import Store
from jurat.web.asgi import make_asgi

GATES = """
deployment_gates:
  staging:
    - {type: automated_tests, required: true, checks: [accuracy >= 0.5]}
  production:
    - {type: human_approval, required: true, approvers: [{role: ml_lead}, {role: product_owner}]}
"""


class Api:
    """The API, and what an operator needs to make people."""

    def __init__(self, live: Live) -> None:
        self.live, self.app, self.operator = live, make_asgi(live.app), live.tokens["operator"]

    def post(self, path: str, token: str, **body: Any) -> Reply:
        return call(self.app, "POST", f"/api/v1{path}", token=token, body=body)

    def get(self, path: str, token: str) -> Reply:
        return call(self.app, "GET", f"/api/v1{path}", token=token)

    def done(self, path: str, token: str = "", **body: Any) -> dict[str, Any]:
        reply = self.post(path, token or self.operator, **body)
        assert reply.status == 200, reply.body
        found: dict[str, Any] = reply.json()["data"]
        return found

    def join(self, *roles: str, lifetime_s: float = 600.0, **principal: Any) -> tuple[str, str]:
        """Make a principal with roles; return its id and its token."""
        who = self.done("/principals", **{"type": "person", "name": "somebody", **principal})["reply"]["principal"]
        for role in roles:
            self.grant(who, role)
        return who, self.done(f"/principals/{who}/tokens", lifetime_s=lifetime_s)["reply"]["token"]

    def grant(self, who: str, role: str, *, scope: str = "*", seconds: float = 600.0) -> str:
        ends = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        events = self.done(f"/principals/{who}/roles", role=role, reason="test", expires_at=ends, scope=scope)["events"]
        grant: str = events[0]["data"]["grant"]
        return grant

    def may_register(self, token: str) -> int:
        return self.post("/principals", token, type="person", name="another").status


@pytest.fixture(scope="module")
def api(live: Live) -> Api:
    return Api(live)


def together(count: int, do: Callable[[], Reply]) -> list[Reply]:
    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(do) for _ in range(count)]]


FORGED: dict[str, Callable[[str], str]] = {
    "another last letter": lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
    "in capitals": str.upper,
    "padded": lambda token: token + "=",
    "zeros": lambda token: "jrt_" + "0" * 43,
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_rule_10_a_forged_token_is_nobody(api: Api, forge: Callable[[str], str]) -> None:
    assert api.may_register(forge(api.operator)) == 401


def test_rule_3_a_token_ends_by_the_clock(api: Api) -> None:
    who, token = api.join("operator")
    short = api.done(f"/principals/{who}/tokens", lifetime_s=1.0)["reply"]["token"]
    assert (api.may_register(token), api.may_register(short)) == (200, 200)
    time.sleep(1.1)
    assert (api.may_register(token), api.may_register(short)) == (200, 401)


def test_rule_3_a_grant_ends_by_the_clock_and_by_revocation(api: Api) -> None:
    who, token = api.join()
    assert api.may_register(token) == 403
    api.grant(who, "operator", seconds=1.0)
    assert api.may_register(token) == 200
    time.sleep(1.1)
    assert api.may_register(token) == 403
    grant = api.grant(who, "operator")
    assert api.may_register(token) == 200
    api.done(f"/roles/{grant}/revoke", reason="left")
    assert api.may_register(token) == 403


def test_a_revoked_token_is_nobody_and_only_its_owners_name_ends_it(api: Api) -> None:
    who, token = api.join("operator")
    other, _ = api.join()
    page = api.done(f"/principals/{who}/tokens", lifetime_s=600.0)
    token, token_id = page["reply"]["token"], page["reply"]["token_id"]
    assert api.post(f"/principals/{other}/tokens/{token_id}/revoke", api.operator, reason="not mine").status == 404
    assert api.may_register(token) == 200
    api.done(f"/principals/{who}/tokens/{token_id}/revoke", reason="lost")
    assert api.may_register(token) == 401


def test_rule_10_an_agent_has_no_right_that_its_person_lacks(api: Api) -> None:
    person, _ = api.join()
    agent = api.done("/principals", type="agent", name="bot", owner=person)["reply"]["principal"]
    api.grant(agent, "operator")
    token = api.done(f"/principals/{agent}/tokens", lifetime_s=600.0, on_behalf_of=person)["reply"]["token"]
    assert api.may_register(token) == 403
    api.grant(person, "operator")
    assert api.may_register(token) == 200


@pytest.mark.parametrize("scope", ["principals", "principals/prn_", "principal", "/", "", "principals/new/", "*/", "**", "models/prd/"])
def test_a_scope_that_matches_nothing_is_refused(api: Api, scope: str) -> None:
    who, token = api.join()
    ends = expiry(api.live.app.clock.now_ns(), 600)
    reply = api.post(f"/principals/{who}/roles", api.operator, role="operator", reason="test", expires_at=ends, scope=scope)
    assert reply.status == 400, reply.body
    assert api.may_register(token) == 403


def test_a_scope_is_a_whole_branch_or_nothing(api: Api) -> None:
    who, token = api.join()
    api.grant(who, "operator", scope="models/")
    assert api.may_register(token) == 403


TRICKS = ["..", "../prod/x", "x@../../prod", "x%2Fy@1", "x@1/../../prod/y@1", "./x@1", "x@1\n", "*", "x@1?a=b", "é@1", "x" * 300]


@pytest.mark.parametrize("name", TRICKS)
def test_no_name_leaves_its_branch(api: Api, name: str) -> None:
    who, token = api.join()
    api.grant(who, "data_scientist", scope="data/training/")
    sheet = {
        "purpose": "p", "source": "s", "collection_method": "m", "licence": "l", "known_biases": [], "sensitive_columns": [], "label": "y",
        "favourable_outcome": "good",
    }  # fmt: skip
    for fields in ({"dataset": name, "collection": "training"}, {"dataset": "x@1", "collection": name}):
        reply = api.post("/data", token, **fields, digest="sha256:" + "1" * 64, rows=1, columns=["a"], sheet=sheet)
        assert reply.status in (400, 403), reply.body
    assert call(api.app, "GET", "/api/v1/data", token=token).json().get("data", []) == []


@pytest.fixture(scope="module")
def version(api: Api) -> rows.Version:
    """A version in staging, before a gate of two approvals."""
    app, operator = api.live.app, api.operator
    author = api.live.tokens["data_scientist"]
    owner, _ = api.join()
    act(app, operator, commands.ApplyGates(source=GATES, reason="test"))
    act(app, author, dataset())
    act(app, author, dataset(HELD_OUT, "6"))
    act(app, operator, commands.RegisterSystem(system="credit", purpose="p", owner=owner, risk_tier=RiskTier.HIGH, affected_persons="all"))
    act(app, author, version_command())
    with app.store.reading() as state:
        found = state.get(rows.Version, "churn@1.0.0")
    assert found is not None
    evidence = commands.RecordEvidence(
        version=found.version, type="evaluation", version_digest=found.digest, dataset=HELD_OUT, dataset_digest="sha256:" + "6" * 64,
        metrics=[Metric(name="accuracy", value=0.9, n=100)], method="test", environment={}, duration_s=1.0,
    )  # fmt: skip
    act_as(app, evaluator_for(app, author), evidence)
    act(app, author, commands.Promote(version=found.version, to_stage="staging"))
    return found


def test_rule_1_many_approvals_at_once_are_one_person_and_many_promotions_one_promotion(api: Api, version: rows.Version) -> None:
    _, engineer = api.join("ml_engineer")
    cleos, cleo = api.join("ml_lead", "product_owner")
    dans, dan = api.join("product_owner")
    asked = api.done(f"/models/{version.version}/requests", engineer, to_stage="production", lifetime_s=600.0)["events"][0]["data"]
    request, shown = asked["request"], asked["shown_digest"]

    stranger = api.post(f"/requests/{request}/approve", engineer, shown_digest=shown)
    assert stranger.status == 403
    own = api.post(f"/requests/{request}/approve", api.live.tokens["data_scientist"], shown_digest=shown)
    assert own.status == 403
    other_digest = api.post(f"/requests/{request}/approve", cleo, shown_digest="sha256:" + "0" * 64)
    assert other_digest.json()["code"] == "shown_changed"

    said = together(6, lambda: api.post(f"/requests/{request}/approve", cleo, shown_digest=shown))
    assert sorted(reply.status for reply in said) == [200, 409, 409, 409, 409, 409]
    alone = api.post(f"/models/{version.version}/promote", engineer, to_stage="production", request=request)
    assert alone.json()["code"] == "gate_not_passed"
    assert api.get(f"/requests/{request}", api.live.tokens["data_scientist"]).status == 200  # no approver: nobody counts that look
    assert api.get(f"/requests/{request}", dan).json()["data"]["shown_digest"] == shown
    assert api.post(f"/requests/{request}/approve", dan, shown_digest=shown).status == 200
    assert api.get("/request-stats?last=0s", dan).status == 400
    stats = {each["person"]: each for each in api.get("/request-stats?last=1h", dan).json()["data"]}
    assert [(stats[who]["yes"], stats[who]["unseen"], stats[who]["too_fast"]) for who in (cleos, dans)] == [(1, 1, 0), (1, 0, 1)]
    assert stats[dans]["median_s"] < 5
    assert "under 5 s" in stats[dans]["signs"][0]
    api.live.app.settle()
    looks = [decode_event(each.raw) for each in api.live.app.events.scan(kinds={"request.shown.v1"})]
    assert [(each.actor.principal, each.data.shown_digest) for each in looks] == [(dans, shown)]  # type: ignore[attr-defined]

    done = together(6, lambda: api.post(f"/models/{version.version}/promote", engineer, to_stage="production", request=request))
    assert sorted(reply.status for reply in done) == [200, 409, 409, 409, 409, 409]
    api.live.app.settle()
    promoted = list(api.live.app.events.scan(kinds={"version.promoted.v1"}))
    assert len(promoted) == 2  # to staging, to production


def test_which_aliases_are_protected_is_said_over_http_too(api: Api) -> None:
    operator = api.live.tokens["operator"]
    wish = {"model": "playground", "aliases": ["live*"], "reason": "our word for it"}
    assert api.post("/registry-protections", api.live.tokens["business_analyst"], **wish).status == 403
    assert api.post("/registry-protections", operator, **{**wish, "aliases": ["*x"]}).status == 400
    assert api.post("/registry-protections", operator, **{**wish, "model": "*", "aliases": []}).status == 400
    assert api.done("/registry-protections", operator, **wish)["events"][0]["kind"] == "registry_protection.applied.v1"
    assert [(each["model"], each["aliases"]) for each in api.get("/registry-protections", operator).json()["data"]] == [
        ("playground", ["live*"])
    ]


def test_rule_12_history_needs_no_row_that_can_be_deleted(api: Api) -> None:
    """A person is forgotten and their token's row deleted: what they did can be read, proved, and folded again."""
    app = api.live.app
    who, token = api.join("operator")
    event = api.done("/principals", token, type="person", name="made by one who left")["events"][0]["id"]
    with app.store.transaction() as tx:
        assert tx.vault.erase_person(who)
    with app.store.connection() as connection:
        assert connection.execute("DELETE FROM vault.token WHERE principal = %s", [who]).rowcount == 1
    assert api.may_register(token) == 401
    app.settle()
    stored = app.events.find(event)
    assert stored is not None
    assert decode_event(stored.raw).actor.principal == who
    with Store.open(attach_database(app.workspace).dsn("owner"), application="test") as owner:
        folded = sorted(app.events.scan(kinds=STATE_KINDS), key=lambda each: (each.received_ns, each.log, each.index))
        assert compare(owner, [decode_event(each.raw) for each in folded]) == []
