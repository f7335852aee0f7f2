"""What dies with a principal, of all that holds: how it is found, and what its end changes. One line for each sort of row.

What lies in the vault (tokens, sessions, passkeys, links) dies in the same transaction, by `app.endings`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from jurat.domain import rows
from jurat.domain.state import Put, State

WAITING: Final = "waiting_for_approvers"


class Ending(NamedTuple):
    """How one sort of thing is found by its principal, and ended: both by id."""

    find: Callable[[State, str], list[str]]
    end: Callable[[State, str, str, str], list[Put]]  # state, id, principal, the event that ends it


def found_to_end(state: State, principal: str) -> dict[str, list[str]]:
    """Return the ids of everything that would die with a principal now, by sort; sorts without any are left out."""
    found = {sort: ending.find(state, principal) for sort, ending in ENDINGS.items()}
    return {sort: ids for sort, ids in found.items() if ids}


def end_all(state: State, ended: dict[str, list[str]], principal: str, as_of: str) -> list[Put]:
    """Return the changes that the listed ends make; sorts that lie in the vault change nothing here."""
    changed: dict[tuple[str, str], Put] = {}
    for sort, ids in ended.items():
        for each in ids if sort in ENDINGS else ():
            for put in ENDINGS[sort].end(state, each, principal, as_of):
                before = changed.get((put.table, put.key))
                changed[put.table, put.key] = put if before is None else _both(before, put)
    return list(changed.values())


def _both(first: Put, second: Put) -> Put:
    """Two ends of one row, such as a request that lost its asker and an approval: the status of one, the approvals of the other."""
    if isinstance(first.row, rows.Request) and isinstance(second.row, rows.Request):
        ended = first.row if first.row.status != WAITING else second.row
        fewer = min(first.row.approvals, second.row.approvals, key=len)
        return Put(first.table, first.key, msgspec.structs.replace(ended, approvals=fewer))
    return second


def _grants(state: State, principal: str) -> list[str]:
    return [row.grant for row in state.find(rows.Grant, principal=principal)]


def _end_grant(_state: State, grant: str, _principal: str, _as_of: str) -> list[Put]:
    return [Put("grants", grant, None)]


def _requests(state: State, principal: str) -> list[str]:
    waiting = state.find(rows.Request, status=WAITING)
    return [row.request for row in waiting if principal in (row.requested_by, row.asking_person)]


def _end_request(state: State, request: str, _principal: str, as_of: str) -> list[Put]:
    row = state.get(rows.Request, request)
    return [Put("requests", request, msgspec.structs.replace(row, as_of=as_of, status="void"))] if row else []


def _approvals(state: State, principal: str) -> list[str]:
    waiting = state.find(rows.Request, status=WAITING)
    return [f"{row.request}/{a.event}" for row in waiting for a in row.approvals if principal in (a.principal, a.person)]


def _end_approval(state: State, approval: str, principal: str, as_of: str) -> list[Put]:
    row = state.get(rows.Request, approval.partition("/")[0])
    if row is None:
        return []
    left = [a for a in row.approvals if principal not in (a.principal, a.person)]
    return [Put("requests", row.request, msgspec.structs.replace(row, as_of=as_of, approvals=left))]


def _sessions(state: State, principal: str) -> list[str]:
    return [row.session for row in state.find(rows.Session) if principal == row.principal or principal in row.chain]


def _end_session(_state: State, session: str, _principal: str, _as_of: str) -> list[Put]:
    return [Put("sessions", session, None)]


def _erasures(state: State, principal: str) -> list[str]:
    return [row.request for row in state.find(rows.Erasure, status="waiting_for_approval", requested_by=principal)]


def _end_erasure(state: State, request: str, _principal: str, as_of: str) -> list[Put]:
    row = state.get(rows.Erasure, request)
    return [Put("erasures", request, msgspec.structs.replace(row, as_of=as_of, status="void"))] if row else []


ENDINGS: Final[dict[str, Ending]] = {
    "sessions": Ending(_sessions, _end_session),
    "grants": Ending(_grants, _end_grant),
    "requests": Ending(_requests, _end_request),
    "approvals": Ending(_approvals, _end_approval),
    "erasures": Ending(_erasures, _end_erasure),
}
