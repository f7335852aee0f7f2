"""Conditions put together: `accuracy >= 0.9 && (recall >= 0.8 || no_critical_findings)`, with three verdicts.

The spelling of `&&`, `||` and parentheses is CEL's; the leaves are the house's conditions, with units, directions and believable
ranges. There is no `!`: the opposite of an unbelievable number is not a pass (decision 0098). Knows nothing of gates or evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec
from lark import Lark, Token, Tree
from lark.exceptions import LarkError

from jurat.core.errors import Malformed
from jurat.policy.conditions import Clause, Condition, Verdict, combine, parse_condition

_GRAMMAR: Final = r"""
    ?start: either
    ?either: both ("||" both)*
    ?both: leaf ("&&" leaf)*
    ?leaf: CONDITION -> condition
         | "(" either ")"

    CONDITION: /[^()&|]*[^()&|\s]/
    %ignore /\s+/
"""
_parser: Final = Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False)
_MAX_LENGTH: Final = 1_000
_MAX_DEPTH: Final = 32


class Expression(msgspec.Struct, frozen=True):
    """A condition, or several joined by `&&` or `||`.

    Attributes:
        joined: `&&`, `||`, or empty for one condition alone.
        parts: what is joined; empty for one condition alone.
    """

    condition: Condition | None = None
    joined: str = ""
    parts: tuple[Expression, ...] = ()

    @property
    def text(self) -> str:
        """The expression in its one spelling; `parse_expression` reads it again."""
        if self.condition is not None:
            return self.condition.text
        return f" {self.joined} ".join(f"({part.text})" if part.parts else part.text for part in self.parts)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions in it, in order."""
        if self.condition is not None:
            return (self.condition,)
        return tuple(each for part in self.parts for each in part.conditions)

    def check(self, answer: Callable[[Condition], Clause]) -> Verdict:
        """Return the verdict, when `answer` says how each condition stands.

        `&&` is as bad as its worst part; `||` passes if one part passes, and fails only if all of them failed.
        """
        if self.condition is not None:
            return answer(self.condition).verdict
        found = [part.check(answer) for part in self.parts]
        if self.joined == "&&":
            return combine(found)
        if Verdict.PASS in found:
            return Verdict.PASS
        return Verdict.FAIL if set(found) == {Verdict.FAIL} else Verdict.NOT_ENOUGH_DATA


@lru_cache(maxsize=256)
def parse_expression(text: str) -> Expression:
    """Return the expression that `text` says.

    Raises:
        Malformed: not one; or a condition in it that makes no sense, as `parse_condition` says.

    Example:
        >>> parse_expression("accuracy>=0.9 && (recall >= 0.8 || no_critical_findings)").text
        'accuracy >= 0.9 && (recall >= 0.8 || no_critical_findings)'
    """
    hint = "join conditions with `&&` and `||`, and set parentheses: `accuracy >= 0.9 && (recall >= 0.8 || no_critical_findings)`"
    if len(text) > _MAX_LENGTH or text.count("(") > _MAX_DEPTH:
        raise Malformed(f"expression `{text[:60]}…` is longer than {_MAX_LENGTH} characters or {_MAX_DEPTH} parentheses", hint=hint)
    try:
        tree = _parser.parse(text)
    except LarkError as error:
        raise Malformed(f"`{text[:60]}` is not an expression", hint=hint) from error
    return _read(tree)


def _read(tree: Tree[Token] | Token) -> Expression:
    assert isinstance(tree, Tree)
    if tree.data == "condition":
        return Expression(condition=parse_condition(str(tree.children[0]).strip()))
    parts = tuple(_read(child) for child in tree.children)
    return Expression(joined="||" if tree.data == "either" else "&&", parts=parts)
