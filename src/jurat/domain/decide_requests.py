"""The law on requests and approvals: bound to exactly what was shown, counted by people, never one's own."""

from __future__ import annotations

from jurat.core.clock import parse_at, to_ns
from jurat.core.digests import digest_json, short
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands, facts, rows
from jurat.domain.context import Context
from jurat.domain.decide_models import known_version
from jurat.domain.events import Event
from jurat.domain.gates import approver_roles, shown_for
from jurat.domain.roles import expiry, holders_of, person_behind, roles_held
from jurat.domain.stages import parse_stage
from jurat.domain.state import State
from jurat.domain.values import PrincipalType


def request_promotion(state: State, command: commands.RequestPromotion, context: Context) -> list[Event]:
    """The people whom the gate names are asked to approve exactly this, until a time."""
    version = known_version(state, command.version)
    to_stage = parse_stage(command.to_stage)
    roles = approver_roles(state, to_stage)
    if command.lifetime_s <= 0:
        raise Malformed("a request needs a lifetime above 0")
    shown = shown_for(state, version, to_stage)
    data = facts.PromotionRequested(
        request=context.fresh("req"), version=version.version, version_digest=version.digest, to_stage=to_stage,
        shown=shown, shown_digest=digest_json(shown), approver_roles=roles, expires_at=expiry(context.now_ns, command.lifetime_s),
    )  # fmt: skip
    return [context.event(data, because=[version.as_of, *[e["event"] for e in shown["evidence"]]])]


def approve(state: State, command: commands.Approve, context: Context) -> list[Event]:
    """One more person has approved exactly what was shown."""
    request, version = _open_request(state, command, context)
    if context.actor.type is not PrincipalType.PERSON:
        raise Denied(f"an approval is a person's act, `{context.actor.principal}` is a {context.actor.type}", code="person_required")
    for what, principal, first in (
        ("registered this version", version.author, version.author_person),
        ("asked for this approval", request.requested_by, request.asking_person),
    ):
        if context.person in (person_behind(state, principal), first):
            others = [p for role in request.approver_roles for p in holders_of(state, role, context.now_ns) if p != context.person]
            raise Denied(
                f"`{context.person}` {what} and may not approve it",
                hint=f"ask someone else who holds {_either(request.approver_roles)}"
                + (f": {', '.join(f'`{p}`' for p in dict.fromkeys(others))}" if others else ""),
                code="no_self_approval",
            )
    if any(a.person == context.person for a in request.approvals):
        raise Conflict(
            f"`{context.person}` has approved request `{request.request}` already; people are counted, not roles",
            hint=f"someone else who holds {_either(request.approver_roles)} must approve",
            code="already_approved",
        )
    held = roles_held(state, context.actor.principal, command.resource(state), context.now_ns, with_glass=False)
    counted = [role for role in request.approver_roles if role in held]
    if not counted:
        raise Denied(
            f"request `{request.request}` wants {_either(request.approver_roles)}, `{context.person}` holds neither",
            hint="ask someone who does; `jurat request show` names them",
            code="role_required",
        )
    data = facts.RequestApproved(
        request=request.request, version=version.version, shown_digest=request.shown_digest, roles=counted, comment=command.comment
    )
    return [context.event(data, because=[request.as_of])]


def reject(state: State, command: commands.Reject, context: Context) -> list[Event]:
    """One person has said no; the request is closed."""
    request, version = _open_request(state, command, context)
    if not command.comment.strip():
        raise Malformed("a rejection needs a comment", hint="say what would have to change")
    data = facts.RequestRejected(
        request=request.request, version=version.version, shown_digest=request.shown_digest, comment=command.comment
    )
    return [context.event(data, because=[request.as_of])]


def _open_request(state: State, command: commands._OnRequest, context: Context) -> tuple[rows.Request, rows.Version]:
    request = state.get(rows.Request, command.request)
    if request is None:
        raise NotFound(f"request `{command.request[:60]}` does not exist")
    if request.status != "waiting_for_approvers":
        raise Conflict(f"request `{request.request}` is closed: {request.status}", code="request_closed")
    if context.now_ns >= to_ns(parse_at(request.expires_at)):
        raise Conflict(f"request `{request.request}` expired at {request.expires_at}", hint="open a new one", code="request_expired")
    if command.shown_digest != request.shown_digest:
        raise Conflict(
            f"request `{request.request}` shows `{short(request.shown_digest)}`, you looked at `{short(command.shown_digest)}`",
            hint=f"look again: `jurat request show {request.request}`",
            code="shown_changed",
        )
    version = known_version(state, request.version)
    types = [e["type"] for e in request.shown["evidence"]]
    if digest_json(shown_for(state, version, parse_stage(request.to_stage), types=types)) != request.shown_digest:
        raise Conflict(
            f"what request `{request.request}` shows has changed since: a newer measurement or another gate file",
            hint="open a new request; approvals never move to something else",
            code="shown_changed",
        )
    return request, version


def _either(roles: list[str]) -> str:
    return " or ".join(f"`{role}`" for role in dict.fromkeys(roles))
