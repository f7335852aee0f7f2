"""The workspace as a decision point: real tokens, real policies, real PostgreSQL, and each answer in the real ledger."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import uvicorn
from tests.contract.web.conftest import Live

from jurat.app.walk import act
from jurat.core.errors import Malformed
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal
from jurat.domain.commands_policy import ApprovePolicyChange, RequestPolicyChange
from jurat.domain.events import decode_event
from jurat.domain.facts import ActDenied
from jurat.domain.facts_policy import AccessDecided, PolicyChangeRequested
from jurat.domain.roles import expiry
from jurat.domain.rows import PolicySetInForce
from jurat.domain.values import PrincipalType
from jurat.web.asgi import make_asgi
from jurat.web.decision_door import DecisionDoor


class Site:
    """The door over HTTP, an enforcement point with a token, and a data scientist."""

    def __init__(self, live: Live) -> None:
        self.app, self.operator = live.app, live.tokens["operator"]
        self.owner = self._join(PrincipalType.PERSON, "owner")
        self.scientist = self._join(PrincipalType.PERSON, "scientist", role="data_scientist")
        self.service = self._join(PrincipalType.SERVICE, "warehouse", owner=self.owner, role="enforcement_point")
        self.token = act(self.app, self.operator, IssueToken(principal=self.service, lifetime_s=3600)).reply["token"]
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.decisions = DecisionDoor(self.app)
        asgi = make_asgi(self.app, decisions=self.decisions)
        self.server = _Closing(uvicorn.Config(asgi, log_level="error", lifespan="off"), self.decisions)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.door]})
        self.thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.01)

    def _join(self, kind: PrincipalType, name: str, *, owner: str | None = None, role: str = "") -> str:
        made = act(self.app, self.operator, RegisterPrincipal(type=kind, name=name, owner=owner)).reply["principal"]
        if role:
            ends = expiry(self.app.clock.now_ns(), 3600)
            act(self.app, self.operator, GrantRole(principal=made, role=role, reason="test", expires_at=ends))
        return made

    def send(self, path: str, body: Any, *, token: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token if token is None else token}"}
        try:
            connection.request("POST", f"/access/v1/{path}", json.dumps(body), headers | {"X-Request-ID": "req-7"})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def ask(self, action: str, resource: str, kind: str, *, subject: str = "", **more: Any) -> dict[str, Any]:
        body = {
            "subject": {"type": "person", "id": subject or self.scientist}, "action": {"name": action},
            "resource": {"type": kind, "id": resource},
        }  # fmt: skip
        status, found = self.send("evaluation", {**body, **more})
        assert status == 200, found
        return found

    def recorded(self) -> list[Any]:
        self.app.settle()
        return [decode_event(event.raw) for event in self.app.events.scan(kinds=["access.decided.v1"])]

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        self.door.close()


class _Closing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, decisions: DecisionDoor) -> None:
        super().__init__(config)
        self._decisions = decisions

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._decisions.close()


@pytest.fixture
def site(live: Live) -> Iterator[Site]:
    found = Site(live)
    try:
        yield found
    finally:
        found.close()


def test_answers_follow_the_grants_and_not_what_the_caller_says(site: Site) -> None:
    read = site.ask("data:read", "data/training/loans@v5", "Dataset", context={"purpose": "retrain"})
    assert read["decision"] is True
    assert read["context"]["policies"] == ["data_scientist.data.training"]
    claims = {"roles": ["operator"], "review_overdue": False}
    lies = {
        "subject": {"type": "person", "id": site.scientist, "properties": claims}, "action": {"name": "principal:register"},
        "resource": {"type": "Account", "id": "principals/x", "properties": {"name": site.scientist}},
    }  # fmt: skip
    assert site.send("evaluation", lies)[1]["decision"] is False
    silent = site.ask("data:read", "data/training/loans@v5", "Dataset")
    assert silent["decision"] is False
    assert silent["context"]["policies"] == ["house.purpose_of_data"]
    for subject in ("prn_nobody", "ada@example.org"):
        assert site.ask("model:read", "models/prod/x@1.0.0", "Model", subject=subject)["decision"] is False
    assert site.ask("model:read", "models/prod/x@1.0.0", "Dataset")["decision"] is False  # a model is no data set


def test_a_role_that_ends_is_gone_from_the_next_answer_on(site: Site) -> None:
    ends = expiry(site.app.clock.now_ns(), 2.0)
    act(site.app, site.operator, GrantRole(principal=site.owner, role="business_analyst", reason="two seconds", expires_at=ends))
    asked = ("output:read", "data/aggregated/x", "Dataset")
    deadline = time.monotonic() + 1.5
    while not site.ask(*asked, subject=site.owner)["decision"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert site.ask(*asked, subject=site.owner)["decision"] is True
    time.sleep(2.0)
    assert site.ask(*asked, subject=site.owner)["decision"] is False


def change(site: Site, officer: str, files: dict[str, str], schema: str) -> None:
    asked = act(site.app, site.operator, RequestPolicyChange(files=files, schema=schema, reason="test")).events[0].data
    assert isinstance(asked, PolicyChangeRequested)
    act(site.app, officer, ApprovePolicyChange(request=asked.request, shown_digest=asked.shown_digest))


def test_a_change_of_the_policies_is_in_force_in_a_process_that_runs(site: Site) -> None:
    officer = act(
        site.app, site.operator, IssueToken(principal=site._join(PrincipalType.PERSON, "officer", role="compliance_officer"), lifetime_s=60)
    ).reply["token"]
    with site.app.store.reading() as state:
        before = state.get(PolicySetInForce, "current")
    assert before is not None
    own = '@id("own.closed") @reason("closed") forbid (principal, action == Action::"infrastructure:use", resource);'
    asked = ("infrastructure:use", "infrastructure/dev/box", "Machine")
    assert site.ask(*asked)["decision"] is True
    try:
        change(site, officer, {**before.files, "own.cedar": own}, before.schema)
        time.sleep(0.5)  # a picture is at most so old
        found = site.ask(*asked)
        assert (found["decision"], found["context"]["policies"]) == (False, ["own.closed"])
        with pytest.raises(Malformed):
            change(site, officer, {**before.files, "own.cedar": "permit ("}, before.schema)
        assert site.ask(*asked)["context"] | {"id": ""} == found["context"] | {"id": ""}  # the bad set left all as it was
    finally:
        change(site, officer, before.files, before.schema)
    time.sleep(0.5)
    assert site.ask(*asked)["decision"] is True


def test_every_answer_is_an_event_and_equal_allows_are_counted(site: Site) -> None:
    before = len(site.recorded())
    for _ in range(5):
        assert site.ask("model:read", "models/prod/kept@1.0.0", "Model")["decision"] is True
    for _ in range(3):
        assert site.ask("model:write", "models/prod/kept@1.0.0", "Model")["decision"] is False
    for _ in range(2):  # an act that changes something is never counted together
        assert site.ask("model:write", "models/dev/kept@1.0.0", "Model")["decision"] is True
    assert site.ask("model:read", "models/prod/kept@1.0.0", "Model", subject="ada@example.org")["decision"] is False
    assert len(site.recorded()) == before + 1 + 3 + 2 + 1
    site.close()  # it is told to stop: the counts are written
    found = site.recorded()[before:]
    reads = [event for event in found if event.decision.asked is not None and event.decision.asked.action == "model:read"]
    assert [event.data.count for event in reads] == [1, 4]
    first = reads[0]
    assert isinstance(first.data, AccessDecided)
    assert (first.data.asked_by, first.data.request_id) == (site.service, "req-7")
    assert first.decision.asked.hops[0].principal == site.scientist
    assert first.decision.asked.hops[0].roles == ["data_scientist"]
    assert first.decision.asked_digest.startswith("sha256:")
    assert not any(b"ada@example.org" in msgspec.json.encode(event) for event in found)


def test_only_an_enforcement_point_may_ask_and_a_refusal_is_recorded(site: Site, live: Live) -> None:
    body = {"subject": {"type": "person", "id": site.scientist}, "action": {"name": "model:read"}, "resource": {"type": "Model", "id": "m"}}
    assert site.send("evaluation", body, token="jrt_" + "x" * 43)[0] == 401
    assert site.send("evaluation", body, token="")[0] == 401
    status, found = site.send("evaluation", body, token=live.tokens["auditor"])
    assert status == 403
    site.app.settle()
    event = site.app.events.find(found["event"])
    assert event is not None
    denied = decode_event(event.raw).data
    assert isinstance(denied, ActDenied)
    assert denied.permission == "access:evaluate"


def test_searches(site: Site) -> None:
    where = {"type": "Dataset", "id": "data/training/loans@v5"}
    wish = {"subject": {"type": "person"}, "action": {"name": "data:read"}, "resource": where, "context": {"purpose": "retrain"}}
    status, found = site.send("search/subject", wish)
    assert status == 200
    assert {"type": "person", "id": site.scientist} in found["results"]
    assert {"type": "person", "id": site.owner} not in found["results"]
    wish = {"subject": {"type": "person", "id": site.scientist}, "resource": {"type": "Model", "id": "models/staging/x@1.0.0"}}
    acts = [each["name"] for each in site.send("search/action", wish)[1]["results"]]
    assert {"model:read", "model:deploy"} <= set(acts)
    assert "model:write" not in acts
    wish = {"subject": {"type": "person", "id": site.scientist}, "action": {"name": "policy:read"}, "resource": {"type": "Workspace"}}
    assert site.send("search/resource", wish)[1]["results"] == [{"type": "Workspace", "id": "workspace"}]
    wish = {"subject": {"type": "spaceship"}, "action": {"name": "data:read"}, "resource": where}
    assert site.send("search/subject", wish)[1]["results"] == []
