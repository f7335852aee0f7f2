"""What can be asked for about signatures on models: whose count, and that one was held against a version."""

from __future__ import annotations

from typing import ClassVar

from jurat.domain.commands import Command, _OnVersion
from jurat.domain.state import State


class TrustSigner(Command, frozen=True, kw_only=True):
    """Let signatures by a key, or by certificates that lead to these roots, count from now on."""

    permission: ClassVar[str] = "gates:apply"
    signer: str
    pem: str  # a public key, or certificates of roots
    reason: str
    identity_digest: str = ""  # of the one name in a certificate that counts

    def resource(self, state: State) -> str:
        return "workspace"


class DistrustSigner(Command, frozen=True, kw_only=True):
    """Let them count no more."""

    permission: ClassVar[str] = "gates:apply"
    signer: str
    reason: str

    def resource(self, state: State) -> str:
        return "workspace"


class RecordSignature(_OnVersion, frozen=True, kw_only=True):
    """Put on record how a signature file stood against a version. Whether its key counts is not the caller's to say."""

    permission: ClassVar[str] = "evidence:record"
    version_digest: str
    bundle_digest: str
    holds: bool
    reason: str  # why not
    method: str = ""
    anchor: str = ""
    key_id: str = ""
    identity_digests: list[str] = []  # noqa: RUF012
    manifest_digest: str = ""
    files: int = 0
    covered: dict[str, str] = {}  # noqa: RUF012
    as_of: str = ""
