"""Typed identifiers that sort by the time they were made: `evt_01k9…`.

128 bits as 26 characters of Crockford's base 32, lower case: 48 bits of Unix milliseconds, then 80 random bits.
Source: the ULID layout. The prefix is the type; a wrong prefix is `Malformed`, never looked up.
"""

from __future__ import annotations

import os
from typing import Final

from jurat.core.clock import Clock
from jurat.core.errors import Malformed

PREFIXES: Final = frozenset(
    {
        "evt", "dec", "prn", "req", "prd", "inc", "cas", "tok", "grt", "hld", "run", "log", "wks",
        "rol", "dep", "brk", "ntc", "rvw", "grp", "lnk", "pky", "ses", "trs", "chg", "idn",
    }
)  # fmt: skip
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [first + second for first in _ALPHABET for second in _ALPHABET]  # two characters at a time: twice as fast
_LENGTH: Final = 26


def new_id(prefix: str, clock: Clock) -> str:
    """Return a fresh identifier such as `evt_01k9zq3v7m8c4t5w6x7y8z9abc`."""
    if prefix not in PREFIXES:
        raise ValueError(f"undeclared id prefix {prefix!r}")
    number = (clock.now_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return f"{prefix}_{_encode(number)}"


def check_id(prefix: str, text: str) -> str:
    """Return `text` if it is an identifier of this type.

    Raises:
        Malformed: another prefix, another length, or a character outside the alphabet.
    """
    head, _, tail = text.partition("_")
    if head != prefix or len(tail) != _LENGTH or any(c not in _ALPHABET for c in tail):
        raise Malformed(f"`{text[:60]}` is not an id of the form `{prefix}_…` with {_LENGTH} characters after the bar")
    return text


def made_at_ns(text: str) -> int:
    """Return when an identifier was made, in Unix nanoseconds, cut to milliseconds.

    Raises:
        Malformed: it is none.
    """
    check_id(text.partition("_")[0], text)
    number = 0
    for character in text.partition("_")[2]:
        number = number << 5 | _ALPHABET.index(character)
    return (number >> 80) * 1_000_000


def _encode(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
