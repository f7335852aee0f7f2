"""Numbers with units, exact: `100ms`, `0.1%`, `2GB`, `48h`, `0.85`.

A quantity is a Decimal in the base unit of its dimension (seconds, bytes, ratio), so `0.1%` is exactly 0.001.
`GB` is 10⁹ bytes and `GiB` is 2³⁰: they differ, and both are read as written.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from jurat.core.errors import Malformed


class Dimension(StrEnum):
    """What a number counts."""

    RATIO = "ratio"  # 0.85, 0.1%; no unit
    DURATION = "duration"  # in seconds
    SIZE = "size"  # in bytes


class Quantity(NamedTuple):
    """An exact number in the base unit of its dimension."""

    value: Decimal
    dimension: Dimension


_UNITS: Final[dict[str, Quantity]] = {
    "": Quantity(Decimal(1), Dimension.RATIO),
    "%": Quantity(Decimal("0.01"), Dimension.RATIO),
    **{
        name: Quantity(Decimal(factor), Dimension.DURATION)
        for name, factor in {
            "ns": "1e-9", "us": "1e-6", "µs": "1e-6", "ms": "1e-3", "s": "1", "m": "60", "min": "60", "h": "3600", "d": "86400",
        }.items()
    },
    **{
        name: Quantity(Decimal(factor), Dimension.SIZE)
        for name, factor in {
            "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
            "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
        }.items()
    },
}  # fmt: skip
_FORM: Final = re.compile(r"(-?[0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-zµ%]*)\Z")


def parse_quantity(text: str) -> Quantity:
    """Return the quantity that `text` says.

    Raises:
        Malformed: not a number with one of the known units.

    Example:
        >>> parse_quantity("0.1%")
        Quantity(value=Decimal('0.001'), dimension=<Dimension.RATIO: 'ratio'>)
    """
    match = _FORM.match(text.strip())
    if match is None:
        raise Malformed(f"`{text[:60]}` is not a quantity", hint="write a number and a unit, such as `100ms`, `0.1%`, `2GB` or `0.85`")
    unit = _UNITS.get(match[2])
    if unit is None:
        raise Malformed(f"unit `{match[2]}` in `{text[:60]}` is unknown", hint=f"known units: {', '.join(u for u in _UNITS if u)}")
    return Quantity(Decimal(match[1]) * unit.value, unit.dimension)


def parse_duration_s(text: str) -> float:
    """Return seconds of a duration such as `48h` or `500ms`.

    Raises:
        Malformed: not a duration, or negative.
    """
    quantity = parse_quantity(text)
    if quantity.dimension is not Dimension.DURATION or quantity.value < 0:
        raise Malformed(f"`{text[:60]}` is not a duration", hint="write a number and `ms`, `s`, `min`, `h` or `d`, such as `48h`")
    return float(quantity.value)


def format_quantity(value: float | Decimal, dimension: Dimension) -> str:
    """Return a short text for people: `87.2ms`, `1.21GB`, `0.853`."""
    number = float(value)
    if dimension is Dimension.RATIO:
        return f"{number:.4g}"
    steps = [("d", 86400.0), ("h", 3600.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)]
    if dimension is Dimension.SIZE:
        steps = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)]
    for unit, factor in steps:
        if abs(number) >= factor or (unit, factor) == steps[-1]:
            return f"{number / factor:.3g}{unit}"
    raise AssertionError("the last step always returns")
