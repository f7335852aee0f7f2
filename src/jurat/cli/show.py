"""How things look: tables with a little colour on a terminal, plain aligned text in a pipe, JSON for programs.

A pipe gets no box, no colour, no wrapping and no shortening, so that what is piped today can be piped tomorrow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from jurat.cli.session import Session, flat

_SHORT = 24  # characters: a time, a short name; such a cell stays on one line
_GOOD = frozenset({"pass", "allow", "clean", "production", "released", "ok", "ran", "sealed"})
_BAD = frozenset({"fail", "deny", "refused", "rejected", "tampered", "blocked", "failed_closed", "failed_open"})
_OPEN = frozenset({"not_enough_data", "abstained", "waiting_for_approvers", "staging", "skipped"})


def show_json(value: Any) -> None:
    """Print a value as deterministic JSON; indented when a person reads it."""
    import msgspec

    from jurat.core.jsonio import dump_json

    raw = dump_json(value)
    click.echo((msgspec.json.format(raw, indent=2) if sys.stdout.isatty() else raw).decode())


def show_table(session: Session, titles: Sequence[str], lines: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print a table. An empty one is said aloud on stderr, and prints nothing: empty is never success by silence."""
    if not lines:
        session.say(empty)
    elif session.on_terminal:
        _rich_table(titles, lines)
    else:
        widths = [max(len(title), *(len(line[n]) for line in lines)) for n, title in enumerate(titles)]
        for line in (titles, *lines):
            click.echo("  ".join(flat(cell).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show_fields(session: Session, pairs: Mapping[str, str] | Sequence[tuple[str, str]]) -> None:
    """Print names and values, one a line."""
    items = list(pairs.items()) if isinstance(pairs, Mapping) else list(pairs)
    width = max((len(name) for name, _ in items), default=0)
    for name, value in items:
        label = click.style(name.ljust(width), bold=True) if has_colour() else name.ljust(width)
        click.echo(f"{label}  {paint(flat(value)) if session.on_terminal else flat(value)}")


def show(session: Session, value: Any, titles: Sequence[str], lines: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print `value` as JSON if that is wanted, else the table."""
    if session.as_json:
        show_json(value)
    else:
        show_table(session, titles, lines, empty=empty)


def paint(text: str) -> str:
    """Return the text in the colour of its meaning, if it has one."""
    if not has_colour():
        return text
    word = text.split(" ", 1)[0]
    colour = "green" if word in _GOOD else "red" if word in _BAD else "yellow" if word in _OPEN else None
    return click.style(text, fg=colour) if colour else text


def has_colour() -> bool:
    """Whether stdout may be coloured: a terminal, and `NO_COLOR` unset (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def when(at: str) -> str:
    """Return an RFC 3339 time for people, with its zone: `2026-11-25 19:40:41 UTC`."""
    return f"{at[:10]} {at[11:19]} UTC" if len(at) > 19 and at.endswith("Z") else at


def brief(digest: str) -> str:
    """Return a digest for people: its first 12 hex digits."""
    from jurat.core.digests import short

    return short(digest)


class Progress:
    """A bar on stderr while something long runs, when a person watches. Entered, it is a function of (done, total)."""

    def __init__(self, session: Session, what: str) -> None:
        self._quiet = session.as_json or not sys.stderr.isatty()
        self._what = what
        self._bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        if self._quiet:
            return lambda _done, _total: None
        from rich.console import Console
        from rich.progress import Progress as Bar

        bar = self._bar = Bar(console=Console(stderr=True), transient=True)
        bar.start()
        task = bar.add_task(self._what, total=None)
        return lambda done, total: bar.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _rich_table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for number, title in enumerate(titles):
        cells = [title, *(flat(line[number]) for line in lines)]
        whole = all(_is_word(cell) for cell in cells)
        table.add_column(title, overflow="fold", no_wrap=whole, min_width=max(map(cell_len, cells)) if whole else None)
    for line in lines:
        table.add_row(*(Text.from_ansi(paint(flat(cell))) for cell in line))
    console = Console(highlight=False)
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).minimum
    console.width = max(console.width, needed)  # an id cut in two cannot be copied: rather let the terminal wrap the line
    console.print(table)


def _is_word(cell: str) -> bool:
    return " " not in cell or len(cell) <= _SHORT
