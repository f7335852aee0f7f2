"""What an explanation of one prediction says, in numbers. Made by `explain_child`, checked and put into words by `explain`."""

from __future__ import annotations

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one feature contributed to the probability of the favourable answer, against the background."""

    feature: str
    value: str | float
    contribution: float  # in probability: 0.12 is twelve points
    error: float  # standard error of sampling; 0: every coalition was looked at


class Otherwise(msgspec.Struct, frozen=True, kw_only=True):
    """One feature that would have to be different."""

    feature: str
    before: str | float
    after: str | float


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers. `base` and the contributions add up to `probability`."""

    answer: str  # the model's, computed again
    probability: float  # of the favourable answer
    base: float  # mean probability over the background
    is_exact: bool
    background_rows: int
    parts: list[Part]  # the largest first
    otherwise: list[Otherwise]  # empty: no change of at most three features was found, or the answer was favourable
    may_change: list[str]
    base_digests: dict[str, str]  # of feature definitions and background
