"""The gap report, shown: by `jurat log gaps` and by `jurat verify --complete`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import show_json, show_table
from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.errors import Malformed, Tampered

if TYPE_CHECKING:
    from jurat.ledger.completeness import Completeness, Span, StreamReport


def parse_span(from_text: str | None, to_text: str | None) -> Span:
    """Return the span of time that two RFC 3339 texts name.

    Raises:
        Malformed: one is no time with a zone.
    """
    from jurat.ledger.completeness import Span

    ends: list[int | None] = []
    for name, text in (("--from", from_text), ("--to", to_text)):
        try:
            ends.append(None if text is None else to_ns(parse_at(text)))
        except ValueError:
            raise Malformed(
                f"`{name} {(text or '')[:40]}` is not a time with a zone", hint="write RFC 3339, such as `2027-01-31T12:00:00Z`"
            ) from None
    return Span(*ends)


def as_document(found: Completeness) -> dict[str, Any]:
    """Return the report as `--json` shows it."""
    document = {"complete": found.is_complete, "streams": found.streams, "findings": found.findings, "pruned": found.pruned}
    return document | ({"ranges": found.ranges} if found.ranges else {})


def _state(stream: StreamReport) -> str:
    """Return by what the end of a stream is known."""
    if stream.is_closed:
        return "closed"
    return "stated" if stream.is_stated else "outbox" if stream.is_counted else "not stated"


def tell_gaps(session: Session, found: Completeness) -> int:
    """Show the report; return the exit code: 6 if something is missing."""
    from jurat.ledger.completeness import FAULTS

    if session.as_json:
        show_json(as_document(found))
    else:
        lines = [
            [
                s.log, str(s.producer), str(s.epoch), f"{s.first_seq}–{s.last_seq}", str(s.count), str(s.missing),
                _state(s), format_at(s.last_received_ns)[:19],
            ]
            for s in found.streams
        ]  # fmt: skip
        titles = ["log", "producer", "epoch", "numbers", "events", "missing", "state", "last (UTC)"]
        show_table(session, titles, lines, empty="no producer has recorded anything in this span")
        for log, count in found.pruned.items():
            click.echo(flat(f"pruned: {count} entries of {log} are gone, by a retention on record"))
        if found.ranges:
            titles = ["log", "entries", "hashes from rows", "of them erased", "expired", "not archived yet"]
            lines = [
                [
                    r.log, f"{r.first}–{r.end - 1}" if r.end > r.first else "none", str(r.rebuilt), str(r.erased), str(r.expired),
                    str(r.waiting),
                ]
                for r in found.ranges
            ]  # fmt: skip
            show_table(session, titles, lines, empty="")
        for finding in found.findings:
            label = "missing" if finding.what in FAULTS else "note"
            who = f" producer {finding.producer} epoch {finding.epoch}" if finding.producer else ""
            click.echo(flat(f"{label}: {finding.what}  {finding.log}{who}: {finding.detail}"))
        if found.is_complete:
            click.echo(f"ok: {sum(s.count for s in found.streams)} events of {len(found.streams)} streams, no number is missing")
    return 0 if found.is_complete else Tampered.exit_code
