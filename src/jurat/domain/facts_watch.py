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


WATCH_FACTS: dict[str, type[Fact]] = {"producer.silent.v1": ProducerSilent}
