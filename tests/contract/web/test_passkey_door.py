"""The door for passkeys, asked by an authenticator that can lie: every crooked answer is refused, and opens no session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.contract.web.conftest import Live
from tests.scenes.asgi_client import Reply, call
from tests.scenes.soft_authenticator import PRESENT, SoftAuthenticator

from jurat.app.passkeys import first_link, passkeys_of
from jurat.app.sessions import live_sessions
from jurat.app.walk import act
from jurat.core.errors import Denied
from jurat.domain.commands import RegisterPrincipal
from jurat.domain.commands_people import IssueLink, RemovePasskey
from jurat.domain.values import PrincipalType
from jurat.web.asgi import make_asgi

ORIGIN = "http://localhost:80"


class Browser:
    """Somebody with a link, an authenticator, and a jar of cookies."""

    def __init__(self, live: Live, name: str) -> None:
        self.live, self.asgi = live, make_asgi(live.app)
        operator = live.tokens["operator"]
        self.who = act(live.app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name=name)).reply["principal"]
        self.link = act(live.app, operator, IssueLink(principal=self.who, lifetime_s=600)).reply["link"]
        self.key = SoftAuthenticator(ORIGIN)
        self.cookies: dict[str, str] = {}

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        sent = {"host": "localhost:80", "origin": ORIGIN, "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), **headers}
        answer = call(self.asgi, "POST", path, body=body, headers={k: v for k, v in sent.items() if v})
        if "set-cookie" in answer.headers:
            name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return answer

    def enrol(self) -> Reply:
        options = self.post("/auth/enrol/begin", {"link": self.link}).json()["data"]["options"]
        return self.post("/auth/enrol/finish", {"link": self.link, "credential": self.key.make(options), "label": "soft"})

    def begin(self) -> dict[str, Any]:
        return dict(self.post("/auth/sign-in/begin", {}).json()["data"]["options"])

    def finish(self, credential: dict[str, Any]) -> Reply:
        return self.post("/auth/sign-in/finish", {"credential": credential})

    def sessions(self) -> int:
        return len(live_sessions(self.live.app, self.live.tokens["operator"], self.who))


@pytest.fixture
def browser(live: Live) -> Browser:
    found = Browser(live, "Soft")
    assert found.enrol().status == 200
    return found


def test_an_honest_authenticator_signs_in(browser: Browser) -> None:
    assert browser.sessions() == 1
    answer = browser.finish(browser.key.use(browser.begin()))
    assert answer.status == 200
    assert browser.sessions() == 2
    me = call(browser.asgi, "GET", "/auth/me", headers={"cookie": f"jurat_session={browser.cookies['jurat_session']}"})
    assert me.json()["data"]["principal"] == browser.who


def _lie(**changes: Any) -> Callable[[Browser], dict[str, Any]]:
    def tell(browser: Browser) -> dict[str, Any]:
        for name, value in changes.items():
            setattr(browser.key, name, value)
        return browser.key.use(browser.begin())

    return tell


def _edited(part: str) -> Callable[[Browser], dict[str, Any]]:
    def tell(browser: Browser) -> dict[str, Any]:
        found = browser.key.use(browser.begin())
        said = found["response"][part]
        found["response"][part] = ("B" if said[8] == "A" else "A").join((said[:8], said[9:]))
        return found

    return tell


def _another_key(browser: Browser) -> dict[str, Any]:
    other = SoftAuthenticator(ORIGIN, credential_id=browser.key.credential_id)
    return other.use(browser.begin())


def _unknown(browser: Browser) -> dict[str, Any]:
    return SoftAuthenticator(ORIGIN).use(browser.begin())


def _own_challenge(browser: Browser) -> dict[str, Any]:
    browser.begin()
    return browser.key.use({"challenge": "bm90LWFza2VkLWhlcmUtYXQtYWxsLTMyLWJ5dGVzISE"})


def _answered_twice(browser: Browser) -> dict[str, Any]:
    options = browser.begin()
    assert browser.finish(browser.key.use(options)).status == 200
    return browser.key.use(options)


def _asked_in_another_browser(browser: Browser) -> dict[str, Any]:
    options = browser.begin()
    browser.begin()  # another cookie from here on
    return browser.key.use(options)


def _registered_instead(browser: Browser) -> dict[str, Any]:
    return browser.key.make(browser.begin())


LIES = {
    "another origin": _lie(origin="http://localhost:81"),
    "another site": _lie(rp_id="example.org"),
    "the user was not verified": _lie(flags=PRESENT),
    "nobody was there": _lie(flags=0x04),
    "another ceremony": _lie(kind="webauthn.create"),
    "a signature that was edited": _edited("signature"),
    "data that was edited": _edited("authenticatorData"),
    "client data that was edited": _edited("clientDataJSON"),
    "another key under its name": _another_key,
    "a passkey of nobody": _unknown,
    "a challenge of its own": _own_challenge,
    "a challenge answered twice": _answered_twice,
    "a challenge of another browser": _asked_in_another_browser,
    "a registration": _registered_instead,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_every_crooked_answer_is_refused_and_opens_nothing(browser: Browser, lie: Callable[[Browser], dict[str, Any]]) -> None:
    credential = lie(browser)
    before = browser.sessions()
    answer = browser.finish(credential)
    assert answer.status in (400, 401), answer.body
    assert "set-cookie" not in answer.headers
    assert browser.sessions() == before
    browser.key = SoftAuthenticator(ORIGIN, key=browser.key.key, credential_id=browser.key.credential_id, counter=browser.key.counter)
    assert browser.finish(browser.key.use(browser.begin())).status == 200, "an honest one still opens"


@pytest.mark.parametrize(
    "credential",
    [{}, {"rawId": 7}, {"rawId": "AA", "response": {}}, {"rawId": "AA", "response": {"clientDataJSON": "!"}}, {"x": "y" * 40_000}],
)
def test_what_is_no_answer_at_all_is_malformed(browser: Browser, credential: dict[str, Any]) -> None:
    assert browser.finish(credential).status == 400


def test_a_link_is_for_one_key_of_one_person(live: Live) -> None:
    first, second = Browser(live, "First"), Browser(live, "Second")
    options = second.post("/auth/enrol/begin", {"link": second.link}).json()["data"]["options"]
    first.post("/auth/enrol/begin", {"link": first.link})
    crossed = first.post("/auth/enrol/finish", {"link": first.link, "credential": first.key.make(options), "label": ""})
    assert crossed.status == 401, "the challenge belongs to another link"
    assert first.enrol().status == 200
    again = first.post("/auth/enrol/begin", {"link": first.link})
    assert (again.status, again.json()["code"]) == (403, "link_over")
    second.key = first.key
    options = second.post("/auth/enrol/begin", {"link": second.link}).json()["data"]["options"]
    stolen = second.post("/auth/enrol/finish", {"link": second.link, "credential": second.key.make(options), "label": ""})
    assert (stolen.status, stolen.json()["code"]) == (409, "passkey_known")


def test_the_first_link_is_shown_as_long_as_nobody_can_sign_in(live: Live, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = live.tokens["operator"]
    assert first_link(live.app, operator) == "", "somebody can"
    monkeypatch.setattr("jurat.store.passkeys.Passkeys.any", lambda _self: False)
    assert "/enrol#jln_" in first_link(live.app, operator)
    assert first_link(live.app, live.tokens["auditor"]) == "", "only an operator may ask for one"
    assert first_link(live.app, "jrt_" + "x" * 43) == ""


def test_a_link_ends_by_itself(live: Live) -> None:
    found = Browser(live, "Late")
    found.link = act(live.app, live.tokens["operator"], IssueLink(principal=found.who, lifetime_s=0.001)).reply["link"]
    assert found.post("/auth/enrol/begin", {"link": found.link}).status == 403


def test_only_our_own_pages_may_ask(browser: Browser) -> None:
    for origin in ("", "null", "http://localhost:81", "https://evil.example", "http://127.0.0.1:80"):
        answer = browser.post("/auth/sign-in/begin", {}, origin=origin)
        assert (answer.status, answer.json()["code"]) == (403, "cross_site")
    assert browser.post("/auth/passkeys/remove", {"passkey": "pky_x"}, origin="https://evil.example").status == 403


def test_everybody_has_their_own_passkeys(live: Live, browser: Browser) -> None:
    operator = live.tokens["operator"]
    other = Browser(live, "Other")
    assert other.enrol().status == 200
    theirs = passkeys_of(live.app, operator, browser.who)[0].passkey
    assert other.post("/auth/passkeys/remove", {"passkey": theirs}).status == 404
    with pytest.raises(Denied):
        act(live.app, other.cookies["jurat_session"], RemovePasskey(principal=browser.who, passkey=theirs, reason="mine now"))
    with pytest.raises(Denied):
        passkeys_of(live.app, other.cookies["jurat_session"], browser.who)
    act(live.app, operator, RemovePasskey(principal=browser.who, passkey=theirs, reason="phone lost"))
    assert browser.finish(browser.key.use(browser.begin())).status == 401


def test_pages_run_no_script_but_ours_and_sit_in_no_frame(browser: Browser) -> None:
    for path in ("/sign-in", "/enrol", "/account"):
        answer = call(browser.asgi, "GET", path, headers={"host": "localhost"})
        policy = answer.headers["content-security-policy"]
        assert answer.status == 200
        assert "unsafe" not in policy
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"} <= set(policy.split("; "))
        assert b"<script>" not in answer.body
        assert b" style=" not in answer.body
        assert b" onclick=" not in answer.body
    assert "default-src 'none'" in call(browser.asgi, "GET", "/healthz").headers["content-security-policy"]
