"""Leaving, in a real database and at the real doors: what a person had is dead when the answer comes, and one event lists it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from datetime import timedelta

import pytest
from tests.contract.web.conftest import Live
from tests.scenes.asgi_client import call

from jurat.app.connections import Connections
from jurat.app.grants import Wish, client_credentials
from jurat.app.look import look
from jurat.app.refold import compare_state
from jurat.app.walk import act
from jurat.core.clock import from_ns
from jurat.core.errors import Conflict, Denied, Unauthenticated
from jurat.domain.commands import IssueToken, ReadData, RegisterPrincipal
from jurat.domain.commands_people import Deactivate, IssueLink, Reactivate, TransferOwnership
from jurat.domain.events import decode_event
from jurat.domain.facts import ActDenied
from jurat.domain.facts_people import OwnershipTransferred, PrincipalDeactivated
from jurat.domain.rows import Principal
from jurat.domain.values import PrincipalType
from jurat.store.passkeys import Passkey
from jurat.web.asgi import make_asgi


class People:
    """A person with a service that acts for them, each with tokens."""

    def __init__(self, live: Live, name: str) -> None:
        self.app, self.operator = live.app, live.tokens["operator"]
        self.person = self.register(PrincipalType.PERSON, name)
        self.service = self.register(PrincipalType.SERVICE, f"{name}-scorer", self.person)
        self.tokens = [self.token(self.person) for _ in range(3)]
        self.service_token = self.token(self.service)

    def register(self, kind: PrincipalType, name: str, owner: str | None = None) -> str:
        return act(self.app, self.operator, RegisterPrincipal(type=kind, name=name, owner=owner)).reply["principal"]

    def token(self, principal: str, on_behalf_of: str | None = None) -> str:
        return act(self.app, self.operator, IssueToken(principal=principal, lifetime_s=600, on_behalf_of=on_behalf_of)).reply["token"]

    def passkey(self) -> None:
        at = from_ns(self.app.clock.now_ns())
        digest = hashlib.sha256(self.person.encode()).digest()
        with self.app.store.vaulting() as vault:
            vault.passkeys.put(Passkey(digest, f"pky_{self.person[4:]}", self.person, b"key", 0, "laptop", False, at, None))
            vault.passkeys.put_link(digest, link_id=f"lnk_{self.person[4:]}", principal=self.person, expires_at=at + timedelta(hours=1))

    def status(self, token: str) -> tuple[int, str]:
        answer = call(make_asgi(self.app), "GET", "/api/v1/principals", token=token)
        return answer.status, answer.json().get("detail", "")


def test_whoever_is_suspended_is_refused_and_that_is_on_record(live: Live) -> None:
    found, other = People(live, "Yan"), People(live, "Uma")
    living = found.token(found.service, on_behalf_of=other.person)  # her token, which his leaving does not end
    act(found.app, found.operator, Deactivate(principal=found.person, reason="left", suspend_owned=True))

    def refused() -> list[tuple[str, ActDenied]]:
        found.app.settle()
        events = [decode_event(stored.raw) for stored in found.app.events.scan(kinds=["act.denied.v1"])]
        return [(e.id, e.data) for e in events if e.actor.principal == found.service and isinstance(e.data, ActDenied)]

    answer = call(make_asgi(found.app), "GET", "/api/v1/principals", token=living)
    assert answer.status == 401
    ((event, fact),) = refused()
    assert answer.json()["event"] == event
    assert (fact.by, fact.rule, fact.command) == ("identity", "suspended", "Look")
    for attempt, command in (
        (lambda: look(found.app, living, Principal), "SeePrincipals"),
        (lambda: act(found.app, living, ReadData(dataset="loans@v1", purpose="x")), "ReadData"),
        (lambda: client_credentials(found.app, found.service, living, Wish()), "MintToken"),
    ):
        with pytest.raises(Unauthenticated) as caught:
            attempt()
        event, fact = refused()[-1]
        assert (caught.value.fields["event"], fact.command) == (event, command)
    assert len(refused()) == 4
    with pytest.raises(Unauthenticated):
        act(found.app, "jrt_" + "x" * 43, ReadData(dataset="loans@v1", purpose="x"))
    assert found.status(found.tokens[0])[0] == 401, "revoked: it proves nobody"
    assert found.status(found.service_token)[0] == 401, "revoked, too"
    assert len(refused()) == 4, "nobody's refusal is nobody's act"


def test_everything_dies_at_once_and_one_event_lists_it(live: Live) -> None:
    found = People(live, "Zoe")
    found.passkey()
    act(found.app, found.operator, IssueLink(principal=found.person, lifetime_s=600))
    assert found.status(found.tokens[0])[0] in (200, 403)
    with pytest.raises(Conflict, match="1 that nobody would answer for"):
        act(found.app, found.operator, Deactivate(principal=found.person, reason="left"))
    assert found.status(found.service_token)[0] in (200, 403), "the refusal ended nothing"
    done = act(found.app, found.operator, Deactivate(principal=found.person, reason="left", suspend_owned=True))
    assert len(done.events) == 1
    fact = done.events[0].data
    assert isinstance(fact, PrincipalDeactivated)
    assert {sort: len(ids) for sort, ids in fact.ended.items()} == {"tokens": 4, "passkeys": 1, "links": 2}
    assert fact.count == 7
    assert fact.suspended == [found.service]
    assert 0 < fact.took_s < 5
    for token in found.tokens:
        assert found.status(token)[0] == 401
    assert found.status(found.service_token)[0] == 401
    with found.app.store.reading() as state:
        assert state.vault.passkeys.of(found.person) == []
        assert state.vault.live_tokens(found.person, from_ns(found.app.clock.now_ns())) == []


def test_a_service_without_a_living_owner_is_refused_with_that_reason(live: Live) -> None:
    """It acts for somebody else, whose word is good; but nobody answers for the service itself."""
    found, other = People(live, "Yan"), People(live, "Xi")
    token = found.token(found.service, on_behalf_of=other.person)
    act(found.app, found.operator, Deactivate(principal=found.person, reason="left", suspend_owned=True))
    status, detail = found.status(token)
    assert status == 401
    assert f"no active person answers for `{found.service}`" in detail
    with pytest.raises(Conflict, match="no active person"):
        found.token(found.service)
    act(found.app, found.operator, TransferOwnership(from_owner=found.person, to_owner=other.person, reason="takes over"))
    assert found.status(token)[0] in (200, 403), "from the moment on that somebody answers for it again"


def test_handing_over_ends_tokens_that_named_the_old_owner(live: Live) -> None:
    found, other = People(live, "Wu"), People(live, "Vi")
    done = act(found.app, found.operator, TransferOwnership(from_owner=found.person, to_owner=other.person, reason="moves"))
    fact = done.events[0].data
    assert isinstance(fact, OwnershipTransferred)
    assert len(fact.tokens) == 1
    assert found.status(found.service_token)[0] == 401
    assert found.status(found.tokens[0])[0] in (200, 403), "the old owner's own tokens have nothing to do with it"


def test_what_is_open_by_a_leaver_and_by_what_acts_for_them_is_closed(live: Live) -> None:
    """The sockets themselves are looked at in `tests/wire`; here, that leaving is among what closes them."""

    class Opened:
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    found, loop = People(live, "Tor"), asyncio.new_event_loop()
    opened = {token: Opened() for token in (found.tokens[0], found.service_token, live.tokens["auditor"])}
    connections = Connections(found.app, "api")

    async def hold() -> None:
        for token, each in opened.items():
            connections.hold(each, token)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(hold(), loop).result(10)
    act(found.app, found.operator, Deactivate(principal=found.person, reason="left", suspend_owned=True))
    assert connections.look() == 2
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
    assert [each.aborted for each in opened.values()] == [True, True, False]


def test_coming_back_revives_no_token(live: Live) -> None:
    found = People(live, "Uli")
    act(found.app, found.operator, Deactivate(principal=found.person, reason="leave", suspend_owned=True))
    act(found.app, found.operator, Reactivate(principal=found.person, reason="back"))
    assert [found.status(token)[0] for token in found.tokens] == [401, 401, 401]
    assert found.status(found.token(found.person))[0] in (200, 403)


def test_only_whoever_may_deactivates_and_the_refusal_is_on_record(live: Live) -> None:
    found = People(live, "Tam")
    for token in (live.tokens["auditor"], live.tokens["data_scientist"], found.tokens[0]):
        with pytest.raises(Denied) as refused:
            act(found.app, token, Deactivate(principal=found.person, reason="because"))
        assert str(refused.value.fields["event"]).startswith("evt_")
    with pytest.raises(Unauthenticated):
        act(found.app, "jrt_" + "x" * 43, Deactivate(principal=found.person, reason="because"))
    rows = {row.principal: row for row in look(found.app, found.operator, Principal)}
    assert rows[found.person].active


def test_the_state_after_all_that_is_what_the_events_say(live: Live) -> None:
    assert compare_state(live.app, live.tokens["operator"]) == []
