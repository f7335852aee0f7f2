"""The law on signatures on models: people say whose count, Jurat says which hold, and only both together are a yes at a gate."""

from __future__ import annotations

from typing import Final

from jurat.core.digests import check_digest
from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.domain import commands_signature as commands
from jurat.domain import facts_signature as said
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.decide_models import known_version
from jurat.domain.descriptions import check_name, need_reason
from jurat.domain.events import Event
from jurat.domain.facts import EvidenceMeasured
from jurat.domain.state import State
from jurat.domain.values import Metric
from jurat.guard.signers import MAX_PEM_BYTES, anchor_of

EVIDENCE: Final = "model_signature"
METRIC: Final = "signature_verified"
TRUSTED, UNTRUSTED, REFUSED = "trusted", "untrusted", "refused"


def trust_signer(state: State, command: commands.TrustSigner, context: Context) -> list[Event]:
    """A key has one name, and a name one key."""
    check_name(command.signer, what="signer")
    need_reason(command.reason, "trust in a signer")
    if len(command.pem) > MAX_PEM_BYTES:
        raise Malformed(f"the key has {len(command.pem)} characters, expected at most {MAX_PEM_BYTES}")
    method, anchor = anchor_of(command.pem.encode())
    if command.identity_digest:
        check_digest(command.identity_digest, what="digest of an identity")
        if method == "key":
            raise Malformed("a bare key has no identity", hint="an identity is one of the names in a certificate")
    for each in state.find(rows.Signer):
        if each.signer == command.signer or (each.anchor, each.identity_digest) == (anchor, command.identity_digest):
            raise Conflict(
                f"signer `{each.signer}` is trusted already", hint=f"`jurat model distrust-signer {each.signer}`", code="unchanged"
            )
    fact = said.SignerTrusted(
        signer=command.signer, method=method, anchor=anchor, pem=command.pem, identity_digest=command.identity_digest, reason=command.reason
    )
    return [context.event(fact)]


def distrust_signer(state: State, command: commands.DistrustSigner, context: Context) -> list[Event]:
    """What rested on a signer's word rests on nothing, from this moment, at every gate."""
    row = state.get(rows.Signer, command.signer)
    if row is None:
        raise NotFound(f"signer `{command.signer[:64]}` is not trusted", hint="`jurat model signers` shows who is")
    need_reason(command.reason, "distrust of a signer")
    met = [each for each in state.find(rows.Signature, signer=row.signer) if each.verdict == TRUSTED]
    ended = context.event(
        said.SignerDistrusted(signer=row.signer, reason=command.reason, versions=[each.version for each in met]), because=[row.as_of]
    )
    why = f"signer `{row.signer}` is trusted no more: {command.reason[:200]}"
    return [ended, *(context.event(_evidence(each, "", why), because=[ended.id, each.as_of]) for each in met)]


def record_signature(state: State, command: commands.RecordSignature, context: Context) -> list[Event]:
    """What was found is evidence on this version; it is a yes only if somebody said that this signer counts."""
    version = known_version(state, command.version)
    if command.version_digest != version.digest:
        raise Conflict(f"the signature was held against other bytes than those of `{version.version}`", code="digest_mismatch")
    check_digest(command.bundle_digest, what="digest of the signature")
    holds = command.holds and "weights" in command.covered
    signer = _trusted(state, command) if holds else ""
    reason = command.reason if not command.holds else ""
    if command.holds and not holds:
        reason = "the weights are not among the files that were signed"
    elif holds and not signer:
        reason = f"the signature holds, and its {command.method} `{command.anchor[7:19]}` is nobody's that this workspace trusts"
    fact = said.SignatureChecked(
        version=version.version, version_digest=version.digest, bundle_digest=command.bundle_digest,
        verdict=TRUSTED if signer else UNTRUSTED if holds else REFUSED, signer=signer, method=command.method, anchor=command.anchor,
        key_id=command.key_id, manifest_digest=command.manifest_digest, files=command.files, covered=command.covered, as_of=command.as_of,
        reason=reason,
    )  # fmt: skip
    checked = context.event(fact, because=[version.registered])
    return [checked, context.event(_evidence(fact, signer, reason), because=[checked.id])]


def _trusted(state: State, command: commands.RecordSignature) -> str:
    for each in state.find(rows.Signer, method=command.method, anchor=command.anchor):
        if not each.identity_digest or each.identity_digest in command.identity_digests:
            return each.signer
    return ""


def _evidence(about: said.SignatureChecked | rows.Signature, signer: str, reason: str) -> EvidenceMeasured:
    return EvidenceMeasured(
        type=EVIDENCE, version=about.version, version_digest=about.version_digest, dataset=f"signature:{about.bundle_digest}",
        dataset_digest=about.bundle_digest, metrics=[Metric(name=METRIC, value=float(bool(signer)), n=1, reason=reason[:300])],
        method="OpenSSF model signing, predicate v1.0", environment={"signer": signer or "none", "key": about.key_id or "none"},
        duration_s=0.0,
    )  # fmt: skip
