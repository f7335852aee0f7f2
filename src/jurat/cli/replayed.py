"""A replay, shown: whole numbers only, and what the record does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import brief, show_fields, when

if TYPE_CHECKING:
    from jurat.app.replay import Replay, Side

_MOST = 10  # lines of each count


def tell_replay(session: Session, found: Replay) -> None:
    """Print who would newly be denied or allowed, how often, and three acts each."""
    pairs = [
        ("candidate", brief(found.candidate)),
        ("since", when(found.since)),
        ("acts", str(found.acts)),
        ("same answer", str(found.same)),
    ]
    show_fields(session, [*pairs, ("newly denied", str(found.newly_denied.acts)), ("newly allowed", str(found.newly_allowed.acts))])
    for word, side in (("newly denied", found.newly_denied), ("newly allowed", found.newly_allowed)):
        if side.acts:
            click.echo(f"\n{word}: {side.acts} acts of {len(side.principals)} principals")
            _tell(side)
    if found.unknown:
        session.say(f"{found.unknown} decisions were recorded without their question: nothing is said of them")
    if found.never_recorded:
        session.say(f"no question in this time told {flat(', '.join(found.never_recorded))}, which the candidate asks for")
    if not found.acts:
        session.say("no act was recorded in this time, so this says nothing about the candidate")


def _tell(side: Side) -> None:
    for title, counts in (
        ("by principal", side.principals),
        ("by role", side.roles),
        ("by resource", side.resources),
        ("by policy", side.policies),
    ):
        shown = [f"{flat(name)} {count}" for name, count in list(counts.items())[:_MOST]]
        more = f" and {len(counts) - _MOST} more" if len(counts) > _MOST else ""
        click.echo(f"  {title:<13} {', '.join(shown)}{more}")
    for example in side.examples:
        by = f" by {', '.join(example.decided_by)}" if example.decided_by else ""
        click.echo(f"  {when(example.at)}  {flat(example.principal)} {flat(example.action)} {flat(example.resource)}{by}  {example.event}")
