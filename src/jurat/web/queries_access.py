"""The routes about access that do more than walk: the acts in a window, a review opened from the ledger, its report."""

from __future__ import annotations

from typing import Any

import msgspec

from jurat.app import emergency, reviews
from jurat.app.emergency import Window as Window
from jurat.app.reviews import Report as Report
from jurat.app.wiring import App

NoQuery = Any


class WindowWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a reviewer says of a window, having been shown exactly that."""

    verdict: str
    comment: str
    shown_digest: str


class ReviewWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open a review; 0 takes the time to answer from the access file."""

    reason: str
    answer_within_s: float = 0.0


def window(app: App, token: str, path: dict[str, str], _query: NoQuery) -> tuple[Window, str]:
    return emergency.window_with_acts(app, token, path["glass"]), ""


def review_window(app: App, token: str, path: dict[str, str], body: WindowWord) -> Any:
    return emergency.review_window(app, token, path["glass"], body.shown_digest, body.verdict, body.comment)


def open_review(app: App, token: str, _path: dict[str, str], body: ReviewWish) -> Any:
    return reviews.open_review(app, token, body.reason, answer_within_s=body.answer_within_s)


def report(app: App, token: str, path: dict[str, str], _query: NoQuery) -> tuple[Report, str]:
    return reviews.report_of(app, token, path["review"]), ""
