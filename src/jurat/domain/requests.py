"""The law on requests, said once: promotions, access, policies, retention and erasures ask other people in the same way.

A request is open until it is decided or its time is over, which is read and not swept. Whoever answers has seen exactly what it
shows. Nobody answers what is theirs, by whatever account. An approval is a person's, is given once, and fills a seat only while its
giver may still give it. What is asked for, whose word it takes and what follows from a yes is each subject's own law, not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from jurat.core.clock import parse_at, to_ns
from jurat.core.digests import short
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain.context import Context
from jurat.domain.roles import expiry, people_behind, person_behind, roles_held
from jurat.domain.rows import Approval
from jurat.domain.state import State
from jurat.domain.values import PrincipalType

WAITING: Final = frozenset({"waiting_for_approvers", "waiting_for_approval"})  # several people's word, or one other person's
LONGEST_S: Final = 366 * 86_400.0


class Asked(Protocol):
    """What every row of a request has."""

    @property
    def request(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def expires_at(self) -> str: ...
    @property
    def shown_digest(self) -> str: ...


class Answer(Protocol):
    """What every answer to one has: which request, and the digest of what was looked at."""

    @property
    def request(self) -> str: ...
    @property
    def shown_digest(self) -> str: ...


class Sort(NamedTuple):
    """How one sort of request is spoken of: its name, the command that lists them, and the one that shows one."""

    name: str
    lists: str
    shows: str


A = TypeVar("A", bound=Asked)


def until(context: Context, lifetime_s: float) -> str:
    """Return when a request that is made now ends.

    Raises:
        Malformed: not after a time above 0 and within `LONGEST_S`.
    """
    if not 0 < lifetime_s <= LONGEST_S:  # NaN is neither
        raise Malformed(f"a request needs a lifetime above 0 and of at most {LONGEST_S / 86_400:g} days, got {lifetime_s:g} s")
    return expiry(context.now_ns, lifetime_s)


def is_over(row: Asked, now_ns: int) -> bool:
    """Whether the time of a request is over, decided or not."""
    return now_ns >= to_ns(parse_at(row.expires_at))


def is_open(row: Asked, now_ns: int) -> bool:
    """Whether a request still waits for an answer."""
    return row.status in WAITING and not is_over(row, now_ns)


def why_closed(row: Asked, now_ns: int, name: str = "request") -> str:
    """Return why a request takes no answer any more, and its approvals count for nothing; empty if it is open."""
    if row.status not in WAITING:
        return f"{name} `{row.request}` is closed: {row.status}"
    return f"{name} `{row.request}` expired at {row.expires_at}" if is_over(row, now_ns) else ""


def open_one(found: A | None, sort: Sort, answer: Answer, context: Context) -> A:
    """Return the request that an answer is about: there, open, and the one that was looked at.

    Raises:
        NotFound: there is none.
        Conflict: it is closed or expired, or shows something else than what was looked at.
    """
    if found is None:
        raise NotFound(f"{sort.name} `{answer.request[:60]}` does not exist", hint=f"`{sort.lists}` shows them")
    if why := why_closed(found, context.now_ns, sort.name):
        code = "request_closed" if found.status not in WAITING else "request_expired"
        raise Conflict(why, hint="ask for it again" if code == "request_expired" else "", code=code)
    if answer.shown_digest != found.shown_digest:
        raise Conflict(
            f"{sort.name} `{found.request}` shows `{short(found.shown_digest)}`, you looked at `{short(answer.shown_digest)}`",
            hint=f"look again: `{sort.shows} {found.request}`",
            code="shown_changed",
        )
    return found


def need_person(context: Context, what: str = "an approval") -> None:
    """Pass if a person acts by themselves.

    Raises:
        Denied: a service, an agent or a process does.
    """
    if context.actor.type is not PrincipalType.PERSON:
        raise Denied(f"{what} is a person's act, `{context.actor.principal}` is a {context.actor.type}", code="person_required")


def people_of(state: State, principals: Iterable[str]) -> set[str]:
    """Return these principals and the persons who answer for them. Empty ones are nobody."""
    return {person for each in principals if each for person in (each, person_behind(state, each)) if person}


def refuse_own(state: State, context: Context, theirs: Iterable[str], why: str, *, hint: str) -> None:
    """Pass if nobody behind the act is one of these principals, or the person who answers for one of them.

    Args:
        theirs: who made, asked for, or is the subject of what is decided on; by whom they acted, too.
        why: what they did, as in ``registered this version and may not approve it``.
    Raises:
        Denied: somebody is.
    """
    if people_of(state, theirs) & {*people_behind(state, context.actor), context.actor.principal}:
        raise Denied(f"`{context.person}` {why}", hint=hint, code="no_self_approval")


def refuse_second(row: Asked, approvals: Sequence[Approval], context: Context, *, hint: str) -> None:
    """Pass if whoever acts has not said yes to this before.

    Raises:
        Conflict: they have, with whichever role.
    """
    if any(each.person == context.person for each in approvals):
        raise Conflict(
            f"`{context.person}` has approved request `{row.request}` already; people are counted, not roles",
            hint=hint,
            code="already_approved",
        )


def roles_for(state: State, row: Asked, needed: Sequence[str], context: Context, resource: str, *, hint: str) -> list[str]:
    """Return the needed roles with which whoever acts says yes; those of an emergency do not count.

    Raises:
        Denied: they hold none.
    """
    held = roles_held(state, context.actor.principal, resource, context.now_ns, with_glass=False)
    counted = [role for role in dict.fromkeys(needed) if role in held]
    if not counted:
        raise Denied(f"request `{row.request}` wants {either(needed)}, `{context.person}` holds neither", hint=hint, code="role_required")
    return counted


def still_said(
    state: State, approvals: Iterable[Approval], resource: str, now_ns: int, *, without: Iterable[str] = ()
) -> dict[str, set[str]]:
    """Return the roles with which each person said yes and which they still hold: one that ended since fills no seat.

    Args:
        without: persons whose yes does not count, such as whoever carries out what was approved.
    """
    out = frozenset(without)
    return {
        each.person: set(each.roles) & roles_held(state, each.principal, resource, now_ns, with_glass=False)
        for each in approvals
        if each.person not in out
    }


def need_comment(comment: str) -> None:
    """Pass if a rejection says why.

    Raises:
        Malformed: it does not.
    """
    if not comment.strip():
        raise Malformed("a rejection needs a comment", hint="say what would have to change")


def either(roles: Sequence[str]) -> str:
    """Return roles as a sentence has them."""
    return " or ".join(f"`{role}`" for role in dict.fromkeys(roles))
