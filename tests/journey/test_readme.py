"""The README's first screen is what the demo prints, line by line; `…` stands for what differs each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.journey.conftest import Kept

from jurat.demo.played import Played

pytestmark = [pytest.mark.xdist_group("journey"), pytest.mark.timeout(400)]
README = Path(__file__).parents[2] / "README.md"


def shown() -> list[str]:
    story = next(block for block in re.findall(r"```text\n(.*?)```", README.read_text(), re.DOTALL) if "Measure:" in block)
    return story.splitlines()


def as_pattern(line: str) -> re.Pattern[str]:
    return re.compile("".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", line)))


def test_the_first_screen_is_what_the_demo_prints_in_that_order(played: Played, told: Kept) -> None:
    assert played.faults_after == []
    printed = iter([re.sub(r"\s+$", "", line) for text in told.lines for line in text.splitlines()])
    for line in shown():
        pattern = as_pattern(line)
        assert any(pattern.fullmatch(candidate) for candidate in printed), f"the demo does not print, in this order: {line}"


def test_a_line_that_the_demo_does_not_print_would_be_seen(told: Kept) -> None:
    printed = [line for text in told.lines for line in text.splitlines()]
    assert not any(as_pattern("  promoted     to production by Ada Byron, on 1 approvals (evt_…)").fullmatch(line) for line in printed)
