"""Make the vectors anew with the reference implementation: `python -m tests.vectors.model_signing.make`. Not run by tests.

Keys are thrown away: only their public halves are kept, so nobody can sign anything else by them.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from model_signing import hashing, signing
from tests.vectors.model_signing.files import model

HERE = Path(__file__).parent
FROM, UNTIL = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, by: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None, ca: bool
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, issuing = by or (subject, key)
    usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(FROM).not_valid_after(UNTIL).add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(usage, critical=True)
    )  # fmt: skip
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("https://ci.example.org/train")]), critical=False
        )
    return builder.sign(issuing, hashes.SHA256())


def pem(thing: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = model(folder)
        shards = hashing.Config().use_shard_serialization(shard_size=1000)
        blake = hashing.Config().use_file_serialization(hashing_algorithm="blake2")
        for name, curve, how in (
            ("p256", ec.SECP256R1(), None), ("p384", ec.SECP384R1(), None), ("p521", ec.SECP521R1(), None),
            ("shards", ec.SECP256R1(), shards), ("blake2", ec.SECP256R1(), blake),
        ):  # fmt: skip
            key = ec.generate_private_key(curve)
            (folder / "key.pem").write_bytes(pem(key))
            config = signing.Config().use_elliptic_key_signer(private_key=folder / "key.pem")
            (config.set_hashing_config(how) if how else config).sign(path, HERE / f"{name}.sig")
            public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            (HERE / f"{name}.pem").write_bytes(public)
        root_key, middle_key, own_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        root = certificate("Test root", root_key, None, True)
        middle = certificate("Test intermediate", middle_key, (root.subject, root_key), True)
        own = certificate("Test signer", own_key, (middle.subject, middle_key), False)
        for name, thing in (("key", own_key), ("own", own), ("middle", middle)):
            (folder / f"{name}.pem").write_bytes(pem(thing))
        signing.Config().use_certificate_signer(
            private_key=folder / "key.pem", signing_certificate=folder / "own.pem", certificate_chain=[folder / "middle.pem"]
        ).sign(path, HERE / "certificate.sig")
        (HERE / "certificate.pem").write_bytes(pem(root))


if __name__ == "__main__":
    main()
