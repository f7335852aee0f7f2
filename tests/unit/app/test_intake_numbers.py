"""What is too large for a number is not read as an infinity, at any door."""

from __future__ import annotations

import pytest

from jurat.app.intake import parse_json
from jurat.core.errors import Malformed


@pytest.mark.parametrize("text", ["1e999", "-1e999", "[1.5, 1e309]", "NaN", "Infinity", '{"a": {"b": -Infinity}}'])
def test_no_infinity_gets_in(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_json(text.encode(), what="the body")
    assert "finite" in caught.value.detail


def test_large_and_small_numbers_are_numbers() -> None:
    assert parse_json(b"[1e308, 5e-324, 1e-999, 12345678901234567890]", what="x") == [1e308, 5e-324, 0.0, 12345678901234567890]
