"""Events by what they rest on. Reads the ledger only: nothing here believes a row that could be edited."""

from __future__ import annotations

from dataclasses import dataclass

from jurat.core.errors import NotFound, Tampered
from jurat.domain.events import Event, decode_event
from jurat.ledger.query import Events
from jurat.ledger.stored import StoredEvent

_MOST_EVENTS = 500  # behind one prediction; more means a loop or a mistake


@dataclass(frozen=True)
class Recorded:
    """An event and its place in the ledger, such as `deployment#12`."""

    event: Event
    position: str


def recorded(stored: StoredEvent) -> Recorded:
    """Return a stored event, decoded."""
    return Recorded(decode_event(stored.raw), f"{stored.log.rpartition('/')[2]}#{stored.index}")


def find(events: Events, event_id: str) -> Recorded:
    """Return the event of that id.

    Raises:
        NotFound: the ledger has none.
    """
    stored = events.find(event_id)
    if stored is None:
        raise NotFound(f"event `{event_id[:60]}` is not in the ledger", hint="`jurat events` lists what is; check the id's last characters")
    return recorded(stored)


def behind(events: Events, first: Recorded) -> list[Recorded]:
    """Return `first` and everything it rests on, by `because`, nearest first.

    Raises:
        Tampered: an event names another that the ledger does not have.
    """
    found = {first.event.id: first}
    queue = [first]
    while queue:
        current = queue.pop(0)
        for cause in current.event.because:
            if cause in found:
                continue
            stored = events.find(cause)
            if stored is None:
                raise Tampered(
                    f"event `{current.event.id}` rests on `{cause}`, which the ledger does not have",
                    hint="run `jurat verify`",
                    code="event_missing",
                )
            found[cause] = recorded(stored)
            queue.append(found[cause])
            if len(found) > _MOST_EVENTS:
                raise Tampered(f"more than {_MOST_EVENTS} events stand behind `{first.event.id}`", hint="run `jurat verify`")
    return list(found.values())
