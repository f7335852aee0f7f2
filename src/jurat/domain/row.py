"""What every row of `view.*` is: a value that names the event which made it. The rows themselves are in `rows`."""

from __future__ import annotations

from typing import TypeVar

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all rows. `as_of` is the id of the event that made the row what it is."""

    as_of: str


R = TypeVar("R", bound=Row)
