"""Times as events write them, many at once. Knows RFC 3339; nothing of events.

Nearly all are written as we write them, `2026-11-25T19:40:41.123456Z`: those are read together, digit by digit, as
columns of one array. Any other form is read one by one. Both ways give the same, and a test holds them to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.datetime64]
_FORM: Final = b"0000-00-00T00:00:00.000000Z"
_WIDTH: Final = len(_FORM)
_DIGITS: Final = np.array([at for at, letter in enumerate(_FORM) if letter == ord("0")])
_MARKS: Final = np.array([at for at, letter in enumerate(_FORM) if letter != ord("0")])
_MARK_LETTERS: Final = np.frombuffer(_FORM, np.uint8)[_MARKS]
_MICROSECONDS: Final = np.array(  # that each digit behind the day counts for
    [36_000_000_000, 3_600_000_000, 600_000_000, 60_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1], np.float64
)
_DAY: Final = 10  # letters of the day


def read_times(texts: Sequence[str | None]) -> Times:
    """Return these times in UTC; shape (n,), `datetime64[us]`. NaT for None, and for what is no time with a zone."""
    times = _read_our_form(texts)
    return times if times is not None else np.array([_read(text) for text in texts], "datetime64[us]")


def _read_our_form(texts: Sequence[str | None]) -> Times | None:
    """Return the times if every one of them has our form, and is one that no reader disputes."""
    try:
        raw = "".join(texts).encode("ascii")  # type: ignore[arg-type]
    except (TypeError, UnicodeEncodeError):
        return None
    if not raw or len(raw) != len(texts) * _WIDTH:
        return None
    letters = np.frombuffer(raw, np.uint8).reshape(-1, _WIDTH)
    digits = letters[:, _DIGITS] - ord("0")  # below "0" it wraps around, and is no digit either
    if (digits > 9).any() or (letters[:, _MARKS] != _MARK_LETTERS).any():
        return None
    hours, minutes, seconds = (10 * digits[:, at] + digits[:, at + 1] for at in (8, 10, 12))
    if (hours > 23).any() or (minutes > 59).any() or (seconds > 59).any():
        return None
    days = letters[:, :_DAY]
    if (days == days[0]).all():
        found, places = days[:1], np.zeros(len(days), np.intp)
    else:
        found, places = np.unique(days, axis=0, return_inverse=True)
    try:
        known = np.array([datetime.fromisoformat(day.tobytes().decode()) for day in found], "datetime64[us]")
    except ValueError:
        return None
    times: Times = known[places] + (digits[:, 8:] @ _MICROSECONDS).astype("timedelta64[us]")
    return times


def _read(text: str | None) -> datetime | None:
    try:
        at = msgspec.convert(text, datetime)
        return None if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):  # no time at all; or one that lies outside the calendar in UTC
        return None
