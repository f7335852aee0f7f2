"""A browser's session ends when nobody uses it, and asks for a fresh sign-in before another passkey is added to somebody's account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.web.conftest import Live
from tests.contract.web.test_passkey_door import ORIGIN, Browser
from tests.scenes.asgi_client import call
from tests.scenes.soft_authenticator import SoftAuthenticator

from jurat.app import sessions
from jurat.app.passkeys import begin_sign_in, finish_sign_in, site_of
from jurat.domain.events import decode_event
from jurat.domain.facts import ActDenied

MINUTE_NS = 60 * 10**9


class MovedClock:
    def __init__(self, inner: Any) -> None:
        self.inner, self.ahead_ns = inner, 0

    def now_ns(self) -> int:
        return int(self.inner.now_ns()) + self.ahead_ns


@pytest.fixture
def clock(live: Live) -> Iterator[MovedClock]:
    inner, live.app.clock = live.app.clock, MovedClock(live.app.clock)
    yield live.app.clock
    live.app.clock = inner


@pytest.fixture
def browser(live: Live, clock: MovedClock, monkeypatch: pytest.MonkeyPatch) -> Browser:
    monkeypatch.setattr(sessions, "_TOUCH_S", 0.0)  # how often this process writes it down; what the row says is the law
    found = Browser(live, "Soft")
    assert found.enrol().status == 200
    return found


def me(browser: Browser) -> tuple[int, str]:
    answer = call(browser.asgi, "GET", "/auth/me", headers={"cookie": f"jurat_session={browser.cookies['jurat_session']}"})
    return answer.status, answer.json().get("code", "")


def test_a_session_that_lies_idle_ends_and_one_that_is_used_does_not(browser: Browser, clock: MovedClock) -> None:
    for _ in range(3):
        clock.ahead_ns += 29 * MINUTE_NS
        assert me(browser) == (200, "")
    clock.ahead_ns += 30 * MINUTE_NS
    assert me(browser)[0] == 401
    assert me(browser)[0] == 401, "asking again does not bring it back"
    clock.ahead_ns -= 10 * MINUTE_NS
    assert me(browser) == (200, ""), "the clock decides, and what the row says of the last use stayed"


def test_a_program_is_not_idle(live: Live, clock: MovedClock) -> None:
    clock.ahead_ns += 40 * MINUTE_NS
    assert call(Browser(live, "x").asgi, "GET", "/api/v1/roles", token=live.tokens["operator"]).status == 200


def test_the_use_is_written_down_once_a_minute(live: Live, clock: MovedClock) -> None:
    found = Browser(live, "Busy")
    assert found.enrol().status == 200
    token = found.cookies["jurat_session"]

    def used() -> Any:
        with live.app.store.reading() as state:
            known = state.vault.find_token(sessions.hash_secret(token))
            assert known is not None
            return known.used_at

    assert me(found)[0] == 200
    before = used()
    clock.ahead_ns += 5 * 10**9
    assert me(found)[0] == 200
    assert used() == before


def test_another_passkey_takes_a_fresh_sign_in(browser: Browser, live: Live, clock: MovedClock) -> None:
    second = SoftAuthenticator(ORIGIN)

    def add() -> tuple[int, str]:
        begun = browser.post("/auth/passkeys/begin", {})
        if begun.status != 200:
            return begun.status, str(begun.json()["code"])
        made = second.make(begun.json()["data"]["options"])
        done = browser.post("/auth/passkeys/finish", {"credential": made, "label": "second"})
        return done.status, str(done.json().get("code", ""))

    begun = browser.post("/auth/passkeys/begin", {})
    assert begun.status == 200
    clock.ahead_ns += 6 * MINUTE_NS
    assert add() == (403, "sign_in_again")
    late = browser.post("/auth/passkeys/finish", {"credential": second.make(begun.json()["data"]["options"]), "label": "late"})
    assert late.status in (401, 403), "nor is one begun before finished after"
    site = site_of(live.app.settings, 80)
    options, secret = begin_sign_in(live.app, site)
    browser.cookies["jurat_session"] = finish_sign_in(live.app, site, browser.key.use(options), secret).reply["token"]
    assert add() == (200, "")
    live.app.settle()
    found = [decode_event(stored.raw) for stored in live.app.events.scan(kinds=["act.denied.v1"])]
    denied = [e.data for e in found if isinstance(e.data, ActDenied) and e.data.rule == "sign_in_again"]
    assert all(fact.command == "AddPasskey" for fact in denied)


def test_a_token_adds_no_second_passkey(browser: Browser, live: Live) -> None:
    from jurat.app.walk import act
    from jurat.domain.commands import IssueToken

    token = act(live.app, live.tokens["operator"], IssueToken(principal=browser.who, lifetime_s=600)).reply["token"]
    answer = browser.post("/auth/passkeys/begin", {}, authorization=f"Bearer {token}", cookie="")
    assert (answer.status, answer.json()["code"]) == (403, "sign_in_again")
