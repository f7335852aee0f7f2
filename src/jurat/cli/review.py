"""`jurat review`: access looked at again: what was never used, who answers for it, and the report of it."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json, when
from jurat.cli.verbs import noun


@noun("review")
def review() -> None:
    """Access reviews: what is used, what nobody needs; silence takes it away at the due date."""


@review.verb("unused", example="jurat review unused")
@click.pass_obj
def unused(session: Session) -> None:
    """Show what each live grant was used for, and what a review would propose. Opens nothing."""
    from jurat.app.look import SeeReviews, check
    from jurat.app.reviews import NOT_COUNTED, propose, summary_of
    from jurat.cli.people import People
    from jurat.core.clock import format_at
    from jurat.domain.duties import rules_in_force

    token = session.token()
    with session.app() as app:
        check(app, token, SeeReviews(place="workspace"))
        app.settle()
        with app.store.reading() as state:
            now_ns = app.clock.now_ns()
            items, since = propose(app, state, now_ns)
            young_s = rules_in_force(state).reviews.unused_after_s
        people = People(session, app, token)
    summary = summary_of(items, format_at(now_ns), young_s)
    if session.as_json:
        show_json({"since": since, "summary": summary, "share": summary.share, "items": items, "not_counted": NOT_COUNTED})
        return
    lines = [
        [i.grant, people.name(i.principal), i.role, i.scope, str(i.uses), when(i.last_used) or "never", str(i.needed), i.proposal, i.why]
        for i in items
    ]
    show(
        session, items, ["grant", "who", "role", "on", "uses", "last used", "would break", "proposal", "why"], lines, empty="no live grant"
    )
    session.say(f"never used: {summary.share}; {summary.young} of these granted too lately to say so; {NOT_COUNTED}")


@review.verb("open", example="jurat review open --reason 'the review of November'")
@click.option("--reason", required=True, help="Which review it is.")
@click.option("--for", "within", default="", metavar="DURATION", help="Time to answer.  [default: `answer_within` of the access file]")
@click.pass_obj
def open_review(session: Session, reason: str, within: str) -> None:
    """Put every live grant before somebody who answers for it. Each of them is told."""
    from jurat.app.reviews import open_review, summary_of
    from jurat.core.units import parse_duration_s
    from jurat.domain.duties import rules_in_force
    from jurat.domain.facts_access import ReviewOpened

    token = session.token()
    with session.app() as app:
        done = open_review(app, token, reason, answer_within_s=parse_duration_s(within) if within else 0.0)
        with app.store.reading() as state:
            young_s = rules_in_force(state).reviews.unused_after_s
    fact, event = done.events[0].data, done.events[0]
    assert isinstance(fact, ReviewOpened)
    summary = summary_of(fact.items, event.at, young_s)
    if session.as_json:
        show_json({"review": fact.review, "due_at": fact.due_at, "summary": summary, "share": summary.share, "event": event.id})
        return
    deciders = len({i.decider for i in fact.items})
    show_fields(
        session,
        [
            ("review", fact.review), ("grants", str(summary.grants)), ("never used", summary.share), ("answered by", f"{deciders} people"),
            ("due", when(fact.due_at)), ("event", event.id),
        ],
    )  # fmt: skip


@review.verb("list", example="jurat review list")
@click.pass_obj
def list_reviews(session: Session) -> None:
    """Show the reviews there were."""
    from jurat.app.look import look
    from jurat.domain.rows import Review

    token = session.token()
    with session.app() as app:
        found = look(app, token, Review)
    lines = [[r.review, r.status, when(r.opened_at), when(r.due_at), str(r.count), r.reason] for r in found]
    show(session, found, ["review", "status", "opened", "due", "grants", "reason"], lines, empty="access was never reviewed")


@review.verb("show", example="jurat review show rvw_01k9… --mine")
@click.argument("review_id", metavar="REVIEW")
@click.option("--mine", is_flag=True, help="Only what waits for your answer.")
@click.pass_obj
def show_review(session: Session, review_id: str, mine: bool) -> None:
    """Show what a review asks, with the use of each grant, and what was answered."""
    from jurat.app.look import known, look
    from jurat.cli.people import People
    from jurat.domain.rows import Answer

    token = session.token()
    with session.app() as app:
        wanted = {"review": review_id, **({"decider": known(app, token).principal, "answer": ""} if mine else {})}
        found = look(app, token, Answer, wanted)
        people = People(session, app, token)
    lines = [
        [
            a.grant, people.name(a.item.principal), a.item.role, a.item.scope, str(a.item.uses), when(a.item.last_used) or "never",
            str(a.item.needed), a.item.proposal, people.name(a.decider), a.answer or "–",
        ]
        for a in found
    ]  # fmt: skip
    titles = ["grant", "who", "role", "on", "uses", "last used", "would break", "proposal", "answers for it", "answer"]
    show(session, found, titles, lines, empty="that review asks you nothing")


@review.verb("answer", example="jurat review answer rvw_01k9… grt_01k9… remove --reason 'moved to another team'")
@click.argument("review_id", metavar="REVIEW")
@click.argument("grant", metavar="GRANT")
@click.argument("said", metavar="ANSWER", type=click.Choice(["keep", "remove"]))
@click.option("--reason", required=True, help="Why they still need it, or why not.")
@click.pass_obj
def answer(session: Session, review_id: str, grant: str, said: str, reason: str) -> None:
    """Say whether a grant stays. Nobody decides on their own; what nobody answers for ends at the due date."""
    from jurat.domain.commands_access import AnswerReview

    session.done(session.act(AnswerReview(review=review_id, grant=grant, answer=said, reason=reason)))


@review.verb("report", example="jurat review report rvw_01k9… -o review-november")
@click.argument("review_id", metavar="REVIEW")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write NAME.md and NAME.json.  [default: Markdown to stdout]")
@click.pass_obj
def report(session: Session, review_id: str, output: Path | None) -> None:
    """Tell a review as an auditor takes it away: each question and answer, with the events that prove it."""
    from jurat.app.reviews import report_of, show_markdown
    from jurat.core.files import write_whole
    from jurat.core.jsonio import dump_json

    token = session.token()
    with session.app() as app:
        found = report_of(app, token, review_id)
    if output is not None:
        for suffix, raw in ((".md", show_markdown(found).encode()), (".json", dump_json(found) + b"\n")):
            write_whole(output.with_name(output.name + suffix), raw)
        session.say(f"written: {output}.md, {output}.json")
    elif session.as_json:
        show_json(found)
    else:
        click.echo(show_markdown(found))
