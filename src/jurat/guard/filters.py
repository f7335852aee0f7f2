"""Patterns that a text must not contain, all at once and in linear time.

Knows RE2 and nothing about who calls. Look-around and back-references do not exist in RE2, so a pattern that an
operator wrote can never make a request slow; what RE2 refuses is refused when the filter is made, not when it runs.

INVARIANT: an automaton that gave up is never read as "nothing found". `re2.Set.Match` answers None for both, so every
set carries one more, empty pattern, which matches every text: an answer without it is not an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import re2

from jurat.core.errors import Malformed, Unavailable

MAX_PATTERNS: Final = 1_000
MAX_PATTERN_CHARACTERS: Final = 1_000
MEMORY_BYTES: Final = 16 << 20  # for all patterns of one filter together


class Filter:
    """A set of patterns, compiled. Immutable; safe to share between threads.

    Raises:
        Malformed: a pattern is empty, too long, not RE2, or matches the empty text (it would block everything); too
            many patterns.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        if len(patterns) > MAX_PATTERNS:
            raise Malformed(f"{len(patterns)} patterns in one filter, expected at most {MAX_PATTERNS}")
        options = re2.Options()
        options.max_mem = MEMORY_BYTES
        options.log_errors = False
        for pattern in patterns:
            _check_pattern(pattern, options)
        self.patterns: Final = tuple(patterns)
        self._always: Final = len(patterns)  # number of the empty pattern
        self._set = re2.Set.SearchSet(options)
        for pattern in (*patterns, ""):
            self._set.Add(pattern)
        try:
            self._set.Compile()
        except re2.error as error:  # `Match` on a set that did not compile ends the process
            raise Malformed(
                f"{len(patterns)} patterns do not fit into {MEMORY_BYTES >> 20} MiB together",
                hint="use fewer or simpler patterns; counted repetitions such as `{1000}` are the expensive ones",
            ) from error

    def find(self, text: str) -> list[str]:
        """Return the patterns that occur in `text`, in the order they were given; empty when none does.

        Raises:
            Unavailable: the search did not finish, so nothing is known about the text.
        """
        hits = self._set.Match(text)
        if hits is None or self._always not in hits:
            raise Unavailable("the pattern search gave up before its end", code="filter_gave_up")
        return [self.patterns[number] for number in sorted(hits) if number != self._always]


def _check_pattern(pattern: str, options: re2.Options) -> None:
    if not pattern or len(pattern) > MAX_PATTERN_CHARACTERS:
        raise Malformed(f"pattern `{pattern[:60]}` has {len(pattern)} characters, expected 1 to {MAX_PATTERN_CHARACTERS}")
    try:
        compiled = re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else "not RE2"
        raise Malformed(
            f"pattern `{pattern[:60]}` cannot be read: {_text(reason)}",
            hint="patterns are RE2: no look-around, no back-references; see github.com/google/re2/wiki/Syntax",
        ) from error
    if compiled.search("") is not None:
        raise Malformed(f"pattern `{pattern[:60]}` matches the empty text and would block every answer")


def _text(reason: object) -> str:
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return re.sub(r"\s+", " ", text).strip().lower()
