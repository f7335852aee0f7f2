"""The law on credentials in two hands: how a token is changed for one's own, who may vouch, and who confirms what one person granted."""

from __future__ import annotations

from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands_credentials as commands
from jurat.domain import facts, rows
from jurat.domain import facts_credentials as said
from jurat.domain.context import Context
from jurat.domain.credentials import auditors
from jurat.domain.decide_duties import notices
from jurat.domain.events import Event
from jurat.domain.requests import need_person, people_of, refuse_own
from jurat.domain.roles import is_live, people_behind
from jurat.domain.state import State


def activate_token(state: State, command: commands.ActivateToken, context: Context) -> list[Event]:
    """The fresh one lives as long, has the same hands, and can be vouched for: whoever handed out the old one never saw it."""
    made = context.known.credential
    if command.principal != context.actor.principal or made is None or made.principal != command.principal:
        raise Denied("a token is changed by whoever holds it", hint="send the token itself", code="not_yours")
    if not made.hands or made.root:
        raise Conflict("nobody else has seen this token" if made.root else "this token is your own", hint="nothing to do", code="unchanged")
    name = context.fresh("tok")
    fresh = facts.TokenIssued(
        token=name, principal=made.principal, chain=context.actor.chain, expires_at=made.expires_at, how="activated",
        hands=list(made.hands), root=name,
    )  # fmt: skip
    ended = facts.TokenRevoked(token=command.token, principal=made.principal, reason="changed for one that nobody else has seen")
    return [context.event(fresh), context.event(ended)]


def vouch(state: State, command: commands.VouchCredential, context: Context) -> list[Event]:
    """Whoever vouches has no hand in the credential, and is not its person. Only the first operator may, once, while they are alone."""
    made = context.known.credential
    if made is None or made.principal != command.principal:
        raise NotFound(
            f"`{command.principal[:60]}` has no credential `{command.credential[:60]}`", hint="`jurat credential list` shows them"
        )
    need_person(context, "to vouch")
    if not command.reason.strip():
        raise Malformed("to vouch needs a reason", hint="say how you know: `--reason 'she read me its id from her own screen'`")
    if not made.hands or state.get(rows.Vouch, command.credential) is not None:
        raise Conflict(f"`{command.credential}` is its person's own already", hint="nothing to do", code="unchanged")
    if made.root != command.credential:
        raise Conflict(
            f"token `{command.credential}` was handed out, so somebody else has seen it",
            hint="let its person change it first: `jurat token activate`",
            code="handed_out",
        )
    behind = people_behind(state, context.actor)
    if command.principal in behind:
        raise Denied("nobody vouches for themselves", hint="ask somebody who knows you, and had no hand in it", code="no_self_vouch")
    alone = bool(behind & people_of(state, made.hands))
    if alone and (state.find(rows.Vouch) or not _is_first(state, context)):
        raise Denied(
            f"`{context.person}` had a hand in `{command.credential}`, and a third person's word is wanted",
            hint="ask another operator, access controller or compliance officer",
            code="no_self_vouch",
        )
    data = said.CredentialVouched(
        credential=command.credential, principal=made.principal, hands=list(made.hands), reason=command.reason, alone=alone
    )
    vouched = context.event(data)
    text = f"`{context.person}` vouched for `{command.credential}` of `{made.principal}`{', alone' if alone else ''}: {command.reason}"
    told = sorted({made.principal, *auditors(state, context)} - {context.person})
    return [vouched, *notices(context, told, about=command.credential, subject="credential", text=text[:2000], because=vouched.id)]


def confirm_grant(state: State, command: commands.ConfirmGrant, context: Context) -> list[Event]:
    """The second person neither gave it nor has it."""
    grant = state.get(rows.Grant, command.grant)
    if grant is None or not is_live(grant, context.now_ns):
        raise NotFound(f"grant `{command.grant[:60]}` does not exist, or ended already", hint="grant it again, or let them ask for it")
    if not grant.confirm_by:
        raise Conflict(f"grant `{grant.grant}` waits for nobody's word", hint="nothing to do", code="unchanged")
    need_person(context, "to confirm a grant")
    refuse_own(
        state, context, [grant.principal, grant.granted_by, grant.granting_person],
        f"gave grant `{grant.grant}`, or has it, and may not confirm it",
        hint="ask another operator, access controller or compliance officer",
    )  # fmt: skip
    data = said.GrantConfirmed(grant=grant.grant, principal=grant.principal, role=grant.role, comment=command.comment)
    return [context.event(data, because=[grant.as_of])]


def _is_first(state: State, context: Context) -> bool:
    """Whether whoever acts began this workspace: theirs is the one grant of a person that has no end."""
    return any(g.expires_at is None and g.role == "operator" for g in state.find(rows.Grant, principal=context.actor.principal))
