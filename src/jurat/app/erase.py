"""Erasure, from the request to the certificate: asked for, approved by another person, carried out, searched for, recorded.

    request   which events are meant, found by Jurat itself; the law judges each (`decide_keeping`)
    approve   another person says yes: the events are masked in every query at once
    run       intent recorded → journal segments forced out → archive written anew → everything searched → recorded

A run that is killed anywhere is simply run again. What an event said is in this process's memory while it looks for it, and
in no file, log line or record of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from jurat.app.look import See, check, look_at
from jurat.app.mirroring import mirrors_on_record
from jurat.app.walk import Done, act
from jurat.app.wiring import App
from jurat.core.clock import from_ns
from jurat.core.errors import Conflict, Malformed, NotFound, Unavailable
from jurat.core.ids import check_id
from jurat.core.units import parse_duration_s
from jurat.domain import rows
from jurat.domain.commands_keeping import ApproveErasure, FinishErasure, RequestErasure, StartErasure
from jurat.domain.decide_keeping import APPROVED, STARTED, known_erasure
from jurat.domain.facts_keeping import Search
from jurat.domain.retention import Kept
from jurat.domain.state import State
from jurat.ledger.claim import claimed_archive
from jurat.ledger.crash_points import reach
from jurat.ledger.erase import Rewritten, Word, erase_rows
from jurat.ledger.gone import Touched, mask, note_touched, unmask
from jurat.ledger.journal import segment_file, segment_numbers
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import events_directory, journal_directory, log_keys_file, parse_log_name
from jurat.ledger.pick import pick_by_text, pick_places
from jurat.ledger.prove import prove_event
from jurat.ledger.search import search_workspace
from jurat.ledger.stored import StoredEvent
from jurat.store.cluster import cluster_elsewhere
from jurat.store.connect import attach_database
from jurat.store.scrub import scrub

SELECTORS: Final = ("subject", "prediction", "event")
_NAMES: Final = re.compile(rb"(?:prn|prd)_[0-9a-hjkmnp-tv-z]{26}")
_PATIENCE_S: Final = 30.0
_LONGEST: Final = 400  # characters of a subject
_OWN_IDS: Final = ("prn_", "prd_", "evt_")


class MayRequest(See, frozen=True, kw_only=True):
    """Looking for events to erase is asked for before anything is looked up."""

    permission = "erasure:request"


def request_erasure(app: App, token: str, selector: str, reference: str, *, reason: str, legal_basis: str, only_free: bool = False) -> Done:
    """Ask that the content of every event of a subject, of a prediction, or of one event goes.

    Args:
        reference: for a subject any text that its events hold as a whole string, and questions to the ledger anywhere; only ids of
            ours are written down.
        only_free: leave out what a legal floor or a hold keeps, instead of refusing everything.
    Raises:
        Denied: recorded.
        Conflict: nothing may be erased, or something is kept: code `legal_floor` or `legal_hold`. Recorded.
        NotFound: nothing is there.
    """
    check(app, token, MayRequest(place="workspace"))
    if selector not in SELECTORS:
        raise Malformed(f"selector `{selector[:40]}` is unknown", hint=f"one of {', '.join(SELECTORS)}")
    if selector != "subject":
        check_id("prd" if selector == "prediction" else "evt", reference)
    if len(reference.strip()) < 4 or len(reference) > _LONGEST or not reference.isprintable():
        raise Malformed(f"a subject is 4 to {_LONGEST} printable characters", hint="give it as the events hold it, such as an address")
    app.settle()
    found = _find(app, selector, reference)
    with app.store.reading() as state:
        row = state.get(rows.Principal, reference)
        person = reference if row is not None and state.vault.find_person(reference) is not None else ""
        kept = [kept_of(state, event) for event in found]
    if not kept and not person:
        raise NotFound("no event is of that selection", hint="what was erased already is not found again; `jurat erase list` shows it")
    command = RequestErasure(
        selector=selector, reference=reference if reference.startswith(_OWN_IDS) else "", person=person, found=kept, reason=reason,
        legal_basis=legal_basis, only_free=only_free, lifetime_s=parse_duration_s(app.settings.approval_lifetime),
    )  # fmt: skip
    return act(app, token, command)


def approve_erasure(app: App, token: str, request: str, shown_digest: str, comment: str = "") -> Done:
    """Say yes to exactly what was shown. From the moment this returns, no query shows the events.

    Killed before it returns, it may leave them shown: `mask_approved` hides them at the next start, or within seconds.
    """
    done = act(app, token, ApproveErasure(request=request, shown_digest=shown_digest, comment=comment))
    reach("approve_before_mask")
    with app.store.reading() as state:
        mask(_events_dir(app), request, known_erasure(state, request).events)
    return done


def run_erasure(app: App, token: str, request: str, *, say: Callable[[str], None] = lambda _: None) -> Done:
    """Carry out an approved erasure, or go on with one that was interrupted; return once the certificate is sealed.

    Raises:
        Conflict: it is not approved, a hold or a floor stands in the way now, or content was found where none should be.
        Unavailable: the archive or the journal did not let go in time. Run it again.
    """
    with app.store.reading() as state:
        row = known_erasure(state, request)
    if row.status in ("approved", STARTED):
        mask(_events_dir(app), request, row.events)
    app.settle()
    found = pick_places(app.workspace.ledger, app.settings.tenant, row.events)
    with app.store.reading() as state:
        kept = [kept_of(state, event) for event in found]
    with app.ledger() as ledger:
        segment = ledger.rotate([(log, each.first, each.last) for log, stretches in row.events.items() for each in stretches])
    act(app, token, StartErasure(request=request, found=kept))  # which also begins the new segment
    app.settle()
    say("writing the archive anew")
    touched = _erase(app, row, segment)
    say("searching the workspace")
    searched = _search(app, row, found)
    reach("erase_before_record")
    finish = FinishErasure(request=request, files=touched.written, removed=touched.removed, search=searched, copies=mirrors_on_record(app))
    done = act(app, token, finish)
    unmask(_events_dir(app), request)
    app.settle()
    if row.person:  # the name went with the record just made: now its dead row, too
        scrub(attach_database(app.workspace).dsn("owner"))
    return done


def take_certificate(app: App, token: str, request: str) -> bytes:
    """Return the record of an erasure as a file that anyone verifies offline: what went, which files, what the search found.

    Raises:
        NotFound: there is no such erasure, or none that the caller may see.
        Conflict: it was not carried out.
    """
    found = look_at(app, token, rows.Erasure, request)
    stored = app.events.find(found.certificate) if found.certificate else None
    if stored is None:
        hint = f"`jurat erase run {request}`" if found.status in (APPROVED, STARTED) else f"`jurat erase show {request}`"
        raise Conflict(f"erasure `{request}` was not carried out: {found.status}", hint=hint, code="not_erased")
    with app.ledger() as ledger:
        receipt = ledger.receipt_for(parse_log_name(stored.log), stored.index)
    return prove_event(app.workspace.ledger, stored, load_log_keys(log_keys_file(app.workspace.keys)), receipt)


def kept_of(state: State, event: StoredEvent) -> Kept:
    """Return an event as the law on keeping sees it. Its system comes from our own records, by what the event names."""
    return Kept(
        log=event.log, index=event.index, kind=event.kind, received_ns=event.received_ns, system=_system_of(state, event.raw),
        names=tuple(sorted({name.decode() for name in _NAMES.findall(event.raw)})),
    )  # fmt: skip


def _find(app: App, selector: str, reference: str) -> list[StoredEvent]:
    if selector == "subject" and reference.startswith("evt_"):
        raise Malformed("an event's id is not a subject", hint="use `--event`")
    found = pick_by_text(app.workspace.ledger, app.settings.tenant, reference)
    if selector == "subject":
        return found
    field = "id" if selector == "event" else "prediction"
    return [event for event in found if _field(event.raw, field) == reference]


def _field(raw: bytes, name: str) -> Any:
    try:
        event = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None
    inner = event if name == "id" or not isinstance(event, dict) else event.get("data")
    return inner.get(name) if isinstance(inner, dict) else None


def _system_of(state: State, raw: bytes) -> str | None:
    version = state.get(rows.Version, str(_field(raw, "version") or ""))
    endpoint = state.get(rows.Endpoint, str(_field(raw, "endpoint") or ""))
    if version is not None or endpoint is not None:
        return version.system if version is not None else endpoint.system if endpoint is not None else None
    named = _field(raw, "system")
    return named if isinstance(named, str) and state.get(rows.System, named) is not None else None


def _erase(app: App, row: rows.Erasure, segment: int) -> Touched:
    """Write the archive anew, and see the journal segments before `segment` go: they may hold the same bytes.

    Returns every file that this run or an earlier one, killed, wrote anew or deleted.
    """
    ledger_root, tenant = app.workspace.ledger, app.settings.tenant
    stored = app.events.find(row.approved)
    if stored is None:
        raise Unavailable(f"the approval `{row.approved}` is not in the ledger yet", hint="run it again", code="not_sealed")
    word = Word(stored.index, from_ns(app.clock.now_ns()), f"erasure {row.request}")
    journal = journal_directory(ledger_root)
    going = [f"journal/{segment_file(journal, number).name}" for number in segment_numbers(journal) if number < segment]
    touched = note_touched(_events_dir(app), row.request, (), going)

    def note(planned: Rewritten) -> None:
        nonlocal touched
        written, removed = ([f"{tenant}/events/{path}" for path in paths] for paths in planned)
        touched = note_touched(_events_dir(app), row.request, written, removed)

    with claimed_archive(ledger_root, tenant, clock=app.clock) as follower:
        follower.step(flush=True)
        erase_rows(follower, row.events, word, note=note)
        reach("erase_before_segments")
        await_segments(app, segment)
    reach("erase_before_search")
    there = [path for path in touched.written if (ledger_root / path).exists()]  # not what a killed run had begun to write
    return Touched(written=there, removed=[path for path in touched.removed if not (ledger_root / path).exists()])


def await_segments(app: App, segment: int) -> None:
    """Return once every journal segment before `segment` is gone; raises `Unavailable` if one stays."""
    deadline = time.monotonic() + _PATIENCE_S
    while (numbers := segment_numbers(journal_directory(app.workspace.ledger))) and numbers[0] < segment:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"journal segment `{numbers[0]}` is still there, and may hold what must go",
                hint="see `run/sequencer.log`; run the erasure again, it goes on where it stopped",
                code="segment_kept",
            )
        with app.ledger() as ledger:
            ledger.flush()
        time.sleep(0.05)


def _search(app: App, row: rows.Erasure, found: Sequence[StoredEvent]) -> Search:
    """Look for what was there a moment ago, and for any row of these events that still has content."""
    scrub(attach_database(app.workspace).dsn("owner"))
    raws, salts = [event.raw for event in found], [event.salt for event in found]
    searched = search_workspace(app.workspace.root, raws, salts, row.events)
    elsewhere = cluster_elsewhere(app.workspace)  # the embedded PostgreSQL, where it could not lie in the workspace
    if elsewhere is None:
        return searched
    there = search_workspace(elsewhere, raws, salts, row.events)
    return Search(
        files=searched.files + there.files, size_bytes=searched.size_bytes + there.size_bytes, archive_rows=searched.archive_rows,
        needles=searched.needles, left_over=[*searched.left_over, *(f"postgres/{name}" for name in there.left_over)],
    )  # fmt: skip


def _events_dir(app: App) -> Path:
    return events_directory(app.workspace.ledger, app.settings.tenant)
