"""The bytes of every kind of event, for ever: what was written once is still read, and written the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from jurat.domain.events import decode_event, encode_event
from jurat.domain.facts import FACTS, KIND_OF
from jurat.domain.kinds import BY_NAME, CATALOGUE

LINES = (Path(__file__).parent / "events" / "v1.jsonl").read_bytes().splitlines()
# Codes are in the ledger's entries: this list only grows.
CODES = {
    1: "workspace.created.v1", 2: "principal.registered.v1", 3: "policy_set.applied.v1", 4: "gates.applied.v1",
    5: "endpoint.configured.v1", 6: "events.imported.v1", 10: "role.granted.v1", 11: "role.revoked.v1", 12: "token.issued.v1",
    13: "token.revoked.v1", 14: "act.denied.v1", 15: "data.read.v1", 16: "records.read.v1", 20: "dataset.registered.v1",
    21: "evidence.measured.v1", 22: "artefact.scanned.v1", 30: "system.registered.v1", 31: "version.registered.v1",
    32: "gate.checked.v1", 33: "promotion.requested.v1", 34: "request.approved.v1", 35: "request.rejected.v1",
    36: "version.promoted.v1", 37: "version.retired.v1", 50: "prediction.requested.v1", 51: "prediction.made.v1",
    52: "prediction.overridden.v1",
    90: "producer.opened.v1", 91: "producer.heartbeat.v1", 92: "producer.closed.v1", 93: "producer.registered.v1",
    94: "training.observed.v1", 95: "deployment.observed.v1", 96: "inference.observed.v1", 97: "access.observed.v1",
    98: "configuration.observed.v1", 99: "error.observed.v1",
    100: "session.opened.v1", 101: "session.ended.v1", 102: "connections.cut.v1", 103: "token_keys.rotated.v1",
    104: "provider.registered.v1", 105: "provider.removed.v1", 106: "trust.declared.v1", 107: "trust.ended.v1",
    108: "identity.invited.v1", 109: "identity.linked.v1",
    110: "principal.deactivated.v1", 111: "principal.reactivated.v1", 112: "ownership.transferred.v1", 113: "person.described.v1",
    114: "group.defined.v1", 115: "group.removed.v1", 116: "group_roles.applied.v1", 117: "link.issued.v1", 118: "passkey.added.v1",
    119: "passkey.removed.v1",
    140: "policy_change.requested.v1", 141: "policy_change.approved.v1", 142: "policy_change.rejected.v1", 143: "policy_shadow.set.v1",
    144: "access.decided.v1",
    70: "prediction.failed.v1", 71: "guardrail.failed.v1", 72: "event.rejected.v1", 73: "retention.shortening_requested.v1",
    74: "retention.shortening_approved.v1", 75: "retention.shortening_rejected.v1", 76: "log.key_rotated.v1",
    80: "retention.applied.v1", 81: "hold.placed.v1", 82: "hold.released.v1", 83: "erasure.requested.v1", 84: "erasure.approved.v1",
    85: "erasure.rejected.v1", 86: "erasure.started.v1", 87: "events.erased.v1", 88: "events.expired.v1", 89: "log.pruned.v1",
}  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=lambda line: msgspec.json.decode(line)["kind"])
def test_what_was_written_once_is_read_and_written_the_same(line: bytes) -> None:
    event = decode_event(line)
    assert KIND_OF[type(event.data)] == msgspec.json.decode(line)["kind"]
    assert encode_event(event) == line


def test_every_kind_has_its_golden_line() -> None:
    assert {msgspec.json.decode(line)["kind"] for line in LINES} == set(FACTS)


def test_codes_are_never_given_to_another_kind() -> None:
    for code, name in CODES.items():
        assert BY_NAME[name].code == code
    assert len({kind.code for kind in CATALOGUE}) == len(CATALOGUE)
