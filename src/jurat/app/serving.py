"""What the gateway must know, refreshed as it changes: a consistent picture of state, and who holds which token.

A thread asks for the position of the outbox every 100 ms. When it moved, the rows are read again in one snapshot and
the picture is swapped whole; whatever was remembered (tokens, decisions) goes with the old one. No database lies in a
request's path, except for a token that was not seen before. A picture that could not be confirmed for `STALE_AFTER_S`
answers nobody (fail closed).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from jurat.app.admit import admit
from jurat.core.clock import Clock
from jurat.core.errors import JuratError, Unauthenticated, Unavailable
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.events import Actor, DecisionRef
from jurat.domain.roles import end_of, is_live
from jurat.domain.state import MemoryState, Put, State
from jurat.guard.filters import Filter
from jurat.store.store import Store
from jurat.store.vault import KnownToken

POLL_S: Final = 0.1
STALE_AFTER_S: Final = 2.0
TOKEN_REMEMBERED_S: Final = 5.0  # revoking one is an event, and so forgets them all at once
DECISION_REMEMBERED_S: Final = 60.0
_MAX_REMEMBERED: Final = 50_000


class RequestPrediction(Command, frozen=True, kw_only=True):
    """Ask a model, through its endpoint. An observation: it changes no state, and goes to the ledger directly."""

    permission: ClassVar[str] = "prediction:request"
    endpoint: str

    def resource(self, state: State) -> str:
        return f"endpoints/{self.endpoint}"


class Source(Protocol):
    """Where state lives."""

    def position(self) -> int:
        """Return a number that grows with every change of state."""
        ...

    def read(self) -> tuple[int, MemoryState]:
        """Return a consistent copy of what serving needs, and the position that it includes."""
        ...

    def find_token(self, token_hash: bytes) -> KnownToken | None: ...


class Verdict(Protocol):
    """What `authorize` answers, as far as serving needs it."""

    @property
    def decision(self) -> DecisionRef: ...
    @property
    def refusal(self) -> JuratError | None: ...


Authorize = Callable[[State, Actor, Command, int], Verdict]


@dataclass(frozen=True)
class Picture:
    """What holds, as of one position. Never changed, only replaced; what is remembered under it dies with it."""

    position: int
    state: MemoryState
    filters: dict[str, Filter | JuratError] = field(default_factory=dict)
    tokens: dict[bytes, tuple[float, KnownToken | None]] = field(default_factory=dict)
    verdicts: dict[tuple[str, tuple[str, ...], str], tuple[float, Verdict]] = field(default_factory=dict)

    def endpoint(self, name: str) -> rows.Endpoint | None:
        return self.state.get(rows.Endpoint, name)

    def version(self, name: str) -> rows.Version | None:
        return self.state.get(rows.Version, name)

    def rollout(self, endpoint: str) -> rows.Rollout | None:
        return self.state.get(rows.Rollout, endpoint)


class ServingSnapshot:
    """The newest picture, kept by a thread of its own. `start` it, `stop` it; the rest may be called from one loop."""

    def __init__(self, source: Source, authorize: Authorize, clock: Clock, now_s: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._authorize = authorize
        self._clock = clock
        self._now_s = now_s
        self._picture: Picture | None = None
        self._confirmed_s = float("-inf")
        self.on_routing: Callable[[Routing], None] | None = None  # told, in the thread that looks, what is served otherwise now
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="serving-snapshot", daemon=True)

    def start(self) -> None:
        """Read the first picture, then follow.

        Raises:
            Unavailable: the state cannot be read now.
        """
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    @property
    def age_s(self) -> float:
        """Seconds since the picture was last known to be the newest."""
        return self._now_s() - self._confirmed_s

    def picture(self) -> Picture:
        """Return the newest picture.

        Raises:
            Unavailable: it could not be confirmed for `STALE_AFTER_S`.
        """
        if self._picture is None or self.age_s > STALE_AFTER_S:
            raise Unavailable(
                f"what may be served has not been confirmed for {STALE_AFTER_S:g} s, so nothing is",
                hint="try again shortly; an operator sees in `jurat status` why the database does not answer",
                code="snapshot_stale",
            )
        return self._picture

    def refresh(self) -> None:
        """Make the picture the newest, or leave it as it is and say why."""
        asked_s = self._now_s()
        if self._picture is None or self._source.position() != self._picture.position:
            position, state = self._source.read()
            before, self._picture = self._picture, Picture(position, state, {e.endpoint: _filter_of(e) for e in state.find(rows.Endpoint)})
            if before is not None and self.on_routing is not None:
                for changed in routing_changes(before.state, state):
                    self.on_routing(changed)
        self._confirmed_s = asked_s

    def remembers(self, picture: Picture, token_hash: bytes) -> bool:
        """Whether `caller` will answer without asking the database."""
        found = picture.tokens.get(token_hash)
        return found is not None and self._now_s() - found[0] <= TOKEN_REMEMBERED_S

    def look_up(self, picture: Picture, token_hash: bytes) -> None:
        """Ask the database about a token, and remember the answer (also a no). Blocks: call it in a thread."""
        asked_s = self._now_s()
        if len(picture.tokens) >= _MAX_REMEMBERED:
            picture.tokens.clear()
        picture.tokens[token_hash] = (asked_s, self._source.find_token(token_hash))

    def caller(self, picture: Picture, token: str) -> Actor:
        """Return who holds a token, by what is remembered.

        Raises:
            Unauthenticated: as `admit`; also for a token that nobody looked up.
        """
        return admit(picture.state, _Remembered(picture.tokens), token, self._clock.now_ns())

    def may_request(self, picture: Picture, caller: Actor, endpoint: str) -> Verdict:
        """Return the policy's answer, remembered for each caller and endpoint until anything changes, or a minute.

        Grants end by the clock and not by an event, so what is remembered never outlives a grant's end.
        """
        key = (caller.principal, tuple(caller.chain), endpoint)
        now_s, now_ns = self._now_s(), self._clock.now_ns()
        found = picture.verdicts.get(key)
        if found is not None and now_s < found[0]:
            return found[1]
        verdict = self._authorize(picture.state, caller, RequestPrediction(endpoint=endpoint), now_ns)
        if len(picture.verdicts) >= _MAX_REMEMBERED:
            picture.verdicts.clear()
        until_s = now_s + min(DECISION_REMEMBERED_S, next_expiry_s(picture.state, caller, now_ns))
        picture.verdicts[key] = (until_s, _Again(verdict.decision.without_question(), verdict.refusal))
        return verdict

    def _follow(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                self.refresh()
            except Exception:  # noqa: S112 (whatever it is, the picture only grows older, and then answers nobody)
                continue


@dataclass(frozen=True)
class Routing:
    """What an endpoint serves now, and the event that made it so."""

    endpoint: str
    version: str
    share_bp: int  # of a rollout's new version; 0 if none gets traffic
    event: str


def routing_changes(before: State, after: State) -> list[Routing]:
    """Return the endpoints whose traffic goes elsewhere than before, by the newest event that made it so."""

    def routes(state: State) -> dict[str, Routing]:
        found = {}
        for row in state.find(rows.Endpoint):
            rollout = state.get(rows.Rollout, row.endpoint)
            share_bp = rollout.share_bp if rollout is not None and rollout.is_live else 0
            event = max(row.as_of, rollout.as_of if rollout else "")  # ids of events sort by time
            found[row.endpoint] = Routing(row.endpoint, row.version, share_bp, event)
        return found

    known = routes(before)
    return [route for name, route in routes(after).items() if known.get(name) != route]


@dataclass(frozen=True)
class _Again:
    """A remembered answer: the first event that rested on it carries the question."""

    decision: DecisionRef
    refusal: JuratError | None


class _Remembered:
    """The vault, as far as it is remembered."""

    def __init__(self, tokens: dict[bytes, tuple[float, KnownToken | None]]) -> None:
        self._tokens = tokens

    def find_token(self, token_hash: bytes) -> KnownToken | None:
        found = self._tokens.get(token_hash)
        if found is None:
            raise Unauthenticated("this access token was not looked up", hint="try again")
        return found[1]


class StoreSource:
    """The state as PostgreSQL holds it."""

    NEEDED: ClassVar[dict[type[rows.Row], str]] = {
        rows.Principal: "principal",
        rows.Grant: "grant",
        rows.Glass: "glass",
        rows.Endpoint: "endpoint",
        rows.Version: "version",
        rows.Session: "session",
        rows.Rollout: "endpoint",
        rows.Vouch: "credential",
    }

    def __init__(self, store: Store) -> None:
        self._store = store

    def position(self) -> int:
        with self._store.reading() as snapshot:
            return snapshot.as_of

    def read(self) -> tuple[int, MemoryState]:
        state = MemoryState()
        with self._store.reading() as snapshot:
            for row_type, key in self.NEEDED.items():
                state.apply(Put(rows.TABLE_OF[row_type], getattr(row, key), row) for row in snapshot.find(row_type))
            if (keys := snapshot.get(rows.TokenKeys, "current")) is not None:
                state.apply([Put(rows.TABLE_OF[rows.TokenKeys], "current", keys)])
            in_force = snapshot.get(rows.PolicySetInForce, "current")
            shadow = snapshot.get(rows.PolicySetInForce, "shadow")
            sets = {"current": in_force, "shadow": shadow}
            state.apply(Put(rows.TABLE_OF[rows.PolicySetInForce], key, row) for key, row in sets.items() if row is not None)
            state.apply(Put(rows.TABLE_OF[rows.System], row.system, row) for row in snapshot.find(rows.System))
            return snapshot.as_of, state

    def find_token(self, token_hash: bytes) -> KnownToken | None:
        with self._store.reading() as snapshot:
            return snapshot.vault.find_token(token_hash)


def _filter_of(endpoint: rows.Endpoint) -> Filter | JuratError:
    try:
        return Filter(endpoint.blocked_patterns)
    except JuratError as error:
        return error  # the endpoint answers nobody (failed_closed); its neighbours go on


def next_expiry_s(state: State, caller: Actor, now_ns: int) -> float:
    """Return how many seconds it is until the first grant of anybody behind a caller ends; infinity if none does."""
    ends = [
        ends_ns - now_ns
        for principal in {caller.principal, *caller.chain}
        for grant in state.find(rows.Grant, principal=principal)
        if (ends_ns := end_of(grant)) is not None and is_live(grant, now_ns)
    ]
    return min(ends) / 1e9 if ends else float("inf")
