"""What can be asked for about how long events are kept: retention, holds, erasure, expiry.

Commands that name events carry what Jurat itself read of them in the ledger; a caller never says what is to be erased
but by a selector (`app.erase`).
"""

from __future__ import annotations

from typing import ClassVar

from jurat.domain.commands import Command
from jurat.domain.facts_keeping import Places, Search
from jurat.domain.retention import Kept
from jurat.domain.state import State


class _OnWorkspace(Command, frozen=True, kw_only=True):
    def resource(self, state: State) -> str:
        return "workspace"


class ApplyRetention(_OnWorkspace, frozen=True, kw_only=True):
    permission: ClassVar[str] = "retention:apply"
    source: str
    reason: str


class RotateLogKey(_OnWorkspace, frozen=True, kw_only=True):
    """Announce new keys of a log, made before. The sizes are those that the sequencer signs by."""

    permission: ClassVar[str] = "log:rotate"
    log: str
    origin: str
    old_vkeys: list[str]
    new_vkeys: list[str]
    new_receipt_vkey: str
    first_size: int
    last_size: int
    reason: str


class RequestShortening(_OnWorkspace, frozen=True, kw_only=True):
    """Ask that a table which keeps something for a shorter time comes into force, for events to come."""

    permission: ClassVar[str] = "retention:apply"
    source: str
    reason: str
    lifetime_s: float


class _OnShortening(_OnWorkspace, frozen=True, kw_only=True):
    request: str
    shown_digest: str  # of what was shown; another one voids the act
    comment: str = ""


class ApproveShortening(_OnShortening, frozen=True, kw_only=True):
    permission: ClassVar[str] = "retention:approve"


class RejectShortening(_OnShortening, frozen=True, kw_only=True):
    permission: ClassVar[str] = "retention:reject"


class PlaceHold(_OnWorkspace, frozen=True, kw_only=True):
    """Keep what this predicate meets, whatever else says that it goes. An empty field meets everything."""

    permission: ClassVar[str] = "hold:place"
    reason: str
    legal_basis: str
    systems: list[str] = []  # noqa: RUF012 - a struct's default is copied
    subject: str = ""
    received_from: str = ""
    received_until: str = ""


class ReleaseHold(_OnWorkspace, frozen=True, kw_only=True):
    permission: ClassVar[str] = "hold:release"
    hold: str
    reason: str


class RequestErasure(_OnWorkspace, frozen=True, kw_only=True):
    """Ask that the content of these events goes. `only_free`: leave out what a floor or a hold keeps, and say so."""

    permission: ClassVar[str] = "erasure:request"
    selector: str
    reference: str
    person: str
    found: list[Kept]
    reason: str
    legal_basis: str
    only_free: bool
    lifetime_s: float


class _OnErasure(_OnWorkspace, frozen=True, kw_only=True):
    request: str
    shown_digest: str  # of what was shown; another one voids the act
    comment: str = ""


class ApproveErasure(_OnErasure, frozen=True, kw_only=True):
    permission: ClassVar[str] = "erasure:approve"


class RejectErasure(_OnErasure, frozen=True, kw_only=True):
    permission: ClassVar[str] = "erasure:reject"


class StartErasure(_OnWorkspace, frozen=True, kw_only=True):
    """Begin, or begin again, to erase what was approved. Holds and floors are asked once more, of what is still there."""

    permission: ClassVar[str] = "erasure:run"
    request: str
    found: list[Kept]


class FinishErasure(_OnWorkspace, frozen=True, kw_only=True):
    """Say what was done; only a search that found nothing makes it an erasure."""

    permission: ClassVar[str] = "erasure:run"
    request: str
    files: list[str]
    removed: list[str]
    search: Search
    copies: list[str] = []  # noqa: RUF012


class RecordExpiry(_OnWorkspace, frozen=True, kw_only=True):
    """Say that the time of these events is over, before their rows go. Judged by `retention` with `holds` live, which must still be so."""

    permission: ClassVar[str] = "retention:run"
    events: Places
    kinds: dict[str, int]
    retention: str
    holds: list[str]


class CleanArtefacts(_OnWorkspace, frozen=True, kw_only=True):
    """Say that bytes which nothing on record speaks of are about to go, and copies of what lies elsewhere."""

    permission: ClassVar[str] = "retention:run"
    digests: list[str]  # that nothing speaks of
    unfinished: int
    copies: int
    size_bytes: int


class RecordPruning(_OnWorkspace, frozen=True, kw_only=True):
    """Say that a log is refused below this index, before it is. Everything there has expired, by the ledger's own word."""

    permission: ClassVar[str] = "retention:run"
    log: str
    minimum_index: int
    size: int
    root: str
    ended_digest: str
