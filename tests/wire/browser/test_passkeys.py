"""Passkeys in a real Chromium: a link that works once, a session, a copy that is noticed, and no script but ours."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect
from tests.wire.browser.conftest import PATIENCE_MS, Device, Served

from jurat.app.passkeys import link_url, passkeys_of
from jurat.app.sessions import live_sessions
from jurat.app.walk import act
from jurat.domain.commands import RegisterPrincipal
from jurat.domain.commands_people import Deactivate, IssueLink
from jurat.domain.values import PrincipalType


def person(served: Served, name: str) -> tuple[str, str]:
    who = act(served.app, served.operator, RegisterPrincipal(type=PrincipalType.PERSON, name=name)).reply["principal"]
    return who, link(served, who)


def link(served: Served, who: str, lifetime_s: float = 600.0) -> str:
    secret = act(served.app, served.operator, IssueLink(principal=who, lifetime_s=lifetime_s)).reply["link"]
    assert link_url(served.app.workspace, served.app.settings, secret).endswith(f"/enrol#{secret}")
    return f"{served.origin}/enrol#{secret}"


def enrol(device: Device, address: str, label: str = "work laptop") -> None:
    device.page.goto(address)
    expect(device.page.locator("#greeting")).to_contain_text("Welcome", timeout=PATIENCE_MS)
    device.page.fill("#label", label)
    device.page.click("#make")
    device.page.wait_for_url("**/account")
    device.page.wait_for_selector("#passkeys li")


def sign_in(device: Device, served: Served) -> None:
    device.page.goto(f"{served.origin}/sign-in")
    device.page.click("#sign-in")


def events(served: Served, kind: str, word: str) -> list[str]:
    served.app.settle()
    return [each.raw.decode() for each in served.app.events.scan(kinds=frozenset({kind})) if word.encode() in each.raw]


def test_a_link_makes_a_passkey_and_the_passkey_signs_in(served: Served, device: Device) -> None:
    who, address = person(served, "Ada Byron")
    enrol(device, address)
    assert device.page.inner_text("#greeting") == "Ada Byron"
    assert "#" not in device.page.url
    cookie = next(c for c in device.context.cookies() if c["name"] == "jurat_session")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    key = device.keys()[0]
    assert (key["isResidentCredential"], key["rpId"]) == (True, "localhost")
    assert [s.method for s in live_sessions(served.app, served.operator, who)] == ["passkey"]
    device.page.click("#sign-out")
    device.page.wait_for_url("**/sign-in")
    assert live_sessions(served.app, served.operator, who) == []
    sign_in(device, served)
    device.page.wait_for_url("**/account")
    device.page.wait_for_selector("#passkeys li")
    assert "work laptop" in device.page.inner_text("#passkeys")
    assert passkeys_of(served.app, served.operator, who)[0].used_at
    assert device.said == [], "no policy of content was broken, no error thrown"
    assert len(events(served, "passkey.added.v1", who)) == 1
    assert not events(served, "passkey.added.v1", "laptop")


def test_a_link_works_once(served: Served, device: Device, chromium: Any) -> None:
    who, address = person(served, "Ben")
    enrol(device, address)
    other = Device(chromium)
    other.page.goto(address)
    assert "was used" in other.problem()
    assert other.page.is_hidden("#enrol")
    other.page.goto(f"{served.origin}/enrol#jln_{'x' * 43}")
    other.page.reload()
    assert "does not work" in other.problem()
    other.close()
    assert len(passkeys_of(served.app, served.operator, who)) == 1


def test_two_who_open_the_same_link_get_one_passkey(served: Served, device: Device, chromium: Any) -> None:
    """Both pages are open before either answers."""
    who, address = person(served, "Cleo")
    other = Device(chromium)
    for each in (device, other):
        each.page.goto(address)
        expect(each.page.locator("#greeting")).to_contain_text("Welcome", timeout=PATIENCE_MS)
    device.page.click("#make")
    device.page.wait_for_url("**/account")
    other.page.click("#make")
    assert "was used" in other.problem()
    other.close()
    assert len(passkeys_of(served.app, served.operator, who)) == 1
    assert len(live_sessions(served.app, served.operator, who)) == 1


def test_a_copy_of_a_passkey_is_noticed_and_the_passkey_taken_away(served: Served, device: Device, chromium: Any) -> None:
    who, address = person(served, "Dan")
    enrol(device, address)
    copy = device.keys()[0]  # stolen now, with the counter as it stands
    for _ in range(2):
        sign_in(device, served)
        device.page.wait_for_url("**/account")
    thief = Device(chromium)
    thief.put_key({**copy, "signCount": copy["signCount"]})
    sign_in(thief, served)
    assert "counter went back" in thief.problem()
    assert not [c for c in thief.context.cookies() if c["name"] == "jurat_session"]
    thief.close()
    assert passkeys_of(served.app, served.operator, who) == []
    assert "there may be a copy" in events(served, "passkey.removed.v1", who)[0]
    sign_in(device, served)
    assert "not known here" in device.problem()


def test_a_device_that_does_not_know_its_user_is_refused(served: Served, chromium: Any) -> None:
    who, address = person(served, "Eve")
    found = Device(chromium)
    found.control.send("WebAuthn.setUserVerified", {"authenticatorId": found.authenticator, "isUserVerified": False})
    found.page.goto(address)
    expect(found.page.locator("#greeting")).to_contain_text("Welcome", timeout=PATIENCE_MS)
    found.page.click("#make")
    assert found.problem()
    found.close()
    assert passkeys_of(served.app, served.operator, who) == []


def test_another_passkey_is_added_and_one_removed(served: Served, device: Device) -> None:
    who, address = person(served, "Fay")
    enrol(device, address, "phone")
    device.page.click("#add")
    assert "has a passkey for you already" in device.problem()
    device.control.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": device.authenticator})
    device.authenticator = device.plug_in()
    device.page.click("#add")
    expect(device.page.locator("#passkeys li")).to_have_count(2, timeout=PATIENCE_MS)
    device.page.click("#passkeys li:first-child button")
    expect(device.page.locator("#passkeys li")).to_have_count(1, timeout=PATIENCE_MS)
    assert [each.label for each in passkeys_of(served.app, served.operator, who)] == ["passkey"]


def test_whoever_was_deactivated_is_out_of_the_open_page_and_cannot_come_back(served: Served, device: Device) -> None:
    who, address = person(served, "Gus")
    enrol(device, address)
    act(served.app, served.operator, Deactivate(principal=who, reason="left"))
    device.page.reload()
    device.page.wait_for_url("**/sign-in")
    device.page.click("#sign-in")
    assert "not known here" in device.problem()


def test_pages_look_the_same_at_the_number_of_this_machine_and_by_name(served: Served, device: Device) -> None:
    device.page.goto(f"http://127.0.0.1:{served.port}/sign-in")
    assert device.page.url == f"{served.origin}/sign-in"
