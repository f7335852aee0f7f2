"""`jurat advisory`: what changed upstream of approved versions, whom it touches, and taking it back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_json, show_table, when
from jurat.cli.verbs import noun
from jurat.core.errors import Malformed, NotFound
from jurat.domain.events import Event

if TYPE_CHECKING:
    from jurat.app.advisories import Standing


@noun("advisory")
def advisory() -> None:
    """What changed upstream of approved versions: flaws, recalls, licences."""


@advisory.verb("add", example="jurat advisory add 'scikit-learn@<1.5.1' --id CVE-2024-5206 --reason 'leaks training data'")
@click.argument("package", metavar="PACKAGE@RANGE")
@click.option("--id", "advisory_id", required=True, help="The advisory: CVE-…, GHSA-…")
@click.option("--reason", required=True, help="What the flaw is, for those who answer for what is affected.")
@click.pass_obj
def add(session: Session, package: str, advisory_id: str, reason: str) -> None:
    """Say that versions of a package have a known flaw: approvals of what was built with them are reopened."""
    from jurat.domain.commands_lineage import AddAdvisory

    name, _, affected = package.partition("@")
    if not affected:
        raise Malformed(f"`{package[:80]}` names no versions", hint="write it like `scikit-learn@<1.5.1` or `scikit-learn@>=1.0,<1.5.1`")
    if re.match(r"[0-9]", affected):
        affected = f"=={affected}"
    done = session.act(AddAdvisory(package=name, affected_range=affected, advisory=advisory_id, reason=reason))
    show_change(session, done.events)


@advisory.verb(
    "import",
    example="jurat advisory import all.zip --reason 'export of osv.dev, 2026-11-25'\n"
    "jurat advisory import GHSA-jf5h-cf95-w759.json --reason 'mailed by the vendor'",
)
@click.argument("source", metavar="FILE|FOLDER|ZIP", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Where they come from.")
@click.option(
    "--replace", is_flag=True, help="Forget the advisories from before. By default these are added, newer ones in place of older."
)
@click.pass_obj
def import_(session: Session, source: Path, reason: str, replace: bool) -> None:
    """Read OSV advisories on Python packages, reopen approvals of what they meet, and check the lock of every live version against them."""
    from jurat.app.advisories import import_advisories

    token = session.token()
    session.say("reading")
    with session.app() as app:
        found = import_advisories(app, token, source, reason, replace=replace)
    if session.as_json:
        show_json(found)
        return
    new = f"{found.added} new, {found.changed} changed" if found.is_new else "nothing new"
    session.say(f"{found.advisories} advisories on Python packages ({new}, {found.withdrawn} withdrawn); {found.other} were about others")
    for change in found.changes:
        session.say(f"approvals were reopened by {change}: `jurat advisory show {change}`")
    for change in found.withdrawn_changes:
        session.say(f"the advisory behind {change} was withdrawn: `jurat advisory clear {change} --reason …`")
    _show_standings(session, found.checked)


@advisory.verb("check", example="jurat advisory check\njurat advisory check credit@1.1.0 --json")
@click.argument("version", required=False)
@click.pass_obj
def check(session: Session, version: str | None) -> None:
    """Hold the lock of a version, or of all live ones, against the imported advisories: evidence for gates, `worst_known_severity < 7`."""
    from jurat.app.advisories import check_dependencies

    token = session.token()
    with session.app() as app:
        found = check_dependencies(app, token, version)
    if session.as_json:
        show_json(found)
        return
    _show_standings(session, found)


def _show_standings(session: Session, found: list[Standing]) -> None:
    lines = [
        [each.version, flaw.package, flaw.pinned, f"{flaw.severity:g}", ", ".join(flaw.names), flaw.summary]
        for each in found
        for flaw in each.flaws
    ]
    show_table(
        session, ["version", "package", "pinned", "severity", "flaw", "what"], lines, empty="no known flaw in any lock that was read"
    )
    if unread := [each.version for each in found if not each.packages]:
        session.say(f"unknown for {len(unread)}, whose lock nobody read: {', '.join(unread[:20])}")


@advisory.verb("list", example="jurat advisory list")
@click.pass_obj
def list_changes(session: Session) -> None:
    """Show every flaw, recall and licence that stands between approvals and what they rested on."""
    from jurat.app.look import look
    from jurat.domain.lineage import tell
    from jurat.domain.rows import UpstreamChange

    token = session.token()
    with session.app() as app:
        found = look(app, token, UpstreamChange)
    lines = [[r.change, tell(r), r.in_production, when(r.at), r.reason] for r in found]
    show(session, found, ["change", "what", "in production", "since", "reason"], lines, empty="nothing upstream is in doubt")


@advisory.verb("show", example="jurat advisory show chg_01k9…")
@click.argument("change")
@click.pass_obj
def show_one(session: Session, change: str) -> None:
    """Show which versions a change touches now, with their owners, also those that were learnt of later."""
    from jurat.app.look import look, look_at
    from jurat.cli.people import People
    from jurat.domain.lineage import doubts
    from jurat.domain.rows import System, UpstreamChange, Version

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, UpstreamChange, change)
        seen = look(app, token, Version)
        with app.store.reading() as state:
            touched = [v for v in seen if v.stage != "retired" and any(d.change == found.change for d in doubts(state, v))]
            owners = {v.version: s.owner for v in touched if (s := state.get(System, v.system)) is not None}
        people = People(session, app, token)
    if session.as_json:
        show_json(
            {"change": found, "versions": [{"version": v.version, "stage": v.stage, "held": v.held == found.change} for v in touched]}
        )
        return
    lines = [[v.version, v.stage, "held" if v.held == found.change else "", people.name(owners.get(v.version, ""))] for v in touched]
    show_table(session, ["version", "stage", "", "owner"], lines, empty="no live version that you may see rests on it")


@advisory.verb("clear", example="jurat advisory clear chg_01k9… --reason 'the advisory was withdrawn'")
@click.argument("change")
@click.option("--reason", required=True)
@click.pass_obj
def clear(session: Session, change: str, reason: str) -> None:
    """Take a change upstream back: what it held is free, and approvals count again."""
    from jurat.domain.commands_lineage import ClearChange

    session.done(session.act(ClearChange(change=change, reason=reason)))


def show_change(session: Session, events: list[Event]) -> None:
    """Print a change upstream, and the approvals that it reopened."""
    from jurat.domain.facts_lineage import ApprovalsReopened, UpstreamChanged

    change = next((e.data for e in events if isinstance(e.data, UpstreamChanged)), None)
    if change is None:
        raise NotFound("no change upstream was recorded")
    reopened = [(e.id, e.data) for e in events if isinstance(e.data, ApprovalsReopened)]
    if session.as_json:
        show_json(
            {"change": change, "reopened": [{"event": event, **_plain(data)} for event, data in reopened], "events": [e.id for e in events]}
        )
        return
    session.say(f"{change.change} recorded as {events[0].id}; in production: {change.in_production}")
    lines = [
        [d.affected.version, d.affected.stage, "held" if d.held else "", ", ".join(d.affected.endpoints), d.affected.owner,
         f"{len(d.affected.approvals)} of {', '.join(d.affected.requests)}" if d.affected.requests else "none yet"]
        for _, d in reopened
    ]  # fmt: skip
    show_table(session, ["version", "stage", "", "endpoints", "owner", "approvals reopened"], lines, empty="no live version rests on it")
    if change.unreadable:
        session.say(f"unknown for {len(change.unreadable)}, whose lock nobody read: {', '.join(change.unreadable[:20])}")


def _plain(data: object) -> dict[str, object]:
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(data)
    return found
