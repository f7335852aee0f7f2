"""What a grant was used for, from the ledger: how often, when last, and what nothing else would have allowed.

Recorded acts are read by kind, action, resource and chain, counted by the hour, and the newest of each is asked again of the
policies in force: would this role alone have allowed it; would everything else that its holder holds have allowed it too? So
`needed` is what would break. Looks that are allowed are not recorded, and count for nobody: a role that only looks seems unused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec

from jurat.app.authorize import question
from jurat.app.wiring import App
from jurat.core.clock import format_at, from_ns, parse_at, to_ns
from jurat.core.errors import NotFound, Unavailable
from jurat.domain import rows
from jurat.domain.decisions import Asked, as_requests
from jurat.domain.roles import in_scope, is_live
from jurat.domain.state import State
from jurat.policy.engine import Engine, Request

_MOST_GROUPS: Final = 1_000_000
_TIMEOUT_S: Final = 300.0
_GROUPS: Final = """
    SELECT json_extract_string(decode(raw), '$.actor.chain'), principal, kind,
           json_extract_string(decode(raw), '$.decision.asked.action') AS action, resource, date_trunc('hour', occurred_at) AS hour,
           count(*), max(occurred_at), arg_max(event_id, occurred_at), arg_max(raw, occurred_at)
    FROM events
    WHERE effect = 'allow' AND raw IS NOT NULL AND kind NOT LIKE '%.observed.v1' AND occurred_at >= ?
    GROUP BY ALL
"""
# For answers that were remembered, and so carry no question of their own.
_ACTION_OF: Final = {"prediction.requested.v1": "prediction:request", "prediction.made.v1": "prediction:request"}


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What the record says of one grant's use."""

    uses: int = 0
    last_used: str = ""
    needed: int = 0
    examples: list[str] = []


class _Group(msgspec.Struct, frozen=True):
    """Acts that are the same but for their time, within one hour."""

    people: tuple[str, ...]
    principal: str
    action: str
    resource: str
    hour: datetime
    count: int
    last: datetime
    event: str
    asked: Asked | None


class _Said(msgspec.Struct, frozen=True):
    asked: Asked | None = None


class _Envelope(msgspec.Struct, frozen=True):
    decision: _Said | None = None


def use_of(app: App, state: State, grants: Sequence[rows.Grant], since: str, now_ns: int) -> dict[str, Use]:
    """Return what each of these grants was used for since a moment, by grant id.

    Raises:
        Unavailable: no policy set is in force, so nothing can be asked again.
    """
    engine = app.engine(state)
    if engine is None:
        raise Unavailable("no policy set is in force, so use cannot be judged", hint="apply one: `jurat policy apply`")
    by_principal: dict[str, list[_Group]] = {}
    for group in _groups(app, since):
        for principal in group.people:
            by_principal.setdefault(principal, []).append(group)
    judged: dict[tuple[str, str, str, str, frozenset[str]], bool] = {}

    def allows(group: _Group, principal: str, roles: frozenset[str]) -> bool:
        key = (principal, group.action, group.resource, msgspec.json.encode(group.asked).decode() if group.asked else "", roles)
        if key not in judged:
            judged[key] = _asked_again(state, engine, group, principal, roles, now_ns)
        return judged[key]

    found: dict[str, Use] = {}
    for grant in grants:
        others = [g for g in state.find(rows.Grant, principal=grant.principal) if g.grant != grant.grant and is_live(g, now_ns)]
        found[grant.grant] = _use(grant, by_principal.get(grant.principal, []), others, allows)
    return found


def _use(grant: rows.Grant, groups: Iterable[_Group], others: Sequence[rows.Grant], allows: Any) -> Use:
    uses = needed = 0
    last: datetime | None = None
    examples: list[tuple[datetime, str]] = []
    began = parse_at(grant.granted_at) if grant.granted_at else None
    for group in groups:
        if (began and group.last < began) or not in_scope(grant.scope, group.resource):
            continue
        if not allows(group, grant.principal, frozenset((grant.role,))) or allows(group, grant.principal, frozenset()):
            continue  # not by this role; or by none at all, as everybody may
        uses += group.count
        last = max(last, group.last) if last else group.last
        examples.append((group.last, group.event))
        if not allows(group, grant.principal, frozenset(g.role for g in others if in_scope(g.scope, group.resource))):
            needed += group.count
    newest = [event for _, event in sorted(examples, reverse=True)[:3]]
    return Use(uses=uses, last_used=format_at(to_ns(last)) if last else "", needed=needed, examples=newest)


def _groups(app: App, since: str) -> list[_Group]:
    answer = app.events.select(_GROUPS, [parse_at(since)], timeout_s=_TIMEOUT_S, max_rows=_MOST_GROUPS)
    if answer.is_cut:
        raise Unavailable(f"the record has more than {_MOST_GROUPS} sorts of acts since {since}", hint="look at a shorter time")
    found = []
    for chain, principal, kind, action, resource, hour, count, last, event, raw in answer.rows:
        people = tuple(dict.fromkeys([*(msgspec.json.decode(chain, type=list[str]) if chain else []), principal or ""]))
        said = msgspec.json.decode(raw, type=_Envelope).decision
        asked = said.asked if said else None
        action = action or _ACTION_OF.get(kind, "")
        if action and principal and resource:
            place = asked.resource if asked else resource
            found.append(_Group(people, principal, action, place, hour, count, last, event, asked))
    return found


def _asked_again(state: State, engine: Engine, group: _Group, principal: str, roles: frozenset[str], now_ns: int) -> bool:
    """Whether these roles alone let this principal do it: with what was told then, where it was recorded."""
    request: Request | None = None
    if group.asked is not None:
        hops = [r for r in as_requests(group.asked, format_at(to_ns(group.last))) if r.principal_id == principal]
        request = hops[0] if hops else None
        if request is None:  # it answers for what acted, and its own rights were not asked for
            return False
    else:
        try:
            request = question(state, principal, group.action, group.resource, now_ns, {"at": from_ns(now_ns)})
        except NotFound:
            return False
    return engine.decide(replace(request, roles=roles)).is_allowed
