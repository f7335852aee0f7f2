"""What the events say about producers that are watched. The law of `facts` holds here too."""

from __future__ import annotations

from jurat.domain.values import Fact


class ProducerSilent(Fact, frozen=True, kw_only=True):
    """A stream that promised a word each `period_s` gave none for two of them, and had not said that it ends."""

    log: str
    producer: int
    epoch: int
    last_seq: int  # the last number that the ledger has of it
    last_received_at: str
    period_s: float
    silent_s: float  # when this was noticed


class IntentsOrphaned(Fact, frozen=True, kw_only=True):
    """What was about to be done, and of which nothing is on record since: who wrote it was killed, or lost the ledger."""

    sort: str  # prediction, registry_act
    about: str  # endpoints/credit, registry/<server>/<model>
    intents: list[str]  # predictions, or event ids
    first_at: str
    last_at: str


class ViewDiffers(Fact, frozen=True, kw_only=True):
    """Rows of the database are not what the ledger says. Which, never what they say: that may be anything."""

    count: int
    rows: list[str]  # `altered versions/credit@1.1.0`; the first hundred
    fields: dict[str, list[str]]  # which fields of a row


class DatabaseRecovered(Fact, frozen=True, kw_only=True):
    """The database was gone, and was folded again from the ledger by whoever holds its signing key; one operator got a token."""

    rows: int
    events: int  # that it was folded from
    operator: str
    reason: str


WATCH_FACTS: dict[str, type[Fact]] = {
    "producer.silent.v1": ProducerSilent,
    "intents.orphaned.v1": IntentsOrphaned,
    "view.differs.v1": ViewDiffers,
    "database.recovered.v1": DatabaseRecovered,
}
