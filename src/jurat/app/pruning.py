"""Pruning at work: the prefix of each log whose events have all expired is refused, and a while later its space is free.

    expired, by the tombstones on record → `log.pruned.v1` → refused at every door → anchored → (grace) → holes punched

Each step is durable before the next begins, and may be done again: a run that is killed is run again. What a hold keeps has
not expired, so it pins the minimum index; so does every event that carries what holds now.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from jurat.app.walk import Done, act, act_as
from jurat.app.wiring import App
from jurat.core.errors import Tampered, Unavailable
from jurat.domain.commands import Command
from jurat.domain.commands_keeping import RecordPruning
from jurat.domain.events import Actor, Event, decode_event
from jurat.domain.facts_keeping import EventsExpired, LogPruned
from jurat.domain.kinds import CLOSED
from jurat.domain.places import join
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.crash_points import reach
from jurat.ledger.layout import ANCHOR, LogName, class_logs, events_directory, hash_origin
from jurat.ledger.manifest import read_manifest
from jurat.ledger.producers import last_anchored, last_sequences
from jurat.ledger.pruned import Ended, Pruned, digest_ended, entry_floor, punch, read_pruned, write_pruned
from jurat.ledger.tail import published_checkpoint
from jurat.merkle.checkpoint import format_base64
from jurat.merkle.entry import unpack_entry

_ANCHORED_S: Final = 30.0


class LogPruning(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did to one log. `free_at_ns`: when the space of what is refused may be freed; 0 once it is."""

    log: str
    minimum: int
    entries: int  # that are refused now and were not before
    freed_bytes: int
    free_at_ns: int
    problem: str = ""  # why the space is not free, where it cannot be


def act_for(app: App, caller: str | Actor, command: Command) -> Done:
    """Do what `command` says for the holder of a token, or for a process of Jurat's own."""
    return act(app, caller, command) if isinstance(caller, str) else act_as(app, caller, command)


def prune_logs(app: App, caller: str | Actor, *, grace_s: float, say: Callable[[str], None] = lambda _: None) -> list[LogPruning]:
    """Prune every log as far as its events have expired; free the space of what has been refused for `grace_s`.

    Raises:
        Denied: recorded.
        Unavailable: the anchor log does not take the new minimum index in time. Run it again.
    """
    on_record = _on_record(app)
    said = {event.data.log: event for event in on_record if isinstance(event.data, LogPruned)}  # the newest of each
    gone = join(*(event.data.events for event in on_record if isinstance(event.data, EventsExpired)))
    done = []
    for log in class_logs(app.settings.tenant):
        directory = log.directory(app.workspace.ledger)
        before = read_pruned(directory)
        stretches = gone.get(str(log), [])
        end = stretches[0].last + 1 if stretches and stretches[0].first == 0 else 0
        sealed = published_checkpoint(app.workspace.ledger, log)
        minimum = min(end, sealed.size - 1)  # the last entry stays: the log goes on from it
        if entry_floor(minimum) > entry_floor(before.minimum) and not _rows_below(app, log, minimum):
            now = _prune(app, caller, log, minimum, before, said.get(str(log)))
            say(f"`{log}` is pruned below index {minimum}")
        else:
            now = before
        if now.minimum:
            done.append(_free(app, log, now, refused=entry_floor(now.minimum) - entry_floor(before.minimum), grace_s=grace_s))
    return done


def _on_record(app: App) -> list[Event]:
    """Return what the ledger itself says of expiry and pruning, in its order."""
    found = app.events.scan(classes=["configuration"], kinds=["events.expired.v1", "log.pruned.v1"])
    return [decode_event(stored.raw) for stored in found]


def _rows_below(app: App, log: LogName, minimum: int) -> bool:
    """Whether the archive still holds rows of these events: a run that takes them away comes first."""
    return any(
        part.first < minimum for part in read_manifest(events_directory(app.workspace.ledger, app.settings.tenant)).parts_of([str(log)])
    )


def _prune(app: App, caller: str | Actor, log: LogName, minimum: int, before: Pruned, said: Event | None) -> Pruned:
    directory, sealed = log.directory(app.workspace.ledger), published_checkpoint(app.workspace.ledger, log)
    ended = _ended(log, directory, before, minimum)
    fact = said.data if said is not None else None
    if not (
        isinstance(fact, LogPruned) and fact.minimum_index == minimum and fact.ended_digest == digest_ended(ended)
    ):  # else killed after this
        command = RecordPruning(
            log=str(log), minimum_index=minimum, size=sealed.size, root=format_base64(sealed.root), ended_digest=digest_ended(ended)
        )
        act_for(app, caller, command)
        app.settle()
    reach("prune_after_record")
    now = Pruned(minimum=minimum, since_ns=app.clock.now_ns(), punched=before.punched, ended=tuple(ended))
    write_pruned(directory, now)
    reach("prune_after_refusal")
    return now


def _ended(log: LogName, directory: Path, before: Pruned, minimum: int) -> list[Ended]:
    """Return the last event of each stream among the entries that go, so that its numbers are known when they are gone."""
    reader = ArrayReader(directory, log.entry_size)
    try:
        fresh = last_sequences(log, reader, before.floor, entry_floor(minimum))
        closed = {key for key, last in fresh.items() if unpack_entry(reader.entries(last.at, last.at + 1)[0]).kind_code == CLOSED.code}
    finally:
        reader.close()
    known = {(each.producer, each.epoch): each for each in before.ended}
    known |= {(key.producer, key.epoch): Ended(key.producer, key.epoch, last.seq, last.at, key in closed) for key, last in fresh.items()}
    return [known[key] for key in sorted(known)]


def _free(app: App, log: LogName, pruned: Pruned, *, refused: int, grace_s: float) -> LogPruning:
    """Free the space, once the anchor log has the minimum index and nobody reads any more what was there before."""
    directory, free_at_ns = log.directory(app.workspace.ledger), pruned.since_ns + round(grace_s * 1e9)
    freed, problem = 0, ""
    _await_anchored(app, log, pruned.minimum)
    if pruned.punched == pruned.minimum:
        free_at_ns = 0
    elif app.clock.now_ns() >= free_at_ns:
        reach("prune_before_punch")
        try:
            freed, free_at_ns = punch(directory, log.entry_size, pruned.minimum), 0
            reach("prune_after_punch")
            write_pruned(directory, msgspec.structs.replace(pruned, punched=pruned.minimum))
        except Unavailable as error:
            if error.code != "cannot_punch":
                raise
            problem = error.hint
    return LogPruning(log=str(log), minimum=pruned.minimum, entries=refused, freed_bytes=freed, free_at_ns=free_at_ns, problem=problem)


def _await_anchored(app: App, log: LogName, minimum: int) -> None:
    deadline, origin = time.monotonic() + _ANCHORED_S, hash_origin(log.origin(app.settings.log_host))
    while True:
        size = published_checkpoint(app.workspace.ledger, ANCHOR).size
        reader = ArrayReader(ANCHOR.directory(app.workspace.ledger), ANCHOR.entry_size)
        try:
            found = last_anchored(reader, size, [origin]).get(origin)
        finally:
            reader.close()
        if found is not None and found.minimum_index >= minimum:
            if found.minimum_index > minimum:
                raise Tampered(f"the anchor log has a larger minimum index of `{log}` than `pruned.json`", hint="run `jurat verify`")
            return
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the minimum index of log `{log}` is not anchored yet",
                hint="see `run/sequencer.log`, and run it again",
                code="not_anchored",
            )
        with app.ledger() as ledger:
            ledger.flush()
        time.sleep(0.05)
