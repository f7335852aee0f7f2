"""What the events say about how long other events are kept: retention, holds, expiry, erasure, pruning.

The law of `facts` holds here too: fields are only added, last, with a default. These events lie in the `configuration`
log, which outlives every other: they explain what is no longer there. They carry places and reasons, never content.
"""

from __future__ import annotations

import msgspec

from jurat.domain.values import Fact


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive events of one log, both ends included."""

    first: int
    last: int


Places = dict[str, list[Stretch]]
"""Which events: per log (`main/inference`), stretches that ascend and do not touch."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """A search of the whole workspace for bytes and salts that must be gone: in files as they lie there, and inside the archive's."""

    files: int
    size_bytes: int
    archive_rows: int
    needles: int  # events whose bytes and salts were looked for; a run that was interrupted has them for fewer than it erased
    left_over: list[str]  # the files in which something was found; empty, or the erasure is not recorded


class RetentionApplied(Fact, frozen=True, kw_only=True):
    digest: str
    source: str  # the YAML, as written
    reason: str
    previous: str | None = None


class HoldPlaced(Fact, frozen=True, kw_only=True):
    """Nothing that the predicate meets expires or is erased. A field that says nothing meets everything."""

    hold: str
    systems: list[str]
    subject: str  # an id of ours (prn_…, prd_…), never a name
    received_from: str  # RFC 3339, or empty
    received_until: str
    reason: str
    legal_basis: str


class HoldReleased(Fact, frozen=True, kw_only=True):
    hold: str
    reason: str


class ErasureRequested(Fact, frozen=True, kw_only=True):
    request: str
    selector: str  # `subject`, `prediction` or `event`
    reference: str  # an id of ours; empty where it would be personal data itself
    person: str  # the principal whose name in the vault goes too; empty: nobody's
    events: Places
    count: int
    kept: dict[str, int]  # why → how many events of the selection stay
    reason: str
    legal_basis: str
    retention: str  # digest of the table that it was judged by
    shown_digest: str  # of the fields above, from `selector` to `retention`
    expires_at: str


class ErasureApproved(Fact, frozen=True, kw_only=True):
    """From here on nobody is shown these events, and their content may be gone."""

    request: str
    shown_digest: str
    comment: str
    events: Places


class ErasureRejected(Fact, frozen=True, kw_only=True):
    request: str
    shown_digest: str
    comment: str


class ErasureStarted(Fact, frozen=True, kw_only=True):
    request: str
    count: int


class EventsErased(Fact, frozen=True, kw_only=True, omit_defaults=True):  # as below
    """Content, salts and columns of these events are gone; their entries stay, and so do all proofs."""

    request: str
    events: Places
    count: int
    reason: str
    legal_basis: str
    files: list[str]  # written anew without them, relative to the ledger
    removed: list[str]  # deleted: what was written anew, and journal segments
    search: Search
    person: str = ""
    copies: list[str] = []  # noqa: RUF012 - mirrors that were pushed to before: each may hold them until it is pushed to again


class EventsExpired(Fact, frozen=True, kw_only=True):
    """The rows of these events go. Recorded before they do."""

    events: Places
    count: int
    kinds: dict[str, int]
    before: str  # the day of the run: what was kept until an earlier day
    retention: str


class LogPruned(Fact, frozen=True, kw_only=True, omit_defaults=True):  # what was written without the last field stays as it was
    """Entries and full tiles below the minimum index are refused, and their space is free."""

    log: str
    minimum_index: int
    size: int  # of the checkpoint at that moment
    root: str
    ended_digest: str = ""  # of where producers' streams end below it (`pruned.json`)


class LogKeyRotated(Fact, frozen=True, kw_only=True):
    """From `first_size` on the new keys sign this log's checkpoints; the old ones too, up to `last_size`, and then no more."""

    log: str
    origin: str
    old_vkeys: list[str]
    new_vkeys: list[str]
    new_receipt_vkey: str
    first_size: int
    last_size: int
    reason: str


class ArtefactsCleaned(Fact, frozen=True, kw_only=True):
    """Kept bytes are about to go: nothing on record speaks of these digests, nor of what a killed process left half-written."""

    digests: list[str]
    unfinished: int
    copies: int  # of what lies in the object store, where it stays
    size_bytes: int


class ShorteningRequested(Fact, frozen=True, kw_only=True):
    """A table that keeps something for a shorter time waits for another person's word. For events to come only."""

    request: str
    digest: str  # of the table that is asked for
    source: str
    previous: str  # digest of the table that it would replace
    less: str  # what it keeps shorter, in words
    reason: str
    shown_digest: str  # of the fields above, from `digest` to `reason`
    expires_at: str


class ShorteningApproved(Fact, frozen=True, kw_only=True):
    """Recorded together with the `retention.applied.v1` that it allows."""

    request: str
    shown_digest: str
    comment: str


class ShorteningRejected(Fact, frozen=True, kw_only=True):
    request: str
    shown_digest: str
    comment: str


KEEPING_FACTS: dict[str, type[Fact]] = {
    "retention.applied.v1": RetentionApplied,
    "hold.placed.v1": HoldPlaced,
    "hold.released.v1": HoldReleased,
    "erasure.requested.v1": ErasureRequested,
    "erasure.approved.v1": ErasureApproved,
    "erasure.rejected.v1": ErasureRejected,
    "erasure.started.v1": ErasureStarted,
    "events.erased.v1": EventsErased,
    "events.expired.v1": EventsExpired,
    "log.pruned.v1": LogPruned,
    "artefacts.cleaned.v1": ArtefactsCleaned,
    "log.key_rotated.v1": LogKeyRotated,
    "retention.shortening_requested.v1": ShorteningRequested,
    "retention.shortening_approved.v1": ShorteningApproved,
    "retention.shortening_rejected.v1": ShorteningRejected,
}
