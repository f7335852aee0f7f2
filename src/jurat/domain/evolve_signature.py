"""What events about signatures on models change. The evidence beside them changes its own row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from jurat.domain import facts_signature as facts
from jurat.domain import rows
from jurat.domain.events import Event
from jurat.domain.state import Put, State
from jurat.domain.values import Fact


def trusted(_state: State, event: Event, data: facts.SignerTrusted) -> list[Put]:
    row = rows.Signer(
        as_of=event.id, signer=data.signer, method=data.method, anchor=data.anchor, pem=data.pem, identity_digest=data.identity_digest,
        reason=data.reason,
    )  # fmt: skip
    return [Put("signers", data.signer, row)]


def distrusted(state: State, event: Event, data: facts.SignerDistrusted) -> list[Put]:
    found = [row for version in data.versions if (row := state.get(rows.Signature, version)) is not None]
    ended = [msgspec.structs.replace(row, as_of=event.id, verdict="distrusted", reason=data.reason) for row in found]
    return [Put("signers", data.signer, None), *(Put("signatures", row.version, row) for row in ended)]


def checked(_state: State, event: Event, data: facts.SignatureChecked) -> list[Put]:
    row = rows.Signature(
        as_of=event.id, version=data.version, version_digest=data.version_digest, bundle_digest=data.bundle_digest, verdict=data.verdict,
        signer=data.signer, key_id=data.key_id, covered=data.covered, reason=data.reason, at=event.at,
    )  # fmt: skip
    return [Put("signatures", data.version, row)]


SIGNATURE_CHANGES: Final[dict[type[Fact], Callable[[State, Event, Any], list[Put]]]] = {
    facts.SignerTrusted: trusted,
    facts.SignerDistrusted: distrusted,
    facts.SignatureChecked: checked,
}
