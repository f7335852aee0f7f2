"""The story is played once, in a workspace of its own, and looked at from all sides."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jurat.app.bootstrap import remove_workspace
from jurat.cli.demo import Teller
from jurat.demo.played import Played
from jurat.demo.story import play


class Kept(Teller):
    """The command line's own teller; what it prints is kept. Its lines are as long as they need: a width is the terminal's."""

    def __init__(self) -> None:
        super().__init__(width=10_000)
        self.lines: list[str] = []

    def _print(self, text: str = "") -> None:
        self.lines.append(text)


@pytest.fixture(scope="session")
def told() -> Kept:
    return Kept()


@pytest.fixture(scope="session")
def played(told: Kept) -> Iterator[Played]:
    # not under pytest's own directory: it is closed to other users, and PostgreSQL then has to live elsewhere
    with tempfile.TemporaryDirectory(prefix="jurat-journey-") as directory:
        root = Path(directory) / "demo"
        story = play(root, told)
        yield story
        remove_workspace(root)
