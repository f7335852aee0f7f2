"""The shipped tests of policies notice most small changes: what `jurat policy test --mutate` says of them, held to a number."""

from __future__ import annotations

import pytest

from jurat.policy.engine import Engine
from jurat.policy.mutation import score_tests
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources, default_tests
from jurat.policy.policytests import parse_tests, run_tests


@pytest.mark.slow  # half a minute: every policy is changed in six ways
def test_four_of_five_changes_are_noticed() -> None:
    sources = default_sources()
    shipped = PolicySet.load({name: text for name, text in sources.items() if name != SCHEMA_NAME}, sources[SCHEMA_NAME])
    cases = parse_tests(default_tests(), shipped)
    report = run_tests(Engine(shipped), cases)
    assert report.failures == []  # a case that fails anyway would notice every change
    assert report.uncovered == []
    score = score_tests(shipped, cases)
    assert score.share >= 0.8, score.survivors
    # What is left is nearly all of one sort: an act that the schema allows on one sort of thing only is not wider on everything.
    assert len([mutant for mutant in score.survivors if mutant.change != "on everything"]) <= 15, score.survivors
