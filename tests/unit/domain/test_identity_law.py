"""The law on sessions, tokens, providers and trust: what may follow from a proof, and what never does."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.domain.law import Law

from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.domain import rows
from jurat.domain.commands_identity import (
    DeclareTrust,
    EndSession,
    InviteIdentity,
    MintToken,
    OpenSession,
    RegisterProvider,
    RemoveProvider,
    RotateTokenKeys,
)
from jurat.domain.facts import TokenIssued
from jurat.domain.facts_identity import SessionEnded, SessionOpened
from jurat.domain.values import PrincipalType


def opened(law: Law, handle: str = "ada", **fields: Any) -> str:
    given = {"method": "test", "lifetime_s": 3600.0, "token_lifetime_s": 900.0, **fields}
    events = law.do(handle, OpenSession(**given))
    return next(event.data.session for event in events if isinstance(event.data, SessionOpened))


def tokens(law: Law) -> list[TokenIssued]:
    return [event.data for event in law.events if isinstance(event.data, TokenIssued)]


def key(kid: str) -> dict[str, Any]:
    return {"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "kid": kid}


def test_a_session_has_an_end_and_its_first_token_an_earlier_one() -> None:
    law = Law()
    session = opened(law)
    row = law.state.get(rows.Session, session)
    assert row is not None
    assert (row.principal, row.chain, row.method) == ("prn_ada", ["prn_ada"], "test")
    token = tokens(law)[-1]
    assert token.expires_at < row.expires_at
    assert (token.session, token.form, token.audience) == (session, "jwt", ["api", "gateway"])
    opened(law, form="opaque")
    assert tokens(law)[-1].form == "opaque"


@pytest.mark.parametrize("lifetime_s", [0, -1, 8 * 86_400.0])
def test_a_session_without_a_sensible_end_is_none(lifetime_s: float) -> None:
    law = Law()
    with pytest.raises(Malformed, match="session lives"):
        opened(law, lifetime_s=lifetime_s)
    assert not law.state.find(rows.Session)


def test_a_cookie_is_bound_to_no_key_and_no_door_is_invented() -> None:
    law = Law()
    with pytest.raises(Malformed, match="cookie"):
        opened(law, form="opaque", jkt="k")
    with pytest.raises(Malformed, match="no audience"):
        opened(law, audience=["api", "elsewhere"])


def test_a_person_has_so_many_sessions_and_those_that_are_over_make_room() -> None:
    law = Law()
    for _ in range(50):
        opened(law, lifetime_s=60.0)
    with pytest.raises(Conflict, match="50 sessions"):
        opened(law)
    law.wait(61)
    opened(law)
    assert len(law.state.find(rows.Session, principal="prn_ada")) == 1
    assert sum(isinstance(event.data, SessionEnded) for event in law.events) == 50


def test_a_token_never_outlives_its_session() -> None:
    law = Law()
    session = opened(law, lifetime_s=1000.0)
    law.wait(400)
    law.do("ada", MintToken(lifetime_s=900.0, how="refresh", session=session))
    row = law.state.get(rows.Session, session)
    assert row is not None
    assert tokens(law)[-1].expires_at == row.expires_at
    law.wait(601)
    with pytest.raises(Conflict, match="has ended"):
        law.do("ada", MintToken(lifetime_s=900.0, how="refresh", session=session))
    with pytest.raises(Conflict, match="has ended"):
        law.do("ada", MintToken(lifetime_s=900.0, how="refresh", session="ses_unknown"))
    with pytest.raises(Malformed):
        law.do("ada", MintToken(lifetime_s=3601.0, how="refresh"))


def test_a_session_ends_once_with_a_reason() -> None:
    law = Law()
    session = opened(law)
    with pytest.raises(Malformed, match="reason"):
        law.do("ada", EndSession(session=session, reason=" "))
    law.do("ada", EndSession(session=session, reason="left"))
    with pytest.raises(NotFound):
        law.do("ada", EndSession(session=session, reason="left"))


def test_the_newest_key_signs_and_old_ones_are_known_for_a_while() -> None:
    law = Law()
    for number in range(5):
        law.do("olga", RotateTokenKeys(issuer="https://j", key=key(str(number)), reason="yearly"))
    row = law.state.get(rows.TokenKeys, "current")
    assert row is not None
    assert [each["kid"] for each in row.keys] == ["4", "3", "2"]
    law.do("olga", RotateTokenKeys(issuer="https://j", key=key("5"), reason="lost", forget=True))
    row = law.state.get(rows.TokenKeys, "current")
    assert row is not None
    assert [each["kid"] for each in row.keys] == ["5"]
    for wrong in ({**key("6"), "d": "secret"}, {"kty": "oct", "k": "x", "kid": "7"}, {**key("8"), "kid": ""}):
        with pytest.raises(Malformed):
            law.do("olga", RotateTokenKeys(issuer="https://j", key=wrong, reason="yearly"))


def test_with_a_provider_go_the_sessions_that_it_opened_and_no_others() -> None:
    law = Law()
    law.do("olga", RegisterProvider(provider="corporate", issuer="https://id.example.org", client_id="jurat", reason="sso"))
    theirs, other = opened(law, method="oidc:corporate"), opened(law, method="passkey")
    law.do("olga", RemoveProvider(provider="corporate", reason="replaced"))
    assert law.state.get(rows.Session, theirs) is None
    assert law.state.get(rows.Session, other) is not None
    assert not law.state.find(rows.Provider)
    with pytest.raises(NotFound):
        law.do("olga", RemoveProvider(provider="corporate", reason="again"))


def test_a_directory_is_a_service_and_an_invitation_is_for_a_person() -> None:
    law = Law()
    law.add("scim", PrincipalType.SERVICE, "olga")
    given = {"provider": "corporate", "issuer": "https://id.example.org", "client_id": "jurat", "reason": "sso"}
    for wrong in ("prn_ada", "prn_nobody"):
        with pytest.raises(NotFound):
            law.do("olga", RegisterProvider(**given, directory=wrong))
    law.do("olga", RegisterProvider(**given, directory="prn_scim"))
    law.do("olga", InviteIdentity(principal="prn_ada"))
    with pytest.raises(Conflict, match="service"):
        law.do("olga", InviteIdentity(principal="prn_scim"))
    for lifetime_s in (0.0, 8 * 86_400.0):
        with pytest.raises(Malformed):
            law.do("olga", InviteIdentity(principal="prn_ada", lifetime_s=lifetime_s))


@pytest.mark.parametrize(
    "wrong",
    [
        {"claims": {}},
        {"claims": {"repository": ""}}, {"claims": {"repository": "*"}}, {"claims": {"repository": "a*b"}}, {"audience": ""},
        {"issuer": "http://ci.example.org"}, {"issuer": "https://u:p@ci.example.org"}, {"issuer": "file:///etc/passwd"}, {"form": "x"},
        {"form": "spiffe", "issuer": "spiffe://example.org", "claims": {"sub": "spiffe://example.org/x"}},  # no bundle
        {"form": "spiffe", "issuer": "spiffe://example.org", "claims": {"sub": "spiffe://other.org/x"}, "keys": [key("a")]},
    ],
)  # fmt: skip
def test_a_rule_of_trust_says_something_or_is_none(wrong: dict[str, Any]) -> None:
    law = Law()
    law.add("pipe", PrincipalType.PROCESS, "ada")
    given: dict[str, Any] = {
        "issuer": "https://ci.example.org", "audience": "jurat", "claims": {"repository": "our/*"}, "principal": "prn_pipe", "reason": "ci",
    }  # fmt: skip
    law.do("olga", DeclareTrust(**given))
    with pytest.raises(Malformed):
        law.do("olga", DeclareTrust(**{**given, **wrong}))
    assert len(law.state.find(rows.Trust)) == 1
    with pytest.raises(Conflict):
        law.do("olga", DeclareTrust(**{**given, "principal": "prn_ada"}))
