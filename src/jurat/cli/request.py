"""`jurat request`: promotions that wait for approval, bound to exactly what is shown."""

from __future__ import annotations

from typing import Any

import click

from jurat.cli.session import Session
from jurat.cli.show import brief, show, show_fields, show_json, show_table, when
from jurat.cli.verbs import noun


@noun("request")
def request() -> None:
    """Promotions that wait for approval by people."""


@request.verb("list", example="jurat request list --open")
@click.option("--open", "only_open", is_flag=True, help="Only those that still wait.")
@click.pass_obj
def list_requests(session: Session, only_open: bool) -> None:
    """Show the requests on models that you may see."""
    from jurat.app.look import look
    from jurat.cli.people import People
    from jurat.domain.rows import Request

    token = session.token()
    with session.app() as app:
        wanted = {"status": "waiting_for_approvers"} if only_open else {}
        found = look(app, token, Request, wanted)
        people = People(session, app, token)
    lines = [
        [
            r.request, r.version, r.to_stage, r.status, f"{len(r.approvals)} of {len(r.approver_roles)}", people.name(r.requested_by),
            when(r.expires_at),
        ]
        for r in found
    ]  # fmt: skip
    show(session, found, ["request", "version", "to", "status", "approvals", "asked by", "until"], lines, empty="no request waits")


@request.verb("open", example="jurat request open credit@1.1.0 production --for 7d")
@click.argument("version")
@click.argument("stage")
@click.option("--for", "lifetime", default=None, metavar="DURATION", help="How long; by default `approval_lifetime` of jurat.toml.")
@click.pass_obj
def open_request(session: Session, version: str, stage: str, lifetime: str | None) -> None:
    """Ask the people whom the gate names to approve exactly this version for a stage."""
    from jurat.app.walk import act
    from jurat.core.units import parse_duration_s
    from jurat.domain.commands import RequestPromotion
    from jurat.domain.facts import PromotionRequested

    token = session.token()
    with session.app() as app:
        lifetime_s = parse_duration_s(lifetime or app.settings.approval_lifetime)
        done = act(app, token, RequestPromotion(version=version, to_stage=stage, lifetime_s=lifetime_s))
    fact = done.events[0].data
    assert isinstance(fact, PromotionRequested)
    if session.as_json:
        show_json({"request": fact.request, "shown_digest": fact.shown_digest, "event": done.events[0].id})
        return
    pairs = [("request", fact.request), ("shown", brief(fact.shown_digest)), ("until", when(fact.expires_at))]
    show_fields(session, [*pairs, ("needs", ", ".join(fact.approver_roles)), ("event", done.events[0].id)])
    session.say(f"an approver looks with `jurat request show {fact.request}`")


@request.verb("show", example="jurat request show req_01k9…")
@click.argument("request_id", metavar="REQUEST")
@click.pass_obj
def show_request(session: Session, request_id: str) -> None:
    """Show exactly what an approver signs: the version, its artefacts and its measurements. An approver's look is on record."""
    from jurat.app.request_stats import show_request as shown_on_record
    from jurat.cli.people import People

    token = session.token()
    with session.app() as app:
        found = shown_on_record(app, token, request_id)
        people = People(session, app, token)
    if session.as_json:
        show_json(found)
        return
    shown = found.shown
    show_fields(
        session,
        [
            ("request", found.request), ("status", found.status), ("version", f"{found.version}  {brief(found.version_digest)}"),
            ("to", found.to_stage), ("author", people.name(shown["author"])), ("asked by", people.name(found.requested_by)),
            ("training data", shown["training_dataset"]), ("gate file", brief(shown["gate_file"])),
            ("needs", ", ".join(found.approver_roles)),
            ("approved by", ", ".join(f"{people.name(a.person)} as {'/'.join(a.roles)}" for a in found.approvals) or "nobody yet"),
            ("until", when(found.expires_at)),
        ],
    )  # fmt: skip
    click.echo()
    show_table(session, ["artefact", "digest"], [[name, brief(digest)] for name, digest in shown["artefacts"].items()], empty="")
    click.echo()
    lines = [_metric(evidence, metric) for evidence in shown["evidence"] for metric in evidence["metrics"]]
    show_table(session, ["evidence", "metric", "found", "n", "measured on", "event"], lines, empty="nothing was measured on it")
    session.say(f"to approve exactly this: jurat request approve {found.request} --shown {found.shown_digest}")


@request.verb("approve", example="jurat request approve req_01k9… --shown sha256:3f9a… --comment 'checked the gaps by age'")
@click.argument("request_id", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown: `jurat request show` prints it.")
@click.option("--comment", default="", help="What you looked at.")
@click.pass_obj
def approve(session: Session, request_id: str, shown_digest: str, comment: str) -> None:
    """Say yes to exactly what was shown. One person counts once, and nobody approves their own."""
    from jurat.domain.commands import Approve

    session.done(session.act(Approve(request=request_id, shown_digest=shown_digest, comment=comment)))


@request.verb("reject", example="jurat request reject req_01k9… --shown sha256:3f9a… --comment 'the age gap is too wide'")
@click.argument("request_id", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown.")
@click.option("--comment", required=True, help="What would have to change.")
@click.pass_obj
def reject(session: Session, request_id: str, shown_digest: str, comment: str) -> None:
    """Say no, with what would have to change; the request is closed."""
    from jurat.domain.commands import Reject

    session.done(session.act(Reject(request=request_id, shown_digest=shown_digest, comment=comment)))


@request.verb("stats", example="jurat request stats --last 90d")
@click.option("--last", default="90d", show_default=True, metavar="DURATION", help="How far back.")
@click.pass_obj
def stats(session: Session, last: str) -> None:
    """Show how people answer requests: how often yes, how fast after they were shown what they approved.

    Promotions, access, policies, retention and erasures in one table. Looks are on record for promotions only.
    """
    from jurat.app.request_stats import request_stats
    from jurat.cli.people import People
    from jurat.core.units import parse_duration_s

    last_s = parse_duration_s(last)
    token = session.token()
    with session.app() as app:
        found = request_stats(app, token, last_s=last_s)
        people = People(session, app, token)
    if session.as_json:
        show_json([{"person": a.person, "yes": a.yes, "no": a.no, "unseen": a.unseen, "too_fast": a.too_fast,
                    "median_s": a.median_s, "signs": a.signs} for a in found])  # fmt: skip
        return
    lines = [
        [people.name(a.person), str(a.yes), str(a.no), f"{a.yes / (a.yes + a.no):.0%}", "" if a.median_s is None else f"{a.median_s:.1f} s",
         "; ".join(a.signs)]
        for a in found
    ]  # fmt: skip
    show_table(session, ["who", "yes", "no", "rate", "median", "look at"], lines, empty="nobody answered a request in that time")


def _metric(evidence: dict[str, Any], metric: dict[str, Any]) -> list[str]:
    from jurat.domain.gates import show_metric
    from jurat.domain.values import Metric

    measured = Metric(name=metric["name"], value=metric["value"], low=metric["low"], high=metric["high"], group_by=metric["group_by"])
    return [evidence["type"], metric["name"], show_metric(measured), str(metric["n"]), evidence["dataset"], evidence["event"]]
