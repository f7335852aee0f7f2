"""The law on who may act: principals, roles, tokens, the rules themselves, and reads."""

from __future__ import annotations

from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands, facts, rows
from jurat.domain.context import Context
from jurat.domain.credentials import hands_for, needs_second
from jurat.domain.decide_duties import told_of_another
from jurat.domain.duties import refuse_conflicting_grant, rules_in_force
from jurat.domain.events import Event
from jurat.domain.grants import check_scope, refuse_beyond_own_scope, window_of
from jurat.domain.kinds import FIRST_OUTSIDE, RetentionClass
from jurat.domain.roles import people_behind, person_behind
from jurat.domain.state import State
from jurat.domain.values import PrincipalType
from jurat.policy.gatefile import parse_gates

LONGEST_GRANT_S = 366 * 86_400
LONGEST_TOKEN_S = 31 * 86_400
UNCONFIRMED_S = 86_400  # how long a grant lasts that one person gave alone


def register_principal(state: State, command: commands.RegisterPrincipal, context: Context) -> list[Event]:
    """A person stands for themselves; whatever else acts has a living person who answers for it."""
    is_person = command.type is PrincipalType.PERSON
    if not command.name.strip():
        raise Malformed("a principal needs a name")
    if is_person and command.owner:
        raise Malformed("a person has no owner", hint="leave `owner` out; owners answer for services, agents and processes")
    if not is_person and (not command.owner or person_behind(state, command.owner) != command.owner):
        raise Conflict(
            f"a {command.type} needs an owner who is an active person, got `{command.owner}`",
            hint="name the person who answers for it; `jurat principal list` shows them",
            code="owner_required",
        )
    data = facts.PrincipalRegistered(
        principal=context.fresh("prn"), type=command.type, owner=command.owner, name=None if is_person else command.name
    )
    return [context.event(data, resource=f"principals/{data.principal}")]


def grant_role(state: State, command: commands.GrantRole, context: Context) -> list[Event]:
    """A grant has a reason, an end, and a granter who is someone else."""
    grantee = _principal(state, command.principal)
    if command.role not in context.known_roles:
        raise Malformed(f"role `{command.role}` is in no policy", hint=f"known roles: {', '.join(sorted(context.known_roles))}")
    if not command.reason.strip():
        raise Malformed("a grant needs a reason", hint="say why, in words that a reviewer will understand in a year")
    if person_behind(state, grantee.principal) in people_behind(state, context.actor):
        raise Denied(
            f"nobody may grant a role to themselves, and `{command.principal}` is whoever grants it, or answers to them",
            hint="ask another operator",
            code="no_self_grant",
        )
    ends_ns = _future(command.expires_at, context)
    if ends_ns - context.now_ns > LONGEST_GRANT_S * 10**9:
        raise Malformed(f"a grant lasts at most {LONGEST_GRANT_S // 86_400} days, `{command.expires_at}` is later")
    check_scope(state, command.scope)
    refuse_beyond_own_scope(state, rules_in_force(state), context, command.role, command.scope)
    window = window_of(state, people_behind(state, context.actor), context.now_ns)
    if window is not None and ends_ns > to_ns(parse_at(window.expires_at)):
        raise Denied(
            f"`{context.person}` acts by break-glass `{window.glass}`, and a grant given by it ends with it, at {window.expires_at}",
            hint="grant it until then, or let somebody who needs no emergency grant it",
            code="beyond_window",
        )
    watched = refuse_conflicting_grant(state, command.principal, command.role, context.now_ns)
    data = facts.RoleGranted(
        grant=context.fresh("grt"),
        principal=command.principal,
        role=command.role,
        scope=command.scope,
        reason=command.reason,
        expires_at=format_at(ends_ns),
        watched=watched,
        confirm_by=format_at(min(ends_ns, context.now_ns + UNCONFIRMED_S * 10**9)) if needs_second(state) else "",
    )
    return [context.event(data, because=[grantee.as_of])]


def revoke_role(state: State, command: commands.RevokeRole, context: Context) -> list[Event]:
    grant = state.get(rows.Grant, command.grant)
    if grant is None:
        raise NotFound(f"grant `{command.grant[:60]}` does not exist, or ended already")
    data = facts.RoleRevoked(grant=grant.grant, principal=grant.principal, role=grant.role, reason=command.reason)
    return [context.event(data, because=[grant.as_of])]


def issue_token(state: State, command: commands.IssueToken, context: Context) -> list[Event]:
    """A token is for a principal with a living person behind it; an agent's names the person it acts for."""
    principal = _principal(state, command.principal)
    if not 0 < command.lifetime_s <= LONGEST_TOKEN_S:
        raise Malformed(f"a token lives up to {LONGEST_TOKEN_S // 86_400} days, `{command.lifetime_s:g}` seconds is outside that")
    behind = command.on_behalf_of or command.principal
    person = person_behind(state, behind)
    if principal.type is PrincipalType.PERSON and behind != principal.principal:
        raise Malformed(
            f"a person acts for nobody but themselves, `{principal.principal}` is one",
            hint="grant them the role that they need; only services, agents and processes act on behalf of a person",
            code="person_acts_alone",
        )
    if command.on_behalf_of and person is not None and person != behind:
        raise Malformed(f"`{behind}` is not a person", hint="name the person who is acted for", code="person_required")
    if person is None:
        raise Conflict(
            f"no active person answers for `{command.principal}`",
            hint="give it an owner, or act on behalf of a person",
            code="owner_required",
        )
    chain = [person] if person == principal.principal else [person, principal.principal]
    ends_ns = context.now_ns + round(command.lifetime_s * 1e9)
    in_their_name = principal.type is PrincipalType.PERSON or (command.on_behalf_of and principal.owner != person)
    data = facts.TokenIssued(
        token=context.fresh("tok"), principal=principal.principal, chain=chain, expires_at=format_at(ends_ns),
        hands=hands_for(state, person, context) if in_their_name else [],
    )  # fmt: skip
    issued = context.event(data, because=[principal.as_of])
    what = f"issued token `{data.token}` for `{principal.principal}`, by which it acts for you"
    if principal.principal == person:
        what = f"issued token `{data.token}` in your name"
    return [issued, *(told_of_another(state, context, person, what, issued) if data.hands else ())]


def revoke_token(state: State, command: commands.RevokeToken, context: Context) -> list[Event]:
    principal = _principal(state, command.principal)
    data = facts.TokenRevoked(token=command.token, principal=principal.principal, reason=command.reason)
    return [context.event(data)]


def apply_gates(state: State, command: commands.ApplyGates, context: Context) -> list[Event]:
    """A gate file that cannot be read changes nothing; the old one stays in force."""
    gates = parse_gates(command.source, roles=context.known_roles)
    current = state.get(rows.GatesInForce, "current")
    if current and current.digest == gates.digest:
        raise Conflict("this gate file is already in force", hint="nothing to do", code="unchanged")
    data = facts.GatesApplied(
        digest=gates.digest, source=command.source, reason=command.reason, previous=current.digest if current else None
    )
    return [context.event(data, because=[current.as_of] if current else [])]


def register_producer(state: State, command: commands.RegisterProducer, context: Context) -> list[Event]:
    """A number is given once, to a service, an agent or a process that a person answers for; never to a person."""
    principal = _principal(state, command.principal)
    if principal.type is PrincipalType.PERSON:
        raise Conflict("a person is no producer", hint="register a service, and name the person as its owner", code="not_a_person")
    if not command.name.strip() or not command.reason.strip():
        raise Malformed("a producer needs a name and a reason", hint="say what it is and why it may record")
    unknown = sorted(set(command.classes) - set(RetentionClass))
    if unknown or not command.classes or len(set(command.classes)) != len(command.classes):
        found = f"`{unknown[0][:40]}` is no class" if unknown else "no class, or one twice"
        raise Malformed(f"a producer records in classes, got {found}", hint=f"there are {', '.join(RetentionClass)}")
    known = state.find(rows.Producer)
    if taken := next((row for row in known if row.principal == command.principal), None):
        raise Conflict(f"`{command.principal}` is producer `{taken.producer}` already", hint="one principal, one number", code="unchanged")
    number = max([FIRST_OUTSIDE - 1, *(row.producer for row in known)]) + 1
    data = facts.ProducerRegistered(
        producer=number, principal=command.principal, name=command.name, classes=sorted(command.classes), reason=command.reason
    )
    return [context.event(data, because=[principal.as_of])]


def read_data(state: State, command: commands.ReadData, context: Context) -> list[Event]:
    """Data is read for a purpose that is written down."""
    dataset = state.get(rows.Dataset, command.dataset)
    if dataset is None:
        raise NotFound(f"data set `{command.dataset[:80]}` is not registered")
    if not command.purpose.strip():
        raise Malformed("reading data needs a purpose", hint='say what it is for: `--purpose "retrain the credit model"`')
    data = facts.DataRead(dataset=dataset.dataset, dataset_digest=dataset.digest, purpose=command.purpose)
    return [context.event(data, because=[dataset.as_of])]


def read_records(state: State, command: commands.ReadRecords, context: Context) -> list[Event]:
    return [context.event(facts.RecordsRead(question=command.question, subject=command.subject, as_of=command.as_of))]


def _principal(state: State, principal: str) -> rows.Principal:
    found = state.get(rows.Principal, principal)
    if found is None or not found.active:
        raise NotFound(f"principal `{principal[:60]}` is not known here", hint="`jurat principal list` shows who is")
    return found


def _future(text: str, context: Context) -> int:
    try:
        at_ns = to_ns(parse_at(text))
    except ValueError:
        raise Malformed(f"`{text[:40]}` is not a time with a zone", hint="write RFC 3339, such as `2027-01-31T12:00:00Z`") from None
    if at_ns <= context.now_ns:
        raise Malformed(f"`{text}` has passed already")
    return at_ns
