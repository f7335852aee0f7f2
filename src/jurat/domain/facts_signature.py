"""What is said of signatures on models, and of whose count. LAW: as in `facts`. Names of people in certificates have no place here."""

from __future__ import annotations

from typing import Final

from jurat.domain.values import Fact


class SignerTrusted(Fact, frozen=True, kw_only=True):
    """Signatures by this key, or by certificates that lead to these roots, count from now on."""

    signer: str
    method: str  # key, certificate
    anchor: str  # the key's id, or the digest over the roots
    pem: str
    identity_digest: str  # of the one name in a certificate that counts; empty: every name, or a bare key
    reason: str


class SignerDistrusted(Fact, frozen=True, kw_only=True):
    """They count no more; what had been verified by them is not verified any more."""

    signer: str
    reason: str
    versions: list[str]


class SignatureChecked(Fact, frozen=True, kw_only=True):
    """A signature file was held against a version: whether it holds, by which key, whether that counts, and what it covers."""

    version: str
    version_digest: str
    bundle_digest: str
    verdict: str  # trusted, untrusted, refused
    signer: str  # who is trusted by that key; empty: nobody
    method: str
    anchor: str
    key_id: str
    manifest_digest: str  # over all that was signed
    files: int
    covered: dict[str, str]  # artefact → file that was signed with the very same bytes
    as_of: str  # RFC 3339: when certificates had to be valid
    reason: str


SIGNATURE_FACTS: Final[dict[str, type[Fact]]] = {
    "signature.checked.v1": SignatureChecked,
    "signer.trusted.v1": SignerTrusted,
    "signer.distrusted.v1": SignerDistrusted,
}
