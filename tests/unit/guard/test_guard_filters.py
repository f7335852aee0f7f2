from __future__ import annotations

import time

import pytest

from jurat.core.errors import Malformed, Unavailable
from jurat.guard import filters
from jurat.guard.filters import MAX_PATTERNS, Filter

SSN = r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b"
KEY = r"(?i)api[_-]?key"


def test_names_the_patterns_that_occur_and_only_those() -> None:
    found = Filter([SSN, KEY, r"^begin", r"end$"])
    assert found.find("begin: API-KEY 123-45-6789") == [SSN, KEY, r"^begin"]
    assert found.find("nothing here") == []
    assert found.find("") == []
    assert found.find("the end") == [r"end$"]


def test_no_patterns_find_nothing() -> None:
    assert Filter([]).find("anything") == []


class _GaveUp:
    """An automaton out of memory: RE2 then answers as if nothing had matched."""

    def __init__(self, answer: list[int] | None) -> None:
        self.answer = answer

    def Match(self, text: str) -> list[int] | None:  # noqa: N802
        return self.answer


@pytest.mark.parametrize("answer", [None, [], [0]])
def test_an_automaton_that_gave_up_is_not_a_clean_text(answer: list[int] | None) -> None:
    found = Filter([SSN])
    found._set = _GaveUp(answer)
    with pytest.raises(Unavailable) as refused:
        found.find("123-45-6789")
    assert refused.value.code == "filter_gave_up"


@pytest.mark.parametrize("pattern", ["", "(", r"(?=secret)x", r"(a)\1", "a{2000}", "x" * 1001, "a*", "^", "|x", "\ud800"])
def test_what_re2_cannot_do_is_refused_when_declared(pattern: str) -> None:
    with pytest.raises(Malformed):
        Filter(["fine", pattern])


def test_too_many_patterns_are_refused() -> None:
    with pytest.raises(Malformed):
        Filter([f"p{n}x" for n in range(MAX_PATTERNS + 1)])


def test_patterns_that_do_not_fit_together_are_refused_and_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MEMORY_BYTES", 40_000)
    Filter([r"[ab]{90}c"])
    with pytest.raises(Malformed, match="do not fit"):
        Filter([rf"[ab]{{90}}{n}" for n in range(300)])


def test_a_pattern_that_is_exponential_elsewhere_is_linear_here() -> None:
    found = Filter([r"(a+)+$", r"(a|aa)*b"])
    started_s = time.perf_counter()
    assert found.find("a" * 200_000 + "!") == []
    assert time.perf_counter() - started_s < 2.0


def test_finds_in_long_texts_and_beyond_ascii() -> None:
    assert Filter([r"geheim\p{L}+"]).find("ü" * 100_000 + " geheimnisträger") == [r"geheim\p{L}+"]
