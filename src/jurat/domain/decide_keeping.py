"""The law on how long events are kept: the table in force, holds, and erasure by two people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.digests import digest_json
from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.core.ids import check_id
from jurat.core.periods import day_of
from jurat.domain import commands_keeping as commands
from jurat.domain import facts_keeping as facts
from jurat.domain import requests, rows
from jurat.domain.context import Context
from jurat.domain.events import Event
from jurat.domain.evolve import CHANGES
from jurat.domain.facts import KIND_OF
from jurat.domain.places import count, covers, to_places
from jurat.domain.retention import Kept, hold_on, legal_bar, read_table, shortened, table_in_force, tables_in_force, tiers_of
from jurat.domain.state import State

MOST_EVENTS: Final = 10_000  # of one erasure: its places must fit into an event, and a person must be able to judge it
STATE_KINDS: Final = frozenset(KIND_OF[fact] for fact in CHANGES)
APPROVED, STARTED, DONE, REJECTED = "approved", "started", "done", "rejected"
SORT: Final = requests.Sort("erasure", "jurat erase list", "jurat erase show")


def apply_retention(state: State, command: commands.ApplyRetention, context: Context) -> list[Event]:
    """A table counts once it is recorded, and never makes a promise shorter."""
    table = read_table(command.source)
    current = state.get(rows.RetentionInForce, "current")
    if current and current.digest == table.digest:
        raise Conflict("this retention table is already in force", hint="nothing to do", code="unchanged")
    _need(command.reason, "a change of retention")
    if less := shortened(table_in_force(state), table):
        raise Conflict(
            f"the table keeps events for a shorter time than the one in force: {less}",
            hint="ask for it with `jurat retention request`; a compliance officer decides, and it is for events to come",
            code="shortening_not_approved",
        )
    data = facts.RetentionApplied(
        digest=table.digest, source=command.source, reason=command.reason, previous=current.digest if current else None
    )
    return [context.event(data, because=[current.as_of] if current else [])]


def place_hold(state: State, command: commands.PlaceHold, context: Context) -> list[Event]:
    """A hold says what it is for, and meets what it says."""
    _need(command.reason, "a hold")
    _need(command.legal_basis, "a hold", "legal basis")
    for system in command.systems:
        if state.get(rows.System, system) is None:
            raise NotFound(f"system `{system[:60]}` is not registered")
    if command.subject:
        check_id("prd" if command.subject.startswith("prd_") else "prn", command.subject)
    data = facts.HoldPlaced(
        hold=context.fresh("hld"), systems=command.systems, subject=command.subject, received_from=_moment(command.received_from),
        received_until=_moment(command.received_until), reason=command.reason, legal_basis=command.legal_basis,
    )  # fmt: skip
    return [context.event(data)]


def release_hold(state: State, command: commands.ReleaseHold, context: Context) -> list[Event]:
    """A hold ends by a person's act, with a reason; never by time."""
    hold = state.get(rows.Hold, command.hold)
    if hold is None:
        raise NotFound(f"hold `{command.hold[:60]}` does not exist, or was released already")
    _need(command.reason, "the release of a hold")
    return [context.event(facts.HoldReleased(hold=hold.hold, reason=command.reason), because=[hold.as_of])]


def request_erasure(state: State, command: commands.RequestErasure, context: Context) -> list[Event]:
    """Events may be erased unless what holds rests on them, a law still asks for them, or somebody holds them."""
    _need(command.reason, "an erasure")
    _need(command.legal_basis, "an erasure", "legal basis")
    kept: Counter[str] = Counter()
    free: dict[str, list[int]] = {}
    for event, bar in _judged(state, command.found, context.now_ns):
        if bar is None:
            free.setdefault(event.log, []).append(event.index)
        elif command.only_free or bar.code == "carries_state":
            kept[bar.detail] += 1
        else:
            raise bar
    places = to_places(free)
    if not places and not command.person:
        raise Conflict(
            "there is nothing that may be erased" + (f": {'; '.join(kept)}" if kept else " of that selection"),
            hint="events that were erased already are not found again; `jurat erase list` shows them",
            code="nothing_to_erase",
        )
    if count(places) > MOST_EVENTS:
        raise Conflict(f"`{count(places)}` events at once, expected at most {MOST_EVENTS}", hint="erase prediction by prediction")
    table = table_in_force(state)
    shown: dict[str, Any] = {
        "selector": command.selector, "reference": command.reference, "person": command.person, "events": places,
        "count": count(places), "kept": dict(sorted(kept.items())), "reason": command.reason, "legal_basis": command.legal_basis,
        "retention": table.digest,
    }  # fmt: skip
    data = facts.ErasureRequested(
        request=context.fresh("req"), shown_digest=digest_json(shown), expires_at=requests.until(context, command.lifetime_s), **shown
    )
    return [context.event(data)]


def approve_erasure(state: State, command: commands.ApproveErasure, context: Context) -> list[Event]:
    """Another person has said yes to exactly this; from here on nobody is shown the events."""
    row = _waiting(state, command, context)
    data = facts.ErasureApproved(request=row.request, shown_digest=row.shown_digest, comment=command.comment, events=row.events)
    return [context.event(data, because=[row.as_of])]


def reject_erasure(state: State, command: commands.RejectErasure, context: Context) -> list[Event]:
    row = _waiting(state, command, context)
    requests.need_comment(command.comment)
    return [
        context.event(
            facts.ErasureRejected(request=row.request, shown_digest=row.shown_digest, comment=command.comment), because=[row.as_of]
        )
    ]


def start_erasure(state: State, command: commands.StartErasure, context: Context) -> list[Event]:
    """The intent, before the effect; a hold that was placed meanwhile stands in the way."""
    row = known_erasure(state, command.request)
    if row.status not in (APPROVED, STARTED):
        raise Conflict(f"erasure `{row.request}` cannot run: {row.status}", hint="`jurat erase list` shows why", code="erasure_closed")
    stray = next((event for event in command.found if not covers(row.events, event.log, event.index)), None)
    if stray is not None:
        raise Conflict(f"event {stray.index} of `{stray.log}` is not part of erasure `{row.request}`", code="not_approved")
    for _, bar in _judged(state, command.found, context.now_ns):
        if bar is not None:
            raise bar
    return [context.event(facts.ErasureStarted(request=row.request, count=len(command.found)), because=[row.as_of])]


def finish_erasure(state: State, command: commands.FinishErasure, context: Context) -> list[Event]:
    """What was erased is on record for good, if the search for what might be left found nothing."""
    row = known_erasure(state, command.request)
    if row.status != STARTED:
        raise Conflict(f"erasure `{row.request}` was not started: {row.status}", code="erasure_closed")
    if command.search.left_over:
        raise Conflict(
            f"content that should be gone was found in `{command.search.left_over[0]}`",
            hint="see what keeps it there, then run the erasure again",
            code="erasure_incomplete",
        )
    data = facts.EventsErased(
        request=row.request, events=row.events, count=row.count, reason=row.reason, legal_basis=row.legal_basis,
        files=command.files, removed=command.removed, search=command.search, person=row.person, copies=command.copies,
    )  # fmt: skip
    return [context.event(data, because=[row.as_of])]


def record_expiry(state: State, command: commands.RecordExpiry, context: Context) -> list[Event]:
    """What was judged is what holds: another table or another hold since then, and nothing goes."""
    if not command.events:
        raise Malformed("an expiry names at least one event, got none")
    if command.retention != table_in_force(state).digest or command.holds != sorted(hold.hold for hold in state.find(rows.Hold)):
        raise Conflict("the retention table or the holds have changed since this was judged", hint="run it again", code="judged_otherwise")
    if carrying := sorted(set(command.kinds) & STATE_KINDS):
        raise Conflict(f"`{carrying[0]}` carries what holds now, and does not expire", code="carries_state")
    data = facts.EventsExpired(
        events=command.events,
        count=count(command.events),
        kinds=command.kinds,
        before=str(day_of(context.now_ns)),
        retention=command.retention,
    )
    return [context.event(data)]


def record_pruning(state: State, command: commands.RecordPruning, context: Context) -> list[Event]:
    """A prefix, within what is sealed. That everything in it has expired is read from the ledger before, and judged by whoever verifies."""
    if not 0 < command.minimum_index < command.size:
        raise Conflict(
            f"log `{command.log}` of size `{command.size}` cannot be pruned below `{command.minimum_index}`: its last entry stays",
            code="minimum_wrong",
        )
    data = facts.LogPruned(
        log=command.log, minimum_index=command.minimum_index, size=command.size, root=command.root, ended_digest=command.ended_digest
    )
    return [context.event(data)]


def rotate_log_key(state: State, command: commands.RotateLogKey, context: Context) -> list[Event]:
    """New keys are announced while the old ones still sign."""
    _need(command.reason, "a change of keys")
    if not 0 < command.first_size <= command.last_size:
        raise Malformed(f"the old keys end at size `{command.last_size}`, the new ones begin at {command.first_size}: they must overlap")
    if set(command.old_vkeys) & set(command.new_vkeys) or not command.new_vkeys:
        raise Conflict(f"the new keys of log `{command.log}` are none, or old ones", code="key_unchanged")
    data = facts.LogKeyRotated(
        log=command.log, origin=command.origin, old_vkeys=command.old_vkeys, new_vkeys=command.new_vkeys,
        new_receipt_vkey=command.new_receipt_vkey, first_size=command.first_size, last_size=command.last_size, reason=command.reason,
    )  # fmt: skip
    return [context.event(data)]


def known_erasure(state: State, request: str) -> rows.Erasure:
    """Return the erasure of that name."""
    row = state.get(rows.Erasure, request)
    if row is None:
        raise NotFound(f"erasure `{request[:60]}` does not exist", hint="`jurat erase list` shows them")
    return row


def _waiting(state: State, command: commands._OnErasure, context: Context) -> rows.Erasure:
    row = requests.open_one(state.get(rows.Erasure, command.request), SORT, command, context)
    requests.need_person(context)
    requests.refuse_own(
        state, context, [row.requested_by, row.asking_person, row.person],
        "asked for this erasure, or is its subject, and may not decide on it", hint="ask another person who holds `privacy_officer`",
    )  # fmt: skip
    return row


def _judged(state: State, found: Iterable[Kept], now_ns: int) -> Iterable[tuple[Kept, Conflict | None]]:
    """Yield each event with what keeps it from being erased."""
    table, tiers, holds = tables_in_force(state), tiers_of(state), state.find(rows.Hold)
    for event in found:
        bar: Conflict | None = None
        if event.kind in STATE_KINDS:
            bar = Conflict(
                f"`{event.kind}` carries what holds now, by ids only; the names are in the vault",
                hint="erase the person: `jurat erase request --subject prn_…` takes the name away",
                code="carries_state",
            )
        elif hold := hold_on(event, holds):
            bar = Conflict(
                f"hold `{hold.hold}` keeps it: {hold.reason}",
                hint=f"its legal basis is {hold.legal_basis}; whoever placed it can release it, or erase what is free with `--only-free`",
                code="legal_hold",
            )
        elif term := legal_bar(event, table, tiers, now_ns):
            end = f"until {term.until}" if term.until else "until the day that its system was placed on the market is known"
            bar = Conflict(
                f"the law keeps it {end}: {term.why}",
                hint="ask again after that day, or erase what is free with `--only-free`",
                code="legal_floor",
            )
        yield event, bar


def _need(text: str, what: str, field: str = "reason") -> None:
    if not text.strip():
        raise Malformed(f"{what} needs a {field}", hint="in words that somebody will understand in ten years")


def _moment(text: str) -> str:
    if not text:
        return ""
    try:
        return format_at(to_ns(parse_at(text)))
    except ValueError:
        raise Malformed(f"`{text[:40]}` is not a time with a zone", hint="write RFC 3339, such as `2027-01-31T12:00:00Z`") from None
