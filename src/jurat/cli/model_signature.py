"""`jurat model`, more verbs: signatures in the format of OpenSSF model signing, made and checked; and whose count."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import click

from jurat.cli.model import model
from jurat.cli.session import Session
from jurat.cli.show import brief, show, show_fields, show_json
from jurat.core.errors import Malformed

_FILE = click.Path(path_type=Path)


@model.verb(
    "sign",
    example="jurat model sign credit@1.1.0 --key signing.pem -o credit.sig\njurat model sign ./finbert --key signing.pem -o finbert.sig",
)
@click.argument("what", metavar="VERSION|FOLDER")
@click.option("--key", "key_file", required=True, type=_FILE, help="Your private key: PEM, on P-256, P-384 or P-521.")
@click.option("--certificate", type=_FILE, help="PEM: the certificate of that key first, then those that lead to a root.")
@click.option("--ignore", multiple=True, help="A path in the folder to leave out; the signature says so. May be given several times.")
@click.option("-o", "--output", required=True, type=_FILE, help="The signature file, anew.")
@click.pass_obj
def sign(session: Session, what: str, key_file: Path, certificate: Path | None, ignore: tuple[str, ...], output: Path) -> None:
    """Sign a version's artefacts, or a folder, so that `model_signing` can verify it. The key stays in this process."""
    from jurat.app.signatures import manifest_of, manifest_of_version
    from jurat.core.errors import Conflict
    from jurat.core.files import write_whole
    from jurat.guard.signers import sign as sign_manifest

    if output.exists():
        raise Conflict(f"`{output}` exists already", hint="name a new file", code="exists")
    private = _read(key_file)
    password = click.prompt("password of the key", hide_input=True, err=True).encode() if b"ENCRYPTED" in private else None
    if _is_path(what):
        folder = Path(what)
        own = [output.resolve().relative_to(folder.resolve()).as_posix()] if output.resolve().is_relative_to(folder.resolve()) else []
        manifest = manifest_of(folder, ignore=[*ignore, *own])
    else:
        token = session.token()
        with session.app() as app:
            manifest = manifest_of_version(app, token, what)
    raw = sign_manifest(manifest, private, password=password, certificates_pem=_read(certificate) if certificate else b"")
    write_whole(output, raw)
    if session.as_json:
        show_json({"signature": str(output), "manifest_digest": f"sha256:{manifest.root}", "files": manifest.files})
        return
    session.say(f"signed {len(manifest.files)} files into {output}: {', '.join(manifest.files[:10])}")


@model.verb(
    "verify-signature",
    example="jurat model verify-signature credit@1.1.0 --signature credit.sig\n"
    "jurat model verify-signature ./finbert --signature finbert.sig --key publisher.pem\n"
    "jurat model verify-signature credit@1.1.0 --signature credit.sig --certificate-chain roots.pem --as-of 2026-06-01T00:00:00Z",
)
@click.argument("what", metavar="VERSION|FOLDER")
@click.option("--signature", "signature_file", required=True, type=_FILE, help="The signature file, such as `model.sig`.")
@click.option(
    "--key", "key_file", type=_FILE, help="The signer's public key, in PEM.  [default: of a version, every signer that is trusted]"
)
@click.option("--certificate-chain", "roots", type=_FILE, help="PEM: roots, to one of which the signer's certificate must lead.")
@click.option("--as-of", metavar="TIME", help="When certificates must have been valid, RFC 3339.  [default: now]")
@click.option("--ignore", multiple=True, help="A path in the folder that was not signed. May be given several times.")
@click.pass_obj
def verify_signature(
    session: Session, what: str, signature_file: Path, key_file: Path | None, roots: Path | None, as_of: str | None, ignore: tuple[str, ...]
) -> None:
    """Check who signed a folder, or a registered version: of a version it is put on record, held or not, and is evidence for gates."""
    from jurat.app.signatures import check_folder, check_version, read_signature
    from jurat.core.clock import parse_at
    from jurat.domain.facts_signature import SignatureChecked

    if key_file is not None and roots is not None:
        raise Malformed("a signature is checked by a key or by certificates, not by both")
    anchor = _read(key_file or roots) if key_file or roots else None  # type: ignore[arg-type]
    try:
        moment: datetime | None = parse_at(as_of) if as_of else None
    except ValueError:
        raise Malformed(f"`{str(as_of)[:40]}` is not a time with a zone", hint="write RFC 3339, such as `2026-06-01T00:00:00Z`") from None
    signature = read_signature(signature_file)
    if _is_path(what):
        if anchor is None:
            raise Malformed("a folder is checked by a key or by certificates", hint="give `--key` or `--certificate-chain`")
        folder = Path(what)
        own = (
            [signature_file.resolve().relative_to(folder.resolve()).as_posix()]
            if signature_file.resolve().is_relative_to(folder.resolve())
            else []
        )
        found = check_folder(folder, signature, anchor, moment or datetime.now().astimezone(), ignore=[*ignore, *own])
        if session.as_json:
            show_json(found)
            return
        show_fields(
            session,
            [("signed", f"{found.files} files"), ("by", found.subject or f"key {brief(found.key_id)}"),
             ("names", ", ".join(found.identities) or "none: a bare key"), ("key", found.key_id),
             ("left out", ", ".join(found.ignored) or "nothing")],
        )  # fmt: skip
        return
    token = session.token()
    with session.app() as app:
        done = check_version(app, token, what, signature, anchor, moment)
    fact = done.events[0].data
    assert isinstance(fact, SignatureChecked)
    if session.as_json:
        session.done(done)
        return
    show_fields(
        session,
        [("version", f"{fact.version} {brief(fact.version_digest)}"), ("signed by", fact.signer), ("key", fact.key_id),
         ("covers", ", ".join(f"{name} ({path})" for name, path in fact.covered.items())), ("of", f"{fact.files} signed files"),
         ("event", done.events[0].id)],
    )  # fmt: skip


@model.verb("trust-signer", example="jurat model trust-signer ml-platform --key publisher.pem --reason 'key ceremony of 2026-11-20'")
@click.argument("name")
@click.option("--key", "key_file", type=_FILE, help="The signer's public key, in PEM.")
@click.option("--certificate-chain", "roots", type=_FILE, help="PEM: roots; certificates that lead to them count.")
@click.option("--identity", help="Only certificates with this name count: an address, a URI, or the subject. Recorded as a digest.")
@click.option("--reason", required=True)
@click.pass_obj
def trust_signer(session: Session, name: str, key_file: Path | None, roots: Path | None, identity: str | None, reason: str) -> None:
    """Let model signatures by a key, or by certificates that lead to these roots, count at gates (`signature_verified`)."""
    from jurat.core.digests import digest_bytes
    from jurat.domain.commands_signature import TrustSigner

    if (key_file is None) == (roots is None):
        raise Malformed("a signer is known by a key or by certificates", hint="give `--key` or `--certificate-chain`")
    pem = _read(key_file or roots).decode("ascii", "replace")  # type: ignore[arg-type]
    digest = digest_bytes(identity.encode()) if identity else ""
    session.done(session.act(TrustSigner(signer=name, pem=pem, identity_digest=digest, reason=reason)))


@model.verb("distrust-signer", example="jurat model distrust-signer ml-platform --reason 'the key leaked'")
@click.argument("name")
@click.option("--reason", required=True)
@click.pass_obj
def distrust_signer(session: Session, name: str, reason: str) -> None:
    """Let a signer's signatures count no more, those that were verified included."""
    from jurat.domain.commands_signature import DistrustSigner

    session.done(session.act(DistrustSigner(signer=name, reason=reason)))


@model.verb("signers", example="jurat model signers")
@click.pass_obj
def signers(session: Session) -> None:
    """Show whose model signatures count."""
    from jurat.app.look import look
    from jurat.domain.rows import Signer

    token = session.token()
    with session.app() as app:
        found = look(app, token, Signer)
    lines = [[r.signer, r.method, brief(r.anchor), "one name" if r.identity_digest else "", r.reason] for r in found]
    show(session, found, ["signer", "by", "key or roots", "only", "reason"], lines, empty="nobody's model signatures count yet")


def _is_path(what: str) -> bool:
    return os.sep in what or what in (".", "..") or ("@" not in what and Path(what).exists())


def _read(path: Path) -> bytes:
    from jurat.app.artefacts import open_artefact
    from jurat.guard.signers import MAX_PEM_BYTES

    with open_artefact(path) as file:
        return file.read(MAX_PEM_BYTES)
