"""The law on the life of principals: who leaves, what dies with them, who answers for what they leave; links and passkeys."""

from __future__ import annotations

from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands_people as commands
from jurat.domain import facts_people as facts
from jurat.domain import rows
from jurat.domain.commands_people import owned_by
from jurat.domain.context import Context
from jurat.domain.credentials import hands_for
from jurat.domain.decide_duties import told_of_another
from jurat.domain.endings import found_to_end
from jurat.domain.events import Event
from jurat.domain.roles import holders_of, person_behind
from jurat.domain.state import State
from jurat.domain.values import PrincipalType

LONGEST_LINK_S = 7 * 86_400
FRESH_SIGN_IN_S = 300


def deactivate(state: State, command: commands.Deactivate, context: Context) -> list[Event]:
    """Nothing that a person answers for is lost silently: it is handed over, or suspended because somebody said so."""
    row = _known(state, command.principal)
    _reason(command.reason)
    if not row.active:
        raise Conflict(f"`{row.principal}` is deactivated already", hint="nothing to do", code="unchanged")
    if command.transfer_to and command.suspend_owned:
        raise Malformed("what they answer for is either handed over or suspended", hint="say one of the two")
    if row.principal in holders_of(state, "operator", context.now_ns) and not _other_operators(state, row.principal, context):
        raise Conflict(
            f"`{row.principal}` is the last operator who can act", hint="grant `operator` to somebody else first", code="last_operator"
        )
    owned, events = owned_by(state, row.principal), []
    if owned and command.transfer_to:
        handed = commands.TransferOwnership(from_owner=row.principal, to_owner=command.transfer_to, reason=command.reason)
        events, owned = transfer_ownership(state, handed, context), []
    elif owned and not command.suspend_owned:
        raise Conflict(
            f"`{row.principal}` answers for {len(owned)} that nobody would answer for: {', '.join(f'`{o.principal}`' for o in owned[:20])}",
            hint="hand them over with `--transfer-to PERSON`, or let them be suspended with `--suspend-owned`",
            code="orphans",
            orphans=[o.principal for o in owned],
        )
    return [*events, ended(state, row, command.reason, context, [each.principal for each in owned])]


def ended(state: State, row: rows.Principal, reason: str, context: Context, suspended: list[str]) -> Event:
    """Return the one event that lists everything that dies with a principal. `took_s` is filled in when it has died."""
    found = {**found_to_end(state, row.principal), **{sort: ids for sort, ids in context.known.credentials.items() if ids}}
    data = facts.PrincipalDeactivated(
        principal=row.principal, reason=reason, ended=found, count=sum(map(len, found.values())),
        suspended=suspended, took_s=0.0,
    )  # fmt: skip
    return context.event(data, because=[row.as_of], resource=f"principals/{row.principal}")


def reactivate(state: State, command: commands.Reactivate, context: Context) -> list[Event]:
    """Who comes back has nothing of what they had: it died, and is granted anew."""
    row = _known(state, command.principal)
    _reason(command.reason)
    if row.active:
        raise Conflict(f"`{row.principal}` is active", hint="nothing to do", code="unchanged")
    if row.type is not PrincipalType.PERSON and (row.owner is None or person_behind(state, row.owner) != row.owner):
        raise Conflict(
            f"no active person answers for `{row.principal}`", hint="`jurat principal transfer-ownership` first", code="owner_required"
        )
    return [context.event(facts.PrincipalReactivated(principal=row.principal, reason=command.reason), because=[row.as_of])]


def transfer_ownership(state: State, command: commands.TransferOwnership, context: Context) -> list[Event]:
    """Whoever answers from now on is an active person, and another one."""
    _known(state, command.from_owner)
    _reason(command.reason)
    if command.to_owner == command.from_owner or person_behind(state, command.to_owner) != command.to_owner:
        raise Conflict(
            f"`{command.to_owner[:60]}` cannot take over: an owner is another person, and active",
            hint="`jurat principal list` shows who is",
            code="owner_required",
        )
    owned = {row.principal: row for row in state.find(rows.Principal, owner=command.from_owner)}
    moved = command.principals or sorted(owned)
    if strange := [each for each in moved if each not in owned]:
        raise Conflict(f"`{strange[0][:60]}` is not answered for by `{command.from_owner}`", hint="reload: it moved", code="not_the_owner")
    if not moved or len(set(moved)) != len(moved):
        raise Malformed(f"`{command.from_owner}` answers for nothing that could be handed over, or one is named twice")
    data = facts.OwnershipTransferred(
        principals=moved, from_owner=command.from_owner, to_owner=command.to_owner, reason=command.reason,
        tokens=context.known.credentials.get("moved_tokens", []),
    )  # fmt: skip
    return [context.event(data, because=[owned[each].as_of for each in moved], resource=f"principals/{command.from_owner}")]


def issue_link(state: State, command: commands.IssueLink, context: Context) -> list[Event]:
    row = _known(state, command.principal)
    if not row.active or row.type is not PrincipalType.PERSON:
        raise Conflict(f"`{row.principal}` is no active person", hint="only people sign in", code="person_required")
    if not 0 < command.lifetime_s <= LONGEST_LINK_S:
        raise Malformed(f"a link lives up to {LONGEST_LINK_S // 86_400} days, `{command.lifetime_s:g}` seconds is outside that")
    ends = format_at(context.now_ns + round(command.lifetime_s * 1e9))
    hands = hands_for(state, row.principal, context)
    data = facts.LinkIssued(link=context.fresh("lnk"), principal=row.principal, expires_at=ends, hands=hands)
    issued = context.event(data, because=[row.as_of])
    return [issued, *told_of_another(state, context, row.principal, "handed out a link to register a passkey for you", issued)]


def add_passkey(state: State, command: commands.AddPasskey, context: Context) -> list[Event]:
    """A passkey is its person's own act: proved by a link that was handed to them, or by their session."""
    row = _known(state, command.principal)
    if row.principal != context.actor.principal or row.type is not PrincipalType.PERSON or not row.active:
        raise Denied("a passkey is added by the person whose it is", hint="sign in as yourself", code="not_yours")
    if context.known.passkey_of:
        raise Conflict("this passkey is known already", hint="use it to sign in", code="passkey_known")
    link = context.known.link
    if command.link_hash and (link is None or link.principal != row.principal):
        raise Denied("this link is not known", hint="ask an operator for a new one: `jurat principal invite`", code="link_unknown")
    if link is not None and (link.is_used or context.now_ns >= to_ns(parse_at(link.expires_at))):
        what = "was used already" if link.is_used else "has expired"
        raise Denied(f"link `{link.link}` {what}", hint="ask an operator for a new one: `jurat principal invite`", code="link_over")
    if link is None and context.known.passkeys:
        need_fresh_sign_in(state, command.session, context.now_ns)
    data = facts.PasskeyAdded(
        passkey=context.fresh("pky"), principal=row.principal, by="link" if link else "session", link=link.link if link else "",
        synced=command.synced, hands=link.hands if link else context.actor.hands,
    )  # fmt: skip
    return [context.event(data, because=[row.as_of])]


def need_fresh_sign_in(state: State, session: str, now_ns: int) -> None:
    """Pass if whoever acts signed in a moment ago: who has an open page, or a token, is not asked for a device by that.

    Raises:
        Denied: they did not.
    """
    row = state.get(rows.Session, session) if session else None
    if row is None or now_ns - to_ns(parse_at(row.opened_at)) > FRESH_SIGN_IN_S * 10**9:
        raise Denied(
            f"another passkey is added within {FRESH_SIGN_IN_S // 60} minutes of signing in", hint="sign in again, then add it",
            code="sign_in_again",
        )  # fmt: skip


def remove_passkey(state: State, command: commands.RemovePasskey, context: Context) -> list[Event]:
    row = _known(state, command.principal)
    _reason(command.reason)
    if context.known.passkey_of != row.principal:
        raise NotFound(f"`{row.principal}` has no passkey `{command.passkey[:60]}`", hint="`jurat passkey list`")
    data = facts.PasskeyRemoved(passkey=command.passkey, principal=row.principal, reason=command.reason)
    return [context.event(data, because=[row.as_of])]


def _known(state: State, principal: str) -> rows.Principal:
    found = state.get(rows.Principal, principal)
    if found is None:
        raise NotFound(f"principal `{principal[:60]}` is not known here", hint="`jurat principal list` shows who is")
    return found


def _reason(reason: str) -> None:
    if not reason.strip():
        raise Malformed("this needs a reason", hint="say why, in words that a reviewer will understand in a year")


def _other_operators(state: State, principal: str, context: Context) -> bool:
    return any(person_behind(state, each) == each for each in holders_of(state, "operator", context.now_ns) if each != principal)
