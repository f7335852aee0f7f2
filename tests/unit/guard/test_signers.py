"""Signatures on models by hostile hands: what is not whole, not of this key, not of somebody who may sign, is refused with the reason."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from jurat.core.errors import Denied, Malformed
from jurat.guard.model_signature import MAX_BUNDLE_BYTES, Manifest, read_bundle, read_manifest, signed_bytes, write_statement
from jurat.guard.signers import anchor_of, sign, verify

FROM = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
AT = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
MANIFEST = Manifest(name="m", items={"a/b": "ab" * 32, "weights.bin": "cd" * 32}, ignore_paths=(".git",))
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
Key = ec.EllipticCurvePrivateKey


def private(key: Any, encryption: Any = None) -> bytes:
    return bytes(key.private_bytes(PEM, PKCS8, encryption or serialization.NoEncryption()))


def public(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture(scope="module")
def key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name)
def test_what_is_signed_is_what_is_verified(curve: ec.EllipticCurve) -> None:
    own = ec.generate_private_key(curve)
    found = verify(read_bundle(sign(MANIFEST, private(own))), public(own), AT)
    assert (found.manifest, found.method, found.key_id) == (MANIFEST, "key", anchor_of(public(own))[1])
    sharded = Manifest(name="", items={"w:0:10": "ab" * 32, "w:10:12": "cd" * 32}, shard_size=10)
    assert verify(read_bundle(sign(sharded, private(own))), public(own), AT).manifest == sharded


def changed(raw: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    found = json.loads(raw)
    change(found)
    return json.dumps(found).encode()


def test_one_changed_byte_of_what_was_signed_is_found(key: Key) -> None:
    raw = sign(MANIFEST, private(key))
    payload = base64.b64decode(json.loads(raw)["dsseEnvelope"]["payload"])
    for at in range(0, len(payload), 7):
        other = base64.b64encode(payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]).decode()
        with pytest.raises(Denied, match="not one of this key over these bytes"):
            verify(read_bundle(changed(raw, lambda b, other=other: b["dsseEnvelope"].update(payload=other))), public(key), AT)  # type: ignore[misc]


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "bundle type": lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle.v0.2+json"),
    "payload type": lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
    "0 signatures": lambda b: b["dsseEnvelope"].update(signatures=[]),
    "2 signatures": lambda b: b["dsseEnvelope"]["signatures"].append({"sig": "AA=="}),
    "keyless": lambda b: b.update(verificationMaterial={"certificate": {"rawBytes": "AA=="}, "tlogEntries": []}),
    "cannot be told apart": lambda b: b["verificationMaterial"].update(x509CertificateChain={"certificates": [{"rawBytes": "AA=="}]}),
    "not base64": lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="%%%"),
    "cannot be read": lambda b: b.pop("dsseEnvelope"),
}


@pytest.mark.parametrize("says", CHANGES)
def test_a_bundle_that_is_none_is_refused_with_the_reason(key: Key, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        read_bundle(changed(sign(MANIFEST, private(key)), CHANGES[says]))


def test_a_signature_file_is_bounded() -> None:
    with pytest.raises(Malformed, match="at most"):
        read_bundle(b" " * (MAX_BUNDLE_BYTES + 1))
    with pytest.raises(Malformed):
        read_bundle(b"[" * 100_000)


STATEMENTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "expected `https://model_signing": lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"),
    "statement": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "named twice": lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]),
    "does not fit": lambda s: s["subject"][0]["digest"].update(sha256="00" * 32),
    "digest over all": lambda s: s["subject"].append(s["subject"][0]),
    "method `zip`": lambda s: s["predicate"]["serialization"].update(method="zip"),
    "hash `md5`": lambda s: s["predicate"]["serialization"].update(hash_type="md5"),
    "0 files": lambda s: s["predicate"].update(resources=[]),
    "has no `sha256`": lambda s: s["predicate"]["resources"][0].update(algorithm="md5"),
    "has no `sha256`  ": lambda s: s["predicate"]["resources"][0].update(digest="xyz"),
    "method `shards`": lambda s: s["predicate"]["serialization"].update(method="shards", shard_size=0.5),
}


@pytest.mark.parametrize("says", STATEMENTS)
def test_a_statement_that_is_not_whole_is_refused(says: str) -> None:
    with pytest.raises(Malformed, match=says.strip()):
        read_manifest(changed(write_statement(MANIFEST), STATEMENTS[says]))


def test_the_signature_binds_the_type_to_the_bytes() -> None:
    assert signed_bytes(b"hello") == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"


def test_keys_that_the_format_does_not_know_are_refused(key: Key) -> None:
    for other in (ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256K1())):
        with pytest.raises(Malformed, match="expected an elliptic curve"):
            sign(MANIFEST, private(other))
        with pytest.raises(Malformed, match="expected an elliptic curve"):
            anchor_of(public(other))
    for text in (b"", b"no key", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", private(key)):
        with pytest.raises(Malformed):
            anchor_of(text)
    locked = private(key, serialization.BestAvailableEncryption(b"secret"))
    with pytest.raises(Malformed, match="needs its password") as caught:
        sign(MANIFEST, locked)
    assert caught.value.__cause__ is None, "nothing of the key in what is shown"
    with pytest.raises(Malformed, match="another password"):
        sign(MANIFEST, locked, password=b"wrong")
    assert verify(read_bundle(sign(MANIFEST, locked, password=b"secret")), public(key), AT).manifest == MANIFEST


# --- certificates


class Authority:
    """A root, and whatever it is made to say."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        self.root = self.issue(self.key, self.name, ca=True)

    def issue(
        self, key: Any, name: x509.Name | str, *, ca: bool = False, by: Any = None, issuer: x509.Name | None = None, signs: bool = True,
        certifies: bool | None = None, constraints: bool = True, days: int = 365,
    ) -> x509.Certificate:  # fmt: skip
        subject = name if isinstance(name, x509.Name) else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(signs, False, False, False, False, ca if certifies is None else certifies, False, False, False)
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or self.name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(FROM).not_valid_after(FROM + dt.timedelta(days))
            .add_extension(usage, critical=True)
        )  # fmt: skip
        if constraints:
            builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        return builder.sign(by or self.key, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(PEM) for each in certificates)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_a_certificate_that_leads_to_a_root_says_who_signed(authority: Authority, key: Key) -> None:
    own = authority.issue(key, "signer")
    found = verify(read_bundle(sign(MANIFEST, private(key), certificates_pem=pem(own))), pem(authority.root), AT)
    assert (found.method, found.subject, found.identities) == ("certificate", "CN=signer", ["CN=signer"])
    assert anchor_of(pem(authority.root, own)) == anchor_of(pem(own, authority.root)), "roots are a set"
    with pytest.raises(Denied, match="leads to none"):
        verify(read_bundle(sign(MANIFEST, private(key), certificates_pem=pem(own))), pem(Authority().root), AT)
    with pytest.raises(Denied, match="a key was given"):
        verify(read_bundle(sign(MANIFEST, private(key), certificates_pem=pem(own))), public(key), AT)
    with pytest.raises(Denied, match="by a bare key"):
        verify(read_bundle(sign(MANIFEST, private(key))), pem(authority.root), AT)
    with pytest.raises(Malformed, match="not one of this key"):
        sign(MANIFEST, private(ec.generate_private_key(ec.SECP256R1())), certificates_pem=pem(own))


@pytest.mark.parametrize(
    "between",
    [{"ca": False}, {"ca": False, "constraints": False}, {"ca": True, "certifies": False}, {"ca": False, "certifies": True}],
    ids=["no authority", "no constraints", "may not certify", "usage without constraints"],
)
def test_who_may_not_issue_makes_nobody_a_signer(authority: Authority, key: Key, between: dict[str, bool]) -> None:
    """The oldest hole of all: a certificate of anybody's under the root, used to issue another one."""
    mallory = ec.generate_private_key(ec.SECP256R1())
    middle = authority.issue(mallory, "mallory", **between)  # type: ignore[arg-type]
    own = authority.issue(key, "signer", by=mallory, issuer=middle.subject)
    with pytest.raises(Denied, match="leads to none"):
        verify(read_bundle(sign(MANIFEST, private(key), certificates_pem=pem(own, middle))), pem(authority.root), AT)


def test_a_certificate_for_something_else_does_not_sign(authority: Authority, key: Key) -> None:
    own = authority.issue(key, "server", signs=False)
    with pytest.raises(Denied, match="not one to sign with"):
        verify(read_bundle(sign(MANIFEST, private(key), certificates_pem=pem(own))), pem(authority.root), AT)


def test_an_expired_certificate_between_ends_the_chain(authority: Authority, key: Key) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    middle = authority.issue(other, "between", ca=True, days=30)
    own = authority.issue(key, "signer", by=other, issuer=middle.subject)
    raw = read_bundle(sign(MANIFEST, private(key), certificates_pem=pem(own, middle)))
    assert verify(raw, pem(authority.root), dt.datetime(2026, 1, 15, tzinfo=dt.UTC)).subject == "CN=signer"
    with pytest.raises(Denied, match="leads to none"):
        verify(raw, pem(authority.root), AT)
