"""What holds now of signatures on models: whose count, and the newest one that was held against each version."""

from __future__ import annotations

from typing import Final

from jurat.domain.row import Row


class Signer(Row, frozen=True, kw_only=True):
    """Whose signatures count. Key: the name."""

    signer: str
    method: str
    anchor: str
    pem: str
    identity_digest: str
    reason: str


class Signature(Row, frozen=True, kw_only=True):
    """Key: the version."""

    version: str
    version_digest: str
    bundle_digest: str
    verdict: str  # trusted, untrusted, refused, distrusted
    signer: str
    key_id: str
    covered: dict[str, str]
    reason: str
    at: str


SIGNATURE_ROWS: Final[dict[str, type[Row]]] = {"signers": Signer, "signatures": Signature}
