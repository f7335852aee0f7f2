"""Whose word is it? What somebody else made in a person's name approves nothing; who may vouch; grants that one person gave."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest
from tests.unit.domain.law import Law
from tests.vectors.events.make import sample

from jurat.core.clock import format_at
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands, commands_access, commands_people, facts, rows
from jurat.domain.commands import Command
from jurat.domain.commands_credentials import ActivateToken, ConfirmGrant, VouchCredential
from jurat.domain.commands_identity import InviteIdentity, MintToken, OpenSession
from jurat.domain.context import Context
from jurat.domain.credentials import OWN_WORD, refuse_credential_of_another, spoken_by
from jurat.domain.decide import DECIDERS, decide
from jurat.domain.events import Event
from jurat.domain.facts_access import AccessRulesApplied, NoticeGiven
from jurat.domain.known import Known, KnownCredential
from jurat.domain.values import PrincipalType
from jurat.policy.accessrules import default_access, parse_access


@pytest.fixture
def law() -> Law:
    found = Law()
    for handle, role in (("fay", "compliance_officer"), ("oli", "operator")):
        found.add(handle, PrincipalType.PERSON)
        found.grant(handle, role)
    return found


def told(events: list[Event]) -> list[str]:
    return [e.data.to for e in events if isinstance(e.data, NoticeGiven)]


def vouch(law: Law, handle: str, made: KnownCredential | None, credential: str = "pky_1", who: str = "prn_cleo") -> list[Event]:
    command = VouchCredential(principal=who, credential=credential, reason="she read it to me")
    context = law.context(handle, command.resource(law.state))
    events = decide(law.state, command, msgspec_free(context, Known(credential=made)))
    law.apply(events)
    return events


def msgspec_free(context: Context, known: Known) -> Context:
    return Context(context.actor, context.now_ns, None, context.resource, context.known_roles, known)


def made_by(*hands: str, root: str = "pky_1") -> KnownCredential:
    return KnownCredential("prn_cleo", list(hands), root, "2030-01-01T00:00:00.000000Z")


# --- what counts only as one's own word ------------------------------------------------------------------------------


def test_every_yes_and_no_that_can_be_said_is_on_the_list() -> None:
    """A door that is added later and forgotten here is found by its name."""
    words = ("Approve", "Reject", "Review", "Confirm", "Vouch", "Release", "Grant")
    saying = {c for c in DECIDERS if c.__name__.startswith(words) or c.__name__.endswith("Review")}
    not_a_word = {"ReleaseArtefact", "OpenReview"}  # bytes are handed out; a question is opened
    assert {c.__name__ for c in saying - OWN_WORD} - not_a_word == set()


@pytest.mark.parametrize("command", sorted(OWN_WORD, key=lambda c: c.__name__), ids=lambda c: c.__name__)
def test_nothing_on_the_list_is_said_by_what_an_operator_made(law: Law, command: type[Command]) -> None:
    """The law speaks before anything of the command is looked at, so an empty one will do."""
    law.hands["cleo"] = ["prn_olga"]
    empty = sample(command, "said")
    with pytest.raises(Denied) as refused:
        decide(law.state, empty, law.context("cleo"))
    assert refused.value.code == "credential_of_another"
    assert "`prn_olga`" in refused.value.detail
    assert "`prn_fay`" in refused.value.hint
    del law.hands["cleo"]
    refuse_credential_of_another(law.state, empty, law.context("cleo"))  # passes


def test_an_approval_by_an_operators_token_is_refused_and_by_ones_own_counts(law: Law) -> None:
    law.apply_gates()
    version = law.register()
    law.to_staging(version)
    law.soak(version)
    request = law.request(version)
    law.hands["cleo"] = ["prn_olga"]
    with pytest.raises(Denied, match="made in their name"):
        law.approve("cleo", request)
    found = law.state.get(rows.Request, request.request)
    assert found is not None
    assert found.approvals == []
    del law.hands["cleo"]
    law.approve("cleo", request)


def test_looking_and_working_go_on(law: Law) -> None:
    law.hands["ada"] = ["prn_olga"]
    law.register()
    law.apply_gates()


def test_a_workspace_to_throw_away_trusts_its_operator_from_the_beginning_only(law: Law) -> None:
    trusting, shipped = default_access(throwaway=True), default_access()
    assert parse_access(trusting, roles=None, permissions=None).trust_operator_tokens
    assert not parse_access(shipped, roles=None, permissions=None).trust_operator_tokens
    apply = commands_access.ApplyAccessRules(source=trusting, reason="easier")
    full = law.context("olga", "workspace")
    roles = (
        frozenset(r for rule in parse_access(shipped, roles=None, permissions=None).approvals for r in (*rule.roles, *rule.approvers))
        | {r for duty in parse_access(shipped, roles=None, permissions=None).duties.values() for r in duty.roles}
        | {"incident_responder"}
    )
    context = Context(full.actor, full.now_ns, None, "workspace", roles)
    with pytest.raises(Denied) as refused:
        decide(law.state, apply, context)
    assert refused.value.code == "trust_is_for_throwaways"
    law.apply([context.event(AccessRulesApplied(digest="sha256:t", source=trusting, reason="bootstrap", loosened=[]))])
    law.hands["oli"] = ["prn_olga"]
    law.do("oli", commands.GrantRole(
        principal="prn_ben", role="ml_engineer", reason="test", expires_at=format_at(law.now_ns + 10**15)
    ))  # fmt: skip
    decide(law.state, commands_access.ApplyAccessRules(source=shipped, reason="for good"), context)  # the way back is open


@pytest.mark.parametrize("said", ["yes", "1", "[true]", "True"])
def test_the_switch_says_true_or_false(said: str) -> None:
    with pytest.raises(Malformed):
        parse_access(f"{default_access()}\ntrust_operator_tokens: {said}\n", roles=None, permissions=None)


# --- what comes of it carries the same hands -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        commands.IssueToken(principal="prn_cleo", lifetime_s=900),
        commands_people.IssueLink(principal="prn_cleo", lifetime_s=900),
        InviteIdentity(principal="prn_cleo", lifetime_s=900),
    ],
    ids=lambda c: type(c).__name__,
)
def test_what_is_made_in_anothers_name_says_so_and_tells_them_and_the_auditors(law: Law, command: Command) -> None:
    events = law.do("olga", command)
    made: Any = events[0].data
    assert made.hands == ["prn_olga"]
    assert told(events) == ["prn_cleo", "prn_fay"]
    own = law.do("cleo", command)
    mine: Any = own[0].data
    assert (mine.hands, told(own)) == ([], [])


def test_whoever_made_it_cannot_take_the_notice_of_it_away(law: Law) -> None:
    events = law.do("olga", commands.IssueToken(principal="prn_cleo", lifetime_s=900))
    notice = next(e.data.notice for e in events if isinstance(e.data, NoticeGiven) and e.data.to == "prn_cleo")
    law.hands["cleo"] = ["prn_olga"]
    with pytest.raises(Denied, match="made in their name"):
        law.do("cleo", commands_access.SeeNotice(notice=notice))
    del law.hands["cleo"]
    law.do("cleo", commands_access.SeeNotice(notice=notice))


def test_nobody_washes_their_hands_by_going_on_from_it(law: Law) -> None:
    law.hands["cleo"] = ["prn_olga"]
    for command in (
        commands.IssueToken(principal="prn_cleo", lifetime_s=900),
        commands_people.IssueLink(principal="prn_cleo", lifetime_s=900),
        InviteIdentity(principal="prn_cleo", lifetime_s=900),
        MintToken(lifetime_s=900, how="refresh"),
    ):
        made: Any = law.do("cleo", command)[0].data
        assert made.hands == ["prn_olga"], type(command).__name__
    session: Any
    token: Any
    session, token, *_ = (e.data for e in law.do("cleo", OpenSession(method="passkey", lifetime_s=900, token_lifetime_s=900)))
    assert session.hands == token.hands == ["prn_olga"]
    key = commands_people.AddPasskey(principal="prn_cleo", credential_id=b"c", public_key=b"k", sign_count=0, label="l", synced=False)
    added: Any = law.do("cleo", key)[0].data
    assert added.hands == ["prn_olga"]
    other: Any = law.do("cleo", commands.IssueToken(principal="prn_dan", lifetime_s=900))[0].data
    assert other.hands == ["prn_cleo", "prn_olga"]


def test_an_agents_token_for_a_person_names_whoever_made_it_and_a_services_own_does_not(law: Law) -> None:
    law.add("bot", PrincipalType.AGENT, owner="dan")
    for_cleo: Any = law.do("olga", commands.IssueToken(principal="prn_bot", lifetime_s=900, on_behalf_of="prn_cleo"))[0].data
    assert for_cleo.hands == ["prn_olga"]
    events = law.do("olga", commands.IssueToken(principal="prn_bot", lifetime_s=900))
    own: Any = events[0].data
    assert (own.hands, told(events)) == ([], [])


# --- a token is changed, and a third person vouches -------------------------------------------------------------------


def activate(law: Law, made: KnownCredential | None, handle: str = "cleo") -> list[Event]:
    command = ActivateToken(token="tok_old", principal="prn_cleo")
    return decide(law.state, command, msgspec_free(law.context(handle), Known(credential=made)))


def test_a_token_is_changed_for_one_with_the_same_end_and_hands_and_the_old_one_ends(law: Law) -> None:
    law.hands["cleo"] = ["prn_olga"]
    fresh, ended = (e.data for e in activate(law, made_by("prn_olga", root="")))
    assert isinstance(fresh, facts.TokenIssued)
    assert (fresh.how, fresh.hands, fresh.root, fresh.expires_at) == ("activated", ["prn_olga"], fresh.token, "2030-01-01T00:00:00.000000Z")
    assert isinstance(ended, facts.TokenRevoked)
    assert ended.token == "tok_old"
    with pytest.raises(Conflict):
        activate(law, made_by(root=""))  # one's own
    with pytest.raises(Conflict):
        activate(law, made_by("prn_olga", root="tok_old"))  # twice
    for crooked in (None, KnownCredential("prn_dan", ["prn_olga"], "")):
        with pytest.raises(Denied):
            activate(law, crooked)
    with pytest.raises(Denied):
        activate(law, made_by("prn_olga", root=""), "dan")


def test_a_third_person_vouches_and_everything_that_came_of_it_is_theirs(law: Law) -> None:
    assert spoken_by(law.state, "pky_1", ["prn_olga"]) == {"credential": "pky_1", "hands": ["prn_olga"]}
    events = vouch(law, "oli", made_by("prn_olga"))
    assert told(events) == ["prn_cleo", "prn_fay"]
    assert spoken_by(law.state, "pky_1", ["prn_olga"]) == {}
    assert spoken_by(law.state, "pky_2", ["prn_olga"]) != {}
    assert spoken_by(law.state, "", ["prn_olga"]) != {}, "what was handed out is never vouched for"
    with pytest.raises(Conflict):
        vouch(law, "oli", made_by("prn_olga"))


@pytest.mark.parametrize("handle", ["olga", "cleo", "hand"])
def test_neither_its_maker_nor_its_person_nor_whoever_answers_for_a_maker_vouches(law: Law, handle: str) -> None:
    law.add("scim", PrincipalType.SERVICE, owner="dan")
    made = made_by("prn_scim") if handle == "hand" else made_by("prn_olga")
    with pytest.raises(Denied) as refused:
        vouch(law, "dan" if handle == "hand" else handle, made)
    assert refused.value.code == "no_self_vouch"


def test_what_was_handed_out_cannot_be_vouched_for(law: Law) -> None:
    with pytest.raises(Conflict) as refused:
        vouch(law, "oli", made_by("prn_olga", root=""), credential="tok_1")
    assert refused.value.code == "handed_out"
    for nothing in (None, KnownCredential("prn_dan", ["prn_olga"], "pky_1")):
        with pytest.raises(NotFound):
            vouch(law, "oli", nothing)
    law.hands["oli"] = ["prn_olga"]
    with pytest.raises(Denied, match="made in their name"):
        vouch(law, "oli", made_by("prn_olga"))


def test_the_first_operator_vouches_alone_once(law: Law) -> None:
    first = law.context("olga").event(
        facts.RoleGranted(grant="grt_0", principal="prn_olga", role="operator", scope="*", reason="bootstrap", expires_at=None)
    )
    with pytest.raises(Denied):
        vouch(law, "oli", made_by("prn_oli"))  # an operator, and not the first
    law.apply([first])
    events = vouch(law, "olga", made_by("prn_olga"))
    data: Any = events[0].data
    assert data.alone
    assert "alone" in next(e.data.text for e in events if isinstance(e.data, NoticeGiven))
    with pytest.raises(Denied):
        vouch(law, "olga", made_by("prn_olga", root="pky_2"), credential="pky_2")


# --- a grant that answers no request ---------------------------------------------------------------------------------


def grant(law: Law, handle: str = "olga", who: str = "prn_dan") -> rows.Grant:
    ends = format_at(law.now_ns + 90 * 86_400 * 10**9)
    done: Any = law.do(handle, commands.GrantRole(principal=who, role="ml_engineer", reason="test", expires_at=ends))[0].data
    found = law.state.get(rows.Grant, done.grant)
    assert found is not None
    return found


def held(law: Law, who: str = "prn_dan") -> bool:
    from jurat.domain.roles import roles_held

    return "ml_engineer" in roles_held(law.state, who, "workspace", law.now_ns)


def test_until_anybody_was_vouched_for_there_is_no_second_person_to_ask(law: Law) -> None:
    assert grant(law).confirm_by == ""


def test_a_grant_that_one_person_gave_ends_within_a_day_without_a_second_persons_word(law: Law) -> None:
    vouch(law, "oli", made_by("prn_olga"))
    row = grant(law)
    assert row.confirm_by
    assert held(law)
    law.wait(86_399)
    assert held(law)
    law.wait(2)
    assert not held(law), "expiry is enforced when read"
    ended: Any = [e.data for e in law.do("olga", commands_access.EndExpired())]
    assert (ended[0].grant, ended[0].ended_at) == (row.grant, row.confirm_by)
    with pytest.raises(NotFound):
        law.do("oli", ConfirmGrant(grant=row.grant))


def test_a_second_person_confirms_and_it_lasts(law: Law) -> None:
    vouch(law, "oli", made_by("prn_olga"))
    row = grant(law)
    for handle in ("olga", "dan"):  # who gave it, who has it
        with pytest.raises(Denied) as refused:
            law.do(handle, ConfirmGrant(grant=row.grant))
        assert refused.value.code == "no_self_approval"
    law.add("bot", PrincipalType.AGENT, owner="oli")
    with pytest.raises(Denied):
        law.do("bot", ConfirmGrant(grant=row.grant))
    law.do("oli", ConfirmGrant(grant=row.grant, comment="joined on Monday"))
    law.wait(10 * 86_400)
    assert held(law)
    with pytest.raises(Conflict):
        law.do("oli", ConfirmGrant(grant=row.grant))


def test_an_operators_service_does_not_make_a_second_person_of_them(law: Law) -> None:
    vouch(law, "oli", made_by("prn_olga"))
    law.add("robot", PrincipalType.SERVICE, owner="olga")
    law.grant("robot", "operator")
    row = grant(law, "robot")
    with pytest.raises(Denied):
        law.do("olga", ConfirmGrant(grant=row.grant))


def test_the_list_of_the_law_is_made_of_commands() -> None:
    assert all(inspect.isclass(c) and issubclass(c, Command) and c in DECIDERS for c in OWN_WORD)
    assert msgspec.structs.fields(ConfirmGrant)


def test_an_account_that_was_linked_on_an_invitation_is_in_the_hands_of_whoever_invited(law: Law) -> None:
    law.hands["cleo"] = ["prn_olga"]  # as the invitation says
    linking = OpenSession(
        method="oidc:corporate",
        lifetime_s=900,
        token_lifetime_s=900,
        link="corporate",
        linked_by="invitation",
        issuer="https://x",
        subject="s",
    )
    linked, session, token, *_ = (e.data for e in law.do("cleo", linking))
    said: Any = (linked, session, token)
    assert [each.hands for each in said] == [["prn_olga"]] * 3
    assert said[0].identity == said[1].root == said[2].root
    assert said[0].identity.startswith("idn_")
