"""Times read together are those read one by one, whatever is written there."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jurat.ledger.times import read_times


def one_by_one(text: str | None) -> datetime | None:
    """Return what msgspec makes of a text, in UTC, without its zone."""
    try:
        at = msgspec.convert(text, datetime)
        return None if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


ours = st.datetimes().map(lambda at: at.isoformat(timespec="microseconds") + "Z")
nearly = st.tuples(ours, st.integers(0, 26), st.sampled_from("0123456789:T.Zz -+\u0660")).map(
    lambda it: it[0][: it[1]] + it[2] + it[0][it[1] + 1 :]
)


@given(st.lists(ours, max_size=20) | st.lists(nearly, max_size=3) | st.lists(ours | nearly | st.none() | st.text(max_size=30), max_size=5))
def test_together_is_one_by_one(texts: list[str | None]) -> None:
    assert read_times(texts).tolist() == [one_by_one(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00.000000Z", "2026-13-01T00:00:00.000000Z", "2026-00-10T00:00:00.000000Z", "0000-01-01T00:00:00.000000Z",
        "2026-11-25T24:00:00.000000Z", "2026-11-25T19:60:00.000000Z", "2026-11-25T19:40:60.000000Z", "2026-11-25T19:40:41.123456z",
        "2026-11-25 19:40:41.123456Z", "2026-11-25T19:40:41.1234567Z", "2026-11-25T19:40:41Z", "2026/11/25T19:40:41.123456Z",
    ],
)  # fmt: skip
def test_a_day_or_an_hour_that_there_is_not_is_no_time_and_other_forms_are_read(text: str) -> None:
    beside = "2026-11-25T19:40:41.123456Z"
    assert read_times([beside, text]).tolist() == [datetime(2026, 11, 25, 19, 40, 41, 123456), one_by_one(text)]  # noqa: DTZ001 - UTC


def test_several_days_are_read_together() -> None:
    texts = ["2024-02-29T23:59:59.999999Z", "0001-01-01T00:00:00.000001Z", "9999-12-31T12:00:00.500000Z", "2024-02-29T00:00:00.000000Z"]
    assert read_times(texts).tolist() == [datetime.fromisoformat(text[:-1]) for text in texts]
