"""A card as Markdown (Hugging Face), as HTML that needs nothing else, and as JSON. Knows the card only; every number keeps its event."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any, Final

import msgspec

from jurat.domain import rows
from jurat.domain.cards import Card, Line, meaning_of

# Licences as Hugging Face spells them, for the few spellings that are surely meant. Anything else is `other`, with its name.
_LICENCES: Final = {
    "apache-2.0": "apache-2.0", "apache 2.0": "apache-2.0", "mit": "mit", "cc-by-4.0": "cc-by-4.0", "cc by 4.0": "cc-by-4.0",
    "cc0-1.0": "cc0-1.0", "cc-by-sa-4.0": "cc-by-sa-4.0", "bsd-3-clause": "bsd-3-clause",
}  # fmt: skip
_MARKDOWN: Final = re.compile(r"[\\`*|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_NOTE: Final = "Made by Jurat from the record: each line names the event that says so (`jurat prove EVENT` proves it). Do not edit it."


def mark(card: Card) -> str:
    """Return how every format says what it is about."""
    return f"{card.kind} {card.subject}"


def as_json(card: Card) -> str:
    """Return the card as it is, with its gaps."""
    found = {"jurat_card": mark(card), "complete": card.is_complete, "gaps": card.gaps, **msgspec.to_builtins(card)}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def as_markdown(card: Card, data: rows.Dataset | None) -> str:
    """Return a Hugging Face card: YAML metadata, then tables."""
    lines = ["---", *_yaml(_metadata(card, data)), "---", "", f"# {_what(card)} `{card.subject}`", "", f"> {_NOTE}", ""]
    for section in card.sections:
        lines += [f"## {section.title}", "", "| | | event |", "| --- | --- | --- |"]
        lines += [f"| {_cell(line.label)} | {_cell(line.text)} | {f'`{line.event}`' if line.event else ''} |" for line in section.lines]
        lines.append("")
    if card.gaps:
        lines += ["## Not known", "", *(f"- {_cell(gap)}" for gap in card.gaps), ""]
    return "\n".join(lines)


def _yaml(value: Any, indent: str = "") -> list[str]:
    """Return the lines of a mapping or a list in YAML; scalars as JSON, which YAML reads as the same."""
    lines: list[str] = []
    for key, item in value.items() if isinstance(value, dict) else ((None, item) for item in value):
        start = indent + (f"{key}:" if key is not None else "-")
        if not isinstance(item, dict | list) or not item:
            lines.append(f"{start} {json.dumps(item, ensure_ascii=not str(item).isprintable())}")  # YAML breaks lines where JSON does not
        elif key is not None:
            lines += [start, *_yaml(item, indent + "  ")]
        else:
            first, *rest = _yaml(item, indent + "  ")
            lines += [f"{start} {first.lstrip()}", *rest]
    return lines


def _metadata(card: Card, data: rows.Dataset | None) -> dict[str, Any]:
    if card.kind == "data":
        licence = (data.sheet.licence if data else "").strip()
        known = _LICENCES.get(licence.lower())
        named = {"license": known} if known else {"license": "other", "license_name": licence} if licence else {"license": "unknown"}
        return {"jurat_card": mark(card), **named, "tags": ["jurat"], "pretty_name": card.subject}
    name = card.subject.partition("@")[0]
    results: list[dict[str, Any]] = []
    names: set[str] = set()
    for section in card.sections:
        figures = [(line, line.metric) for line in section.lines if line.metric is not None and line.metric.value is not None]
        on = next((line.text.partition(" ")[0] for line in section.lines if line.label == "Measured on"), "")
        if figures and not on.startswith(("artefact:", "log:", "signature:", "advisories:")):  # those are measured on no data set
            metrics = [{"type": m.name, "name": line.label, "value": m.value, "args": {"event": line.event}} for line, m in figures]
            task = {"type": "tabular-classification"}
            results.append({"task": task, "dataset": {"type": _no_hub_id(on), "name": on}, "metrics": metrics})
            names |= {metric.name for _, metric in figures}
    indexed = {"model-index": [{"name": name, "results": results}]} if results else {}
    return {
        "jurat_card": mark(card),
        "license": "unknown",  # nobody registers a model's licence yet
        "library_name": "sklearn",
        "pipeline_tag": "tabular-classification",
        "tags": ["jurat", "tabular-classification"],
        "metrics": sorted(names),
        **indexed,
    }


def _no_hub_id(dataset: str) -> str:
    """Return a data set's name as Hugging Face writes names. It is not on the hub, so the list of the hub's data sets stays empty."""
    return dataset.replace("@", "-")


def as_html(card: Card) -> str:
    """Return one page: no script, no font, no picture from elsewhere; readable on paper and in the dark."""
    numbers = {event: number for number, event in enumerate(card.events, 1)}
    body = [f"<h1>{_what(card)} <code>{escape(card.subject)}</code></h1>", f'<p class="note">{_code(_NOTE)}</p>']
    for section in card.sections:
        rows_ = "\n".join(_row(line, numbers) for line in section.lines)
        body.append(f"<section>\n<h2>{escape(section.title)}</h2>\n<table>\n{rows_}\n</table>\n</section>")
    if card.gaps:
        body.append(
            "<section>\n<h2>Not known</h2>\n<ul>\n" + "\n".join(f"<li>{escape(gap)}</li>" for gap in card.gaps) + "\n</ul>\n</section>"
        )
    listed = "\n".join(f'<li id="e{number}"><code>{event}</code></li>' for event, number in numbers.items())
    body.append(f"<section>\n<h2>Events</h2>\n<ol>\n{listed}\n</ol>\n</section>")
    about = f'<meta name="jurat-card" content="{escape(mark(card))}">\n'
    return as_page(card.subject, "\n".join(body), about=about, style=_STACKED)


def as_page(title: str, body: str, *, about: str = "", style: str = "") -> str:
    """Return a whole page around a body that is HTML already, in the look of all documents that Jurat makes."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n{about}<title>{escape(title)}</title>\n'
        f"<style>\n{_STYLE}{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _code(text: str) -> str:
    """Return a text as HTML, what stands in backticks as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


_STYLE: Final = """:root { color-scheme: light dark; --line: #d5d8dd; --soft: #5d6673; --bar: #3b6fb6; --bad: #a4372c; }
@media (prefers-color-scheme: dark) { :root { --line: #3a4049; --soft: #9aa4b1; --bar: #7aa7e0; --bad: #e58b80; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.note, .event, .unknown { color: var(--soft); } .unknown { font-style: italic; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid var(--line); padding: .3rem .75rem .3rem 0; vertical-align: top; }
td:first-child { width: 38%; } td:last-child { text-align: right; width: 2.5rem; } td { overflow-wrap: anywhere; }
code { font-size: .9em; } svg { display: block; margin-top: .2rem; } li { overflow-wrap: anywhere; }
svg line { stroke: var(--bar); stroke-width: 2; } svg circle { fill: var(--bar); } svg .axis { stroke: var(--line); stroke-width: 1; }
"""
# On a narrow screen a line's name stands above what it says, and digests have the whole width.
_STACKED: Final = """@media (max-width: 34rem) {
  tr { display: grid; grid-template-columns: 1fr auto; border-top: 1px solid var(--line); padding: .3rem 0; }
  td, td:first-child, td:last-child { border: 0; padding: 0; width: auto; }
  td:first-child { color: var(--soft); } td:nth-child(2) { grid-row: 2; } td:last-child { grid-area: 1 / 2; }
}
"""


def _row(line: Line, numbers: dict[str, int]) -> str:
    text = escape(line.text) if line.event and not line.text.startswith("unknown") else f'<span class="unknown">{escape(line.text)}</span>'
    title = f' title="{escape(meaning_of(line.metric.name))}"' if line.metric and meaning_of(line.metric.name) else ""
    source = f'<a class="event" href="#e{numbers[line.event]}">{numbers[line.event]}</a>' if line.event else ""
    return f"<tr><td{title}>{escape(line.label)}</td><td>{text}{_interval(line)}</td><td>{source}</td></tr>"


def _interval(line: Line) -> str:
    """Return a bar from 0 to 1 with the interval of a ratio in it; nothing for other scales."""
    metric = line.metric
    if metric is None or metric.value is None or metric.low is None or metric.high is None or not 0 <= metric.low <= metric.high <= 1:
        return ""
    if metric.name.startswith(("latency", "memory")):
        return ""
    low, high, point = (f"{2 + 196 * x:.1f}" for x in (metric.low, metric.high, metric.value))
    return (
        f'<svg width="200" height="8" role="img" aria-label="from {metric.low:.3g} to {metric.high:.3g}"><line class="axis" x1="2" y1="4" '
        f'x2="198" y2="4"/><line x1="{low}" y1="4" x2="{high}" y2="4"/><circle cx="{point}" cy="4" r="3"/></svg>'
    )


def _what(card: Card) -> str:
    return "Model card" if card.kind == "model" else "Data sheet"


def _cell(text: str) -> str:
    """Return somebody's text as Markdown shows it letter by letter: no link, picture, code, mark-up or cell of its own."""
    text = _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split())).replace("](", "]\\(")
    return text.replace("&", "&amp;").replace("<", "&lt;")
