"""The law on access reviews: every live grant before somebody who answers for it, and silence takes it away at the due date.

The due date is written into each grant, so it holds when it is read, whether a clock runs or not. A grant that opens the house
to anybody at all (the last endless one that can grant) is asked about, and never taken away by silence: nobody could come back.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from jurat.core.clock import parse_at, to_ns
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands_access as commands
from jurat.domain import facts, rows
from jurat.domain import facts_access as access
from jurat.domain.context import Context
from jurat.domain.decide_duties import notices
from jurat.domain.duties import people_holding, rules_in_force
from jurat.domain.events import Event
from jurat.domain.requests import need_person
from jurat.domain.roles import expiry, is_live, people_behind, person_behind
from jurat.domain.state import State
from jurat.policy.accessrules import AccessRules

ANSWERS: Final = ("keep", "remove")
CLOSE: Final = 0


def open_review(state: State, command: commands.OpenReview, context: Context) -> list[Event]:
    """Each live grant is asked about, with what the record says of its use; each person who must answer is told."""
    rules = rules_in_force(state)
    if not command.reason.strip():
        raise Malformed("a review needs a reason", hint="say which one it is: `the review of November`")
    if (running := next(iter(state.find(rows.Review, status="open")), None)) is not None:
        raise Conflict(f"review `{running.review}` is open until {running.due_at}", hint="answer it first", code="review_open")
    grants = {g.grant: g for g in reviewed_grants(state, context.now_ns)}
    if not grants:
        raise Conflict("there is no live grant to look at", hint="nothing to do", code="unchanged")
    if {(i.grant, i.principal, i.role, i.scope) for i in command.items} != {
        (g.grant, g.principal, g.role, g.scope) for g in grants.values()
    } or len(command.items) != len(grants):
        raise Conflict("the grants have changed since their use was read", hint="open the review again", code="judged_otherwise")
    if not 0 <= command.answer_within_s <= rules.reviews.every_s:
        raise Malformed(f"an answer may take up to {rules.reviews.every_s / 86_400:g} days, got {command.answer_within_s / 86_400:g}")
    items = [
        msgspec.structs.replace(
            item,
            decider=decider_of(state, rules, grants[item.grant], context.now_ns),
            silence_removes=silence_removes(state, rules, grants[item.grant], context.now_ns),
        )
        for item in command.items
    ]
    due_at = expiry(context.now_ns, command.answer_within_s or rules.reviews.answer_within_s)
    opened = context.event(
        access.ReviewOpened(
            review=context.fresh("rvw"), reason=command.reason, items=items, due_at=due_at, used_since=command.used_since,
            as_of=command.as_of, policy_set=command.policy_set,
        )
    )  # fmt: skip
    assert isinstance(opened.data, access.ReviewOpened)
    return [opened, *_to_deciders(context, opened.data.review, Counter(i.decider for i in items), due_at, opened.id, "waits", "review")]


def answer_review(state: State, command: commands.AnswerReview, context: Context) -> list[Event]:
    """One person has said whether a grant stays. Nobody says it of their own, and an answer is not changed."""
    answer, review = state.get(rows.Answer, f"{command.review}/{command.grant}"), state.get(rows.Review, command.review)
    if answer is None or review is None:
        raise NotFound(
            f"review `{command.review[:60]}` does not ask about `{command.grant[:60]}`", hint="`jurat review show` lists what it asks"
        )
    if review.status != "open" or context.now_ns >= to_ns(parse_at(review.due_at)):
        raise Conflict(f"review `{review.review}` was to be answered by {review.due_at}", hint="silence has answered", code="review_closed")
    if answer.answer:
        raise Conflict(
            f"`{answer.grant}` was answered already: {answer.answer}", hint="grant or revoke it if that was wrong", code="unchanged"
        )
    need_person(context, "a review")
    grantee, people = answer.item.principal, people_behind(state, context.actor)
    standing_in = people_holding(state, rules_in_force(state).reviews.deciders, context.now_ns)
    if person_behind(state, grantee) in people or grantee in people:
        raise Denied(
            f"nobody decides on their own access, and `{grantee}` is theirs", hint=_ask(answer, standing_in), code="no_self_review"
        )
    if context.person != answer.decider and context.person not in standing_in:
        raise Denied(f"`{answer.decider}` answers for `{answer.grant}`", hint=_ask(answer, standing_in), code="not_yours")
    if command.answer not in ANSWERS:
        raise Malformed(f"answer `{command.answer[:40]}` is unknown", hint=f"say one of {', '.join(ANSWERS)}")
    if not command.reason.strip():
        raise Malformed("an answer needs a reason", hint="say why they still need it, or why not")
    grant = state.get(rows.Grant, answer.grant)
    if grant is None or not is_live(grant, context.now_ns):
        raise Conflict(f"`{answer.grant}` has ended meanwhile", hint="nothing to decide", code="grant_ended")
    said = access.ReviewAnswered(review=review.review, grant=grant.grant, answer=command.answer, reason=command.reason)
    event = context.event(said, because=[review.as_of, grant.as_of])
    if command.answer == "keep":
        return [event]
    gone = facts.RoleRevoked(
        grant=grant.grant, principal=grant.principal, role=grant.role, reason=f"review {review.review}: {command.reason}"
    )
    return [event, context.event(gone, because=[event.id])]


def run_reviews(state: State, _command: commands.RunReviews, context: Context) -> list[Event]:
    """What time does to open reviews: reminders as they fall due, and the end."""
    events: list[Event] = []
    for review in state.find(rows.Review, status="open"):
        turn = turn_of(state, review, context.now_ns)
        answers = state.find(rows.Answer, review=review.review)
        if turn == CLOSE:
            events += _close(state, review, answers, context)
        elif turn is not None:
            about = f"{review.review}#{turn}"
            events += _to_deciders(context, about, _waiting(state, answers), review.due_at, review.as_of, "still waits", "reminder")
    if not events:
        raise Conflict("no review has reached a day on which something happens", hint="nothing to do", code="unchanged")
    return events


def turn_of(state: State, review: rows.Review, now_ns: int) -> int | None:
    """Return what is to be done for an open review now: `CLOSE`, the reminder of that number, or nothing."""
    left_s = (to_ns(parse_at(review.due_at)) - now_ns) / 1e9
    if left_s <= 0:
        return CLOSE
    stage = sum(left_s <= before_s for before_s in rules_in_force(state).reviews.remind_before_s)
    if stage > review.reminded and _waiting(state, state.find(rows.Answer, review=review.review)):
        return stage
    return None


def reviewed_grants(state: State, now_ns: int) -> list[rows.Grant]:
    """Return the grants that a review asks about: every live one but break-glass, which has a review of its own."""
    return [g for g in state.find(rows.Grant) if is_live(g, now_ns) and not g.break_glass]


def review_is_due(state: State, now_ns: int) -> bool:
    """Whether a review should be opened: none is open, and the last one (or the first grant) is older than the rules allow."""
    every_ns = round(rules_in_force(state).reviews.every_s * 1e9)
    reviews = state.find(rows.Review)
    if any(r.status == "open" for r in reviews):
        return False
    begun = [r.opened_at for r in reviews] or [g.granted_at for g in state.find(rows.Grant) if g.granted_at]
    since = max(begun) if reviews else min(begun, default="")
    return bool(since) and now_ns - to_ns(parse_at(since)) >= every_ns


def decider_of(state: State, rules: AccessRules, grant: rows.Grant, now_ns: int) -> str:
    """Return who answers for a grant: who gave it, if they are another active person; or one who may decide."""
    grantee = person_behind(state, grant.principal) or grant.principal
    others = [p for p in people_holding(state, rules.reviews.deciders, now_ns) if p != grantee]
    granter = person_behind(state, grant.granted_by)
    if granter is not None and granter != grantee:
        return granter
    return others[0] if others else grantee


def silence_removes(state: State, rules: AccessRules, grant: rows.Grant, now_ns: int) -> bool:
    """Whether a grant goes when nobody answers: not an endless one, nor one that can grant while no endless one that can is left."""
    if grant.expires_at is None:
        return False
    granting = {role for duty in rules.duties_of("role:grant") for role in rules.duties[duty].roles}
    if grant.role not in granting:
        return True
    return any(
        g.expires_at is None and g.role in granting and person_behind(state, g.principal) is not None and is_live(g, now_ns)
        for g in state.find(rows.Grant)
    )


def _waiting(state: State, answers: list[rows.Answer]) -> Counter[str]:
    """Return who still has to answer, and how often."""
    return Counter(a.decider for a in answers if not a.answer and state.get(rows.Grant, a.grant) is not None)


def _close(state: State, review: rows.Review, answers: list[rows.Answer], context: Context) -> list[Event]:
    silent = [a for a in answers if not a.answer]
    there = {a.grant: g for a in silent if (g := state.get(rows.Grant, a.grant)) is not None}
    gone = [a.grant for a in silent if a.grant in there and a.item.silence_removes]
    data = access.ReviewClosed(
        review=review.review,
        kept=sum(a.answer == "keep" for a in answers),
        removed=sum(a.answer == "remove" for a in answers),
        by_silence=gone,
        gone_before=[a.grant for a in silent if a.grant not in there],
        unanswered=[a.grant for a in silent if a.grant in there and a.grant not in gone],
    )
    closed = context.event(data, because=[review.as_of])
    why = f"nobody answered for it in review {review.review} by {review.due_at}"
    ended = [
        context.event(
            facts.RoleRevoked(grant=each, principal=there[each].principal, role=there[each].role, reason=why),
            because=[closed.id], resource=f"principals/{there[each].principal}",
        )
        for each in gone
    ]  # fmt: skip
    return [closed, *ended]


def _to_deciders(context: Context, about: str, counts: Counter[str], due_at: str, because: str, word: str, subject: str) -> list[Event]:
    return [
        event
        for person, count in sorted(counts.items())
        for event in notices(
            context, [person], about=about, subject=subject, because=because,
            text=f"review `{about.partition('#')[0]}` {word} for your answer on {count} grant{'s' * (count != 1)}, until {due_at}; "
            "what nobody answers for ends then",
        )
    ]  # fmt: skip


def _ask(answer: rows.Answer, standing_in: list[str]) -> str:
    able = [p for p in dict.fromkeys([answer.decider, *standing_in]) if p != answer.item.principal]
    return f"ask {', '.join(f'`{p}`' for p in able[:5])}" if able else "grant a role that decides to somebody else"
