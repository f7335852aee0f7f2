"""`jurat access`: asking for a role for a while, answering, and the rules of duties and approvals that are in force."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.access import access
from jurat.cli.session import Session, flat
from jurat.cli.show import brief, show, show_fields, show_json, when


@access.verb("request", example="jurat access request ml_engineer --on models/prod/ --for 2h --reason 'roll back credit, ticket OPS-7'")
@click.argument("role_name", metavar="ROLE")
@click.option("--on", "scope", required=True, metavar="RESOURCE", help="Where: one thing, or a branch such as `models/prod/`.")
@click.option("--for", "lifetime", default="2h", show_default=True, metavar="DURATION", help="How long, from the moment it is approved.")
@click.option("--reason", required=True, help="What for, in words that a reviewer will understand in a year.")
@click.pass_obj
def request_access(session: Session, role_name: str, scope: str, lifetime: str, reason: str) -> None:
    """Ask for a role for a while. The people whom the rules name say yes; then it begins, and ends by itself."""
    _ask(session, role_name, scope, lifetime, reason, "")


@access.verb("renew", example="jurat access renew grt_01k9… --for 8h --reason 'the roll-back goes on tomorrow'")
@click.argument("grant", metavar="GRANT")
@click.option("--for", "lifetime", default="2h", show_default=True, metavar="DURATION", help="How long, from the moment it is approved.")
@click.option("--reason", required=True, help="Why it is still needed.")
@click.pass_obj
def renew(session: Session, grant: str, lifetime: str, reason: str) -> None:
    """Ask for a grant of one's own to go on: the same role and place, approved anew by the same rules."""
    from jurat.core.errors import NotFound
    from jurat.domain.rows import Grant

    session.token()  # nothing is looked up for nobody
    with session.app() as app, app.store.reading() as state:
        found = state.get(Grant, grant)
    if found is None:
        raise NotFound(f"grant `{grant[:60]}` does not exist, or ended already", hint="ask anew: `jurat access request`")
    _ask(session, found.role, found.scope, lifetime, reason, grant)


def _ask(session: Session, role_name: str, scope: str, lifetime: str, reason: str, renews: str) -> None:
    from jurat.app.look import known
    from jurat.app.walk import act
    from jurat.core.units import parse_duration_s
    from jurat.domain.commands_access import RequestAccess
    from jurat.domain.facts_access import AccessRequested

    token, lifetime_s = session.token(), parse_duration_s(lifetime)
    with session.app() as app:
        me = known(app, token).principal
        wish = RequestAccess(principal=me, role=role_name, scope=scope, lifetime_s=lifetime_s, reason=reason, renews=renews)
        done = act(app, token, wish)
    fact = done.events[0].data
    assert isinstance(fact, AccessRequested)
    if session.as_json:
        answer = {"request": fact.request, "shown_digest": fact.shown_digest, "approvers": fact.approvers, "event": done.events[0].id}
        show_json({**answer, "expires_at": fact.expires_at})
        return
    show_fields(session, [("request", fact.request), ("needs", ", ".join(fact.approvers)), ("event", done.events[0].id)])
    session.say(f"an approver looks with `jurat access show {fact.request}`")


@access.verb("requests", example="jurat access requests --open")
@click.option("--open", "only_open", is_flag=True, help="Only those that still wait.")
@click.pass_obj
def list_requests(session: Session, only_open: bool) -> None:
    """Show the requests for access that you made, or may answer."""
    from jurat.app.look import look
    from jurat.cli.people import People
    from jurat.domain.rows import AccessRequest

    token = session.token()
    with session.app() as app:
        found = look(app, token, AccessRequest, {"status": "waiting_for_approvers"} if only_open else {})
        people = People(session, app, token)
    lines = [
        [
            r.request,
            people.name(r.principal),
            r.role,
            r.scope,
            _hours(r.lifetime_s),
            r.status,
            f"{len(r.approvals)} of {len(r.approvers)}",
            r.reason,
        ]
        for r in found
    ]
    show(
        session, found, ["request", "who", "role", "on", "for", "status", "approvals", "reason"], lines, empty="no request for access waits"
    )


@access.verb("show", example="jurat access show req_01k9…")
@click.argument("request_id", metavar="REQUEST")
@click.pass_obj
def show_request(session: Session, request_id: str) -> None:
    """Show exactly what an approver of access signs."""
    from jurat.app.look import look_at
    from jurat.cli.people import People
    from jurat.domain.rows import AccessRequest

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, AccessRequest, request_id)
        people = People(session, app, token)
    if session.as_json:
        show_json(found)
        return
    show_fields(
        session,
        [
            ("request", found.request), ("status", found.status), ("who", people.name(found.principal)), ("role", found.role),
            ("on", found.scope), ("for", _hours(found.lifetime_s)), ("reason", found.reason), ("renews", found.renews or "–"),
            ("needs", ", ".join(found.approvers)),
            ("approved by", ", ".join(f"{people.name(a.person)} as {'/'.join(a.roles)}" for a in found.approvals) or "nobody yet"),
            ("until", when(found.expires_at)),
        ],
    )  # fmt: skip
    if found.status == "waiting_for_approvers":
        session.say(f"to approve exactly this: jurat access approve {found.request} --shown {found.shown_digest}")


@access.verb("approve", example="jurat access approve req_01k9… --shown sha256:3f9a… --comment 'OPS-7 is theirs'")
@click.argument("request_id", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown: `jurat access show` prints it.")
@click.option("--comment", default="", help="What you looked at.")
@click.pass_obj
def approve(session: Session, request_id: str, shown_digest: str, comment: str) -> None:
    """Say yes to exactly this access. One person counts once, and nobody approves their own."""
    from jurat.domain.commands_access import ApproveAccess

    session.done(session.act(ApproveAccess(request=request_id, shown_digest=shown_digest, comment=comment)))


@access.verb("reject", example="jurat access reject req_01k9… --shown sha256:3f9a… --comment 'ask for staging, it is enough'")
@click.argument("request_id", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown.")
@click.option("--comment", required=True, help="What would have to change.")
@click.pass_obj
def reject(session: Session, request_id: str, shown_digest: str, comment: str) -> None:
    """Say no to an access, with what would have to change; or take back what you asked for."""
    from jurat.domain.commands_access import RejectAccess

    session.done(session.act(RejectAccess(request=request_id, shown_digest=shown_digest, comment=comment)))


@access.verb("rules", example="jurat access rules\n\njurat access rules --source > access.yaml")
@click.option("--source", is_flag=True, help="Print the file itself, to edit it.")
@click.pass_obj
def rules(session: Session, source: bool) -> None:
    """Show the access file in force: duties that exclude each other, and who approves what."""
    from jurat.app.look import SeeAccessRules, check
    from jurat.domain.duties import rules_in_force
    from jurat.domain.rows import AccessRulesInForce
    from jurat.policy.accessrules import default_access

    token = session.token()
    with session.app() as app:
        check(app, token, SeeAccessRules(place="workspace"))
        with app.store.reading() as state:
            row, found = state.get(AccessRulesInForce, "current"), rules_in_force(state)
    text = row.source if row else default_access()
    if source:
        click.echo(flat(text.rstrip("\n"), keep="\n"))
        return
    session.say(f"in force: {brief(found.digest)}, " + (f"since {row.as_of}" if row else "as shipped; none was applied yet"))
    lines = [["apart", " × ".join(c.between), f"within one {c.within}", c.reason] for c in found.conflicts]
    lines += [
        ["approves", ", ".join(a.roles), f"on {a.scope}, up to {_hours(a.longest_s)}", " and ".join(a.approvers)] for a in found.approvals
    ]
    show(session, {"digest": found.digest, "rules": found, "source": text}, ["", "what", "where", "why, or who"], lines, empty="no rules")


@access.verb("apply", example="jurat access apply access.yaml --reason 'a second ML lead joined: production needs two'")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why it changes.")
@click.pass_obj
def apply_rules(session: Session, file: Path, reason: str) -> None:
    """Put an access file into force. One that cannot be read changes nothing; auditors are told of what it loosens."""
    from jurat.cli.files import read_text
    from jurat.domain.commands_access import ApplyAccessRules
    from jurat.domain.facts_access import AccessRulesApplied

    done = session.act(ApplyAccessRules(source=read_text(file), reason=reason))
    fact = done.events[0].data
    assert isinstance(fact, AccessRulesApplied)
    for less in fact.loosened:
        session.say(f"loosened: {flat(less)}")
    session.done(done)


@access.verb("ends", example="jurat access ends")
@click.pass_obj
def ends(session: Session) -> int:
    """Show that no grant is live past its end, and what ended without anybody writing it down yet. Exit 0 only if none is."""
    from jurat.app.look import SeeReviews, check
    from jurat.app.reviews import past_end_and_held
    from jurat.domain.grants import past_end
    from jurat.domain.roles import is_live
    from jurat.domain.rows import Grant

    token = session.token()
    with session.app() as app:
        check(app, token, SeeReviews(place="workspace"))
        with app.store.reading() as state:
            now_ns = app.clock.now_ns()
            live = sum(is_live(g, now_ns) for g in state.find(Grant))
            held, waiting = past_end_and_held(state, now_ns), len(past_end(state, now_ns))
    if session.as_json:
        show_json({"live": live, "live_past_end": held, "ended_unwritten": waiting})
    else:
        show_fields(
            session, [("live grants", str(live)), ("live past their end", str(held)), ("ended, not written down yet", str(waiting))]
        )
    return 0 if held == 0 else 6


def _hours(seconds: float) -> str:
    return f"{seconds / 86_400:g}d" if seconds >= 86_400 and seconds % 86_400 == 0 else f"{seconds / 3600:g}h"
