"""Events as they are sealed: what a follower has seen is a cursor, so it goes on over restarts, its own and the server's.

A cursor names the next index of each log, such as `access:12,inference:300`. Only what is sealed is shown: it can no longer
become another event. Following is reading: it is recorded when it begins and every ten minutes, by which the permission is asked again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from jurat.app.records import Told, record_reading, told
from jurat.app.where import Where, parse_where
from jurat.app.wiring import App
from jurat.core.errors import Malformed
from jurat.ledger.layout import class_logs
from jurat.ledger.tail import published_checkpoint

Cursor = dict[str, int]
"""Per log (`main/access`), the first index that was not shown yet."""

_ASK_AGAIN_S: Final = 600.0
_PAGE: Final = 1_000
_FORM: Final = re.compile(r"[a-z]+:[0-9]{1,18}(,[a-z]+:[0-9]{1,18})*\Z")


class Shown(NamedTuple):
    """An event, and the cursor with which to go on after it."""

    event: Told
    after: str


class Following:
    """One follower. `step` shows what has been sealed since; the app may be another one each time, the cursor goes on."""

    def __init__(self, where: str, after: str = "") -> None:
        self._where, self._conditions = where, parse_where(where)
        self._cursor = parse_cursor(after) if after else None
        self._asked_s: float | None = None

    @property
    def after(self) -> str:
        """The cursor as it stands; empty before the first step."""
        return format_cursor(self._cursor or {})

    def step(self, app: App, token: str) -> Iterator[Shown]:
        """Yield what has been sealed since the last step, in the order of receipt. Without a cursor: from now on.

        Raises:
            Denied: recorded.
            Malformed: the cursor names a log that is not here, or lies beyond what is there.
        """
        sealed = {str(log): published_checkpoint(app.workspace.ledger, log).size for log in class_logs(app.settings.tenant)}
        cursor = self._complete(app, sealed)
        if self._asked_s is None or time.monotonic() - self._asked_s > _ASK_AGAIN_S:
            record_reading(app, token, "follow", f"{self._where or 'everything'} after {format_cursor(cursor)}")
            self._asked_s = time.monotonic()
        self._cursor = cursor
        while any(cursor[log] < size for log, size in sealed.items()):
            rows, is_cut = _select(app, self._conditions, cursor, sealed)
            for row in rows:
                cursor[row["log"]] = row["idx"] + 1
                yield Shown(told(row), self.after)
            if not is_cut:
                cursor.update(sealed)

    def _complete(self, app: App, sealed: Cursor) -> Cursor:
        if self._cursor is None:
            return dict(sealed)
        tenant = app.settings.tenant
        known = {f"{tenant}/{log}" if "/" not in log else log: index for log, index in self._cursor.items()}
        for log, index in known.items():
            if log not in sealed:
                raise Malformed(f"cursor: there is no log `{log}` here", hint=f"logs: {', '.join(sealed)}")
            if index > sealed[log]:
                raise Malformed(f"cursor: log `{log}` is sealed up to `{sealed[log]}`, not {index}", hint="is it another ledger's cursor?")
        return {log: known.get(log, 0) for log in sealed}


def parse_cursor(text: str) -> Cursor:
    """Return a cursor by class.

    Raises:
        Malformed: it is none.
    """
    if not _FORM.match(text) or len(text) > 400:
        raise Malformed(f"`{text[:60]}` is not a cursor", hint="pass the `after` of an earlier line, as it was")
    pairs = [each.split(":") for each in text.split(",")]
    return {name: int(index) for name, index in pairs}


def format_cursor(cursor: Cursor) -> str:
    """Return its text, the tenant left out. The inverse of `parse_cursor`."""
    return ",".join(f"{log.rpartition('/')[2]}:{index}" for log, index in sorted(cursor.items()))


def _select(app: App, where: Where, cursor: Cursor, sealed: Cursor) -> tuple[list[dict[str, Any]], bool]:
    spans, parameters = [], list(where.parameters)
    for log, size in sealed.items():
        if cursor[log] < size:
            spans.append("(log = ? AND idx >= ? AND idx < ?)")
            parameters += [log, cursor[log], size]
    conditions = [*where.sql, f"({' OR '.join(spans)})"]
    answer = app.events.select(
        "SELECT event_id, kind, occurred_at, principal, resource, effect, log, idx, received_ns, raw FROM events "
        f"WHERE {' AND '.join(conditions)} ORDER BY received_ns, log, idx",
        parameters,
        max_rows=_PAGE,
    )
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows], answer.is_cut
