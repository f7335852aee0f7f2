"""The envelope around a fact, and its bytes. What is encoded here is what the ledger commits to, byte for byte."""

from __future__ import annotations

from typing import Any

import msgspec

from jurat.core.errors import Malformed
from jurat.core.jsonio import dump_json, load_json
from jurat.domain.decisions import DecisionRef as DecisionRef
from jurat.domain.facts import FACTS, KIND_OF, Fact
from jurat.domain.kinds import Kind, kind_named
from jurat.domain.values import PrincipalType


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who acted: the principal, and the proven chain behind it (the person first)."""

    principal: str
    type: PrincipalType
    chain: list[str]
    credential: str = ""  # what that came of which they acted by, if it is in two hands: pky_…, idn_…, tok_…; empty: cannot be vouched for
    hands: list[str] = []  # who else made it, and so may be who acted


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in the past tense, with who, when, by which decision, and on which earlier events it rests."""

    id: str
    at: str
    actor: Actor
    resource: str
    data: Fact
    decision: DecisionRef | None = None
    because: list[str] = []

    @property
    def kind(self) -> Kind:
        return kind_named(KIND_OF[type(self.data)])


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    kind: str
    at: str
    actor: Actor
    resource: str
    data: Any
    decision: DecisionRef | None = None
    because: list[str] = []


def encode_event(event: Event) -> bytes:
    """Return the event's JSON bytes, deterministic."""
    return dump_json(
        _Envelope(
            id=event.id, kind=event.kind.name, at=event.at, actor=event.actor, resource=event.resource,
            data=event.data, decision=event.decision, because=event.because,
        )
    )  # fmt: skip


def decode_event(raw: bytes) -> Event:
    """Return the event in some bytes. The inverse of `encode_event`.

    Raises:
        Malformed: not JSON, an unknown kind, or a field of the wrong type.
    """
    envelope = load_json(raw, _Envelope, what="event")
    fact = FACTS.get(envelope.kind)
    if fact is None:
        raise Malformed(f"event kind `{envelope.kind[:80]}` is not in the catalogue", hint="a newer jurat may have written it")
    try:
        data = msgspec.convert(envelope.data, fact)
    except msgspec.ValidationError as error:
        raise Malformed(f"event `{envelope.id[:40]}` of kind `{envelope.kind}` cannot be read: {error}") from error
    return Event(
        id=envelope.id, at=envelope.at, actor=envelope.actor, resource=envelope.resource,
        data=data, decision=envelope.decision, because=envelope.because,
    )  # fmt: skip
