"""The file format of OpenSSF model signatures: a Sigstore bundle around a DSSE envelope around an in-toto statement around a manifest.

Knows bytes and names; no key (`guard.signers`), no file system (`app.signatures`). A bundle says nothing until its signature was checked.
Sources: https://github.com/ossf/model-signing-spec (predicate v1.0), https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md,
https://docs.sigstore.dev/about/bundle/ (v0.3), https://github.com/in-toto/attestation/tree/main/spec/v1
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from jurat.core.errors import Malformed
from jurat.core.jsonio import load_json

MAX_BUNDLE_BYTES: Final = 32 * 2**20
MAX_RESOURCES: Final = 100_000
HASHES: Final = {"sha256": "sha256", "blake2b": "blake2b"}  # as the format calls them → as hashlib does
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
# What signers leave out by themselves, as the reference implementation does. The signature says so, and so verifiers leave it out too.
IGNORED: Final = (".git", ".gitattributes", ".github", ".gitignore")
_HEX: Final = re.compile(r"([0-9a-f]{2}){20,64}\Z")
_SHARD: Final = re.compile(r"(?P<path>.+):(?P<start>\d{1,18}):(?P<end>\d{1,18})\Z", re.DOTALL)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed: the hash of each file, or of each shard of each file (`weights.bin:0:1000000000`)."""

    name: str
    items: dict[str, str]  # name → hex digest; in the order in which they are written
    hash_type: str = "sha256"
    shard_size: int = 0  # bytes; 0: whole files
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()

    @property
    def algorithm(self) -> str:
        """How the format calls a digest in it."""
        return f"{self.hash_type}-sharded-{self.shard_size}" if self.shard_size else self.hash_type

    @property
    def root(self) -> str:
        """The digest that stands for all of it: SHA-256 over the digests, as bytes, in order."""
        return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in self.items.values())).hexdigest()

    @property
    def files(self) -> list[str]:
        """The files that it speaks of, once each."""
        return list(dict.fromkeys(split_shard(name)[0] if self.shard_size else name for name in self.items))

    def ignores(self, path: str) -> bool:
        """Whether the signer left this path out, or a folder that it lies in."""
        return any(PurePosixPath(path).is_relative_to(each) for each in self.ignore_paths)


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A signature as it lies in a file. Nothing in it is to be believed before `guard.signers` has checked it."""

    payload: bytes
    signature: bytes
    key_hint: str = ""
    certificates: tuple[bytes, ...] = ()  # DER, the signer's own first; none: signed by a bare key


class _Bytes(msgspec.Struct, rename="camel"):
    raw_bytes: str


class _Chain(msgspec.Struct):
    certificates: list[_Bytes] = []


class _Key(msgspec.Struct):
    hint: str | None = None


class _Material(msgspec.Struct, rename="camel"):
    public_key: _Key | None = None
    x509_certificate_chain: _Chain | None = None
    certificate: _Bytes | None = None


class _Signature(msgspec.Struct):
    sig: str


class _Envelope(msgspec.Struct, rename="camel"):
    payload: str
    payload_type: str
    signatures: list[_Signature]


class _Bundle(msgspec.Struct, rename="camel"):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


class _Subject(msgspec.Struct):
    digest: dict[str, str]
    name: str = ""


class _Resource(msgspec.Struct):
    name: str
    algorithm: str
    digest: str


class _Serialization(msgspec.Struct):
    method: str
    hash_type: str
    allow_symlinks: bool = False
    ignore_paths: list[str] = []
    shard_size: float = 0  # the reference implementation writes 1000.0


class _Predicate(msgspec.Struct):
    serialization: _Serialization
    resources: list[_Resource]


class _Statement(msgspec.Struct, rename="camel"):
    type_: str = msgspec.field(name="_type")
    subject: list[_Subject]
    predicate_type: str
    predicate: msgspec.Raw


def read_bundle(raw: bytes) -> Bundle:
    """Return what a signature file holds.

    Raises:
        Malformed: too large, no such bundle, more or fewer than one signature; or a keyless one, which nobody here can judge.
    """
    if len(raw) > MAX_BUNDLE_BYTES:
        raise Malformed(f"the signature has {len(raw)} bytes, expected at most {MAX_BUNDLE_BYTES}", code="signature_malformed")
    found = load_json(raw, _Bundle, what="signature")
    material, envelope = found.verification_material, found.dsse_envelope
    if found.media_type != MEDIA_TYPE:
        raise _wrong(f"bundle type `{found.media_type[:80]}`, expected `{MEDIA_TYPE}`")
    if envelope.payload_type != PAYLOAD_TYPE:
        raise _wrong(f"payload type `{envelope.payload_type[:80]}`, expected `{PAYLOAD_TYPE}`")
    if len(envelope.signatures) != 1:
        raise _wrong(f"{len(envelope.signatures)} signatures, expected 1")
    if material.certificate is not None:
        raise Malformed(
            "the signature is keyless (a certificate of Fulcio, an entry in Rekor), which is not checked here",
            hint="check it with `model_signing verify sigstore`, or have it signed with a key or with a certificate of your own",
            code="signature_keyless",
        )
    chain = material.x509_certificate_chain
    if (material.public_key is None) == (chain is None) or (chain is not None and not 0 < len(chain.certificates) <= 10):
        raise _wrong("its key and its certificates cannot be told apart: expected one key, or 1 to 10 certificates")
    return Bundle(
        payload=_decoded(envelope.payload), signature=_decoded(envelope.signatures[0].sig),
        key_hint=(material.public_key.hint or "") if material.public_key else "",
        certificates=tuple(_decoded(each.raw_bytes) for each in chain.certificates) if chain else (),
    )  # fmt: skip


def read_manifest(payload: bytes) -> Manifest:
    """Return what a payload says, which must be whole in itself.

    Raises:
        Malformed: another statement, an unknown hash, a name twice, or a digest over all that does not fit.
    """
    statement = load_json(payload, _Statement, what="signed statement")
    if statement.type_ != STATEMENT_TYPE or statement.predicate_type != PREDICATE_TYPE:
        raise _wrong(
            f"statement `{statement.type_[:60]}` with predicate `{statement.predicate_type[:60]}`, expected `{PREDICATE_TYPE}`",
            "signatures from before version 1.0 are not read: have it signed again",
        )
    said = load_json(bytes(statement.predicate), _Predicate, what="signed predicate")
    how, resources = said.serialization, said.resources
    fits = how.shard_size >= 1 and not how.shard_size % 1 if how.method == "shards" else how.method == "files" and not how.shard_size
    if how.hash_type not in HASHES or not fits:
        raise _wrong(f"method `{how.method[:20]}` with hash `{how.hash_type[:20]}`, expected files or shards with {' or '.join(HASHES)}")
    if not 0 < len(resources) <= MAX_RESOURCES:
        raise _wrong(f"{len(resources)} files, expected 1 to {MAX_RESOURCES}")
    manifest = Manifest(
        name=statement.subject[0].name if len(statement.subject) == 1 else "", items={each.name: each.digest for each in resources},
        hash_type=how.hash_type, shard_size=int(how.shard_size), allow_symlinks=how.allow_symlinks, ignore_paths=tuple(how.ignore_paths),
    )  # fmt: skip
    if len(manifest.items) != len(resources):
        raise _wrong("a file is named twice")
    for each in resources:
        if each.algorithm != manifest.algorithm or not _HEX.match(each.digest):
            raise _wrong(f"file `{each.name[:80]}` has no `{manifest.algorithm}`")
        if manifest.shard_size:
            split_shard(each.name)
    if len(statement.subject) != 1 or statement.subject[0].digest.get("sha256") != manifest.root:
        raise _wrong("the digest over all its files does not fit them")
    return manifest


def write_statement(manifest: Manifest) -> bytes:
    """Return the statement that is signed; `read_manifest` gives the manifest back."""
    serialization: dict[str, Any] = {
        "method": "shards" if manifest.shard_size else "files", "hash_type": manifest.hash_type,
        **({"shard_size": manifest.shard_size} if manifest.shard_size else {}),
        "allow_symlinks": manifest.allow_symlinks, "ignore_paths": list(manifest.ignore_paths),
    }  # fmt: skip
    resources = [{"name": name, "algorithm": manifest.algorithm, "digest": digest} for name, digest in manifest.items.items()]
    return msgspec.json.encode(
        {
            "_type": STATEMENT_TYPE, "subject": [{"name": manifest.name, "digest": {"sha256": manifest.root}}],
            "predicateType": PREDICATE_TYPE, "predicate": {"serialization": serialization, "resources": resources},
        }
    )  # fmt: skip


def write_bundle(bundle: Bundle) -> bytes:
    """Return the file of a signature."""
    if bundle.certificates:
        material: dict[str, Any] = {"x509CertificateChain": {"certificates": [{"rawBytes": _encoded(raw)} for raw in bundle.certificates]}}
    else:
        material = {"publicKey": {"hint": bundle.key_hint}}
    envelope = {
        "payload": _encoded(bundle.payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": _encoded(bundle.signature), "keyid": ""}],
    }
    return msgspec.json.encode({"mediaType": MEDIA_TYPE, "verificationMaterial": {**material, "tlogEntries": []}, "dsseEnvelope": envelope})


def signed_bytes(payload: bytes) -> bytes:
    """Return what the signature is over: DSSE's pre-authentication encoding, which binds the type to the bytes."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def in_order(names: list[str]) -> list[str]:
    """Return names of files as manifests list them: folder by folder."""
    return sorted(names, key=lambda name: PurePosixPath(name).parts)


def split_shard(name: str) -> tuple[str, int, int]:
    """Return the path, first byte and end of a shard.

    Raises:
        Malformed: the name is none of a shard.
    """
    found = _SHARD.match(name)
    if found is None:
        raise _wrong(f"shard `{name[:80]}` is not `path:start:end`")
    return found["path"], int(found["start"]), int(found["end"])


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise _wrong("a part of it is not base64") from None


def _encoded(raw: bytes) -> str:
    return b64encode(raw).decode()


def _wrong(what: str, hint: str = "is it a signature of a model, as `model_signing` writes them?") -> Malformed:
    return Malformed(f"the signature is not readable: {what}", hint=hint, code="signature_malformed")
