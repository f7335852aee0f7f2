"""The law on requests for a promotion: the people whom the gate names say yes to exactly what was shown, or it is void."""

from __future__ import annotations

from typing import Final

from jurat.core.digests import digest_json
from jurat.core.errors import Conflict
from jurat.domain import commands, facts, requests, rows
from jurat.domain.context import Context
from jurat.domain.decide_models import known_version
from jurat.domain.events import Event
from jurat.domain.gates import approver_roles, shown_for
from jurat.domain.roles import holders_of
from jurat.domain.stages import parse_stage
from jurat.domain.state import State

SORT: Final = requests.Sort("request", "jurat request list", "jurat request show")


def request_promotion(state: State, command: commands.RequestPromotion, context: Context) -> list[Event]:
    """The people whom the gate names are asked to approve exactly this, until a time."""
    version = known_version(state, command.version)
    to_stage = parse_stage(command.to_stage)
    roles = approver_roles(state, to_stage)
    shown = shown_for(state, version, to_stage)
    data = facts.PromotionRequested(
        request=context.fresh("req"), version=version.version, version_digest=version.digest, to_stage=to_stage,
        shown=shown, shown_digest=digest_json(shown), approver_roles=roles, expires_at=requests.until(context, command.lifetime_s),
    )  # fmt: skip
    return [context.event(data, because=[version.as_of, *[e["event"] for e in shown["evidence"]]])]


def approve(state: State, command: commands.Approve, context: Context) -> list[Event]:
    """One more person has approved exactly what was shown."""
    request, version = _open_request(state, command, context)
    requests.need_person(context)
    hint = f"ask someone else who holds {requests.either(request.approver_roles)}"
    out = {*requests.people_of(state, [*_makers(version), *_askers(request)]), context.person}
    others = [p for role in request.approver_roles for p in holders_of(state, role, context.now_ns) if p not in out]
    named = hint + (f": {', '.join(f'`{p}`' for p in dict.fromkeys(others))}" if others else "")
    requests.refuse_own(state, context, _makers(version), "registered this version and may not approve it", hint=named)
    requests.refuse_own(state, context, _askers(request), "asked for this approval and may not approve it", hint=named)
    requests.refuse_second(request, request.approvals, context, hint=named)
    counted = requests.roles_for(state, request, request.approver_roles, context, command.resource(state), hint=named)
    data = facts.RequestApproved(
        request=request.request, version=version.version, shown_digest=request.shown_digest, roles=counted, comment=command.comment
    )
    return [context.event(data, because=[request.as_of])]


def reject(state: State, command: commands.Reject, context: Context) -> list[Event]:
    """One person has said no; the request is closed."""
    request, version = _open_request(state, command, context)
    requests.need_comment(command.comment)
    data = facts.RequestRejected(
        request=request.request, version=version.version, shown_digest=request.shown_digest, comment=command.comment
    )
    return [context.event(data, because=[request.as_of])]


def _open_request(state: State, command: commands._OnRequest, context: Context) -> tuple[rows.Request, rows.Version]:
    request = requests.open_one(state.get(rows.Request, command.request), SORT, command, context)
    version = known_version(state, request.version)
    types = [e["type"] for e in request.shown["evidence"]]
    if digest_json(shown_for(state, version, parse_stage(request.to_stage), types=types)) != request.shown_digest:
        raise Conflict(
            f"what request `{request.request}` shows has changed since: a newer measurement or another gate file",
            hint="open a new request; approvals never move to something else",
            code="shown_changed",
        )
    return request, version


def _makers(version: rows.Version) -> list[str]:
    return [version.author, version.author_person]


def _askers(request: rows.Request) -> list[str]:
    return [request.requested_by, request.asking_person]
