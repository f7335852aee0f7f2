"""`jurat role`: who may do what, why, and until when."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json, when
from jurat.cli.verbs import noun


@noun("role")
def role() -> None:
    """Roles: grant, confirm, revoke, list. A grant has a reason and an end."""


@role.verb("list", example="jurat role list --principal 'Ada Lovelace'")
@click.option("--principal", default=None, help="Of this principal only: id or name.")
@click.pass_obj
def list_roles(session: Session, principal: str | None) -> None:
    """Show the grants that you may see; expired ones are marked."""
    from jurat.app.look import look
    from jurat.cli.people import People, resolve
    from jurat.domain.roles import is_live
    from jurat.domain.rows import Grant

    token = session.token()
    with session.app() as app:
        wanted = {"principal": resolve(app, token, principal)} if principal else {}
        found = look(app, token, Grant, wanted)
        people, now_ns = People(session, app, token), app.clock.now_ns()
    lines = [
        [
            r.grant, people.name(r.principal), r.role, r.scope,
            (when(r.expires_at) if r.expires_at else "no end") + ("" if is_live(r, now_ns) else " (expired)")
            + (f", unless confirmed by {when(r.confirm_by)}" if r.confirm_by and is_live(r, now_ns) else ""),
            people.name(r.granted_by), r.reason,
        ]
        for r in found
    ]  # fmt: skip
    show(
        session,
        found,
        ["grant", "principal", "role", "scope", "until", "granted by", "reason"],
        lines,
        empty="no role is granted to anyone",
    )


@role.verb("grant", example="jurat role grant 'Ada Lovelace' data_scientist --reason 'joined the credit team' --for 90d")
@click.argument("principal")
@click.argument("role_name", metavar="ROLE")
@click.option("--reason", required=True, help="Why, in words that a reviewer will understand in a year.")
@click.option("--for", "lifetime", default="90d", show_default=True, metavar="DURATION", help="How long: `8h`, `90d`; at most 366d.")
@click.option(
    "--on",
    "--scope",
    "scope",
    default="*",
    show_default=True,
    metavar="RESOURCE",
    help="Where: `*`, one thing, or a branch such as `models/prod/`.",
)
@click.pass_obj
def grant(session: Session, principal: str, role_name: str, reason: str, lifetime: str, scope: str) -> None:
    """Grant a role, for a reason, until a time. Nobody grants to themselves.

    What answers no request waits for a second person's word, and ends within a day without it: `jurat role confirm`.
    """
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.core.units import parse_duration_s
    from jurat.domain.commands import GrantRole
    from jurat.domain.facts import RoleGranted
    from jurat.domain.roles import expiry

    token, lifetime_s = session.token(), parse_duration_s(lifetime)
    with session.app() as app:
        who = resolve(app, token, principal)
        expires_at = expiry(app.clock.now_ns(), lifetime_s)
        done = act(app, token, GrantRole(principal=who, role=role_name, reason=reason, expires_at=expires_at, scope=scope))
    fact = done.events[0].data
    assert isinstance(fact, RoleGranted)
    if session.as_json:
        show_json({"grant": fact.grant, "expires_at": fact.expires_at, "confirm_by": fact.confirm_by, "event": done.events[0].id})
    else:
        show_fields(session, [("grant", fact.grant), ("until", when(fact.expires_at or "")), ("event", done.events[0].id)])
        if fact.confirm_by:
            session.say(f"it ends at {when(fact.confirm_by)} unless somebody else confirms it: `jurat role confirm {fact.grant}`")


@role.verb("confirm", example="jurat role confirm grt_01k9… --comment 'joined the credit team on Monday'")
@click.argument("grant_id", metavar="GRANT")
@click.option("--comment", default="", help="What you checked.")
@click.pass_obj
def confirm(session: Session, grant_id: str, comment: str) -> None:
    """Say yes to a grant that somebody gave without a request: a second person's word, without which it ends within a day."""
    from jurat.domain.commands_credentials import ConfirmGrant

    session.done(session.act(ConfirmGrant(grant=grant_id, comment=comment)))


@role.verb("revoke", example="jurat role revoke grt_01k9… --reason 'left the team'")
@click.argument("grant_id", metavar="GRANT")
@click.option("--reason", required=True)
@click.pass_obj
def revoke(session: Session, grant_id: str, reason: str) -> None:
    """End a grant before its time."""
    from jurat.domain.commands import RevokeRole

    done = session.act(RevokeRole(grant=grant_id, reason=reason))
    session.done(done)
