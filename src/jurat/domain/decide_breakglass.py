"""The law on break-glass: past the approvers in an emergency, never past the record, the notices and the review.

A window ends by itself, at a time that is written into its grant, whether anything runs or not. Until somebody else has
looked at it, the same person breaks no second one. What the record says a person did to a version still binds them; that they
hold another role does not (see `duties`). A drill walks the whole path and changes nothing else.
"""

from __future__ import annotations

from typing import Final

from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands as commands_core
from jurat.domain import commands_access as commands
from jurat.domain import commands_identity as identity
from jurat.domain import commands_people as people
from jurat.domain import facts, rows
from jurat.domain import facts_access as access
from jurat.domain.commands import Command
from jurat.domain.context import Context
from jurat.domain.decide_duties import notices
from jurat.domain.duties import people_holding, roles_of_person, rules_in_force
from jurat.domain.events import Event
from jurat.domain.grants import approval_rule, check_scope, review_bar, window_of
from jurat.domain.requests import need_person
from jurat.domain.roles import expiry, people_behind, roles_held
from jurat.domain.state import State
from jurat.domain.values import PrincipalType
from jurat.policy.accessrules import LONGEST_GLASS_S

DRILL_LONGEST_S: Final = 300.0
VERDICTS: Final = ("justified", "unjustified")
_OWN: Final = (people.IssueLink, identity.InviteIdentity)
_OPENS: Final = (
    *_OWN, people.Reactivate, people.TransferOwnership, identity.RegisterProvider, identity.DeclareTrust, commands.ApplyAccessRules,
)  # fmt: skip
_IN_A_DRILL: Final = (commands.CloseGlass, commands.ReportDrill, commands.SeeNotice, commands.EndExpired, commands.RunReviews)


def break_glass(state: State, command: commands.BreakGlass, context: Context) -> list[Event]:
    """The role is theirs at once, for a short time; everybody who would have been asked is told in the same moment."""
    rules = rules_in_force(state).break_glass
    person = context.actor.principal
    if context.actor.type is not PrincipalType.PERSON or command.principal != person:
        raise Denied(f"break-glass is a person's own act, `{person}` acts for `{command.principal[:60]}`", code="person_required")
    for what, text in (("reason", command.reason), ("ticket", command.ticket)):
        if not text.strip():
            raise Malformed(f"break-glass needs a {what}", hint=f"give it: `--{what} …`; whoever reviews this will ask for it")
    if command.role not in rules.roles or command.role not in context.known_roles:
        raise Denied(
            f"`{command.role[:60]}` cannot be taken by break-glass",
            hint=f"these can: {', '.join(f'`{r}`' for r in rules.roles)}; or ask for it: `jurat access request`",
            code="role_not_breakable",
        )
    if not set(rules.who) & roles_of_person(state, person, context.now_ns, with_glass=False).keys():
        raise Denied(
            f"`{person}` holds none of the roles that may break glass", hint=f"they are {', '.join(f'`{r}`' for r in rules.who)}",
            code="role_required",
        )  # fmt: skip
    check_scope(state, command.scope)
    if (window := window_of(state, [person], context.now_ns)) is not None:
        raise Conflict(
            f"`{person}` is in break-glass `{window.glass}` until {window.expires_at}", hint="close it first", code="window_open"
        )
    told, skipped = _audience(state, command, context)
    if (bar := review_bar(state, person)) is not None and not command.drill:
        able = [p for p in people_holding(state, rules.reviewers, context.now_ns) if p != person]
        raise Denied(
            f"break-glass `{bar.glass}` of `{person}` waits for its review", code="review_pending",
            hint=f"ask {', '.join(f'`{p}`' for p in able[:5])} for it: `jurat glass review {bar.glass}`",
        )  # fmt: skip
    longest_s = min(DRILL_LONGEST_S if command.drill else rules.longest_s, LONGEST_GLASS_S)
    lifetime_s = command.lifetime_s or min(rules.usual_s, longest_s)
    if not 0 < lifetime_s <= longest_s:
        raise Malformed(
            f"{'a drill' if command.drill else 'break-glass'} lasts up to {longest_s / 3600:.3g} h, got {lifetime_s / 3600:.3g} h",
            hint="take less; what needs longer is asked for: `jurat access request`",
        )
    ends = expiry(context.now_ns, lifetime_s)
    due = "" if command.drill else expiry(context.now_ns, lifetime_s + rules.review_within_s)
    broken = access.GlassBroken(
        glass=context.fresh("brk"), person=person, grant=context.fresh("grt"), role=command.role, scope=command.scope,
        reason=command.reason, ticket=command.ticket, drill=command.drill, skipped=skipped, told=told, expires_at=ends, review_due=due,
    )  # fmt: skip
    first = context.event(broken)
    granted = facts.RoleGranted(
        grant=broken.grant, principal=person, role=command.role, scope=command.scope, reason=f"{command.ticket}: {command.reason}",
        expires_at=ends, break_glass=broken.glass,
    )  # fmt: skip
    word = "DRILL, nothing is wrong: " if command.drill else ""
    text = (
        f"{word}`{person}` took `{command.role}` on `{command.scope}` by break-glass until {ends}, {command.ticket}: {command.reason}"
        + ("" if command.drill else f"; to be reviewed by {due}")
    )[:2000]
    told_events = notices(context, told, about=broken.glass, subject="break_glass", text=text, because=first.id)
    return [first, context.event(granted, because=[first.id]), *told_events]


def close_glass(state: State, command: commands.CloseGlass, context: Context) -> list[Event]:
    """The window is over before its time, and its grant with it."""
    row = _known(state, command.glass)
    if row.person != context.person:
        raise Denied(
            f"break-glass `{row.glass}` is `{row.person}`'s", code="not_yours", hint="an operator can end its grant: `jurat role revoke`"
        )
    if row.closed_at or context.now_ns >= to_ns(parse_at(row.expires_at)):
        raise Conflict(f"window `{row.glass}` ended at {row.closed_at or row.expires_at}", hint="all done", code="unchanged")
    data = access.GlassClosed(glass=row.glass, person=row.person, grant=row.grant, how="ended", ended_at=format_at(context.now_ns))
    return [context.event(data, because=[row.as_of])]


def review_glass(state: State, command: commands.ReviewGlass, context: Context) -> list[Event]:
    """Somebody else has looked at every act in the window and says whether it was right; only then may it happen again."""
    row = _known(state, command.glass)
    if row.drill:
        raise Conflict(f"`{row.glass}` was a drill", hint="its report is its review", code="was_a_drill")
    if row.verdict:
        raise Conflict(f"break-glass `{row.glass}` was reviewed already: {row.verdict}", hint="nothing to do", code="unchanged")
    if not row.closed_at and context.now_ns < to_ns(parse_at(row.expires_at)):
        raise Conflict(f"the window of `{row.glass}` is open until {row.expires_at}", hint="look when it is over", code="window_open")
    need_person(context, "a review")
    reviewers = rules_in_force(state).break_glass.reviewers
    able = [p for p in people_holding(state, reviewers, context.now_ns) if p != row.person]
    ask = f"ask {', '.join(f'`{p}`' for p in able[:5])}" if able else "grant one of the roles that review to somebody else"
    if row.person in people_behind(state, context.actor):
        raise Denied(f"`{row.person}` may not review their own break-glass `{row.glass}`", hint=ask, code="no_self_review")
    if not set(reviewers) & roles_held(state, context.actor.principal, context.resource, context.now_ns, with_glass=False):
        raise Denied(f"`{context.person}` holds no role that reviews break-glass", hint=ask, code="role_required")
    if command.verdict not in VERDICTS:
        raise Malformed(f"verdict `{command.verdict[:40]}` is unknown", hint=f"say one of {', '.join(VERDICTS)}")
    if not command.comment.strip():
        raise Malformed("a review needs a comment", hint="say what you looked at, and what follows from it")
    data = access.GlassReviewed(
        glass=row.glass, person=row.person, verdict=command.verdict, comment=command.comment, acts=command.acts,
        shown_digest=command.shown_digest,
    )  # fmt: skip
    reviewed = context.event(data, because=[row.as_of])
    told = {row.person, *(people_holding(state, reviewers, context.now_ns) if command.verdict == "unjustified" else ())} - {context.person}
    text = f"break-glass `{row.glass}` was found {command.verdict}: {command.comment}"[:2000]
    return [reviewed, *notices(context, sorted(told), about=row.glass, subject="review", text=text, because=reviewed.id)]


def report_drill(state: State, command: commands.ReportDrill, context: Context) -> list[Event]:
    """What a drill measured is on record; its evidence file is the signed report."""
    row = _known(state, command.glass)
    if not row.drill or row.person != context.person:
        raise Conflict(f"`{row.glass}` is no drill of `{context.person}`", code="not_a_drill")
    if not row.closed_at:
        raise Conflict(f"drill `{row.glass}` is not over", hint="close it first", code="window_open")
    data = access.DrillReported(
        glass=row.glass, to_access_s=command.to_access_s, to_notify_s=command.to_notify_s, to_revoke_s=command.to_revoke_s, role=row.role,
        scope=row.scope, policy_set=context.decision.policy_set if context.decision else "", method=command.method,
    )  # fmt: skip
    return [context.event(data, because=[row.as_of])]


def see_notice(state: State, command: commands.SeeNotice, context: Context) -> list[Event]:
    """Whoever was told has taken note, and it leaves their inbox."""
    row = state.get(rows.Notice, command.notice)
    if row is None or row.to != context.actor.principal:
        raise NotFound(f"notice `{command.notice[:60]}` is not in your inbox", hint="`jurat inbox list` shows what is")
    return [context.event(access.NoticeSeen(notice=row.notice, to=row.to), because=[row.as_of])]


def refuse_in_drill(state: State, command: Command, context: Context) -> None:
    """Pass unless whoever acts is in a drill: it opens a real role without a review, so nothing may be done with it."""
    if isinstance(command, _IN_A_DRILL):
        return
    window = window_of(state, people_behind(state, context.actor), context.now_ns)
    if window is not None and window.drill:
        raise Denied(
            f"`{window.person}` is in drill `{window.glass}`, which changes nothing", code="in_a_drill",
            hint=f"end it first: `jurat glass close {window.glass}`",
        )  # fmt: skip


def refuse_beyond_window(state: State, command: Command, context: Context) -> None:
    """Pass unless whoever acts is in a window, and the act would open a way in that is still open after it.

    What a grant gives is held to its window where grants are given (`decide_access`), and tables of groups in `decide_directory`.

    Raises:
        Denied: it would.
    """
    own = getattr(command, "principal", "") == context.actor.principal  # one's own account opens nothing new
    if not isinstance(command, (commands_core.IssueToken, *_OPENS)) or (own and isinstance(command, _OWN)):
        return
    window = window_of(state, people_behind(state, context.actor), context.now_ns)
    if window is None:
        return
    ends_ns = to_ns(parse_at(window.expires_at))
    if isinstance(command, commands_core.IssueToken) and context.now_ns + command.lifetime_s * 1e9 <= ends_ns:
        return
    raise Denied(
        f"`{context.person}` is in break-glass `{window.glass}` until {window.expires_at}, and `{command.permission}` would outlive it",
        hint="issue a token until then" if isinstance(command, commands_core.IssueToken) else "let somebody who is in no emergency do it",
        code="beyond_window",
    )


def _audience(state: State, command: commands.BreakGlass, context: Context) -> tuple[list[str], list[str]]:
    """Return who is told, and which of them were skipped.

    Raises:
        Conflict: there is nobody else; then nobody could ever look at it.
    """
    rules, person = rules_in_force(state), context.actor.principal
    rule = approval_rule(rules, command.role, command.scope)
    skipped = [p for p in people_holding(state, rule.approvers if rule else (), context.now_ns) if p != person]
    reviewers = [p for p in people_holding(state, rules.break_glass.reviewers, context.now_ns) if p != person]
    told = [p for p in people_holding(state, rules.break_glass.tell, context.now_ns) if p != person]
    if not reviewers:
        raise Conflict(
            "nobody else could review this break-glass, so it would never be looked at", code="nobody_to_review",
            hint=f"grant one of {', '.join(f'`{r}`' for r in rules.break_glass.reviewers)} to somebody else before there is an emergency",
        )  # fmt: skip
    return list(dict.fromkeys([*skipped, *told, *reviewers])), skipped


def _known(state: State, glass: str) -> rows.Glass:
    row = state.get(rows.Glass, glass)
    if row is None:
        raise NotFound(f"break-glass `{glass[:60]}` does not exist", hint="`jurat glass list` shows them")
    return row
