"""SCIM 2.0 at a real server over a real socket: the conformance tester's checks, and what no tester asks."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import pytest
import uvicorn
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server
from tests.contract.web.conftest import Live
from tests.scenes.asgi_client import call

from jurat.app.refold import compare_state
from jurat.app.walk import act
from jurat.core.errors import Denied, Malformed
from jurat.domain import rows
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal
from jurat.domain.commands_people import ApplyGroupRoles
from jurat.domain.facts_people import PrincipalDeactivated
from jurat.domain.roles import expiry, roles_held
from jurat.domain.values import PrincipalType
from jurat.web.asgi import make_asgi

USER, GROUP = "urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
CLIENT = httpx2.Client(timeout=30)  # one for all: a fresh one reads the certificates of the whole world
TABLE = "lifetime: 180d\ngroups:\n  Engineers:\n    - role: ml_engineer\n    - role: data_scientist\n      scope: models/dev/\n"


class Provider(NamedTuple):
    """An identity provider: its door, its token, who it is, and who answers for it."""

    live: Live
    url: str
    token: str
    service: str
    owner: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any], Any]:
        raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/scim+json", "authorization": f"Bearer {self.token}", **headers}
        answer = CLIENT.request(method, f"{self.url}{path}", content=raw, headers={k.replace("_", "-"): v for k, v in sent.items()})
        return answer.status_code, answer.json() if answer.content else {}, answer.headers

    def user(self, name: str, /, **more: Any) -> str:
        status, made, _ = self.ask("POST", "/Users", {"schemas": [USER], "userName": name, **more})
        assert status == 201, made
        return str(made["id"])

    def group(self, name: str, *members: str) -> tuple[int, dict[str, Any]]:
        body = {"schemas": [GROUP], "displayName": name, "members": [{"value": each} for each in members]}
        return self.ask("POST", "/Groups", body)[:2]

    def patch(self, path: str, *operations: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
        return self.ask("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, **headers)[:2]

    def events(self) -> int:
        with self.live.app.store.reading() as state:
            return state.as_of

    def roles(self, principal: str, resource: str = "models/dev/x@1.0.0") -> frozenset[str]:
        with self.live.app.store.reading() as state:
            return roles_held(state, principal, resource, self.live.app.clock.now_ns())


def provisioner(live: Live, url: str, name: str) -> Provider:
    operator = live.tokens["operator"]
    owner = act(live.app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name=f"{name}'s owner")).reply["principal"]
    service = act(live.app, operator, RegisterPrincipal(type=PrincipalType.SERVICE, name=name, owner=owner)).reply["principal"]
    ends = expiry(live.app.clock.now_ns(), 3600)
    act(live.app, operator, GrantRole(principal=service, role="provisioner", reason="provisions people", expires_at=ends))
    token = act(live.app, operator, IssueToken(principal=service, lifetime_s=3600)).reply["token"]
    return Provider(live, url, token, service, owner)


@pytest.fixture(scope="module")
def served(live: Live) -> Iterator[str]:
    door = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_asgi(live.app), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{door.getsockname()[1]}/scim/v2"
    CLIENT.close()
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def okta(live: Live, served: str) -> Provider:
    return provisioner(live, served, "okta")


def test_every_check_of_the_conformance_tester_passes_but_one_with_a_reason(live: Live, served: str) -> None:
    tested = provisioner(live, served, "tester")
    with httpx2.Client(base_url=tested.url, headers={"authorization": f"Bearer {tested.token}"}) as client:
        results = check_server(SyncSCIMClient(client))
    failed = [f"{each.title} {each.resource_type}: {each.reason}" for each in results if each.status is Status.ERROR]
    assert len(results) > 60
    assert sum(each.status is Status.SUCCESS for each in results) >= len(results) - 1
    # Taking `active` away from somebody who may not act leaves `false` there: the answer must not read as if they might.
    assert set(failed) <= {"check_remove_attribute User: PATCH modify() did not remove attribute 'active'"}


def test_a_person_comes_changes_and_goes_and_all_they_had_goes_at_once(okta: Provider) -> None:
    ada = okta.user(
        "ada@example.org", externalId="00u1", name={"givenName": "Ada", "familyName": "Byron"}, emails=[{"value": "Ada@Example.org"}]
    )
    status, found, headers = okta.ask("GET", f"/Users/{ada}")
    assert (status, found["active"], found["externalId"]) == (200, True, "00u1")
    assert headers["etag"] == found["meta"]["version"]
    token = act(okta.live.app, okta.live.tokens["operator"], IssueToken(principal=ada, lifetime_s=600)).reply["token"]
    asgi = make_asgi(okta.live.app)
    assert call(asgi, "GET", "/api/v1/models", token=token).status in (200, 403)
    status, gone = okta.patch(f"/Users/{ada}", {"op": "replace", "path": "active", "value": False})
    assert (status, gone["active"]) == (200, False)
    assert call(asgi, "GET", "/api/v1/models", token=token).status == 401
    status, back = okta.patch(f"/Users/{ada}", {"op": "Replace", "value": {"active": "True"}})  # as Entra says it
    assert (status, back["active"]) == (200, True)
    assert call(asgi, "GET", "/api/v1/models", token=token).status == 401, "what died stays dead"
    assert okta.ask("DELETE", f"/Users/{ada}")[0] == 204
    assert okta.ask("GET", f"/Users/{ada}")[0] == 404
    again = okta.user("ADA@example.org")
    assert again != ada


def test_the_name_is_in_the_vault_and_in_no_event(okta: Provider) -> None:
    who = okta.user("quentin.zebra", displayName="Quentin Zebra", emails=[{"value": "zebra@example.org"}])
    okta.patch(f"/Users/{who}", {"op": "replace", "path": "displayName", "value": "Quentin Zebrafish"})
    okta.live.app.settle()
    raws = [each.raw for each in okta.live.app.events.scan()]
    assert any(who.encode() in raw for raw in raws)
    assert not any(b"ebra" in raw for raw in raws)
    with okta.live.app.store.reading() as state:
        person = state.vault.find_person(who)
        assert person is not None
        assert (person.name, person.email) == ("Quentin Zebrafish", "zebra@example.org")


def test_one_name_one_person_in_whatever_case_and_whichever_field(okta: Provider) -> None:
    kim = okta.user("kim", emails=[{"value": "kim@example.org"}, {"value": "kim.private@example.org"}])
    lee = okta.user("lee", emails=[{"value": "lee@example.org"}])
    before = okta.ask("GET", f"/Users/{lee}")[1]
    for change in (
        {"op": "replace", "path": "userName", "value": "KIM"},
        {"op": "replace", "path": "userName", "value": "kim@example.org"},  # called like another's address
        {"op": "replace", "path": "emails", "value": [{"value": "KIM.private@Example.org"}]},
    ):
        seen = okta.events()
        status, said = okta.patch(f"/Users/{lee}", {"op": "replace", "path": "displayName", "value": "half"}, change)
        assert (status, said["scimType"], said["status"]) == (409, "uniqueness", "409")
        assert kim in said["detail"]
        assert "example.org" not in said["detail"]
        assert okta.ask("GET", f"/Users/{lee}")[1] == before, "nothing was half-applied"
        assert okta.events() == seen + 1, "the refusal is on record"
    assert okta.ask("POST", "/Users", {"schemas": [USER], "userName": "Kim"})[0] == 409


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "no JSON object"),
        (b'{"schemas": ["' + USER.encode() + b'"], "userName": "a", "userName": "b"}', 400, "twice"),
        ({"schemas": [USER]}, 400, "userName"),
        ({"schemas": [USER], "userName": "  "}, 400, "userName"),
        ({"schemas": [USER], "userName": "x" * 257}, 400, "256"),
        ({"schemas": [USER], "userName": "n\0ul"}, 400, "NUL"),
        ({"schemas": [USER], "userName": "p", "shoeSize": 43}, 400, "shoeSize"),
        ({"schemas": [USER], "userName": "p", "emails": [{"value": "no address"}]}, 400, "email"),
        ({"schemas": [GROUP], "userName": "p"}, 400, "schema"),
        (b" " * 1_048_577, 413, "larger"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name_and_leaves_nothing(okta: Provider, body: Any, status: int, said: str) -> None:
    seen = okta.events()
    found, problem, headers = okta.ask("POST", "/Users", body)
    assert found == status
    assert said.lower() in problem["detail"].lower()
    assert headers["content-type"] == "application/scim+json"
    assert okta.events() == seen


def test_what_providers_send_beside_is_taken_and_not_kept(okta: Provider) -> None:
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    who = okta.user(
        "max", schemas=[USER, enterprise], title="Dr", password="hunter2hunter2", phoneNumbers=[{"value": "+49 30 1"}],
        **{enterprise: {"department": "Risk"}},
    )  # fmt: skip
    with okta.live.app.store.reading() as state:
        account = state.vault.accounts.get(who)
        assert account is not None
        assert set(account.document) <= {"userName", "active"}
    status, _ = okta.patch(f"/Users/{who}", {"op": "replace", "path": "title", "value": "Prof"})
    assert status == 200
    assert okta.patch(f"/Users/{who}", {"op": "replace", "path": "titel", "value": "Prof"})[0] == 400


def test_a_version_that_moved_on_is_not_written_over(okta: Provider) -> None:
    who = okta.user("vera")
    seen = okta.ask("GET", f"/Users/{who}")[1]["meta"]["version"]
    assert okta.ask("GET", f"/Users/{who}", if_none_match=seen)[0] == 304
    change = {"op": "replace", "path": "displayName", "value": "Vera"}
    assert okta.patch(f"/Users/{who}", change, if_match=seen)[0] == 200
    assert okta.patch(f"/Users/{who}", {**change, "value": "V"}, if_match=seen)[0] == 412
    assert okta.ask("DELETE", f"/Users/{who}", if_match=seen)[0] == 412
    assert okta.ask("GET", f"/Users/{who}")[1]["displayName"] == "Vera"


def test_pages_filters_and_orders(okta: Provider) -> None:
    for number in range(5):
        okta.user(f"page{number}", displayName=f"P{9 - number}")
    status, page, _ = okta.ask("GET", '/Users?filter=userName sw "page"&sortBy=displayName&startIndex=2&count=2')
    assert status == 200
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (5, 2, 2)
    assert [each["displayName"] for each in page["Resources"]] == ["P6", "P7"]
    one = okta.ask("GET", '/Users?filter=userName eq "PAGE3"')[1]
    assert [each["userName"] for each in one["Resources"]] == ["page3"]
    assert okta.ask("GET", "/Users?count=1")[1]["itemsPerPage"] == 1
    assert okta.ask("GET", '/Users?filter=userName eq "page3')[1]["scimType"] == "invalidFilter"
    assert okta.ask("GET", '/Users?filter=shoe eq "x"')[0] == 400


def test_groups_give_the_roles_of_the_table_and_take_them_back(okta: Provider) -> None:
    app, operator = okta.live.app, okta.live.tokens["operator"]
    nora, omar = okta.user("nora"), okta.user("omar")
    status, inner = okta.group("Apprentices", omar)
    assert status == 201
    status, group = okta.group("Engineers", nora, inner["id"])
    assert status == 201
    assert okta.roles(nora) == frozenset(), "no table, no roles"
    act(app, operator, ApplyGroupRoles(source=TABLE, reason="first table"))
    assert okta.roles(nora) == okta.roles(omar) == {"ml_engineer", "data_scientist"}
    assert okta.roles(nora, "models/prod/x@1.0.0") == {"ml_engineer"}
    assert [g["type"] for g in okta.ask("GET", f"/Users/{omar}")[1]["groups"]] == ["direct", "indirect"]
    assert okta.patch(f"/Groups/{inner['id']}", {"op": "remove", "path": f'members[value eq "{omar}"]'})[0] == 200
    assert okta.roles(omar) == frozenset()
    assert okta.patch(f"/Users/{nora}", {"op": "replace", "path": "active", "value": False})[0] == 200
    assert okta.roles(nora) == frozenset()
    assert okta.patch(f"/Users/{nora}", {"op": "replace", "path": "active", "value": True})[0] == 200
    assert okta.roles(nora) == {"ml_engineer", "data_scientist"}, "the group says so still"
    assert okta.patch(f"/Groups/{group['id']}", {"op": "replace", "path": "displayName", "value": "Gardeners"})[0] == 200
    assert okta.roles(nora) == frozenset(), "the table goes by name"
    assert okta.patch(f"/Groups/{group['id']}", {"op": "replace", "path": "displayName", "value": "Engineers"})[0] == 200
    assert okta.ask("DELETE", f"/Groups/{group['id']}")[0] == 204
    assert okta.roles(nora) == frozenset()
    with app.store.reading() as state:
        assert all(grant.expires_at for grant in state.find(rows.Grant, principal=nora))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("lifetime: 180d\ngroups:\n  A:\n    - role: king\n", "line 4.*`king`"),
        ("lifetime: 180d\ngroups:\n  A:\n    - role: provisioner\n", "no directory can grant it"),
        ("lifetime: 400d\ngroups: {}\n", "366 days"), ("groups: {}\n", "lifetime"), ("lifetime: 1d\ngroups:\n  A: []\n", "empty"),
        ("lifetime: 1d\ngroups:\n  A:\n    - role: ml_lead\n    - role: ml_lead\n", "twice"), ("x", "mapping"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_changes_nothing(okta: Provider, source: str, said: str) -> None:
    seen = okta.events()
    with pytest.raises(Malformed, match=said):
        act(okta.live.app, okta.live.tokens["operator"], ApplyGroupRoles(source=source, reason="try"))
    assert okta.events() == seen


def test_no_group_is_in_itself_by_whatever_way(okta: Provider) -> None:
    c = okta.group("C")[1]["id"]
    b = okta.group("B", c)[1]["id"]
    a = okta.group("A", b)[1]["id"]
    for group, inner in ((c, a), (c, c), (b, a)):
        status, said = okta.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": [{"value": inner}]})
        assert status == 409
        assert "would be in itself" in said["detail"]
        assert "→" in said["detail"]
    assert okta.ask("GET", f"/Groups/{c}")[1].get("members") is None


def test_a_directory_sees_and_changes_only_what_it_made_known(okta: Provider, live: Live, served: str) -> None:
    other = provisioner(live, served, "other")
    mine = okta.user("only-oktas")
    group = okta.group("Only oktas", mine)[1]["id"]
    local = act(live.app, live.tokens["operator"], RegisterPrincipal(type=PrincipalType.PERSON, name="Local")).reply["principal"]
    for path in (f"/Users/{mine}", f"/Users/{local}", f"/Users/{okta.owner}", f"/Groups/{group}"):
        assert other.ask("GET", path)[0] == 404
        assert other.ask("DELETE", path)[0] == 404
        assert other.patch(path, {"op": "replace", "path": "displayName", "value": "x"})[0] == 404
    assert other.group("Theirs", mine)[0] == 404
    assert other.ask("GET", "/Users")[1]["totalResults"] == 0


def test_who_is_no_provisioning_service_gets_nothing(okta: Provider, live: Live) -> None:
    for token, status in (("", 401), ("jrt_" + "x" * 43, 401), (live.tokens["operator"], 403), (live.tokens["auditor"], 403)):
        found, said, headers = okta.ask("GET", "/Users", authorization=f"Bearer {token}" if token else "")
        assert found == status
        assert headers["content-type"] == "application/scim+json"
        assert said["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]


def test_whoever_answers_for_the_directory_gets_no_role_by_it(okta: Provider, live: Live, served: str) -> None:
    """The owner of the service would grant to themselves, by way of a group."""
    inside = okta.user("inside")
    operator = live.tokens["operator"]
    service = act(live.app, operator, RegisterPrincipal(type=PrincipalType.SERVICE, name="own", owner=inside)).reply["principal"]
    act(live.app, operator, ApplyGroupRoles(source=TABLE, reason="again"))
    with live.app.store.reading() as state:
        row = state.get(rows.Principal, service)
        assert row is not None
        assert row.owner == inside
    status, said = okta.group("Engineers", inside)
    assert status == 201, said  # okta's own owner is somebody else
    okta.ask("DELETE", f"/Groups/{said['id']}")
    with pytest.raises(Denied, match="themselves"):
        _owner_in_group(okta, inside)


def _owner_in_group(okta: Provider, inside: str) -> None:
    from jurat.app.walk import act_as
    from jurat.domain.commands_people import DefineGroup
    from jurat.domain.events import Actor

    act_as(
        okta.live.app,
        Actor(principal=okta.service, type=PrincipalType.SERVICE, chain=[inside, okta.service]),
        DefineGroup(group="", name="Engineers", people=[inside], groups=[]),
    )


def test_one_event_lists_what_the_leaver_had_and_what_nobody_answers_for(okta: Provider) -> None:
    who = okta.user("leaver")
    app, operator = okta.live.app, okta.live.tokens["operator"]
    service = act(app, operator, RegisterPrincipal(type=PrincipalType.SERVICE, name="left behind", owner=who)).reply["principal"]
    for principal in (who, service):
        act(app, operator, IssueToken(principal=principal, lifetime_s=600))
    okta.patch(f"/Users/{who}", {"op": "replace", "path": "active", "value": False})
    app.settle()
    found = [e for e in app.events.scan(kinds=frozenset({"principal.deactivated.v1"})) if who.encode() in e.raw]
    assert len(found) == 1
    from jurat.domain.events import decode_event

    fact = decode_event(found[0].raw).data
    assert isinstance(fact, PrincipalDeactivated)
    assert (len(fact.ended["tokens"]), fact.suspended) == (2, [service])
    assert 0 < fact.took_s < 5


def test_after_all_that_the_state_is_what_the_events_say(okta: Provider) -> None:
    assert compare_state(okta.live.app, okta.live.tokens["operator"]) == []
