"""The law on requests for access: a reason and an end, the people whom the rules name, and a grant that ends by itself."""

from __future__ import annotations

from typing import Final

from jurat.core.clock import parse_at, to_ns
from jurat.core.digests import digest_json, short
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands_access as commands
from jurat.domain import facts, requests, rows
from jurat.domain import facts_access as access
from jurat.domain.context import Context
from jurat.domain.duties import people_holding, refuse_conflicting_grant, rules_in_force
from jurat.domain.events import Event
from jurat.domain.grants import approval_rule, check_scope, given_until, past_end
from jurat.domain.quorum import seats_filled
from jurat.domain.roles import expiry, is_live
from jurat.domain.state import State

SORT: Final = requests.Sort("request", "jurat access requests", "jurat access show")
REQUEST_LIFETIME_S = 7 * 86_400.0


def request_access(state: State, command: commands.RequestAccess, context: Context) -> list[Event]:
    """The people whom the rules name are asked for exactly this role, here, for so long, for this reason."""
    _is_asker(command.principal, context)
    if command.role not in context.known_roles:
        raise Malformed(f"role `{command.role[:60]}` is in no policy", hint=f"known roles: {', '.join(sorted(context.known_roles))}")
    if not command.reason.strip():
        raise Malformed("a request for access needs a reason", hint="say what for, in words that a reviewer will understand in a year")
    check_scope(state, command.scope)
    because = _renewed(state, command, context)
    rule = approval_rule(rules_in_force(state), command.role, command.scope)
    if rule is None:
        raise Conflict(
            f"no rule says who approves `{command.role}` on `{command.scope}`", hint="ask an operator to add one", code="no_approvers"
        )
    if not 0 < command.lifetime_s <= rule.longest_s:
        raise Malformed(
            f"`{command.role}` on `{command.scope}` is given for up to {rule.longest_s / 3600:g} h, got {command.lifetime_s / 3600:g} h",
            hint="ask for less, and renew it while you need it",
        )
    refuse_conflicting_grant(state, command.principal, command.role, context.now_ns)  # what nobody could grant is not asked for
    same = [
        r for r in state.find(rows.AccessRequest, principal=command.principal)
        if (r.role, r.scope) == (command.role, command.scope) and requests.is_open(r, context.now_ns)
    ]  # fmt: skip
    if same:
        raise Conflict(f"request `{same[0].request}` asks for this already", hint="wait for its approvers", code="already_asked")
    approvers = list(rule.approvers)
    shown = {
        "principal": command.principal, "role": command.role, "scope": command.scope, "lifetime_s": command.lifetime_s,
        "reason": command.reason, "renews": command.renews, "approvers": approvers,
    }  # fmt: skip
    data = access.AccessRequested(
        request=context.fresh("req"), principal=command.principal, role=command.role, scope=command.scope, lifetime_s=command.lifetime_s,
        reason=command.reason, renews=command.renews, approvers=approvers, shown=shown, shown_digest=digest_json(shown),
        expires_at=requests.until(context, REQUEST_LIFETIME_S),
    )  # fmt: skip
    return [context.event(data, because=because)]


def approve_access(state: State, command: commands.ApproveAccess, context: Context) -> list[Event]:
    """One more person has said yes; the last one's yes is the grant, and its time begins."""
    row = _open(state, command, context)
    requests.need_person(context)
    holder = state.get(rows.Principal, row.principal)
    if holder is None or not holder.active:
        raise Conflict(f"`{row.principal}` is deactivated, and is given nothing", hint="reactivate them first", code="inactive")
    askers = requests.people_of(state, [row.principal, row.asking_person])
    others = [p for p in people_holding(state, row.approvers, context.now_ns) if p not in askers]
    ask = f"ask {', '.join(f'`{p}`' for p in others[:5])}" if others else "nobody else holds it: ask an operator"
    requests.refuse_own(state, context, askers, "asked for this access and may not approve it", hint=ask)
    requests.refuse_second(row, row.approvals, context, hint=ask)
    counted = requests.roles_for(state, row, row.approvers, context, context.resource, hint=ask)
    approved = context.event(
        access.AccessApproved(request=row.request, shown_digest=row.shown_digest, roles=counted, comment=command.comment),
        because=[row.as_of],
    )
    yes = requests.still_said(state, row.approvals, context.resource, context.now_ns)
    if len(seats_filled(row.approvers, {**yes, context.person: counted})) < len(row.approvers):
        return [approved]
    watched = refuse_conflicting_grant(state, row.principal, row.role, context.now_ns)
    check_scope(state, row.scope)
    given = facts.RoleGranted(
        grant=context.fresh("grt"), principal=row.principal, role=row.role, scope=row.scope, reason=row.reason,
        expires_at=expiry(context.now_ns, row.lifetime_s), request=row.request, watched=watched,
    )  # fmt: skip
    granted = context.event(given, because=[approved.id, *(a.event for a in row.approvals)])
    old = state.get(rows.Grant, row.renews) if row.renews else None
    gone = facts.RoleRevoked(grant=old.grant, principal=old.principal, role=old.role, reason=f"renewed as {given.grant}") if old else None
    return [approved, granted, *([context.event(gone, because=[granted.id])] if gone else [])]


def reject_access(state: State, command: commands.RejectAccess, context: Context) -> list[Event]:
    """One person has said no, and why; the request is closed. Whoever asked may take it back the same way."""
    row = _open(state, command, context)
    requests.need_comment(command.comment)
    data = access.AccessRejected(request=row.request, shown_digest=row.shown_digest, comment=command.comment)
    return [context.event(data, because=[row.as_of])]


def end_expired(state: State, _command: commands.EndExpired, context: Context) -> list[Event]:
    """What has ended by itself is written down; grants of a window and the window together."""
    windows = {g.grant: g for g in state.find(rows.Glass, closed_at="") if context.now_ns >= to_ns(parse_at(g.expires_at))}
    events = [
        context.event(
            access.GrantExpired(grant=g.grant, principal=g.principal, role=g.role, ended_at=given_until(g)),
            because=[g.as_of], resource=f"principals/{g.principal}",
        )
        for g in past_end(state, context.now_ns)
        if g.grant not in windows
    ]  # fmt: skip
    events += [
        context.event(
            access.GlassClosed(glass=g.glass, person=g.person, grant=g.grant, how="expired", ended_at=g.expires_at),
            because=[g.as_of], resource=f"principals/{g.person}",
        )
        for g in windows.values()
    ]  # fmt: skip
    if not events:
        raise Conflict("no grant and no window has ended since", hint="nothing to do", code="unchanged")
    return events


def _is_asker(principal: str, context: Context) -> None:
    if principal != context.actor.principal:
        raise Denied(
            f"`{context.actor.principal}` asks for `{principal[:60]}`, and everybody asks for themselves", code="asks_for_another",
            hint="let them ask; or an operator grants it: `jurat role grant`",
        )  # fmt: skip


def _renewed(state: State, command: commands.RequestAccess, context: Context) -> list[str]:
    """Return the event of the grant that is to be renewed, which must be the asker's own, live, and the same access."""
    if not command.renews:
        return []
    old = state.get(rows.Grant, command.renews)
    if old is None or old.principal != command.principal or not is_live(old, context.now_ns):
        raise NotFound(f"`{command.renews[:60]}` is no live grant of yours", hint="what has ended is asked for anew")
    if (old.role, old.scope) != (command.role, command.scope):
        raise Malformed(
            f"`{old.grant}` is `{old.role}` on `{old.scope}`, asked for `{command.role}` on `{command.scope}`",
            hint="a renewal changes nothing else",
        )
    if old.break_glass:
        raise Conflict("break-glass is not renewed", hint="ask for the access itself", code="no_renewal")
    return [old.as_of]


def _open(state: State, command: commands._OnAccessRequest, context: Context) -> rows.AccessRequest:
    row = requests.open_one(state.get(rows.AccessRequest, command.request), SORT, command, context)
    rule = approval_rule(rules_in_force(state), row.role, row.scope)
    if rule is None or list(rule.approvers) != row.approvers or row.lifetime_s > rule.longest_s:
        raise Conflict(
            f"request `{row.request}` shows `{short(row.shown_digest)}`, the rules of approval have changed since",
            hint="whoever asks, asks anew",
            code="shown_changed",
        )
    return row
