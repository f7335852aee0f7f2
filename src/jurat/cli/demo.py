"""`jurat demo`: the whole story on real data, told as it happens."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from jurat.cli.session import Session
from jurat.cli.show import has_colour, show_json
from jurat.cli.verbs import verb

if TYPE_CHECKING:
    from jurat.app.ask import Story
    from jurat.demo.played import Refusal
    from jurat.domain.values import Clause

_WIDEST: Final = 128
_NARROWEST: Final = 60
_MARKS: Final = {"pass": ("✓", "green"), "fail": ("✗", "red"), "not_enough_data": ("?", "yellow")}


@verb("demo", example="jurat demo ./jurat-demo --replace")
@click.argument("directory", default="./jurat-demo", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Take an earlier demo's workspace away first.")
@click.pass_obj
def demo(session: Session, directory: Path, replace: bool) -> None:
    """Play the whole story on real data: register, measure, gate, refuse, promote, serve, ask, prove, cheat."""
    from jurat.demo.story import play

    teller = Teller(quiet=session.as_json)
    played = play(directory, teller, replace=replace)
    if session.as_json:
        show_json(
            {
                "workspace": str(played.workspace.root),
                "refusals": [vars(refusal) for refusal in played.refusals],
                "attacks": [{"name": a.name, "done": a.done, "found": a.found} for a in played.attacks],
                "prediction": played.refused_applicant,
                "seconds": played.seconds,
            }
        )
        return
    teller.chapter(f"The workspace is yours ({played.seconds['story']:.0f} s)")
    for command in (
        f"-C {directory} serve",
        f"-C {directory} --as fay ask why {played.refused_applicant}",
        f"-C {directory} verify",
        f"verify {directory}/refused-applicant.evidence.json --keys {directory}/keys/log-keys.json",
    ):
        teller.command(f"{_how_we_were_called()} {command}")
    teller.say("(the demo's own model server has gone: `serve` answers everything but new predictions, until one runs again)")


class Teller:
    """Prints the story. Colour on a terminal, plain text in a pipe; `width` is where lines break."""

    def __init__(self, *, quiet: bool = False, width: int | None = None) -> None:
        self._quiet, self._width = quiet, width or _width()
        self.names: dict[str, str] = {}

    def chapter(self, title: str) -> None:
        self._print()
        self._print(_style(title, bold=True, fg="cyan"))

    def say(self, text: str) -> None:
        self._hang("  ", text)

    def command(self, text: str) -> None:
        self._print(f"  {_style('$', dim=True)} {text}")

    def fact(self, label: str, value: str) -> None:
        self._hang(f"  {label:<12} ", value)

    def clauses(self, title: str, clauses: list[Clause]) -> None:
        self._print(f"  {_style(title, bold=True)}")
        for clause in clauses:
            mark, colour = _MARKS[clause.verdict]
            self._hang(f"    {mark} {clause.condition:<38} ", clause.found, paint=(mark, colour))

    def refused(self, who: str, what: str, refusal: Refusal) -> None:
        self._hang("  ✗ refused    ", f"{who} {what}", paint=("✗ refused", "red"))
        self._wrapped("rule", refusal.code)
        self._wrapped("because", refusal.detail)
        self._wrapped("instead", refusal.hint)
        self._wrapped("recorded", refusal.event)

    def story(self, story: Story) -> None:
        question = ""
        for line in story.lines:
            if line.question != question:
                question = line.question
                self._print(f"  {_style(question, bold=True)}")
            self._wrapped(line.about, line.text, width=19)
            self._print(_style(f"    {'':<19} {line.event} · {line.position}", dim=True))

    def attack(self, name: str, done: str, found: list[str]) -> None:
        self._hang("  attack       ", f"{name}: {done}", paint=("attack", "magenta"))
        for each in found[:3] or ["nothing"]:
            self._wrapped("found", each, fg="green" if found else "red")
        if len(found) > 3:
            self._wrapped("", f"and {len(found) - 3} more")

    def _wrapped(self, label: str, text: str, *, width: int = 10, fg: str | None = None) -> None:
        for principal, name in self.names.items():
            text = text.replace(f"`{principal}`", name).replace(principal, name)
        self._hang(f"    {label.ljust(width)} ", text, paint=(label, fg))

    def _hang(self, margin: str, text: str, *, paint: tuple[str, str | None] = ("", None)) -> None:
        """Print the text beside the margin, one word of which has a colour; further lines stand under the text."""
        blank, (word, colour) = " " * len(margin), paint
        for line in textwrap.wrap(text, self._width - len(margin), break_long_words=False, break_on_hyphens=False):
            self._print((margin.replace(word, _style(word, fg=colour), 1) if word else margin) + line)
            margin, word = blank, ""

    def _print(self, text: str = "") -> None:
        if not self._quiet:
            click.echo(text)


def _width() -> int:
    """Return how wide the story is told: as wide as the terminal, within reason; a pipe has no width of its own."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDEST
    return max(_NARROWEST, min(_WIDEST, columns))


def _how_we_were_called() -> str:
    """Return what to type for `jurat` here: the name alone if it would be found, else the path that was typed."""
    called = sys.argv[0]
    found = shutil.which("jurat")
    return "jurat" if found and Path(found).resolve() == Path(called).resolve() else called


def _style(text: str, *, bold: bool = False, dim: bool = False, fg: str | None = None) -> str:
    return click.style(text, bold=bold or None, dim=dim or None, fg=fg) if (bold or dim or fg) and has_colour() else text
