"""Proofs of possession with a nonce of ours (RFC 9449, sections 8 and 9): asked for, given, taken for minutes, and by every process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.contract.web.conftest import Live
from tests.scenes.asgi_client import Reply, call
from tests.wire.identity.identity_site import Key

from jurat.app.walk import act
from jurat.core.errors import Malformed, Unauthenticated
from jurat.core.settings import parse_settings
from jurat.domain.commands import IssueToken, RegisterPrincipal
from jurat.domain.values import PrincipalType
from jurat.identity import dpop
from jurat.web.asgi import make_asgi

BASE = "http://testserver:80"


@pytest.fixture
def asking(live: Live) -> Iterator[Live]:
    before = live.app.settings
    object.__setattr__(live.app, "settings", replace(before, dpop_nonce="on"))
    yield live
    object.__setattr__(live.app, "settings", before)


@pytest.fixture
def service(asking: Live) -> tuple[str, str]:
    app, operator = asking.app, asking.tokens["operator"]
    owner = act(app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name="Owner")).reply["principal"]
    who = act(app, operator, RegisterPrincipal(type=PrincipalType.SERVICE, name="caller", owner=owner)).reply["principal"]
    return who, act(app, operator, IssueToken(principal=who, lifetime_s=600)).reply["token"]


def ask_token(live: Live, service: tuple[str, str], key: Key, **claims: Any) -> Reply:
    form = {"grant_type": "client_credentials", "client_id": service[0], "client_secret": service[1]}
    headers = {"content-type": "application/x-www-form-urlencoded", "dpop": key.proof("POST", f"{BASE}/oauth/token", **claims)}
    return call(make_asgi(live.app), "POST", "/oauth/token", raw=urlencode(form).encode(), headers=headers)


def test_a_nonce_is_asked_for_given_and_taken_at_the_token_endpoint_and_at_the_api(asking: Live, service: tuple[str, str]) -> None:
    key = Key()
    refused = ask_token(asking, service, key)
    assert (refused.status, refused.json()["error"]) == (400, "use_dpop_nonce")
    nonce = refused.headers["dpop-nonce"]
    for wrong in ("", "x" * 24, nonce[:-1]):
        assert ask_token(asking, service, key, nonce=wrong).json()["error"] == "use_dpop_nonce"
    given = ask_token(asking, service, key, nonce=nonce)
    assert (given.status, given.json()["token_type"]) == (200, "DPoP"), given.body
    token = given.json()["access_token"]

    def look(**claims: Any) -> Reply:
        proof = key.proof("GET", f"{BASE}/api/v1/inbox", token, **claims)
        return call(make_asgi(asking.app), "GET", "/api/v1/inbox", headers={"authorization": f"DPoP {token}", "dpop": proof})

    refused = look()
    assert refused.status == 401
    assert refused.headers["www-authenticate"] == 'DPoP error="use_dpop_nonce"'
    assert look(nonce=refused.headers["dpop-nonce"]).status in (200, 403, 404), "the proof holds; what it may see is another question"


def test_nonces_last_for_minutes_and_are_the_same_wherever_they_are_made() -> None:
    secret = b"s" * 32
    key = Key()
    at = 1_764_100_000.0
    given = dpop.nonces(secret, at)[0]

    def check(now_s: float, nonce: str, by: bytes = secret) -> str:
        proof = key.proof("GET", "https://x/y", nonce=nonce, iat=int(now_s))
        try:
            dpop.check(proof, method="GET", urls=[dpop.normal_url("https://x/y")], now_s=now_s, taken=dpop.nonces(by, now_s))
        except Unauthenticated as error:
            return error.code
        return ""

    assert check(at, given) == check(at + 119, given) == ""
    assert check(at + 181, given) == "token_proof_nonce"
    assert check(at - 61, given) == "token_proof_nonce", "one from the future was never given out"
    assert check(at, given, b"t" * 32) == "token_proof_nonce"
    assert len(set(dpop.nonces(secret, at))) == 3


def test_without_the_setting_no_nonce_is_asked_for(live: Live, service: tuple[str, str]) -> None:
    object.__setattr__(live.app, "settings", replace(live.app.settings, dpop_nonce="off"))
    assert ask_token(live, service, Key()).status == 200
    with pytest.raises(Malformed):
        parse_settings({"dpop_nonce": "yes"}, source="t")
