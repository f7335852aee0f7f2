"""Workloads with other issuers' tokens, and clients that are not ours: a real provider, SPIFFE, an independent DPoP client."""

from __future__ import annotations

import http.client
import json
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from requests_oauth2client import DPoPToken, OAuth2Client
from tests.wire.gateway.gateway_site import Gateway
from tests.wire.identity.identity_site import ACCESS_TOKEN, EXCHANGE, JWT_BEARER, IdentitySite, Key
from tests.wire.identity.provider import SECRET, Provider, provider

from jurat.app.token_keys import rotate_keys
from jurat.app.walk import act
from jurat.core.errors import Conflict, Denied, Malformed
from jurat.domain.commands_identity import DeclareTrust, EndTrust
from jurat.identity import keys

AUDIENCE = "https://jurat.example.org/ci"


@pytest.fixture(scope="module")
def ci() -> Iterator[Provider]:
    with provider() as found:
        yield found


def job_token(ci: Provider, audience: str = AUDIENCE) -> str:
    """A job's token as its CI system gives it: signed by the real provider, with the claims of a repository and an environment."""
    connection = http.client.HTTPConnection(urlsplit(ci.issuer).netloc, timeout=20)
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": "Basic " + b64encode(f"ci:{SECRET}".encode()).decode()}
    connection.request("POST", "/token", urlencode({"grant_type": "client_credentials", "resource": audience, "scope": "read"}), headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["access_token"])


def believe(site: IdentitySite, principal: str, **fields: Any) -> str:
    given = {"audience": AUDIENCE, "reason": "test", **fields}
    done = act(site.app, site.operator, DeclareTrust(principal=site.ids[principal], **given))
    return str(done.events[0].data.trust)  # type: ignore[attr-defined]


def test_a_ci_jobs_token_is_exchanged_for_the_process_that_it_is(site: IdentitySite, ci: Provider) -> None:
    token = job_token(ci)
    assert site.token(grant_type=JWT_BEARER, assertion=token).body["code"] == "token_issuer", "nobody believes it yet"
    rule = believe(site, "pipe", issuer=ci.issuer, claims={"repository": "our/credit", "environment": "prod*"})
    key = Key()
    answer = site.token(grant_type=JWT_BEARER, assertion=token, key=key)
    assert answer.body["token_type"] == "DPoP", answer.raw
    assert site.look(answer.body["access_token"], key=key, path="/api/v1/events").status == 200
    again = site.token(grant_type=JWT_BEARER, assertion=token, port=site.other)
    assert again.body["code"] == "token_replayed", "once, in whichever worker"
    assert site.token(grant_type=JWT_BEARER, assertion=job_token(ci, "https://elsewhere.example.org")).body["code"] == "token_audience"
    header, payload, signature = job_token(ci).split(".")
    assert site.token(grant_type=JWT_BEARER, assertion=f"{header}.{payload}.{signature[::-1]}").status == 400
    act(site.app, site.operator, EndTrust(trust=rule, reason="moved"))
    assert site.token(grant_type=JWT_BEARER, assertion=job_token(ci)).body["code"] == "token_issuer"


def test_a_job_that_does_not_meet_the_rule_is_nobody(site: IdentitySite, ci: Provider) -> None:
    rule = believe(site, "pipe", issuer=ci.issuer, claims={"repository": "our/other"})
    refused = site.token(grant_type=JWT_BEARER, assertion=job_token(ci))
    assert (refused.status, refused.body["error"], refused.body["code"]) == (400, "invalid_grant", "token_untrusted")
    act(site.app, site.operator, EndTrust(trust=rule, reason="test"))


def test_a_spiffe_workload_is_believed_by_its_pinned_bundle(site: IdentitySite) -> None:
    private = keys.new_key()
    public = {name: value for name, value in keys.public_half(private).items() if name != "use"}
    subject = "spiffe://example.org/ns/prod/sa/scorer"
    rule = believe(site, "scorer", form="spiffe", issuer="spiffe://example.org", claims={"sub": subject}, keys=[public])
    claims = {"sub": subject, "aud": [AUDIENCE], "exp": int(time.time()) + 300}
    answer = site.token(grant_type=JWT_BEARER, assertion=keys.sign(private, {"typ": "JWT"}, claims), audience="gateway")
    assert answer.status == 200, answer.raw
    forged = keys.sign(keys.new_key(), {"typ": "JWT"}, claims)
    assert site.token(grant_type=JWT_BEARER, assertion=forged).body["code"] == "token_key"
    act(site.app, site.operator, EndTrust(trust=rule, reason="test"))


def test_a_rule_that_would_believe_everybody_is_refused(site: IdentitySite) -> None:
    good = {"issuer": "https://ci.example.org", "claims": {"repository": "our/credit"}}
    spiffe = {"form": "spiffe", "issuer": "spiffe://example.org", "claims": {"sub": "x"}}
    wrong: list[dict[str, Any]] = [
        *({**good, "claims": claims} for claims in ({}, {"repository": "*"}, {"repository": ""}, {"repository": "*/credit"})),
        {**good, "audience": ""}, {**good, "form": "saml"}, {**good, "issuer": "http://ci.example.org"}, spiffe,
    ]  # fmt: skip
    for fields in wrong:
        with pytest.raises(Malformed):
            believe(site, "pipe", **fields)
    with pytest.raises(Conflict, match="no person"):
        believe(site, "ada", **good)
    with pytest.raises(Denied):
        act(site.app, site.local["ben"], DeclareTrust(principal=site.ids["pipe"], audience=AUDIENCE, reason="me", **good))


def test_an_independent_client_gets_and_uses_a_bound_token(site: IdentitySite) -> None:
    client = OAuth2Client(
        token_endpoint=site.url("/oauth/token"), client_id=site.ids["pipe"], client_secret=site.local["pipe"], testing=True,
        dpop_bound_access_tokens=True,
    )  # fmt: skip
    token = client.client_credentials()
    assert isinstance(token, DPoPToken)
    for _ in range(2):  # a fresh proof each time
        assert requests.get(site.url("/api/v1/events"), auth=token, timeout=20).status_code == 200
    assert (
        requests.get(site.url("/api/v1/events"), headers={"authorization": f"Bearer {token.access_token}"}, timeout=20).status_code == 401
    )
    scout = site.of_client("scout").body["access_token"]
    delegated = client.token_exchange(
        subject_token=site.sign_in("ben").reply["token"], subject_token_type=ACCESS_TOKEN, actor_token=scout,
        actor_token_type=ACCESS_TOKEN, dpop=True,
    )  # fmt: skip
    assert requests.get(site.url("/api/v1/events"), auth=delegated, timeout=20).status_code == 200
    assert EXCHANGE in requests.get(site.url("/.well-known/oauth-authorization-server"), timeout=20).json()["grant_types_supported"]


def test_an_independent_client_is_known_at_the_gateway_too(site: IdentitySite) -> None:
    gateway = Gateway(site.app.workspace)
    try:
        client = OAuth2Client(
            token_endpoint=site.url("/oauth/token"), client_id=site.ids["scorer"], client_secret=site.local["scorer"], testing=True,
            dpop_bound_access_tokens=True,
        )  # fmt: skip
        token = client.client_credentials(audience="gateway")
        url = f"http://127.0.0.1:{gateway.port}/v2/models/nothing"
        assert requests.get(url, auth=token, timeout=20).status_code == 404, "known, and there is no such endpoint"
        plain = requests.get(url, headers={"authorization": f"Bearer {token.access_token}"}, timeout=20)
        assert (plain.status_code, plain.json()["code"]) == (401, "token_bound")
        key = Key()
        mine = site.of_client("scorer", key=key, audience="gateway").body["access_token"]
        headers = {"authorization": f"DPoP {mine}", "dpop": key.proof("GET", url, mine)}
        assert [requests.get(url, headers=headers, timeout=20).status_code for _ in range(2)] == [404, 401]
    finally:
        gateway.stop()


def test_a_token_is_given_back_by_whoever_has_it(site: IdentitySite) -> None:
    opened = site.sign_in("ada").reply
    client = OAuth2Client(
        token_endpoint=site.url("/oauth/token"),
        revocation_endpoint=site.url("/oauth/revoke"),
        client_id="any",
        client_secret="any",
        testing=True,
    )
    assert client.revoke_token(opened["refresh_token"])
    assert site.look(opened["token"]).status == 401
    assert client.revoke_token("unknown"), "RFC 7009: not an error"


def test_keys_are_rotated_and_what_the_old_one_signed_ends_by_itself_or_now(site: IdentitySite) -> None:
    """Last but for nothing: every token before the second rotation is dead after it."""
    before = site.of_client("pipe").body["access_token"]
    known = {each["kid"] for each in site.ask("GET", "/.well-known/jwks.json").body["keys"]}
    rotate_keys(site.app, site.operator, "yearly")
    after = site.of_client("pipe", port=site.other)
    assert after.status == 200, after.raw
    for token in (before, after.body["access_token"]):
        assert site.look(token, path="/api/v1/gates").status == 200
    assert len({each["kid"] for each in site.ask("GET", "/.well-known/jwks.json").body["keys"]} - known) == 1
    rotate_keys(site.app, site.operator, "the machine was lost", forget=True)
    for token in (before, after.body["access_token"]):
        assert site.look(token, path="/api/v1/gates").body["code"] == "token_key"
    with pytest.raises(Denied):
        rotate_keys(site.app, site.local["ben"], "because")
    assert len(list(site.app.workspace.keys.glob("token-*.json"))) == 1, "no key is left behind"
    assert (next(site.app.workspace.keys.glob("token-*.json")).stat().st_mode & 0o777) == 0o600
