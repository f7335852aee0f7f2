"""How models did over a time, by segment, counted from the ledger's own predictions. What the record does not hold is not told.

Segments are what every prediction's record says: version, endpoint, caller, day. Inputs are never recorded, so there are none by
age or sex here: those are measured on held-out data (evidence of type `segments`, told by the model card).
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Final

import msgspec

from jurat.app.card_formats import as_page
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.clock import format_at, to_ns
from jurat.core.errors import Malformed
from jurat.domain import commands
from jurat.stats.intervals import wilson

SEGMENTS: Final = {
    "version": "version",
    "endpoint": "resource",
    "caller": "principal",
    "day": "strftime(occurred_at AT TIME ZONE 'UTC', '%Y-%m-%d')",
}
_KINDS: Final = ("prediction.requested.v1", "prediction.made.v1", "prediction.failed.v1", "prediction.overridden.v1")
# One line a prediction first, so that an answer whose receipt came too late counts as none. `{by}` is one of SEGMENTS: our own text.
_QUERY: Final = """
    WITH each AS (
        SELECT prediction, min({by}) FILTER (WHERE kind <> 'prediction.overridden.v1') AS segment,
               bool_or(kind = 'prediction.made.v1') AND NOT bool_or(kind = 'prediction.failed.v1') AS answered,
               max(outcome) AS outcome, max(latency_ms) AS latency_ms, max(confidence) AS confidence,
               bool_or(kind = 'prediction.overridden.v1') AS overridden
        FROM events WHERE kind IN ('prediction.requested.v1', 'prediction.made.v1', 'prediction.failed.v1', 'prediction.overridden.v1')
            AND split_part(version, '@', 1) = ? AND occurred_at >= ? AND occurred_at < ?
        GROUP BY prediction
    )
    SELECT segment, count(*), count(*) FILTER (WHERE answered), count(*) FILTER (WHERE answered AND outcome = 'abstained'),
           count(*) FILTER (WHERE answered AND outcome = 'blocked'), count(*) FILTER (WHERE overridden),
           quantile_disc(latency_ms, 0.5) FILTER (WHERE answered), quantile_disc(latency_ms, 0.99) FILTER (WHERE answered),
           avg(confidence) FILTER (WHERE answered)
    FROM each WHERE segment IS NOT NULL GROUP BY segment ORDER BY segment
"""


class SegmentReport(msgspec.Struct, frozen=True, kw_only=True):
    """One segment. Rates have 95 % intervals (Wilson)."""

    segment: str
    asked: int
    answered: int
    abstained: int
    blocked: int
    overridden: int
    unanswered_rate: tuple[float, float, float]  # point, low, high
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    mean_confidence: float | None


class PerformanceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted, where, and as of which sizes of the logs."""

    model: str
    since: str
    until: str
    by: str
    as_of: dict[str, int]
    segments: list[SegmentReport]


def report_performance(app: App, token: str, model: str, since: datetime, until: datetime, by: str = "version") -> PerformanceReport:
    """Return the report on all versions of a model. An empty list of segments: no prediction was asked for in that time.

    Raises:
        Malformed: no such segment, or a time that ends before it begins.
        Denied: the caller may not read the ledger; recorded. The question is recorded, too.
    """
    if by not in SEGMENTS:
        raise Malformed(
            f"segments by `{by[:40]}` are not known", hint=f"one of {', '.join(SEGMENTS)}; by groups of people see the model card"
        )
    if since >= until:
        raise Malformed("the time ends before it begins", hint="`--from` is inclusive, `--to` is exclusive")
    begin, end = (format_at(to_ns(at)) for at in (since.astimezone(UTC), until.astimezone(UTC)))
    question = f"performance of {model[:80]} by {by} from {begin} to {end}"
    act(app, token, commands.ReadRecords(question=question, subject=model[:80], as_of=app.events.as_of()))
    app.settle()
    answer = app.events.select(_QUERY.format(by=SEGMENTS[by]), [model, since, until], kinds=_KINDS)
    found = []
    for segment, asked, answered, abstained, blocked, overridden, p50, p99, confidence in answer.rows:
        rate = wilson(asked - answered, asked)
        found.append(
            SegmentReport(
                segment=str(segment), asked=asked, answered=answered, abstained=abstained, blocked=blocked, overridden=overridden,
                unanswered_rate=(rate.point, rate.low, rate.high), latency_p50_ms=p50, latency_p99_ms=p99, mean_confidence=confidence,
            )
        )  # fmt: skip
    return PerformanceReport(model=model, since=begin, until=end, by=by, as_of=answer.as_of, segments=found)


_HEADINGS: Final = ("asked", "answered", "no answer", "abstained", "blocked", "overridden", "p50", "p99", "confidence")


def cells(found: SegmentReport) -> list[str]:
    """Return one segment's figures for people; `unknown` where there is none."""
    point, low, high = found.unanswered_rate
    times = ["unknown" if ms is None else f"{ms:.1f} ms" for ms in (found.latency_p50_ms, found.latency_p99_ms)]
    confidence = "unknown" if found.mean_confidence is None else f"{found.mean_confidence:.3f}"
    counts = [str(found.abstained), str(found.blocked), str(found.overridden)]
    return [str(found.asked), str(found.answered), f"{point:.2%} [{low:.2%}, {high:.2%}]", *counts, *times, confidence]


def as_markdown(report: PerformanceReport) -> str:
    """Return the report as Markdown, with a bar a segment for the requests asked."""
    lines = [
        f"# Performance of `{report.model}` by {report.by}",
        "",
        _counted(report),
        "",
    ]
    lines += [f"| {report.by} | {' | '.join(_HEADINGS)} | |", "| --- " * (len(_HEADINGS) + 2) + "|"]
    most = max((s.asked for s in report.segments), default=1)
    for segment in report.segments:
        name = segment.segment.replace("|", "\\|")
        lines.append(f"| {name} | {' | '.join(cells(segment))} | {'█' * max(1, round(20 * segment.asked / most))} |")
    if not report.segments:
        lines += ["", "No prediction was asked for in that time."]
    return "\n".join(lines) + "\n"


def as_html(report: PerformanceReport) -> str:
    """Return the report as one page that needs nothing else."""
    most = max((s.asked for s in report.segments), default=1)
    head = "".join(f"<th>{escape(name)}</th>" for name in (report.by, *_HEADINGS, ""))
    body = "\n".join(
        f"<tr><td>{escape(s.segment)}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells(s))}"
        f'<td><svg width="100" height="8" role="img" aria-label="{s.asked} asked"><line x1="0" y1="4" x2="{100 * s.asked / most:.1f}" '
        f'y2="4"/></svg></td></tr>'
        for s in report.segments
    )
    nothing = "" if report.segments else '<p class="note">No prediction was asked for in that time.</p>'
    title = f"<h1>Performance of <code>{escape(report.model)}</code> by {escape(report.by)}</h1>"
    return as_page(
        f"Performance of {report.model}",
        f'{title}\n<p class="note">{_counted(report)}</p>\n{nothing}<div class="wide">\n<table>\n<tr>{head}</tr>\n{body}\n</table>\n</div>',
        style=_WIDE,
    )


_WIDE: Final = """main { max-width: 80rem; } .wide { overflow-x: auto; }
th { text-align: left; } th, td, td:first-child, td:last-child { width: auto; padding-right: .75rem; white-space: nowrap; }
"""


def _counted(report: PerformanceReport) -> str:
    since, until = (at.replace(".000000Z", "Z") for at in (report.since, report.until))
    return f"From {since} to {until}, counted from the ledger."
