"""What dies with a principal, of all that holds: how it is found, and what its end changes. One line for each sort of row.

What lies in the vault (tokens, sessions, passkeys, links) dies in the same transaction, by `app.endings`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from jurat.domain import rows
from jurat.domain.rows import TABLE_OF
from jurat.domain.state import Put, State

WAITING: Final = "waiting_for_approvers"
VOID: Final = "void"
_Approved = rows.Request | rows.AccessRequest


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
    if isinstance(first.row, _Approved) and isinstance(second.row, _Approved):
        ended = first.row if first.row.status == VOID else second.row
        fewer = min(first.row.approvals, second.row.approvals, key=len)
        return Put(first.table, first.key, msgspec.structs.replace(ended, approvals=fewer))
    return second


def _waiting(row_type: type[rows.Row], *askers: str) -> Ending:
    """Requests that wait for somebody's word, by who asked: without the asker they are void."""
    table, status = TABLE_OF[row_type], next(f.default for f in msgspec.structs.fields(row_type) if f.name == "status")

    def find(state: State, principal: str) -> list[str]:
        waiting = state.find(row_type, status=status)
        return [str(row.request) for row in waiting if principal in [getattr(row, asker) for asker in askers]]  # type: ignore[attr-defined]

    def end(state: State, request: str, _principal: str, as_of: str) -> list[Put]:
        row = state.get(row_type, request)
        return [Put(table, request, msgspec.structs.replace(row, as_of=as_of, status=VOID))] if row else []

    return Ending(find, end)


def _approvals(row_type: type[rows.Request | rows.AccessRequest]) -> Ending:
    """Approvals of what still waits: nobody who left has said yes."""

    def find(state: State, principal: str) -> list[str]:
        waiting = state.find(row_type, status=WAITING)
        return [f"{row.request}/{a.event}" for row in waiting for a in row.approvals if principal in (a.principal, a.person)]

    def end(state: State, approval: str, principal: str, as_of: str) -> list[Put]:
        row = state.get(row_type, approval.partition("/")[0])
        if row is None:
            return []
        left = [a for a in row.approvals if principal not in (a.principal, a.person)]
        return [Put(TABLE_OF[row_type], row.request, msgspec.structs.replace(row, as_of=as_of, approvals=left))]

    return Ending(find, end)


def _grants(state: State, principal: str) -> list[str]:
    return [row.grant for row in state.find(rows.Grant, principal=principal)]


def _end_grant(_state: State, grant: str, _principal: str, _as_of: str) -> list[Put]:
    return [Put("grants", grant, None)]


def _sessions(state: State, principal: str) -> list[str]:
    return [row.session for row in state.find(rows.Session) if principal == row.principal or principal in row.chain]


def _end_session(_state: State, session: str, _principal: str, _as_of: str) -> list[Put]:
    return [Put("sessions", session, None)]


ENDINGS: Final[dict[str, Ending]] = {
    "sessions": Ending(_sessions, _end_session),
    "grants": Ending(_grants, _end_grant),
    "requests": _waiting(rows.Request, "requested_by", "asking_person"),
    "approvals": _approvals(rows.Request),
    "access_requests": _waiting(rows.AccessRequest, "principal", "asking_person"),
    "access_approvals": _approvals(rows.AccessRequest),
    "policy_changes": _waiting(rows.PolicyChange, "requested_by", "asking_person"),
    "shortenings": _waiting(rows.Shortening, "requested_by", "asking_person"),
    "erasures": _waiting(rows.Erasure, "requested_by", "asking_person"),
}
