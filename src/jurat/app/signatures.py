"""Signatures on models, made and checked: a folder against its signature file, a registered version against what was signed.

Files are read piece by piece; no link is followed, whatever a signature allows. What is signed of a version are its artefacts, by their
names (`weights`, `serving_configuration`, …); what covers a version is a signature over the very same bytes, whatever the file was called.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from jurat.app.artefacts import open_artefact
from jurat.app.evaluator import evaluator_for
from jurat.app.look import look_at
from jurat.app.walk import Done, act_as
from jurat.app.wiring import App
from jurat.core.clock import from_ns
from jurat.core.digests import digest_bytes
from jurat.core.errors import Denied, Malformed, NotFound
from jurat.domain import rows
from jurat.domain.commands_signature import RecordSignature
from jurat.domain.facts_signature import SignatureChecked
from jurat.guard import signers
from jurat.guard.model_signature import (
    HASHES,
    IGNORED,
    MAX_BUNDLE_BYTES,
    MAX_RESOURCES,
    Bundle,
    Manifest,
    in_order,
    read_bundle,
    write_statement,
)
from jurat.guard.signers import Signed

_CHUNK_BYTES: Final = 1 << 20
_MOST_SHOWN: Final = 10


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """How a signature stood against a folder."""

    method: str
    key_id: str
    subject: str
    identities: list[str]
    manifest_digest: str
    files: int
    ignored: list[str]  # files that are there, and that the signer left out


def manifest_of(path: Path, *, like: Manifest | None = None, ignore: Iterable[str] = ()) -> Manifest:
    """Return the manifest of a folder, or of one file.

    Args:
        like: hash as this manifest does, and leave out what it leaves out; by default whole files by SHA-256.
        ignore: leave out these paths in the folder as well.
    Raises:
        NotFound, Malformed: nothing is there; a link, a device, a pipe; no files, or more than anybody means.
    """
    shape = like or Manifest(name="", items={}, ignore_paths=IGNORED)
    shape = msgspec.structs.replace(
        shape, name=path.resolve().name, ignore_paths=tuple(dict.fromkeys([*shape.ignore_paths, *ignore])), items={}
    )
    names = in_order([name for name in _files(path) if not shape.ignores(name)])
    items: dict[str, str] = {}
    for name in names:
        with open_artefact(path / name if name != "." else path) as file:
            items |= {(f"{name}{suffix}"): digest for suffix, digest in _hashed(file, shape)}
    if not items:
        raise Malformed(f"`{path}` holds no file to sign or to check")
    return msgspec.structs.replace(shape, items=items)


def check_folder(path: Path, signature: bytes, anchor_pem: bytes, as_of: datetime, *, ignore: Iterable[str] = ()) -> Checked:
    """Return who signed exactly what lies there.

    Raises:
        Malformed: the signature or the key cannot be read.
        Denied: the signature does not hold, or other files lie there; the fields hold every reason.
    """
    signed = signers.verify(read_bundle(signature), anchor_pem, as_of)
    here = manifest_of(path, like=signed.manifest, ignore=ignore)
    if faults := _differences(signed.manifest, here):
        raise Denied(
            f"`{path}` is not what was signed: {faults[0]}" + (f", and {len(faults) - 1} more" if len(faults) > 1 else ""),
            hint="restore the files, or have them signed as they are; do not load them", code="signature_refused",
            reasons=faults[:_MOST_SHOWN],
        )  # fmt: skip
    return Checked(
        method=signed.method, key_id=signed.key_id, subject=signed.subject, identities=signed.identities,
        manifest_digest=f"sha256:{signed.manifest.root}", files=len(signed.manifest.files),
        ignored=[name for name in _files(path) if here.ignores(name)] if path.is_dir() else [],
    )  # fmt: skip


def manifest_of_version(app: App, token: str, version_name: str) -> Manifest:
    """Return what is signed of a version: its artefacts whose bytes are kept here, each read and held against its digest.

    Raises:
        NotFound: no such version for the caller, or its weights are not here.
        Tampered: other bytes lie under a digest.
    """
    version = look_at(app, token, rows.Version, version_name)
    items = {}
    for name in version.artefacts.__struct_fields__:
        digest = getattr(version.artefacts, name).digest
        try:
            app.artefacts.get(digest)
        except NotFound:
            continue
        items[name] = digest.removeprefix("sha256:")
    if "weights" not in items:
        raise NotFound(
            f"the weights of `{version.version}` are not kept here", hint=f"`jurat model verify {version.version} --keep` fetches them"
        )
    return Manifest(name=version.version, items={name: items[name] for name in in_order(list(items))})


def check_version(
    app: App, token: str, version_name: str, signature: bytes, anchor_pem: bytes | None, as_of: datetime | None = None
) -> Done:
    """Hold a signature file against a registered version, and put on record how it stood. It is evidence, bound to the version's digest.

    Args:
        anchor_pem: check it with this key, or these roots; None tries those that the workspace trusts.
        as_of: when certificates must have been valid; by default now.
    Raises:
        Malformed: the signature or the key cannot be read; nothing was recorded.
        NotFound: no such version for the caller, or nobody is trusted yet.
        Denied: it does not hold, does not cover the weights, or nobody trusts who signed it; recorded, `event` names it.
    """
    version = look_at(app, token, rows.Version, version_name)
    evaluator = evaluator_for(app, token)
    bundle, moment = read_bundle(signature), as_of or from_ns(app.clock.now_ns())
    with app.store.reading() as state:
        trusted = state.find(rows.Signer)
    anchors = [anchor_pem] if anchor_pem is not None else [each.pem.encode() for each in trusted]
    if not anchors:
        raise NotFound("this workspace trusts no signer yet", hint="give `--key`, or ask an operator: `jurat model trust-signer`")
    found = _first_that_holds(bundle, anchors, moment)
    record = RecordSignature(
        version=version.version, version_digest=version.digest, bundle_digest=digest_bytes(signature), holds=False,
        reason=found if isinstance(found, str) else "", as_of=moment.isoformat().replace("+00:00", "Z"),
    )  # fmt: skip
    if not isinstance(found, str):
        signed, anchor = found
        record = msgspec.structs.replace(
            record, holds=True, method=signed.method, anchor=anchor, key_id=signed.key_id,
            identity_digests=[digest_bytes(each.encode()) for each in signed.identities],
            manifest_digest=digest_bytes(write_statement(signed.manifest)), files=len(signed.manifest.files),
            covered=_covered(app, version, signed.manifest),
        )  # fmt: skip
    done = act_as(app, evaluator, record)
    fact = done.events[0].data
    assert isinstance(fact, SignatureChecked)
    if fact.verdict != "trusted":
        is_untrusted = fact.verdict == "untrusted"
        raise Denied(
            f"the signature is no evidence for `{version.version}`: {fact.reason}",
            hint="an operator says whose signatures count: `jurat model trust-signer`" if is_untrusted else "ask whoever signed it",
            code="signer_untrusted" if is_untrusted else "signature_refused",
            event=done.events[0].id,
        )
    return done


def read_signature(path: Path) -> bytes:
    """Return the bytes of a signature file. Raises Malformed where it is larger than any signature."""
    with open_artefact(path) as file:
        raw = file.read(MAX_BUNDLE_BYTES + 1)
    if len(raw) > MAX_BUNDLE_BYTES:
        raise Malformed(f"`{path}` is larger than {MAX_BUNDLE_BYTES} bytes, which no signature is", code="signature_malformed")
    return raw


def _first_that_holds(bundle: Bundle, anchors: list[bytes], as_of: datetime) -> tuple[Signed, str] | str:
    """Return what is signed and by which anchor it holds; or why it does by none."""
    why: list[str] = []
    for pem in anchors:
        try:
            return signers.verify(bundle, pem, as_of), signers.anchor_of(pem)[1]
        except Denied as error:
            why.append(error.detail)
    return why[0] if len(why) == 1 else f"it holds by none of {len(why)} trusted signers; the last one says: {why[-1]}"


def _covered(app: App, version: rows.Version, signed: Manifest) -> dict[str, str]:
    """Return which artefacts were signed, each with the name that its bytes had there."""
    by_content: dict[frozenset[tuple[str, str]], str] = {}
    parts: dict[str, list[tuple[str, str]]] = {}
    for name, digest in signed.items.items():
        path, suffix = (name.rsplit(":", 2)[0], name[len(name.rsplit(":", 2)[0]) :]) if signed.shard_size else (name, "")
        parts.setdefault(path, []).append((suffix, digest))
    for path, content in parts.items():
        by_content.setdefault(frozenset(content), path)
    found = {}
    for name in version.artefacts.__struct_fields__:
        digest = getattr(version.artefacts, name).digest
        if signed.algorithm == "sha256":
            content = [("", digest.removeprefix("sha256:"))]
        else:
            try:
                with app.artefacts.get(digest).open("rb") as file:
                    content = list(_hashed(file, signed))
            except NotFound:
                continue
        same = by_content.get(frozenset(content))
        if same:
            found[name] = same
    return found


def _hashed(file: BinaryIO, shape: Manifest) -> Iterable[tuple[str, str]]:
    """Yield the hash of a file, or of each of its shards, with what follows its name in a manifest. An empty file has no shards."""
    position = 0
    while True:
        sha, start = hashlib.new(HASHES[shape.hash_type]), position
        while chunk := file.read(min(_CHUNK_BYTES, start + shape.shard_size - position) if shape.shard_size else _CHUNK_BYTES):
            sha.update(chunk)
            position += len(chunk)
        if not shape.shard_size:
            yield "", sha.hexdigest()
            return
        if position == start:
            return
        yield f":{start}:{position}", sha.hexdigest()


def _files(path: Path) -> list[str]:
    """Return the names of all files in a folder, as manifests have them; `.` for a file itself."""
    if not path.is_dir():
        with open_artefact(path):  # says what is wrong with it, if anything is
            return ["."]
    if path.is_symlink():
        raise Malformed(f"`{path}` is a symbolic link, expected a folder", hint="name the folder that it leads to")
    names: list[str] = []
    for folder, inner, found in os.walk(path):
        links = [each for each in inner if (Path(folder) / each).is_symlink()]
        for each in [*found, *links]:
            name = (Path(folder) / each).relative_to(path).as_posix()
            if each in links:
                raise Malformed(f"`{name[:200]}` is a symbolic link, and links are not followed", hint="put the files themselves there")
            names.append(name)
            if len(names) > MAX_RESOURCES:
                raise Malformed(f"`{path}` holds more than {MAX_RESOURCES} files")
    return names


def _differences(signed: Manifest, here: Manifest) -> list[str]:
    """Return every way in which files differ from those that were signed."""
    missing = [f"`{name[:200]}` is missing" for name in signed.items if name not in here.items]
    other = [
        f"`{name[:200]}` is not the file that was signed" for name, digest in signed.items.items() if here.items.get(name, digest) != digest
    ]
    more = [f"`{name[:200]}` was not signed" for name in here.items if name not in signed.items]
    return [*other, *missing, *more]
