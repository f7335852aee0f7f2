"""Signing in at a real identity provider: code + PKCE in a browser, the device flow; whose account is whose, and everything crooked."""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from tests.wire.identity.identity_site import PUBLIC, IdentitySite
from tests.wire.identity.provider import SECRET, Browser, Provider, provider

from jurat.app import login
from jurat.app.walk import act
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.errors import Conflict, Malformed, NotFound, Unauthenticated, Unavailable
from jurat.core.files import write_secret
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal
from jurat.domain.commands_identity import InviteIdentity, RegisterProvider, RemoveProvider
from jurat.domain.events import decode_event
from jurat.domain.facts import ActDenied
from jurat.domain.facts_identity import IdentityLinked
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType
from jurat.identity import keys

CALLBACK = f"{PUBLIC}/login/callback"


@pytest.fixture(scope="module")
def corporate(site: IdentitySite) -> Iterator[Provider]:
    with provider() as found:
        act(site.app, site.operator, RegisterProvider(provider="corporate", issuer=found.issuer, client_id="jurat", reason="test"))
        write_secret(site.app.workspace.keys / login.secret_file_name("corporate"), SECRET.encode() + b"\n")
        yield found


def invite(site: IdentitySite, name: str, lifetime_s: float = 600.0) -> str:
    return act(site.app, site.operator, InviteIdentity(principal=site.ids[name], lifetime_s=lifetime_s)).reply["invitation"]


def come_back(site: IdentitySite, browser: Browser, account: str, invitation: str = "", at: str = "corporate") -> str:
    """Sign in up to the address that the provider sends us back to."""
    query = f"?{urlencode({'invitation': invitation})}" if invitation else ""
    begun = browser.go(f"{PUBLIC}/login/{at}{query}")
    assert begun.status == 303
    return browser.sign_in(begun.location, account, CALLBACK)


def changed(url: str, **query: str | None) -> str:
    fields = {**{name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}, **query}
    return f"{url.partition('?')[0]}?{urlencode({name: value for name, value in fields.items() if value is not None})}"


def test_the_first_sign_in_takes_an_invitation_and_the_next_does_not(site: IdentitySite, corporate: Provider) -> None:
    browser = Browser(site.one)
    back = come_back(site, browser, "ada-at-work", invite(site, "ada"))
    assert set(parse_qs(urlsplit(back).query)) >= {"code", "state", "iss"}
    browser.worker = site.other  # it comes back to another worker
    page = browser.go(back)
    assert page.status == 200, page.text
    cookie = browser.jars["jurat.example.org"]["jurat_session"]
    assert cookie["httponly"]
    assert cookie["secure"]
    assert cookie["samesite"].lower() == "lax"
    seen = browser.go(f"{PUBLIC}/api/v1/sessions")
    assert '"oidc:corporate"' in seen.text
    again = Browser(site.one)
    assert again.go(come_back(site, again, "ada-at-work")).status == 200


def test_whoever_comes_back_in_a_browser_sees_a_page(site: IdentitySite, corporate: Provider) -> None:
    browser = Browser(site.one)
    page = browser.go(come_back(site, browser, "ada-at-work"), headers={"accept": "text/html,application/xhtml+xml"})
    assert (page.status, page.location) == (303, f"{PUBLIC}/account")
    shown = browser.go(page.location)
    assert (shown.status, "<h1" in shown.text) == (200, True)
    assert browser.go(f"{PUBLIC}/auth/me").status == 200


def test_we_prove_ourselves_by_a_key_that_the_provider_knows_the_public_half_of(site: IdentitySite, corporate: Provider) -> None:
    private = keys.new_key()
    path = site.app.workspace.keys / login.key_file_name("keyed")
    with provider(client_jwks=json.dumps({"keys": [keys.public_half(private)]})) as found:
        act(site.app, site.operator, RegisterProvider(provider="keyed", issuer=found.issuer, client_id="jurat-keyed", reason="test"))
        try:
            write_secret(path, private)
            browser = Browser(site.one)
            back = come_back(site, browser, "ada-keyed", invite(site, "ada"), at="keyed")
            assert browser.go(back).status == 200
            write_secret(path, keys.new_key())  # not the one that it knows
            stranger = Browser(site.one)
            page = stranger.go(come_back(site, stranger, "ada-keyed", at="keyed"))
            assert (page.status, "login_refused" in page.text) == (401, True)
        finally:
            act(site.app, site.operator, RemoveProvider(provider="keyed", reason="test"))
            login.forget_client_secret(site.app, "keyed")
    assert not path.exists()


def test_an_account_that_is_nobodys_here_stays_outside_whatever_its_address(site: IdentitySite, corporate: Provider) -> None:
    browser = Browser(site.one)
    page = browser.go(come_back(site, browser, "stranger"))
    assert (page.status, "account_unknown" in page.text) == (401, True)


def test_an_invitation_is_for_one_person_once_and_ends(site: IdentitySite, corporate: Provider) -> None:
    invitation = invite(site, "ben")
    browser = Browser(site.one)
    assert browser.go(come_back(site, browser, "ben-at-work", invitation)).status == 200
    second = Browser(site.one)
    assert second.go(come_back(site, second, "mallory", invitation)).status == 401
    third = Browser(site.one)
    late = invite(site, "ben", lifetime_s=0.01)
    time.sleep(0.02)
    assert third.go(come_back(site, third, "late", late)).status == 401
    with pytest.raises(Conflict, match="process"):
        invite(site, "pipe")


def test_a_directorys_person_signs_in_the_first_time_without_an_invitation(site: IdentitySite, corporate: Provider) -> None:
    """The directory of that very provider has said whose account it is; nobody else's directory has a say."""
    app, operator = site.app, site.operator
    tokens = {}
    for name in ("okta", "foreign"):
        service = act(app, operator, RegisterPrincipal(type=PrincipalType.SERVICE, name=name, owner=site.ids["ada"])).reply["principal"]
        ends = expiry(app.clock.now_ns(), 3600)
        act(app, operator, GrantRole(principal=service, role="provisioner", reason="test", expires_at=ends))
        tokens[name] = act(app, operator, IssueToken(principal=service, lifetime_s=3600)).reply["token"], service

    def provision(directory: str, user: str, method: str = "POST", path: str = "/scim/v2/Users", **changes: Any) -> str:
        body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": user, "externalId": user, **changes}
        said = site.ask(method, path, headers={"authorization": f"Bearer {tokens[directory][0]}"}, body=body)
        assert said.status in (200, 201), said.raw
        return str(said.body["id"])

    with provider() as staff:
        register = RegisterProvider(provider="staff", issuer=staff.issuer, client_id="jurat", reason="test", directory=tokens["okta"][1])
        act(app, operator, register)
        write_secret(app.workspace.keys / login.secret_file_name("staff"), SECRET.encode() + b"\n")
        eve = provision("okta", "eve-at-work")
        provision("foreign", "mallory-at-work")
        for account, at in (("nobody-at-work", "staff"), ("mallory-at-work", "staff"), ("eve-at-work", "corporate")):
            page = Browser(site.one)
            assert "account_unknown" in page.go(come_back(site, page, account, at=at)).text, (account, at)
        browser = Browser(site.one)
        assert browser.go(come_back(site, browser, "eve-at-work", at="staff")).status == 200
        assert eve in browser.go(f"{PUBLIC}/api/v1/sessions").text
        app.settle()
        linked = [decode_event(stored.raw).data for stored in app.events.scan(kinds=["identity.linked.v1"])]
        assert [fact.by for fact in linked if isinstance(fact, IdentityLinked) and fact.principal == eve] == ["directory"]
        provision("okta", "eve-at-work", "PUT", f"/scim/v2/Users/{eve}", active=False)
        assert browser.go(f"{PUBLIC}/api/v1/sessions").status == 401, "what was open is over"
        again = Browser(site.one)
        page = again.go(come_back(site, again, "eve-at-work", at="staff"))
        assert (page.status, '"suspended"' in page.text) == (401, True), page.text
        app.settle()
        tried = [decode_event(stored.raw) for stored in app.events.scan(kinds=["act.denied.v1"])]
        assert any(e.actor.principal == eve and isinstance(e.data, ActDenied) and e.data.by == "identity" for e in tried)
        act(app, operator, RemoveProvider(provider="staff", reason="test"))


def test_what_comes_back_crooked_lets_nobody_in_and_is_used_up(site: IdentitySite, corporate: Provider) -> None:
    for wrong, code in (
        ({"state": "x" * 43}, "login_over"),
        ({"iss": "https://evil.example.org"}, "token_issuer"),
        ({"iss": None}, "token_issuer"),
        ({"code": "x" * 43}, "login_refused"),
        ({"code": None, "error": "access_denied"}, "login_refused"),
    ):
        browser = Browser(site.one)
        back = come_back(site, browser, "ada-at-work")
        page = browser.go(changed(back, **wrong))
        assert page.status == 401, wrong
        assert f'"code":"{code}"' in page.text, (wrong, page.text)
        if "state" not in wrong:
            assert '"login_over"' in browser.go(back).text, "a sign-in comes back once"


def test_another_browser_cannot_finish_a_sign_in(site: IdentitySite, corporate: Provider) -> None:
    """Login CSRF: the attacker's own sign-in, finished in the victim's browser."""
    attacker = Browser(site.one)
    back = come_back(site, attacker, "ada-at-work")
    page = Browser(site.one).go(back)
    assert '"login_browser"' in page.text
    assert attacker.go(back).status == 401


def test_another_site_cannot_act_by_the_cookie_and_signing_out_ends_it(site: IdentitySite, corporate: Provider) -> None:
    browser = Browser(site.one)
    assert browser.go(come_back(site, browser, "ada-at-work")).status == 200
    for headers in ({"origin": "https://evil.example.org"}, {"origin": PUBLIC, "sec-fetch-site": "cross-site"}, {}):
        page = browser.go(f"{PUBLIC}/logout", {}, headers)
        assert (page.status, '"cross_site"' in page.text) == (403, True), headers
    cookie = browser.jars["jurat.example.org"]["jurat_session"].value
    assert browser.go(f"{PUBLIC}/logout", {}, {"origin": PUBLIC}).status == 200
    assert site.look(cookie).status == 401


def test_the_redirect_address_is_ours_whatever_host_the_request_names(site: IdentitySite, corporate: Provider) -> None:
    page = Browser(site.one).go(f"{PUBLIC}/login/corporate", headers={"host": "evil.example.org"})
    query = parse_qs(urlsplit(page.location).query)
    assert query["redirect_uri"] == [CALLBACK]
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["state"][0]) == len(query["nonce"][0]) == 43


def test_a_terminal_signs_in_by_a_code_that_is_typed_elsewhere(site: IdentitySite, corporate: Provider) -> None:
    device = login.begin_device(site.app, "corporate")
    assert login.poll_device(site.app, "corporate", device.code) in (0.0, 5.0)
    browser = Browser(site.one)
    page = browser.go(device.url)
    xsrf = re.search(r'name="xsrf" value="([^"]+)"', page.text)
    assert xsrf
    confirmed = browser.go(device.url.partition("?")[0], {"xsrf": xsrf[1], "user_code": device.shown, "confirm": "yes"})
    done = browser.sign_in_device(confirmed, "ada-at-work")
    assert done
    opened = login.poll_device(site.app, "corporate", device.code)
    assert not isinstance(opened, float)
    assert site.look(opened.reply["token"]).status == 200
    assert opened.reply["refresh_token"]
    with pytest.raises(Unauthenticated):
        login.poll_device(site.app, "corporate", device.code)


class Terminal(Session):
    """A session of the command line, whose talk a test can answer."""

    def say(self, text: str) -> None:
        said.put(text)


said: queue.Queue[str] = queue.Queue()


def jurat(site: IdentitySite, capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, Any]:
    session = Terminal(workspace_given=str(site.app.workspace.root), opener=lambda _workspace: contextlib.nullcontext(site.app))
    code = run([*argv, "--json"], session)
    out = capsys.readouterr().out
    return code, json.loads(out) if out else None


def test_the_command_line_signs_in_renews_itself_and_signs_out(
    site: IdentitySite, corporate: Provider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = time.sleep
    monkeypatch.setattr("jurat.cli.login.time.sleep", lambda _s: pause(0.2))

    def person() -> None:
        text = said.get(timeout=20)
        found = re.match(r"open (\S+)\nand confirm the code (\S+)", text)
        assert found, text
        browser = Browser(site.one)
        xsrf = re.search(r'name="xsrf" value="([^"]+)"', browser.go(found[1]).text)
        assert xsrf
        fields = {"xsrf": xsrf[1], "user_code": found[2], "confirm": "yes"}
        browser.sign_in_device(browser.go(found[1].partition("?")[0], fields), "ada-at-work")

    with ThreadPoolExecutor(1) as pool:
        confirming = pool.submit(person)
        code, told = jurat(site, capsys, "login", "corporate", "--save", "ada-signed-in")
        confirming.result()
    assert (code, told["signed_in_as"]) == (0, site.ids["ada"])
    files = sorted(site.app.workspace.credentials.glob("ada-signed-in.*"))
    assert [(path.suffix, path.stat().st_mode & 0o777) for path in files] == [(".refresh", 0o600), (".token", 0o600)]
    code, me = jurat(site, capsys, "whoami", "--as", "ada-signed-in")
    assert (code, me["chain"], me["roles"]) == (0, [site.ids["ada"]], ["data_scientist"])
    code, seen = jurat(site, capsys, "session", "list", "--as", "ada-signed-in")
    assert told["session"] in {row["session"] for row in seen}

    token_file, first = site.app.workspace.credentials / "ada-signed-in.token", [path.read_text() for path in files]
    stale = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + 30}).encode()).decode()
    token_file.write_text(f"a.{stale}.b")  # about to end
    assert jurat(site, capsys, "whoami", "--as", "ada-signed-in")[0] == 0
    assert all(new != old for new, old in zip([path.read_text() for path in files], first, strict=True)), "token and renewal are fresh"

    assert jurat(site, capsys, "logout", "--as", "ada-signed-in")[0] == 0
    assert not [path for path in site.app.workspace.credentials.glob("ada-signed-in.*") if path.suffix != ".lock"]
    assert jurat(site, capsys, "whoami", "--as", "ada-signed-in")[0] == 3
    code, opened = jurat(site, capsys, "session", "list")
    assert told["session"] not in {row["session"] for row in opened}


def test_an_operator_adds_and_lists_providers_invites_and_ends_sessions(
    site: IdentitySite, corporate: Provider, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, listed = jurat(site, capsys, "identity", "list")
    assert (code, [row["provider"] for row in listed["providers"]]) == (0, ["corporate"])
    code, invited = jurat(site, capsys, "identity", "invite", "ada", "--for", "1h")
    assert (code, invited["invitation"][:4]) == (0, "jri_")
    session = site.sign_in("ada").reply["session"]
    assert jurat(site, capsys, "session", "revoke", session, "--reason", "test")[0] == 0
    assert jurat(site, capsys, "session", "revoke", session, "--reason", "test")[0] == 4
    trust = ("identity", "trust", "pipe", "--audience", "jurat", "--claim", "repository=our/credit", "--reason", "test")
    code, declared = jurat(site, capsys, *trust, "--issuer", "https://ci.example.org")
    assert (code, len(declared["events"])) == (0, 1)
    assert jurat(site, capsys, *trust)[0] == 2, "neither issuer nor trust domain"
    assert jurat(site, capsys, *trust, "--spiffe", "spiffe://example.org", "--bundle", str(tmp_path / "no"))[0] == 4
    code, listed = jurat(site, capsys, "identity", "list")
    assert jurat(site, capsys, "identity", "end-trust", listed["trusts"][0]["trust"], "--reason", "test")[0] == 0
    assert jurat(site, capsys, "identity", "rotate-keys", "--reason", "yearly")[0] == 0
    assert jurat(site, capsys, "identity", "rotate-keys", "--reason", " ")[0] == 2


def test_the_link_is_on_record_and_the_account_is_in_the_vault_only(site: IdentitySite, corporate: Provider) -> None:
    from jurat.domain.events import encode_event

    with site.app.store.reading() as state:
        found = state.vault.proofs.find_identity(corporate.issuer, "ada-at-work")
    assert found is not None
    assert found.principal == site.ids["ada"]
    device = login.begin_device(site.app, "corporate")
    browser = Browser(site.one)
    page = browser.go(device.url)
    xsrf = re.search(r'name="xsrf" value="([^"]+)"', page.text)
    assert xsrf
    browser.sign_in_device(
        browser.go(device.url.partition("?")[0], {"xsrf": xsrf[1], "user_code": device.shown, "confirm": "yes"}), "ben-at-home"
    )
    opened = login.poll_device(site.app, "corporate", device.code, invite(site, "ben"))
    assert not isinstance(opened, float)
    linked = [event for event in opened.events if isinstance(event.data, IdentityLinked)]
    assert [event.data.by for event in linked] == ["invitation"]
    assert not any(b"ben-at-home" in encode_event(event) for event in opened.events)


def test_new_keys_at_the_provider_are_read_and_a_provider_that_is_away_is_said_so(site: IdentitySite, corporate: Provider) -> None:
    port = int(corporate.issuer.rpartition(":")[2])
    corporate.process.kill()
    corporate.process.wait()
    with pytest.raises(Unavailable, match="does not answer"):
        login.poll_device(site.app, "corporate", "any")
    with provider(port=port) as again:
        assert again.issuer == corporate.issuer
        time.sleep(5.1)  # keys are not read more often than that, however many tokens need others
        browser = Browser(site.one)
        assert browser.go(come_back(site, browser, "ada-at-work")).status == 200


def test_a_provider_has_one_name_and_an_address_of_its_own(site: IdentitySite, corporate: Provider) -> None:
    def register(**fields: str) -> None:
        given = {"provider": "second", "issuer": "https://id.example.org", "client_id": "jurat", "reason": "test", **fields}
        act(site.app, site.operator, RegisterProvider(**given))

    with pytest.raises(Conflict, match="known already"):
        register(issuer=corporate.issuer)
    for issuer in ("http://id.example.org", "https://user:pw@id.example.org", "https://id.example.org?x=1", "ftp://x", "nonsense"):
        with pytest.raises(Malformed):
            register(issuer=issuer)
    with pytest.raises(Malformed, match="no name"):
        register(provider="../keys")


def test_with_its_provider_a_sign_in_goes(site: IdentitySite, corporate: Provider) -> None:
    """Last: nobody signs in there afterwards."""
    listed = site.ask("GET", "/api/v1/sessions?limit=500", headers={"authorization": f"Bearer {site.operator}"}).body["data"]
    assert any(row["method"] == "oidc:corporate" for row in listed)
    done = act(site.app, site.operator, RemoveProvider(provider="corporate", reason="replaced"))
    assert len(done.events) > 1
    listed = site.ask("GET", "/api/v1/sessions?limit=500", headers={"authorization": f"Bearer {site.operator}"}).body["data"]
    assert not any(row["method"] == "oidc:corporate" for row in listed)
    with pytest.raises(NotFound):
        login.begin(site.app, "corporate", CALLBACK)
