"""Who signed a model: signatures by elliptic curve keys, and certificates that lead to a root. Pure: whoever calls says what to trust.

A signature has no time of its own, so certificates are judged as of a moment that the caller names; now, unless they know better.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from jurat.core.errors import Denied, Malformed
from jurat.guard.model_signature import Bundle, Manifest, read_manifest, signed_bytes, write_bundle, write_statement

MAX_PEM_BYTES: Final = 256 * 1024
# The curves of the format, each with the hash that goes with it.
_HASH_OF: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512(),
}  # fmt: skip


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A signature that holds: what was signed, by which key, and who a certificate says that is."""

    manifest: Manifest
    method: str  # key, certificate
    key_id: str
    subject: str = ""
    identities: list[str] = []  # names, addresses and URIs of the certificate, and its subject


def anchor_of(pem: bytes) -> tuple[str, str]:
    """Return the method and the name of what somebody wants to trust: `key` and its id, or `certificate` and the digest of the roots.

    Raises:
        Malformed: neither a public key of the format nor certificates.
    """
    if b"BEGIN CERTIFICATE" in pem[:MAX_PEM_BYTES]:
        roots = sorted(root.fingerprint(hashes.SHA256()) for root in _certificates(pem))
        return "certificate", "sha256:" + hashlib.sha256(b"".join(roots)).hexdigest()
    return "key", key_id(_public_key(pem))


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Return the name of a key, which is the hint in the bundles that it signed: the SHA-256 of its PEM."""
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(pem).hexdigest()


def sign(manifest: Manifest, private_pem: bytes, *, password: bytes | None = None, certificates_pem: bytes = b"") -> bytes:
    """Return a signature file over a manifest.

    Args:
        certificates_pem: the signer's own certificate first, then those that lead to (but need not include) a root; none: a bare key.
    Raises:
        Malformed: the key cannot be read, is of another kind, or is not that of the certificate.
    """
    try:
        key = serialization.load_pem_private_key(private_pem[:MAX_PEM_BYTES], password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: a password is needed, or one was given for nothing
        raise Malformed(
            "the private key cannot be read: "
            + ("it needs its password" if isinstance(error, TypeError) and password is None else "not a PEM key, or another password"),
            hint="make one with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`",
            code="key_malformed",
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unfit(type(key).__name__)
    payload, chain = write_statement(manifest), _certificates(certificates_pem) if certificates_pem else []
    if chain and chain[0].public_key() != key.public_key():
        raise Malformed("the first certificate is not one of this key", hint="put the signer's own first", code="key_malformed")
    return write_bundle(
        Bundle(
            payload=payload, signature=key.sign(signed_bytes(payload), ec.ECDSA(_hash_for(key.public_key()))),
            key_hint=key_id(key.public_key()).removeprefix("sha256:"),
            certificates=tuple(each.public_bytes(serialization.Encoding.DER) for each in chain),
        )
    )  # fmt: skip


def verify(bundle: Bundle, anchor_pem: bytes, as_of: datetime) -> Signed:
    """Return what a bundle says, if the key says so, or a certificate that leads to one of these roots.

    Args:
        anchor_pem: a public key, or certificates of roots.
        as_of: the moment at which certificates must have been valid.
    Raises:
        Malformed: the anchor, or the statement in the bundle, cannot be read.
        Denied: the signature does not hold; code `signature_refused`.
    """
    method, _ = anchor_of(anchor_pem)
    if (method == "certificate") != bool(bundle.certificates):
        raise _refused(
            f"it was signed {'with a certificate' if bundle.certificates else 'by a bare key'}, and a {method} was given to check it"
        )
    if method == "key":
        key = _public_key(anchor_pem)
        subject, identities = "", list[str]()
        if bundle.key_hint and bundle.key_hint != key_id(key).removeprefix("sha256:"):
            raise _refused(f"it names key `{bundle.key_hint[:12]}`, and was checked with `{key_id(key)[7:19]}`")
    else:
        own, found, identities = _signer(bundle, _certificates(anchor_pem), as_of)
        if not isinstance(found, ec.EllipticCurvePublicKey):
            raise _refused("its certificate has another sort of key than the format knows")
        key, subject = found, own.subject.rfc4514_string()
    try:
        key.verify(bundle.signature, signed_bytes(bundle.payload), ec.ECDSA(_hash_for(key)))
    except InvalidSignature:
        raise _refused("the signature is not one of this key over these bytes") from None
    return Signed(manifest=read_manifest(bundle.payload), method=method, key_id=key_id(key), subject=subject, identities=identities)


def _signer(bundle: Bundle, roots: list[x509.Certificate], as_of: datetime) -> tuple[x509.Certificate, object, list[str]]:
    """Return the signer's certificate, its key and the names in it."""
    try:
        own = _leading_to(bundle, roots, as_of)
        return own, own.public_key(), _identities(own)
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm, ValueError):
        raise _refused("its certificates cannot be read") from None


def _leading_to(bundle: Bundle, roots: list[x509.Certificate], as_of: datetime) -> x509.Certificate:
    """Return the signer's certificate, once it leads to a root by certificates that may issue, and may itself be used to sign."""
    try:
        own, *between = [x509.load_der_x509_certificate(raw) for raw in bundle.certificates]
    except ValueError:
        raise _refused("its certificates cannot be read") from None
    permissive, agnostic = verification.ExtensionPolicy.permit_all(), verification.Criticality.AGNOSTIC
    issuing = permissive.require_present(x509.BasicConstraints, agnostic, _may_issue).may_be_present(
        x509.KeyUsage, agnostic, _may_sign_certificates
    )
    policy = verification.PolicyBuilder().store(verification.Store(roots)).time(as_of).max_chain_depth(8)
    try:
        policy.extension_policies(ca_policy=issuing, ee_policy=permissive).build_client_verifier().verify(own, between)
    except (verification.VerificationError, ValueError) as error:
        raise _refused(f"its certificate `{own.subject.rfc4514_string()[:120]}` leads to none of these roots: {str(error)[:120]}") from None
    if not _may_sign(own):
        raise _refused(
            f"its certificate `{own.subject.rfc4514_string()[:120]}` is not one to sign with: no digital signature, no code signing"
        )
    return own


def _may_issue(_policy: verification.Policy, _certificate: x509.Certificate, found: x509.BasicConstraints) -> None:
    if not found.ca:
        raise ValueError("a certificate between is of nobody who may issue others")


def _may_sign_certificates(_policy: verification.Policy, _certificate: x509.Certificate, found: x509.KeyUsage | None) -> None:
    if found is not None and not found.key_cert_sign:
        raise ValueError("the key of a certificate between may not sign others")


def _may_sign(own: x509.Certificate) -> bool:
    try:
        if own.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return True
    except x509.ExtensionNotFound:
        pass
    try:
        return ExtendedKeyUsageOID.CODE_SIGNING in own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False


def _identities(own: x509.Certificate) -> list[str]:
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [own.subject.rfc4514_string()]
    said = [
        str(each) for kind in (x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier) for each in names.get_values_for_type(kind)
    ]
    return [own.subject.rfc4514_string(), *said]


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem[:MAX_PEM_BYTES])
    except ValueError:
        raise Malformed("these are no certificates in PEM", code="key_malformed") from None


def _public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(pem[:MAX_PEM_BYTES])
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed(
            "this is neither a public key in PEM nor certificates",
            hint="`openssl ec -in key.pem -pubout` prints the public half",
            code="key_malformed",
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _unfit(type(key).__name__)
    _hash_for(key)
    return key


def _hash_for(key: ec.EllipticCurvePublicKey) -> hashes.HashAlgorithm:
    if key.curve.name not in _HASH_OF:
        raise _unfit(key.curve.name)
    return _HASH_OF[key.curve.name]


def _unfit(kind: str) -> Malformed:
    return Malformed(f"a key of kind `{kind}`, expected an elliptic curve one on P-256, P-384 or P-521", code="key_malformed")


def _refused(why: str) -> Denied:
    return Denied(
        f"the signature does not hold: {why}", hint="ask whoever signed it; do not load what it came with", code="signature_refused"
    )
