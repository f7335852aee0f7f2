"""The routes that look: each takes the app, the token, the path and the query, and returns `data` and the next cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from jurat.app import ask, erase, look, records
from jurat.app import cases as waiting
from jurat.app import status as state_of
from jurat.app.records import Wanted
from jurat.app.wiring import App
from jurat.core.errors import Malformed
from jurat.domain import rows
from jurat.domain.rows import Row

MOST_ROWS = 1_000
Looked = tuple[Any, str]
Query = Callable[[App, str, dict[str, str], Any], Looked]


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page: what comes after a cursor, at most so much."""

    after: str = ""
    limit: int = 100


class EventQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"retention": "class"}):
    """Which events."""

    kind: str | None = None
    retention: str | None = None
    principal: str | None = None
    after: str = ""
    limit: int = 100


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's word in place of the model's."""

    output: Any
    reason: str


class ErasureWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events are to go, and why."""

    selector: str
    reference: str
    reason: str
    legal_basis: str
    only_free: bool = False


class ErasureWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's yes to exactly what was shown."""

    shown_digest: str
    comment: str = ""


def rows_of(row: type[Row]) -> Query:
    """Look at a page of rows."""

    def page(app: App, token: str, _path: dict[str, str], query: PageQuery) -> Looked:
        found = look.look(app, token, row, after=query.after, limit=_limit(query.limit) + 1)
        shown = found[: query.limit]
        return shown, look.VIEWS[row].key(shown[-1]) if len(found) > len(shown) else ""

    return page


def row_of(row: type[Row]) -> Query:
    """Look at the row whose key is the last name in the path."""
    return lambda app, token, path, _query: (look.look_at(app, token, row, next(iter(path.values()))), "")


def in_force(row: type[Row]) -> Query:
    """Look at what is in force."""
    return lambda app, token, _path, _query: (look.look_at(app, token, row, "current"), "")


def evidence_on(app: App, token: str, path: dict[str, str], _query: NoQuery) -> Looked:
    version = look.look_at(app, token, rows.Version, path["version"])
    return look.look(app, token, rows.Evidence, {"version": version.version}), ""


def cases(app: App, token: str, _path: dict[str, str], query: PageQuery) -> Looked:
    found = waiting.open_cases(app, token, after=query.after, limit=_limit(query.limit))
    return found, found[-1].prediction if len(found) == query.limit else ""


def override_case(app: App, token: str, path: dict[str, str], body: Override) -> Any:
    return waiting.override(app, token, path["prediction"], body.output, body.reason)


def events(app: App, token: str, _path: dict[str, str], query: EventQuery) -> Looked:
    wanted = Wanted(kind=query.kind, retention=query.retention, principal=query.principal, limit=_limit(query.limit), after=query.after)
    page = records.newest(app, token, wanted)
    return page, page.next


def proof(app: App, token: str, path: dict[str, str], _query: NoQuery) -> Looked:
    return msgspec.json.decode(records.take_proof(app, token, path["event"])), ""


def story(app: App, token: str, path: dict[str, str], _query: NoQuery) -> Looked:
    return ask.why(app, token, path["prediction"]), ""


def status(app: App, token: str, _path: dict[str, str], _query: NoQuery) -> Looked:
    look.check(app, token, look.SeeMetadata(place="workspace"))
    return state_of.status_of(app.workspace), ""


def request_erasure(app: App, token: str, _path: dict[str, str], body: ErasureWish) -> Any:
    return erase.request_erasure(
        app, token, body.selector, body.reference, reason=body.reason, legal_basis=body.legal_basis, only_free=body.only_free
    )  # fmt: skip


def approve_erasure(app: App, token: str, path: dict[str, str], body: ErasureWord) -> Any:
    return erase.approve_erasure(app, token, path["request"], body.shown_digest, body.comment)


def _limit(limit: int) -> int:
    if not 1 <= limit <= MOST_ROWS:
        raise Malformed(f"limit `{limit}` is outside 1 to {MOST_ROWS}")
    return limit
