"""The negative matrix: every token and proof that must not pass, one line each, with the one that passes beside it."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from typing import Any

import pytest
from joserfc import jwk, jws

from jurat.core.errors import Unauthenticated
from jurat.identity import access, dpop, jose, keys, oidc, trust

NOW_S = 1_764_000_000
ISSUER = "https://jurat.example.org"
PRIVATE = keys.new_key()
PUBLIC = keys.public_half(PRIVATE)
FOREIGN = keys.new_key()
Claims = dict[str, Any]


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(claims: Claims, *, key: bytes = PRIVATE, **header: Any) -> str:
    return keys.sign(key, {"typ": "at+jwt", **header}, {name: value for name, value in claims.items() if value is not None})


def by_hand(header: Claims, claims: Claims | str, signature: bytes = b"x" * 64) -> str:
    raw = claims if isinstance(claims, str) else json.dumps(claims)
    return f"{b64(json.dumps(header).encode())}.{b64(raw.encode())}.{b64(signature)}"


def with_hmac(claims: Claims) -> str:
    """RS/ES-to-HS confusion: signed by HMAC with our public key as the secret."""
    head = f"{b64(json.dumps({'alg': 'HS256', 'typ': 'at+jwt', 'kid': PUBLIC['kid']}).encode())}.{b64(json.dumps(claims).encode())}"
    secrets = [json.dumps(PUBLIC).encode(), jwk.ECKey.import_key(PUBLIC).as_pem(private=False)]
    return f"{head}.{b64(hmac.new(secrets[1], head.encode(), hashlib.sha256).digest())}"


def forged_payload(token: str, **claims: Any) -> str:
    header, payload, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{header}.{b64(json.dumps({**said, **claims}).encode())}.{signature}"


GOOD: Claims = {
    "iss": ISSUER, "jti": "tok_1", "sub": "prn_ada", "client_id": "prn_ada", "aud": ["api"], "iat": NOW_S, "exp": NOW_S + 900,
}  # fmt: skip
KID = PUBLIC["kid"]
HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": KID}
TWICE = b'{"alg":"none","alg":"ES256","typ":"at+jwt"}'
ENDLESS: Claims = functools.reduce(lambda inner, _: {"sub": "x", "act": inner}, range(20), {"sub": "x"})
OFF_CURVE = {"kty": "EC", "crv": "P-256", "x": b64(b"\1" * 32), "y": b64(b"\2" * 32)}

ACCESS_TOKENS = {
    "wrong issuer": (signed({**GOOD, "iss": "https://evil.example.org"}), "token_issuer"),
    "no issuer": (signed({**GOOD, "iss": None}), "token_issuer"),
    "a key that is not ours": (signed(GOOD, key=FOREIGN), "token_key"),
    "a key that is not ours under our name": (signed(GOOD, key=FOREIGN, kid=KID), "token_signature"),
    "no such kid": (signed(GOOD, kid="another"), "token_key"),
    "kid is a path": (signed(GOOD, kid="../../etc/passwd"), "token_key"),
    "kid is a number": (by_hand({**HEADER, "kid": 7}, GOOD), "token_key"),
    "algorithm none": (by_hand({"alg": "none", "typ": "at+jwt"}, GOOD, b""), "token_algorithm"),
    "algorithm None": (by_hand({"alg": "None", "typ": "at+jwt"}, GOOD), "token_algorithm"),
    "no algorithm": (by_hand({"typ": "at+jwt"}, GOOD), "token_algorithm"),
    "a list of algorithms": (by_hand({**HEADER, "alg": ["ES256"]}, GOOD), "token_algorithm"),
    "hmac with the public key": (with_hmac(GOOD), "token_algorithm"),
    "another algorithm than ours": (by_hand({**HEADER, "alg": "RS256"}, GOOD), "token_algorithm"),
    "a signature of zeros (psychic)": (by_hand(HEADER, GOOD, b"\0" * 64), "token_signature"),
    "an empty signature": (by_hand(HEADER, GOOD, b""), "token_signature"),
    "a signature in DER": (by_hand(HEADER, GOOD, b"\x30\x44" + b"x" * 68), "token_signature"),
    "changed after it was signed": (forged_payload(signed(GOOD), sub="prn_root"), "token_signature"),
    "its own key in the header": (
        keys.sign(FOREIGN, {"typ": "at+jwt", "jwk": keys.public_half(FOREIGN), "kid": KID}, GOOD), "token_signature",
    ),
    "an extension that is critical": (by_hand({**HEADER, "crit": ["exp"], "exp": 1}, GOOD), "token_critical"),
    "an empty crit": (by_hand({**HEADER, "crit": []}, GOOD), "token_critical"),
    "unencoded payload": (by_hand({**HEADER, "b64": False}, GOOD), "token_critical"),
    "compressed": (by_hand({**HEADER, "zip": "DEF"}, GOOD), "token_critical"),
    "an ID token": (signed(GOOD, typ="JWT"), "token_type"),
    "a DPoP proof": (signed(GOOD, typ="dpop+jwt"), "token_type"),
    "no type": (by_hand({"alg": "ES256", "kid": KID}, GOOD), "token_type"),
    "expired": (signed({**GOOD, "exp": NOW_S - 1}), "token_expired"),
    "expired this second": (signed({**GOOD, "exp": NOW_S}), "token_expired"),
    "no end": (signed({**GOOD, "exp": None}), "token_malformed"),
    "an end as text": (signed({**GOOD, "exp": str(NOW_S + 900)}), "token_malformed"),
    "an end that is true": (signed({**GOOD, "exp": True}), "token_malformed"),
    "an endless end": (by_hand(HEADER, json.dumps(GOOD).replace(str(NOW_S + 900), "1e999")), "token_signature"),
    "not yet": (signed({**GOOD, "nbf": NOW_S + 1}), "token_early"),
    "issued in the future": (signed({**GOOD, "iat": NOW_S + 1}), "token_early"),
    "a claim twice": (by_hand(HEADER, '{"iss":"a","sub":"prn_ada","sub":"prn_root"}'), "token_malformed"),
    "a header member twice": (f"{b64(TWICE)}.e30.eA", "token_malformed"),
    "NaN": (by_hand(HEADER, '{"exp":NaN}'), "token_malformed"),
    "claims that are a list": (by_hand(HEADER, "[]"), "token_malformed"),
    "deep": (by_hand(HEADER, "[" * 4000), "token_malformed"),
    "huge": (by_hand(HEADER, {**GOOD, "x": "y" * 10_000}), "token_too_large"),
    "two parts": ("a.b", "token_malformed"),
    "four parts": ("a.b.c.d", "token_malformed"),
    "encrypted": ("a.b.c.d.e", "token_malformed"),
    "no header": (".e30.eA", "token_malformed"),
    "padded base64": (signed(GOOD).replace(".", "=.", 1), "token_malformed"),
    "standard base64": (f"{b64(json.dumps(HEADER).encode())}.+/+/.eA", "token_malformed"),
    "bits left over": (f"{b64(json.dumps(HEADER).encode())}.e31.eA", "token_malformed"),
    "an actor that is a text": (signed({**GOOD, "act": "prn_agent"}), "token_malformed"),
    "a chain without end": (signed({**GOOD, "act": ENDLESS}), "token_malformed"),
    "a key that is no text": (signed({**GOOD, "cnf": {"jkt": 7}}), "token_malformed"),
    "nobody": (signed({**GOOD, "sub": ""}), "token_malformed"),
}  # fmt: skip


def test_the_good_one_passes_at_both_edges_of_its_life() -> None:
    token = signed(GOOD)
    for at_s in (NOW_S, NOW_S + 899.999):
        assert access.check(token, [PUBLIC], issuer=ISSUER, now_s=at_s).chain == ["prn_ada"]
    old = keys.public_half(keys.new_key())
    assert access.check(token, [old, PUBLIC], issuer=ISSUER, now_s=NOW_S).token == "tok_1", "during a rotation"


@pytest.mark.parametrize(("token", "code"), ACCESS_TOKENS.values(), ids=ACCESS_TOKENS)
def test_an_access_token_that_must_not_pass(token: str, code: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        access.check(token, [PUBLIC], issuer=ISSUER, now_s=NOW_S)
    assert refused.value.code == code
    assert token not in refused.value.detail + refused.value.hint, "a token is a secret"


def test_what_is_minted_is_read_back_with_its_chain() -> None:
    claims = access.Claims(
        issuer=ISSUER, token="tok_2", chain=["p", "a", "b", "c"], audience=["gateway"], issued_s=NOW_S, expires_s=NOW_S + 9,
        session="ses_1", jkt="k",
    )  # fmt: skip
    assert access.check(access.mint(PRIVATE, claims), [PUBLIC], issuer=ISSUER, now_s=NOW_S) == claims


# ── proofs of possession ────────────────────────────────────────────────────────────────────────────────────────────────

CLIENT = jwk.ECKey.generate_key("P-256")
URL = "https://jurat.example.org/api/v1/models"
TOKEN = "an.access.token"
PROOF: Claims = {"htm": "GET", "htu": URL, "iat": NOW_S, "jti": "one", "ath": dpop.token_hash(TOKEN)}


def proof(*, key: Any = CLIENT, header: Claims | None = None, without: str = "", **claims: Any) -> str:
    said = {name: value for name, value in {**PROOF, **claims}.items() if name != without}
    full = {"typ": "dpop+jwt", "alg": "ES256", "jwk": CLIENT.as_dict(private=False), **(header or {})}
    full = {name: value for name, value in full.items() if value is not None}
    return jws.serialize_compact(full, json.dumps(said).encode(), key, algorithms=[full["alg"]])


def proof_by_hand(header: Claims) -> str:
    return by_hand({"typ": "dpop+jwt", "alg": "ES256", "jwk": CLIENT.as_dict(private=False), **header}, PROOF)


PROOFS = {
    "another method": (proof(htm="POST"), "token_proof_method"),
    "method in lower case": (proof(htm="get"), "token_proof_method"),
    "no method": (proof(without="htm"), "token_proof_method"),
    "another path": (proof(htu="https://jurat.example.org/api/v1/gates"), "token_proof_url"),
    "another host": (proof(htu="https://evil.example.org/api/v1/models"), "token_proof_url"),
    "another scheme": (proof(htu="http://jurat.example.org/api/v1/models"), "token_proof_url"),
    "another port": (proof(htu="https://jurat.example.org:8443/api/v1/models"), "token_proof_url"),
    "our host as a user name": (proof(htu="https://jurat.example.org@evil.example.org/api/v1/models"), "token_proof_url"),
    "no address": (proof(without="htu"), "token_proof_url"),
    "an address that is a list": (proof(htu=[URL]), "token_proof_url"),
    "no hash of the token": (proof(without="ath"), "token_proof_token"),
    "the hash of another token": (proof(ath=dpop.token_hash("another")), "token_proof_token"),
    "too old": (proof(iat=NOW_S - dpop.LIFETIME_S - 1), "token_proof_time"),
    "from the future": (proof(iat=NOW_S + dpop.AHEAD_S + 1), "token_proof_time"),
    "no time": (proof(without="iat"), "token_malformed"),
    "a time as text": (proof(iat=str(NOW_S)), "token_malformed"),
    "no number": (proof(without="jti"), "token_malformed"),
    "a huge number": (proof(jti="x" * 129), "token_malformed"),
    "signed by another key": (proof(key=jwk.ECKey.generate_key("P-256")), "token_signature"),
    "no key": (proof(header={"jwk": None, "kid": "a"}), "token_key"),
    "a private key": (proof_by_hand({"jwk": CLIENT.as_dict(private=True)}), "token_key"),
    "a symmetric key": (proof_by_hand({"jwk": {"kty": "oct", "k": "AAAA"}}), "token_key"),
    "a key of another curve": (proof_by_hand({"jwk": jwk.ECKey.generate_key("P-384").as_dict(private=False)}), "token_key"),
    "a point off the curve": (proof_by_hand({"jwk": OFF_CURVE}), "token_signature"),
    "a short RSA key": (proof_by_hand({"alg": "RS256", "jwk": {"kty": "RSA", "e": "AQAB", "n": b64(b"\xff" * 128)}}), "token_key"),
    "algorithm none": (proof_by_hand({"alg": "none"}), "token_algorithm"),
    "HMAC": (proof_by_hand({"alg": "HS256"}), "token_algorithm"),
    "an access token": (proof_by_hand({"typ": "at+jwt"}), "token_type"),
    "no type": (proof_by_hand({"typ": ""}), "token_type"),
    "critical": (proof_by_hand({"crit": ["x"]}), "token_critical"),
    "huge": (proof_by_hand({"x": "y" * 5000}), "token_too_large"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code"), PROOFS.values(), ids=PROOFS)
def test_a_proof_that_must_not_pass(text: str, code: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        dpop.check(text, method="GET", urls=[dpop.normal_url(URL)], now_s=NOW_S, access_token=TOKEN)
    assert refused.value.code == code


@pytest.mark.parametrize("iat", [NOW_S, NOW_S - dpop.LIFETIME_S, NOW_S + dpop.AHEAD_S, NOW_S + 0.5])
def test_clocks_may_differ_so_much_and_no_more(iat: float) -> None:
    found = dpop.check(proof(iat=iat), method="GET", urls=[dpop.normal_url(URL)], now_s=NOW_S, access_token=TOKEN)
    assert found.jkt == CLIENT.thumbprint()


@pytest.mark.parametrize(
    "same",
    [
        "HTTPS://JURAT.example.org/api/v1/models",
        "https://jurat.example.org:443/api/v1/models?a=b#c",
        "https://jurat.example.org/%61pi/v1/models",
    ],
)
def test_one_address_is_written_in_several_ways(same: str) -> None:
    assert dpop.check(proof(htu=same), method="GET", urls=[dpop.normal_url(URL)], now_s=NOW_S, access_token=TOKEN)


def test_two_keys_with_one_number_are_two_proofs() -> None:
    other = jwk.ECKey.generate_key("P-256")
    mine, theirs = proof(), proof(key=other, header={"jwk": other.as_dict(private=False)})
    replay = [dpop.check(t, method="GET", urls=[dpop.normal_url(URL)], now_s=NOW_S, access_token=TOKEN).replay_key for t in (mine, theirs)]
    assert replay[0] != replay[1], "nobody can use up another's numbers"


# ── ID tokens and workloads' tokens ─────────────────────────────────────────────────────────────────────────────────────

OP = "https://id.example.org"
ID: Claims = {"iss": OP, "sub": "ada", "aud": "jurat", "iat": NOW_S, "exp": NOW_S + 60, "nonce": "n"}
ID_TOKENS = {
    "another issuer": ({**ID, "iss": "https://id.example.org/"}, "token_issuer"),
    "another audience": ({**ID, "aud": "somebody"}, "token_audience"),
    "no audience": ({**ID, "aud": None}, "token_audience"),
    "an audience that is an object": ({**ID, "aud": {"jurat": 1}}, "token_audience"),
    "two audiences and no azp": ({**ID, "aud": ["jurat", "other"]}, "token_audience"),
    "given to another": ({**ID, "azp": "other"}, "token_audience"),
    "another sign-in": ({**ID, "nonce": "m"}, "token_nonce"),
    "no nonce": ({**ID, "nonce": None}, "token_nonce"),
    "expired": ({**ID, "exp": NOW_S - oidc.LEEWAY_S}, "token_expired"),
    "of tomorrow": ({**ID, "iat": NOW_S + oidc.LEEWAY_S + 1, "exp": NOW_S + 99}, "token_early"),
    "for a year": ({**ID, "exp": NOW_S + 366 * 86_400}, "token_too_long"),
    "no time": ({**ID, "iat": None}, "token_malformed"),
    "nobody": ({**ID, "sub": None}, "token_malformed"),
    "of another access token": ({**ID, "at_hash": b64(b"x" * 16)}, "token_hash"),
}


@pytest.mark.parametrize(("claims", "code"), ID_TOKENS.values(), ids=ID_TOKENS)
def test_an_id_token_that_must_not_pass(claims: Claims, code: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        oidc.check_id_token(
            signed(claims, typ="JWT"),
            [PUBLIC],
            issuer=OP,
            client_id="jurat",
            nonce="n",
            now_s=NOW_S,
            access_token="its own",
        )
    assert refused.value.code == code


@pytest.mark.parametrize("late_s", [0, oidc.LEEWAY_S - 1])
def test_an_id_token_passes_within_the_leeway(late_s: int) -> None:
    claims = {**ID, "exp": NOW_S + 1 - late_s, "iat": NOW_S + late_s - 60}
    account = oidc.check_id_token(signed(claims, typ="JWT"), [PUBLIC], issuer=OP, client_id="jurat", nonce="n", now_s=NOW_S)
    assert (account.issuer, account.subject) == (OP, "ada")


RULE = trust.Rule("trs_1", "oidc", "https://ci.example.org", "jurat", {"repository": "our/credit", "ref": "refs/tags/v*"}, "prn_pipe")
JOB: Claims = {
    "iss": "https://ci.example.org", "sub": "job", "aud": ["jurat"], "iat": NOW_S, "exp": NOW_S + 300, "repository": "our/credit",
    "ref": "refs/tags/v1.2.0", "jti": "j",
}  # fmt: skip
JOBS = {
    "another issuer": ({**JOB, "iss": "https://ci.evil.org"}, "token_issuer"),
    "another audience": ({**JOB, "aud": "npm"}, "token_audience"),
    "a fork": ({**JOB, "repository": "mallory/credit"}, "token_untrusted"),
    "a repository whose name begins like ours": ({**JOB, "repository": "our/credit-evil"}, "token_untrusted"),
    "a branch": ({**JOB, "ref": "refs/heads/main"}, "token_untrusted"),
    "the bare prefix": ({**JOB, "ref": "refs/tags/v"}, "token_untrusted"),
    "no claim": ({**JOB, "ref": None}, "token_untrusted"),
    "a claim that is a list": ({**JOB, "repository": ["our/credit"]}, "token_untrusted"),
    "expired": ({**JOB, "exp": NOW_S - trust.LEEWAY_S}, "token_expired"),
    "for a week": ({**JOB, "exp": NOW_S + 7 * 86_400}, "token_too_long"),
}


@pytest.mark.parametrize(("claims", "code"), JOBS.values(), ids=JOBS)
def test_a_workloads_token_that_must_not_pass(claims: Claims, code: str) -> None:
    token = signed(claims, typ="JWT")
    with pytest.raises(Unauthenticated) as refused:
        trust.check(token, trust.choose(token, [RULE]), [PUBLIC], now_s=NOW_S)
    assert refused.value.code == code


def test_a_workloads_token_passes_by_the_one_rule_that_it_meets() -> None:
    token = signed(JOB, typ="JWT")
    rules = [RULE, RULE._replace(trust="trs_2", claims={"repository": "our/other"})]
    assert trust.choose(token, rules).trust == "trs_1"
    assert trust.check(token, RULE, [PUBLIC], now_s=NOW_S).replay_key
    with pytest.raises(Unauthenticated, match="2 trust rules"):
        trust.choose(token, [RULE, RULE._replace(trust="trs_3")])


def test_claims_that_lie_deep_are_named_by_their_way_in() -> None:
    """As in a projected service-account token of Kubernetes."""
    rule = RULE._replace(claims={"kubernetes.io/namespace": "prod", "kubernetes.io/serviceaccount/name": "scorer"})
    deep = {**JOB, "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "scorer", "uid": "u"}}}
    assert trust.choose(signed(deep, typ="JWT"), [rule]) == rule
    with pytest.raises(Unauthenticated):
        trust.choose(signed({**deep, "kubernetes.io": {"namespace": "dev", "serviceaccount": {"name": "scorer"}}}, typ="JWT"), [rule])


SPIFFE = trust.Rule("trs_4", "spiffe", "spiffe://example.org", "jurat", {"sub": "spiffe://example.org/ns/prod/sa/scorer"}, "prn_scorer")
SVID: Claims = {"sub": "spiffe://example.org/ns/prod/sa/scorer", "aud": ["jurat"], "exp": NOW_S + 300}


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({**SVID, "sub": "spiffe://example.org.evil.org/ns/prod/sa/scorer"}, "token_issuer"),
        ({**SVID, "sub": "spiffe://example.org/ns/dev/sa/scorer"}, "token_untrusted"),
        ({**SVID, "aud": ["other"]}, "token_audience"),
        ({**SVID, "exp": None}, "token_malformed"),
        ({**SVID, "exp": NOW_S - 31}, "token_expired"),
    ],
)
def test_a_jwt_svid_that_must_not_pass(claims: Claims, code: str) -> None:
    token = signed(claims, typ="JWT")
    with pytest.raises(Unauthenticated) as refused:
        trust.check(token, trust.choose(token, [SPIFFE]), [PUBLIC], now_s=NOW_S)
    assert refused.value.code == code


@pytest.mark.parametrize("kind", ["JWT", "JOSE"])
def test_a_jwt_svid_passes_without_an_issuer(kind: str) -> None:
    token = signed(SVID, typ=kind)
    assert trust.check(token, trust.choose(token, [SPIFFE]), [PUBLIC], now_s=NOW_S).replay_key == b""


def test_an_algorithm_is_only_taken_with_a_key_of_its_kind() -> None:
    rsa = jwk.RSAKey.generate_key(2048)
    for algorithm in ("RS256", "PS256"):
        token = jws.serialize_compact({"alg": algorithm, "typ": "JWT", "kid": "r"}, json.dumps(ID).encode(), rsa, algorithms=[algorithm])
        known = {**rsa.as_dict(private=False), "kid": "r"}
        assert jose.verify(token, [known], what="it").claims["sub"] == "ada"
        with pytest.raises(Unauthenticated):
            jose.verify(token, [{**known, "alg": "ES256"}], what="it")
        with pytest.raises(Unauthenticated):
            jose.verify(token, [{**PUBLIC, "kid": "r"}], what="it")
        with pytest.raises(Unauthenticated):
            jose.verify(token, [{**known, "use": "enc"}], what="it")
