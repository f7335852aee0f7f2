"""The routes about requests that do more than look: an approver's look is on record, and how people answer is open."""

from __future__ import annotations

from typing import Any

import msgspec

from jurat.app import request_stats
from jurat.app.wiring import App
from jurat.core.errors import Malformed
from jurat.core.units import parse_duration_s
from jurat.domain import rows

NoQuery = Any
LONGEST_S = 366 * 86_400.0


class StatsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far back."""

    last: str = "90d"


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """How one person answers. `signs`: what a reader should look at."""

    person: str
    yes: int
    no: int
    unseen: int  # a yes without a look on record
    too_fast: int  # a yes under 5 s after the look
    median_s: float | None
    signs: list[str]


def shown(app: App, token: str, path: dict[str, str], _query: NoQuery) -> tuple[rows.Request, str]:
    return request_stats.show_request(app, token, path["request"]), ""


def stats(app: App, token: str, _path: dict[str, str], query: StatsQuery) -> tuple[list[Answered], str]:
    last_s = parse_duration_s(query.last)
    if not 0 < last_s <= LONGEST_S:
        raise Malformed(f"`{query.last[:20]}` is outside 1 s to {LONGEST_S / 86_400:g} days", hint="such as `last=90d`")
    return [answered(each) for each in request_stats.request_stats(app, token, last_s=last_s)], ""


def answered(found: request_stats.Answering) -> Answered:
    return Answered(
        person=found.person, yes=found.yes, no=found.no, unseen=found.unseen, too_fast=found.too_fast, median_s=found.median_s,
        signs=found.signs,
    )  # fmt: skip
