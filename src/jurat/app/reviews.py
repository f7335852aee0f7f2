"""Access reviews at work: the use of every grant read from the ledger, put before those who answer, and told to an auditor.

The report names for each line the event that it rests on and that event's place in the ledger, so each can be proved alone:
`jurat prove EVENT`. What is counted comes from recorded acts; the report says what is not recorded.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jurat.app.look import SeeReviews, check
from jurat.app.usage import Use, use_of
from jurat.app.walk import Done, act, act_as
from jurat.app.wiring import App
from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.digests import short
from jurat.core.errors import NotFound
from jurat.domain import rows
from jurat.domain.commands_access import OpenReview
from jurat.domain.decide_review import decider_of, reviewed_grants, silence_removes
from jurat.domain.duties import rules_in_force
from jurat.domain.events import Actor, decode_event
from jurat.domain.facts_access import ReviewClosed, ReviewItem, ReviewOpened
from jurat.domain.state import State

_LOOKED_BACK_S: Final = 366 * 86_400.0
NOT_COUNTED: Final = "looks that were allowed are not recorded, so a role that was only used to look seems unused"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How many grants were never used, of how many; a share of few is a share of few, so the numbers stand beside it."""

    grants: int
    never_used: int
    young: int  # of these, granted too lately to say so
    propose_removal: int

    @property
    def share(self) -> str:
        """The share of grants that were never used, in whole percent, with what it is a share of."""
        if not self.grants:
            return "no grants"
        return f"{round(100 * self.never_used / self.grants)} % ({self.never_used} of {self.grants})"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A review as an auditor takes it away."""

    review: str
    status: str
    opened_at: str
    due_at: str
    reason: str
    used_since: str
    as_of: dict[str, int]
    policy_set: str
    summary: Summary
    lines: list[dict[str, Any]]
    closed: dict[str, Any] | None
    events: list[dict[str, str]]  # what this rests on: id, kind, place
    live_past_end: int
    not_counted: str


def summary_of(items: list[ReviewItem], opened_at: str, young_s: float) -> Summary:
    """Return how many of these grants were never used."""
    never = [i for i in items if not i.uses]
    young_ns = to_ns(parse_at(opened_at)) - round(young_s * 1e9)
    return Summary(
        grants=len(items),
        never_used=len(never),
        young=sum(bool(i.granted_at) and to_ns(parse_at(i.granted_at)) > young_ns for i in never),
        propose_removal=sum(i.proposal == "remove" for i in items),
    )


def propose(app: App, state: State, now_ns: int) -> tuple[list[ReviewItem], str]:
    """Return every grant that a review asks about, with its use and what is proposed; and since when the record was read."""
    rules, grants = rules_in_force(state), reviewed_grants(state, now_ns)
    since = format_at(now_ns - round(_LOOKED_BACK_S * 1e9))
    used = use_of(app, state, grants, since, now_ns)
    items = []
    for grant in grants:
        use = used[grant.grant]
        proposal, why = _proposal(grant, use, rules.reviews.unused_after_s, now_ns)
        items.append(
            ReviewItem(
                grant=grant.grant, principal=grant.principal, role=grant.role, scope=grant.scope,
                decider=decider_of(state, rules, grant, now_ns), granted_at=grant.granted_at, uses=use.uses, last_used=use.last_used,
                needed=use.needed, proposal=proposal, why=why, silence_removes=silence_removes(state, rules, grant, now_ns),
                examples=use.examples,
            )
        )  # fmt: skip
    return items, since


def _proposal(grant: rows.Grant, use: Use, unused_after_s: float, now_ns: int) -> tuple[str, str]:
    edge_ns = now_ns - round(unused_after_s * 1e9)
    if not use.uses:
        if not grant.granted_at or to_ns(parse_at(grant.granted_at)) > edge_ns:
            return "keep", "never used, and granted too lately to say so"
        return "remove", "never used; its removal would have stopped nothing"
    if to_ns(parse_at(use.last_used)) <= edge_ns:
        return "remove", f"last used {use.last_used[:10]}; its removal would have stopped {use.needed} recorded acts"
    if not use.needed:
        return "remove", f"all {use.uses} recorded acts were allowed by other grants too"
    return "keep", f"{use.needed} recorded acts would not have been allowed without it"


def open_review(app: App, token: str, reason: str, *, answer_within_s: float = 0.0) -> Done:
    """Put every live grant before somebody who answers for it.

    Raises:
        Denied: the caller may not open a review. Recorded.
        Conflict: one is open, or the grants changed while their use was read.
    """
    check(app, token, MayOpen(place="workspace"))
    return act(app, token, _command(app, reason, answer_within_s))


def open_review_as(app: App, actor: Actor, reason: str) -> list[str]:
    """Do the same as the workspace's clock; return the events."""
    return [event.id for event in act_as(app, actor, _command(app, reason, 0.0)).events]


class MayOpen(SeeReviews, frozen=True, kw_only=True):
    """Opening a review is asked for before the ledger is read."""

    permission = "review:open"


def _command(app: App, reason: str, answer_within_s: float) -> OpenReview:
    app.settle()
    as_of = app.events.as_of()
    with app.store.reading() as state:
        items, since = propose(app, state, app.clock.now_ns())
        current = state.get(rows.PolicySetInForce, "current")
    return OpenReview(
        reason=reason, items=items, answer_within_s=answer_within_s, used_since=since, as_of=as_of,
        policy_set=current.digest if current else "",
    )  # fmt: skip


def report_of(app: App, token: str, review: str) -> Report:
    """Return a review as an auditor takes it away: every question, its answer, who gave it, and the events that prove it.

    Raises:
        Denied: the caller may not see reviews. Recorded.
        NotFound: there is no such review.
    """
    check(app, token, SeeReviews(place="workspace"))
    with app.store.reading() as state:
        row = state.get(rows.Review, review)
        if row is None:
            raise NotFound(f"review `{review[:60]}` does not exist", hint="`jurat review list` shows them")
        answers = state.find(rows.Answer, review=review)
        unused_after_s, now_ns = rules_in_force(state).reviews.unused_after_s, app.clock.now_ns()
        live_past_end = past_end_and_held(state, now_ns)
        opening = _opening(app, answers)
    app.settle()
    opened = opening.data
    assert isinstance(opened, ReviewOpened)
    closed = _fact(app, row.closed) if row.closed else None
    events = [opening.id, *(a.as_of for a in answers if a.answer), *([row.closed] if row.closed else [])]
    silent = {*closed.by_silence} if isinstance(closed, ReviewClosed) else set()
    return Report(
        review=review, status=row.status, opened_at=row.opened_at, due_at=row.due_at, reason=row.reason, used_since=opened.used_since,
        as_of=opened.as_of, policy_set=opened.policy_set, summary=summary_of(opened.items, row.opened_at, unused_after_s),
        lines=[_line(a, silent) for a in answers], closed=msgspec.to_builtins(closed) if closed else None,
        events=[_place(app, event) for event in dict.fromkeys(events)], live_past_end=live_past_end, not_counted=NOT_COUNTED,
    )  # fmt: skip


def past_end_and_held(state: State, now_ns: int) -> int:
    """Return how many grants are past their end and would still be held by whoever reads them: 0, or a fault of ours."""
    from jurat.domain.roles import end_of, roles_held

    count = 0
    for grant in state.find(rows.Grant):
        ends_ns = end_of(grant)
        if ends_ns is not None and now_ns >= ends_ns:
            others = [g for g in state.find(rows.Grant, principal=grant.principal) if g.grant != grant.grant and g.role == grant.role]
            place = grant.scope if grant.scope not in ("*", "") and not grant.scope.endswith("/") else grant.scope.rstrip("*") + "x"
            count += not others and grant.role in roles_held(state, grant.principal, place, now_ns)
    return count


def _opening(app: App, answers: list[rows.Answer]) -> Any:
    """Return the event that opened a review: the first answer that nobody gave yet names it, else the ledger is asked."""
    app.settle()
    review = answers[0].review
    found = app.events.select(
        "SELECT event_id FROM events WHERE kind = 'review.opened.v1' AND contains(decode(raw), ?) ORDER BY received_ns LIMIT 1", [review]
    )
    stored = app.events.find(found.rows[0][0]) if found.rows else None
    if stored is None:
        raise NotFound(f"the ledger has no opening of review `{review}`")
    return decode_event(stored.raw)


def _fact(app: App, event: str) -> Any:
    stored = app.events.find(event)
    return decode_event(stored.raw).data if stored else None


def _place(app: App, event: str) -> dict[str, str]:
    stored = app.events.find(event)
    if stored is None:
        return {"event": event, "kind": "", "place": ""}
    return {"event": event, "kind": stored.kind, "place": f"{stored.log}#{stored.index}"}


def _line(answer: rows.Answer, silent: set[str]) -> dict[str, Any]:
    said = answer.answer or ("removed by silence" if answer.grant in silent else "no answer yet")
    found: dict[str, Any] = msgspec.to_builtins(answer.item)
    given = {"answer": said, "answered_by": answer.answered_by, "reason": answer.reason, "event": answer.as_of if answer.answer else ""}
    return {**found, **given}


def show_markdown(report: Report) -> str:
    """Return a report as Markdown that reads well printed."""
    head = [
        f"# Access review {report.review}",
        "",
        f"{report.reason}. Opened {report.opened_at}, due {report.due_at}; {report.status}.",
        "",
        f"- never used: **{report.summary.share}**, of these {report.summary.young} granted too lately to say so",
        f"- proposed for removal: {report.summary.propose_removal}",
        f"- live grants past their end: {report.live_past_end}",
        f"- use was read from {report.used_since} up to {', '.join(f'`{log}` #{index}' for log, index in sorted(report.as_of.items()))}",
        f"- and judged by policy set `{short(report.policy_set) if report.policy_set else 'none'}`",
        f"- {report.not_counted}",
        "",
        "| grant | principal | role | scope | uses | last used | would break | proposed | answer | by | reason | event |",
        "| --- | --- | --- | --- | ---: | --- | ---: | --- | --- | --- | --- | --- |",
    ]
    body = [
        "| "
        + " | ".join(
            _cell(line[name])
            for name in (
                "grant",
                "principal",
                "role",
                "scope",
                "uses",
                "last_used",
                "needed",
                "proposal",
                "answer",
                "answered_by",
                "reason",
                "event",
            )
        )
        + " |"
        for line in report.lines
    ]
    tail = [
        "",
        "## What this rests on",
        "",
        "Each can be proved alone, offline: `jurat prove EVENT -o FILE`, then `jurat verify FILE`.",
        "",
    ]
    return "\n".join([*head, *body, *tail, *(f"- `{e['event']}` {e['kind']} at `{e['place']}`" for e in report.events), ""])


def _cell(value: Any) -> str:
    text = str(value) if value != "" else "–"
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "\\|")
