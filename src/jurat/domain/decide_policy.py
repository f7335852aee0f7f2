"""The law on the policies themselves: two people change them, a bad set changes nothing, and the change takes effect whole."""

from __future__ import annotations

from typing import Any, Final

from jurat.core.digests import digest_json, short
from jurat.core.errors import Conflict
from jurat.domain import commands_policy as commands
from jurat.domain import facts_policy as facts
from jurat.domain import requests, rows
from jurat.domain.context import Context
from jurat.domain.descriptions import need_reason
from jurat.domain.events import Event
from jurat.domain.facts import PolicySetApplied
from jurat.domain.state import State
from jurat.policy.compare import compare
from jurat.policy.policyset import PolicySet
from jurat.policy.sanity import check_meaning

SORT: Final = requests.Sort("policy change", "jurat policy changes", "jurat policy changes")


def request_change(state: State, command: commands.RequestPolicyChange, context: Context) -> list[Event]:
    """Another person is asked to put exactly this set into force."""
    need_reason(command.reason, "a change of the policies")
    candidate, current = _candidate(command.files, command.schema), in_force(state)
    if current.digest == candidate.digest:
        raise Conflict("this policy set is already in force", hint="nothing to do", code="unchanged")
    shown: dict[str, Any] = {
        "digest": candidate.digest, "previous": current.digest, "reason": command.reason,
        "changes": compare(PolicySet.load(current.files, current.schema), candidate).shown(),
    }  # fmt: skip
    data = facts.PolicyChangeRequested(
        request=context.fresh("req"), digest=candidate.digest, previous=current.digest, files=command.files, schema=command.schema,
        reason=command.reason, shown=shown, shown_digest=digest_json(shown), expires_at=requests.until(context, command.lifetime_s),
    )  # fmt: skip
    return [context.event(data, because=[current.as_of])]


def approve_change(state: State, command: commands.ApprovePolicyChange, context: Context) -> list[Event]:
    """Another person has said yes, and the set is in force; the next decision is its."""
    row = _waiting(state, command, context)
    candidate = _candidate(row.files, row.schema)
    approved = context.event(
        facts.PolicyChangeApproved(request=row.request, digest=row.digest, shown_digest=row.shown_digest, comment=command.comment),
        because=[row.as_of],
    )
    data = PolicySetApplied(digest=candidate.digest, files=row.files, schema=row.schema, reason=row.reason, previous=row.previous)
    return [approved, context.event(data, because=[in_force(state).as_of, approved.id])]


def reject_change(state: State, command: commands.RejectPolicyChange, context: Context) -> list[Event]:
    """One person has said no, with a reason; the request is closed."""
    row = _waiting(state, command, context)
    requests.need_comment(command.comment)
    data = facts.PolicyChangeRejected(request=row.request, digest=row.digest, shown_digest=row.shown_digest, comment=command.comment)
    return [context.event(data, because=[row.as_of])]


def set_shadow(state: State, command: commands.SetPolicyShadow, context: Context) -> list[Event]:
    """A candidate answers beside the set in force, or no longer does."""
    need_reason(command.reason, "a shadow")
    current = state.get(rows.PolicySetInForce, "shadow")
    if not command.files:
        if current is None:
            raise Conflict("no candidate is in the shadow", hint="nothing to do", code="unchanged")
        return [context.event(facts.PolicyShadowSet(digest="", files={}, schema="", reason=command.reason), because=[current.as_of])]
    candidate = PolicySet.load(command.files, command.schema)
    if candidate.digest in (in_force(state).digest, current.digest if current else ""):
        raise Conflict("this policy set is in force, or in the shadow, already", hint="nothing to do", code="unchanged")
    data = facts.PolicyShadowSet(digest=candidate.digest, files=command.files, schema=command.schema, reason=command.reason)
    return [context.event(data, because=[current.as_of] if current else [])]


def in_force(state: State) -> rows.PolicySetInForce:
    """Return the set in force.

    Raises:
        Conflict: there is none, and so nothing may be done at all.
    """
    row = state.get(rows.PolicySetInForce, "current")
    if row is None:
        raise Conflict("no policy set is in force", hint="a new workspace has one: `jurat init`", code="no_policies")
    return row


def _candidate(files: dict[str, str], schema: str) -> PolicySet:
    found = PolicySet.load(files, schema)
    check_meaning(found)
    return found


def _waiting(state: State, command: commands._OnChange, context: Context) -> rows.PolicyChange:
    row = requests.open_one(state.get(rows.PolicyChange, command.request), SORT, command, context)
    requests.need_person(context)
    if (current := in_force(state)).digest != row.previous:
        raise Conflict(
            f"the policies have changed since: `{short(current.digest)}` is in force, the change was of `{short(row.previous)}`",
            hint="ask for it again: the difference is another one now",
            code="shown_changed",
        )
    requests.refuse_own(
        state, context, [row.requested_by, row.asking_person], "asked for this change and may not decide on it",
        hint="ask another person whom the policies allow `policy:approve`: `jurat access who-can policy:approve workspace`",
    )  # fmt: skip
    return row
