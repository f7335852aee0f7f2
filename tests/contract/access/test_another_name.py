"""An operator tries to approve as somebody else, by every way in and at every door; then the person themself does, once vouched for.

One real workspace: PostgreSQL, ledger, command line, HTTP door, and the guard before an MLflow server (a stand-in that says what a real
one was seen to say). A workspace to throw away is made strict first, which is a change that the law allows one way only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.scenes.asgi_client import Reply, call
from tests.scenes.mlflow_standin import StandIn
from tests.scenes.soft_authenticator import SoftAuthenticator

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.passkeys import begin_sign_in, finish_sign_in, site_of
from jurat.app.refold import compare_state
from jurat.app.walk import act
from jurat.app.wiring import App, open_app
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.workspace import Workspace
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal
from jurat.domain.commands_access import ApplyAccessRules
from jurat.domain.commands_people import IssueLink
from jurat.domain.events import Event, decode_event
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType
from jurat.gateway.mlflow_guard import Guard
from jurat.gateway.mlflow_upstream import Upstream
from jurat.policy.accessrules import default_access
from jurat.web.asgi import make_asgi

CAST = {"oli": "operator", "cleo": "ml_lead", "fay": "compliance_officer", "gil": "business_analyst", "ben": "ml_engineer"}
ORIGIN = "http://localhost:80"
Cli = Callable[..., Any]


class House:
    """A strict workspace with a few people, and their ids."""

    def __init__(self, app: App) -> None:
        self.app, self.asgi = app, make_asgi(app)
        self.operator = (app.workspace.credentials / "operator.token").read_text().strip()
        act(app, self.operator, ApplyAccessRules(source=default_access(), reason="nothing here is thrown away"))
        self.ids: dict[str, str] = {}
        for name, role in CAST.items():
            who = act(app, self.operator, RegisterPrincipal(type=PrincipalType.PERSON, name=name.title())).reply["principal"]
            ends = expiry(app.clock.now_ns(), 30 * 86_400)
            act(app, self.operator, GrantRole(principal=who, role=role, reason="test", expires_at=ends))
            self.ids[name] = who
            self.hand_out(name)

    def hand_out(self, name: str, as_file: str = "") -> str:
        token = act(self.app, self.operator, IssueToken(principal=self.ids[name], lifetime_s=3600)).reply["token"]
        path = self.app.workspace.credentials / f"{as_file or name}.token"
        path.touch(mode=0o600)
        path.write_text(token + "\n")
        return token

    def token(self, name: str) -> str:
        return (self.app.workspace.credentials / f"{name}.token").read_text().strip()

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        return call(self.asgi, "POST", path, body=body, headers={"host": "localhost:80", "origin": ORIGIN, **headers})

    def refusals(self) -> list[Event]:
        self.app.settle()
        found = [decode_event(stored.raw) for stored in self.app.events.scan(kinds=["act.denied.v1"])]
        return [e for e in found if e.data.rule == "credential_of_another"]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("names") / "w"
    init_workspace(root, throwaway=True)
    try:
        with open_app(Workspace(root), throwaway=True) as app:
            yield House(app)
    finally:
        with contextlib.suppress(Exception):
            remove_workspace(root)


@pytest.fixture
def cli(house: House, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run one command as somebody; return what it printed as JSON, or the refusal's code."""

    def call(who: str, *arguments: str) -> Any:
        capsys.readouterr()
        session = Session(workspace_given=str(house.app.workspace.root), opener=lambda _workspace: contextlib.nullcontext(house.app))
        code = run(["--as", who, "--json", *arguments], session)
        out, err = capsys.readouterr()
        return json.loads(out) if code == 0 else json.loads(err.splitlines()[-1])["code"]

    return call


@pytest.fixture(scope="module")
def asked(house: House) -> dict[str, Any]:
    """A request that one ML lead's word would answer."""
    path = f"/api/v1/principals/{house.ids['gil']}/access-requests"
    body = {"role": "ml_engineer", "scope": "models/prod/", "lifetime_s": 3600.0, "reason": "OPS-7"}
    answer = house.post(path, body, authorization=f"Bearer {house.token('gil')}")
    assert answer.status == 200, answer.body
    (event,) = answer.json()["data"]["events"]
    house.app.settle()
    stored = house.app.events.find(event["id"])
    assert stored is not None
    data = decode_event(stored.raw).data
    return {"request": data.request, "shown": data.shown_digest}  # type: ignore[attr-defined]


def approve_by(house: House, asked: dict[str, Any], **headers: str) -> Reply:
    return house.post(f"/api/v1/access-requests/{asked['request']}/approve", {"shown_digest": asked["shown"]}, **headers)


def refused_and_recorded(house: House, before: int) -> Event:
    found = house.refusals()
    assert len(found) == before + 1
    newest = max(found, key=lambda e: e.at)
    olga = next(iter(newest.actor.hands))
    assert (newest.actor.principal, newest.actor.hands) == (house.ids["cleo"], [olga])
    assert newest.data.by == "rule"  # type: ignore[attr-defined]
    return newest


def test_a_token_that_an_operator_made_approves_nothing_at_any_door(house: House, cli: Cli, asked: dict[str, Any]) -> None:
    before = len(house.refusals())
    stolen = house.hand_out("cleo", "stolen")
    assert cli("stolen", "access", "approve", asked["request"], "--shown", asked["shown"]) == "credential_of_another"
    refused_and_recorded(house, before)
    answer = approve_by(house, asked, authorization=f"Bearer {stolen}")
    assert (answer.status, answer.json()["code"]) == (403, "credential_of_another")
    refused_and_recorded(house, before + 1)
    assert cli("stolen", "access", "reject", asked["request"], "--shown", asked["shown"], "--comment", "no") == "credential_of_another"
    assert len(house.refusals()) == before + 3


def test_a_passkey_that_was_added_by_such_a_token_approves_nothing(house: House, asked: dict[str, Any]) -> None:
    before = len(house.refusals())
    bearer = {"authorization": f"Bearer {house.hand_out('cleo', 'stolen')}"}
    key = SoftAuthenticator(ORIGIN)
    options = house.post("/auth/passkeys/begin", {}, **bearer).json()["data"]["options"]
    assert house.post("/auth/passkeys/finish", {"credential": key.make(options), "label": "soft"}, **bearer).status == 200
    site = site_of(house.app.settings, 80)
    begun, browser = begin_sign_in(house.app, site)
    signed = finish_sign_in(house.app, site, key.use(begun), browser).reply["token"]
    answer = approve_by(house, asked, cookie=f"jurat_session={signed}")
    assert (answer.status, answer.json()["code"]) == (403, "credential_of_another")
    refused_and_recorded(house, before)


def test_a_passkey_by_a_link_that_an_operator_opened_approves_nothing(house: House, asked: dict[str, Any]) -> None:
    before = len(house.refusals())
    link = act(house.app, house.operator, IssueLink(principal=house.ids["cleo"], lifetime_s=600)).reply["link"]
    key = SoftAuthenticator(ORIGIN)
    options = house.post("/auth/enrol/begin", {"link": link}).json()["data"]["options"]
    enrolled = house.post("/auth/enrol/finish", {"link": link, "credential": key.make(options), "label": "soft"})
    assert enrolled.status == 200
    answer = approve_by(house, asked, cookie=enrolled.headers["set-cookie"].partition(";")[0])
    assert (answer.status, answer.json()["code"]) == (403, "credential_of_another")
    event = refused_and_recorded(house, before)
    assert event.actor.credential.startswith("pky_"), "which one it was is on record, too"


def test_the_guard_moves_nothing_into_production_by_such_a_token(house: House) -> None:
    before = len(house.refusals())
    stolen = house.hand_out("ben", "stolen")

    async def move(stand_in: StandIn) -> list[tuple[int, str]]:
        told: list[dict[str, Any]] = []
        async with Upstream(stand_in.url) as upstream:
            for method, path, body in (
                ("POST", "/api/2.0/mlflow/registered-models/create", {"name": "credit"}),
                ("POST", "/api/2.0/mlflow/model-versions/create", {"name": "credit", "source": "s3://b/credit/1"}),
                ("POST", "/api/2.0/mlflow/registered-models/alias", {"name": "credit", "alias": "champion", "version": "1"}),
            ):
                raw = json.dumps(body).encode()
                headers = [
                    (b"authorization", f"Bearer {stolen}".encode()), (b"content-type", b"application/json"),
                    (b"content-length", str(len(raw)).encode()), (b"host", b"guard"),
                ]  # fmt: skip
                scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
                waiting = [{"type": "http.request", "body": raw, "more_body": False}]

                async def receive(waiting: list[dict[str, Any]] = waiting) -> dict[str, Any]:
                    return waiting.pop(0) if waiting else {"type": "http.disconnect"}

                async def send(message: dict[str, Any]) -> None:
                    told.append(message)

                await Guard(house.app, upstream, "prod")(scope, receive, send)
        statuses = [m["status"] for m in told if m["type"] == "http.response.start"]
        bodies = b"".join(m.get("body", b"") for m in told).decode()
        return [(status, bodies) for status in statuses]

    with contextlib.closing(StandIn()) as stand_in:
        *_, (status, said) = asyncio.run(move(stand_in))
        assert status == 403, said
        assert "made in their name" in said
        assert stand_in.models["credit"].get("aliases", {}) in ({}, [])
    (event,) = [e for e in house.refusals() if e.data.command == "HoldRegistryAct"]  # type: ignore[attr-defined]
    assert event.actor.principal == house.ids["ben"]
    assert len(house.refusals()) == before + 1


def test_whoever_is_named_and_whoever_audits_was_told(house: House, cli: Cli) -> None:
    for who in ("cleo", "fay"):
        texts = [notice["text"] for notice in cli(who, "inbox", "list")]
        assert any("issued token" in text for text in texts), texts
        assert any("handed out a link" in text for text in texts)


def test_the_person_themself_approves_once_somebody_else_vouched_for_them(house: House, cli: Cli, asked: dict[str, Any]) -> None:
    # The first operator brings in one other, alone and once; then it takes a third person.
    oli = cli("oli", "token", "activate", "--save", "oli")["token_id"]
    alone = cli("operator", "credential", "vouch", oli, "--of", "Oli", "--reason", "he sits beside me")
    assert alone["events"]
    mine = cli("cleo", "token", "activate", "--save", "cleo")["token_id"]
    standing = {c["credential"]: c["standing"] for c in cli("cleo", "credential", "list", "Cleo")}
    assert standing[mine] == "waits for a third person's word"
    assert cli("cleo", "access", "approve", asked["request"], "--shown", asked["shown"]) == "credential_of_another"
    assert cli("operator", "credential", "vouch", mine, "--of", "Cleo", "--reason", "it is fine") == "no_self_vouch"
    assert cli("stolen", "credential", "vouch", mine, "--of", house.ids["cleo"], "--reason", "it is fine") == "policy_denied"
    cli("oli", "credential", "vouch", mine, "--of", "Cleo", "--reason", "she read it to me")
    given = cli("cleo", "access", "approve", asked["request"], "--shown", asked["shown"])
    assert len(given["events"]) == 2
    house.app.settle()
    stored = house.app.events.find(given["events"][0])
    assert stored is not None
    assert decode_event(stored.raw).actor.hands == [], "from here on it is her own word"
    # What an operator holds of hers besides is as worthless as before.
    house.hand_out("cleo", "stolen")
    assert cli("stolen", "token", "activate", "--save", "stolen")["token_id"] != mine
    grant = cli("operator", "role", "grant", "Gil", "data_engineer", "--reason", "test")
    assert grant["confirm_by"]
    assert cli("operator", "role", "confirm", grant["grant"]) == "no_self_approval"
    cli("oli", "role", "confirm", grant["grant"], "--comment", "as agreed")
    assert compare_state(house.app, house.operator) == []
