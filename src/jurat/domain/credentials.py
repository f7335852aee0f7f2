"""Whose word is it? A credential that somebody else made in a person's name may be in two hands, so it decides nothing.

A token, a link's passkey, an account that was linked on an invitation: each went through the hands of whoever handed it out. So does
all that comes of it: sessions, exchanged tokens, passkeys that a session adds. Such an act names them (`hands` of its actor),
and is no approval, until a third person has said that its person has the credential, and nobody else (`credential.vouched.v1`).
Knows who acts and by what; not how a credential was proved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypedDict

from jurat.core.errors import Denied
from jurat.domain import commands, commands_access, commands_credentials, commands_keeping, commands_lineage, commands_policy, rows
from jurat.domain.commands import Command
from jurat.domain.commands_people import ApplyGroupRoles
from jurat.domain.commands_registry import HoldRegistryAct, MoveRegistryAlias, MoveRegistryStage
from jurat.domain.context import Context
from jurat.domain.duties import people_holding, rules_in_force
from jurat.domain.roles import people_behind
from jurat.domain.state import State

MAY_VOUCH: Final = ("operator", "access_controller", "compliance_officer")  # beside the policies: whom a hint names

# What is worth nothing if somebody else may have said it: yes and no to what others ask, what gives rights away,
# and what moves production.
OWN_WORD: Final[frozenset[type[Command]]] = frozenset({
    commands.Approve, commands.Reject, commands.GrantRole, commands.OverridePrediction,
    commands_access.ApproveAccess, commands_access.RejectAccess, commands_access.BreakGlass, commands_access.ReviewGlass,
    commands_access.AnswerReview, commands_access.ApplyAccessRules,
    commands_policy.ApprovePolicyChange, commands_policy.RejectPolicyChange,
    commands_keeping.ApproveErasure, commands_keeping.RejectErasure, commands_keeping.ApproveShortening,
    commands_keeping.RejectShortening, commands_keeping.ReleaseHold,
    commands_lineage.Reaffirm, commands_lineage.ClearChange,
    commands.Promote, MoveRegistryAlias, MoveRegistryStage, HoldRegistryAct,
    commands_credentials.VouchCredential, commands_credentials.ConfirmGrant,
    ApplyGroupRoles,
})  # fmt: skip


class Spoken(TypedDict, total=False):
    """What an actor says of the credential that it acts by; nothing, if that is its own."""

    credential: str
    hands: list[str]


def spoken_by(state: State, root: str, hands: Sequence[str]) -> Spoken:
    """Return by whose hands an act is done: none, once somebody vouched for what the credential came of."""
    if not hands or (root and state.get(rows.Vouch, root) is not None):
        return {}
    return {"credential": root, "hands": list(hands)}


def hands_for(state: State, person: str, context: Context) -> list[str]:
    """Return through whose hands a credential goes that whoever acts makes for a person now; nobody's, if it is their own doing."""
    return sorted({*people_behind(state, context.actor), *context.actor.hands} - {person})


def refuse_credential_of_another(state: State, command: Command, context: Context) -> None:
    """Pass if this is the word of whoever it says.

    Raises:
        Denied: somebody else made the credential that it is said by.
    """
    if not context.actor.hands or not (type(command) in OWN_WORD or _hides(state, command)):
        return
    if rules_in_force(state).trust_operator_tokens:
        return
    made_by = ", ".join(f"`{each}`" for each in context.actor.hands)
    able = [p for p in people_holding(state, MAY_VOUCH, context.now_ns) if p not in (*context.actor.hands, context.person)]
    ask = f": {', '.join(f'`{p}`' for p in able[:5])}" if able else ""
    raise Denied(
        f"this counts only as the word of `{context.person}`, and came by a credential that {made_by} made in their name",
        hint="sign in by a passkey or an account, or change the token with `jurat token activate`; then ask somebody else to say that it "
        f"is yours alone: `jurat credential vouch`{ask}",
        code="credential_of_another",
    )


def _hides(state: State, command: Command) -> bool:
    """Whether this would take away the very notice that something was made in one's name."""
    notice = state.get(rows.Notice, command.notice) if isinstance(command, commands_access.SeeNotice) else None
    return notice is not None and notice.subject == "credential"


def needs_second(state: State) -> bool:
    """Whether a grant that answers no request needs a second person: always, once anybody could be one."""
    return not rules_in_force(state).trust_operator_tokens and bool(state.find(rows.Vouch))


def auditors(state: State, context: Context) -> list[str]:
    """Return the people who audit, and are told of what is done in another's name."""
    audit = rules_in_force(state).duties.get("audit")
    return people_holding(state, audit.roles, context.now_ns) if audit else []
