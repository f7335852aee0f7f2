"""The story is played once, in a workspace of its own, and looked at from all sides."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jurat.app.ask import Story
from jurat.app.bootstrap import remove_workspace
from jurat.core.errors import JuratError
from jurat.demo.story import Played, play
from jurat.domain.facts import Clause


class Silent:
    """A teller that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def chapter(self, title: str) -> None:
        self.said.append(title)

    def say(self, text: str) -> None:
        self.said.append(text)

    def fact(self, label: str, value: str) -> None:
        self.said.append(f"{label} {value}")

    def clauses(self, title: str, clauses: list[Clause]) -> None:
        self.said.append(title)

    def refused(self, who: str, what: str, error: JuratError) -> None:
        self.said.append(f"{who} {what}: {error.detail}")

    def story(self, story: Story, names: dict[str, str]) -> None:
        self.said.append(story.prediction)

    def attack(self, name: str, done: str, found: list[str]) -> None:
        self.said.append(name)


@pytest.fixture(scope="session")
def played() -> Iterator[Played]:
    # not under pytest's own directory: it is closed to other users, and PostgreSQL then has to live elsewhere
    with tempfile.TemporaryDirectory(prefix="jurat-journey-") as directory:
        root = Path(directory) / "demo"
        story = play(root, Silent())
        yield story
        remove_workspace(root)
