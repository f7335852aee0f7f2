"""Workloads of others: a CI system's or a cluster's OIDC token, a SPIFFE JWT-SVID; and the rules by which one of them is believed.

Sources: RFC 7523; SPIFFE JWT-SVID (spiffe.io/docs/latest/spiffe-specs/jwt-svid): `sub` is the SPIFFE id, `aud` and `exp` are there, no
`alg` but the asymmetric ones, `typ` only `JWT` or `JOSE`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from jurat.identity import jose
from jurat.identity.jose import Jwk, refuse

WHAT: Final = "the workload's token"
LEEWAY_S: Final = 30
LONGEST_S: Final = 86_400  # a CI job's token lives minutes, a cluster's up to a day
_TYPES: Final = {"oidc": ("", "jwt", "at+jwt"), "spiffe": ("", "jwt", "jose")}
_ANY_TYPE: Final = ("", "jwt", "at+jwt", "jose")
_SPIFFE_ID: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+\Z")


class Rule(NamedTuple):
    """Tokens of this issuer, for this audience, with these claims, are the word of that principal."""

    trust: str
    form: str  # `oidc` or `spiffe`
    issuer: str
    audience: str
    claims: Mapping[str, str]  # exact values, or a prefix that ends in `*`
    principal: str


class Believed(NamedTuple):
    """What a token that holds leaves to remember."""

    replay_key: bytes
    expires_s: float


def choose(token: str, rules: Sequence[Rule]) -> Rule:
    """Return the one rule that a token is meant for, before anything in it is believed.

    Raises:
        Unauthenticated: none, or more than one: then nobody could say whose word it is.
    """
    said = jose.read(token, what=WHAT, types=_ANY_TYPE).claims
    fitting = [rule for rule in rules if _issuer_fits(said, rule) and rule.audience in jose.audiences(said) and not _unmet(said, rule)]
    if len(fitting) == 1:
        return fitting[0]
    if len(fitting) > 1:
        refuse(WHAT, f"is met by {len(fitting)} trust rules, expected one", "ambiguous", hint="an operator makes the rules narrower")
    near = [rule for rule in rules if _issuer_fits(said, rule)]
    if not near:
        refuse(WHAT, f"was issued by `{str(said.get('iss') or said.get('sub'))[:120]}`, which no rule believes", "issuer", hint=_ASK)
    meant = [rule for rule in near if rule.audience in jose.audiences(said)]
    if not meant:
        refuse(
            WHAT,
            f"is for {_shown(jose.audiences(said))}, expected `{near[0].audience}`",
            "audience",
            hint="ask its issuer for that audience",
        )
    unmet = ", ".join(f"`{name}`" for name in _unmet(said, meant[0]))
    return refuse(WHAT, f"does not meet its rule in {unmet}", "untrusted", hint=_ASK)


def check(token: str, rule: Rule, keys: Sequence[Jwk], *, now_s: float) -> Believed:
    """Pass if a token holds and meets a rule.

    Raises:
        Unauthenticated: it does not.
    """
    said = jose.verify(token, keys, what=WHAT, types=_TYPES[rule.form]).claims
    jose.check_times(said, now_s, leeway_s=LEEWAY_S, what=WHAT, longest_s=LONGEST_S)
    subject = jose.text_claim(said, "sub", WHAT)
    if rule.form == "spiffe" and not _SPIFFE_ID.match(subject):
        refuse(WHAT, f"is of `{subject[:120]}`, which is no SPIFFE id of a workload", "malformed")
    if not _issuer_fits(said, rule) or rule.audience not in jose.audiences(said) or _unmet(said, rule):
        refuse(WHAT, "does not meet its rule", "untrusted", hint=_ASK)
    jti = said.get("jti")
    replay = hashlib.sha256(f"{rule.issuer} {jti}".encode()).digest() if isinstance(jti, str) and jti else b""
    return Believed(replay, float(said["exp"]) + LEEWAY_S)


_ASK: Final = "an operator says whose tokens are believed: `jurat identity trust`, `jurat identity list`"


def _issuer_fits(said: Mapping[str, Any], rule: Rule) -> bool:
    if rule.form == "spiffe":  # a JWT-SVID needs no `iss`; its trust domain is in `sub`
        return isinstance(said.get("sub"), str) and str(said["sub"]).startswith(f"{rule.issuer}/")
    return said.get("iss") == rule.issuer


def _unmet(said: Mapping[str, Any], rule: Rule) -> list[str]:
    return [name for name, wanted in rule.claims.items() if not _meets(_at(said, name), wanted)]


def _at(said: Mapping[str, Any], name: str) -> object:
    """Return a claim by its name, or by its way in: `kubernetes.io/serviceaccount/name` lies three deep in a cluster's tokens."""
    if name in said:
        return said[name]
    found: object = said
    rest = name
    while isinstance(found, Mapping):
        if rest in found:
            return found[rest]
        key = next((key for key in found if rest.startswith(f"{key}/")), None)
        if key is None:
            return None
        found, rest = found[key], rest[len(key) + 1 :]
    return None


def _meets(value: object, wanted: str) -> bool:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else value
    if not isinstance(text, str):
        return isinstance(text, int) and str(text) == wanted
    return text.startswith(wanted[:-1]) and len(text) > len(wanted) - 1 if wanted.endswith("*") else text == wanted


def _shown(audiences: list[str]) -> str:
    return ", ".join(f"`{each[:80]}`" for each in audiences[:3]) or "nobody"
