"""The law on the access file: it is read whole, never loosened in silence, and a file that cannot be read changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from jurat.core.errors import Conflict, Denied, Malformed
from jurat.domain import commands_access as commands
from jurat.domain import facts_access as facts
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.context import Context
from jurat.domain.credentials import auditors, hands_for
from jurat.domain.duties import people_holding, rules_in_force
from jurat.domain.events import Event
from jurat.domain.grants import check_scope
from jurat.domain.state import State
from jurat.policy.accessrules import ANY, AccessRules, parse_access


def apply_rules(state: State, command: commands.ApplyAccessRules, context: Context) -> list[Event]:
    """The file holds from now on; whoever audits is told of everything that is no longer held apart."""
    rules = parse_access(command.source, roles=context.known_roles, permissions=every_permission())
    for rule in rules.approvals:
        check_scope(state, rule.scope, exists=False)
    if not any(rule.roles == (ANY,) and rule.scope == ANY for rule in rules.approvals):
        raise Malformed(
            "no rule of approval fits every role everywhere", hint='end with `roles: "*"`, `scope: "*"`: an empty answer is no rule'
        )
    current = state.get(rows.AccessRulesInForce, "current")
    before = rules_in_force(state)
    if current and current.digest == rules.digest:
        raise Conflict("this access file is already in force", hint="nothing to do", code="unchanged")
    if rules.trust_operator_tokens and not before.trust_operator_tokens:
        raise Denied(
            "what operators make in another's name is never trusted afterwards: `trust_operator_tokens` is for workspaces to throw away",
            hint="leave it out; people get credentials of their own: `jurat token activate`, `jurat credential vouch`",
            code="trust_is_for_throwaways",
        )
    if not command.reason.strip():
        raise Malformed("a change of the access rules needs a reason", hint="say why, in words that an auditor will understand in a year")
    less = loosened(before, rules)
    data = facts.AccessRulesApplied(
        digest=rules.digest, source=command.source, reason=command.reason, loosened=less, previous=current.digest if current else None
    )
    applied = context.event(data, because=[current.as_of] if current else [])
    told = people_holding(state, before.duties["audit"].roles, context.now_ns) if less and "audit" in before.duties else []
    text = f"the rules of duties were loosened: {'; '.join(less)}"[:2000]
    return [applied, *notices(context, told, about=applied.id, subject="rules", text=text, because=applied.id)]


def loosened(before: AccessRules, after: AccessRules) -> list[str]:
    """Return what was held apart and no longer is, and what takes fewer people or lasts longer, as sentences."""
    less = []
    kept = {(frozenset(c.between), c.within) for c in after.conflicts}
    for conflict in before.conflicts:
        if (frozenset(conflict.between), conflict.within) not in kept:
            less.append(f"{conflict.name} within one {conflict.within} are no longer held apart")
            continue
        for duty in conflict.between:
            for what in ("permissions", "roles"):
                if gone := set(getattr(before.duties[duty], what)) - set(getattr(after.duties[duty], what)):
                    less.append(f"duty `{duty}` no longer has {what} {', '.join(f'`{g}`' for g in sorted(gone))}")
    old, new = before.break_glass, after.break_glass
    if new.longest_s > old.longest_s or new.review_within_s > old.review_within_s:
        less.append("break-glass may last longer, or wait longer for its review")
    for what in ("tell", "reviewers"):
        if gone := set(getattr(old, what)) - set(getattr(new, what)):
            less.append(f"break-glass: {', '.join(f'`{g}`' for g in sorted(gone))} no longer in `{what}`")
    if added := (set(new.who) | set(new.roles)) - (set(old.who) | set(old.roles)):
        less.append(f"break-glass: {', '.join(f'`{a}`' for a in sorted(added))} added to `who` or `roles`")
    if after.reviews.every_s > before.reviews.every_s or after.reviews.answer_within_s > before.reviews.answer_within_s:
        less.append("access is reviewed less often, or waits longer for an answer")
    if before.approvals != after.approvals:
        less.append("who approves which access was changed")
    return list(dict.fromkeys(less))


def told_of_another(state: State, context: Context, person: str, what: str, event: Event) -> list[Event]:
    """Return the notices after something was made in a person's name by somebody else: theirs, and those of whoever audits."""
    makers = hands_for(state, person, context)
    if not makers:
        return []
    made_by = " and ".join(f"`{each}`" for each in makers)
    own = notices(
        context, [person], about=event.id, subject="credential", because=event.id,
        text=f"{made_by} {what}; if you did not expect it, tell whoever audits",
    )  # fmt: skip
    others = sorted(set(auditors(state, context)) - {person, *makers})
    text = f"{made_by} {what}, said to `{person}`"
    return [*own, *notices(context, others, about=event.id, subject="credential", text=text, because=event.id)]


def notices(context: Context, people: Iterable[str], *, about: str, subject: str, text: str, because: str) -> list[Event]:
    """Return one notice for each of these people."""
    return [
        context.event(
            facts.NoticeGiven(notice=context.fresh("ntc"), to=person, about=about, subject=subject, text=text),
            because=[because],
            resource=f"principals/{person}",
        )
        for person in people
    ]


@cache
def every_permission() -> frozenset[str]:
    """Return the permissions that some act needs: a duty of anything else could never be done, so it is a misprint."""
    from jurat.domain.decide import DECIDERS

    return frozenset(command.permission for command in DECIDERS if issubclass(command, Command))
