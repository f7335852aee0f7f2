"""Evidence: one file that convinces a stranger, offline, with nothing but the log's public keys.

    {"format": "jurat-evidence/v1", "log", "origin", "index",
     "event":        the event, for people; what counts are its bytes in `proof`
     "receipt":      the ledger's signed promise, or null
     "proof":        a tlog-proof of the event's entry; extra = u8 1 | entry[59] | salt[16] | bytes of the event
     "anchor_proof": a tlog-proof that the checkpoint in `proof` is in the anchor log; extra = anchor entry[89]; or null}

Nothing in the file is believed before it was led back to a signature; what is shown beside that is compared with it.
A bare `.tlog-proof` with the same `extra` is evidence too, without a receipt and an anchor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jurat.core.errors import Malformed, Tampered
from jurat.core.jsonio import load_json, refuse_twice
from jurat.domain.kinds import BY_CODE, OBSERVED_CODES
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import hash_origin
from jurat.ledger.receipt import Receipt, open_receipt_of
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.merkle.checkpoint import Checkpoint, parse_checkpoint
from jurat.merkle.entry import ENTRY_SIZE, SALT_SIZE, Entry, commit_event, unpack_anchor_entry, unpack_entry
from jurat.merkle.note import open_note, read_unverified_text, verifiers_of
from jurat.merkle.policy import Policy, show_name, verify_quorum
from jurat.merkle.proof import TlogProof, parse_proof, verify_proof
from jurat.merkle.tree import hash_leaf

FORMAT: Final = "jurat-evidence/v1"
MAX_EVIDENCE_SIZE: Final = 8 * 1024 * 1024  # bytes: an event of 1 MiB as JSON and as base64, two proofs, a receipt
_EXTRA_VERSION: Final = b"\x01"
_PROOF_HEADING: Final = b"c2sp.org/tlog-proof@v1\n"


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an evidence file says. Nothing in it is verified yet."""

    format: str
    log: str
    origin: str
    index: int
    event: Any
    receipt: str | None
    proof: str
    anchor_proof: str | None


class Step(msgspec.Struct, frozen=True):
    """One thing that was checked, or could not be because the file does not carry it."""

    number: int
    what: str
    is_checked: bool

    def __str__(self) -> str:
        return self.what if self.is_checked else f"not in this file, so not checked: {self.what}"


class EvidenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is proved. `event` is decoded from the proved bytes. Times are Unix nanoseconds, `sealed_s` Unix seconds."""

    log: str
    origin: str
    index: int
    size: int  # of the checkpoint
    root: bytes
    kind: str
    event_id: str | None
    event: Any
    raw: bytes
    producer: int
    epoch: int
    seq: int
    received_ns: int
    sealed_s: int | None  # by the ML-DSA-44 signature, which carries a time
    signed_by: list[str]
    steps: list[Step]


def pack_extra(entry: bytes, salt: bytes, raw: bytes) -> bytes:
    """Return what a proof carries so that one file is enough."""
    return _EXTRA_VERSION + entry + salt + raw


def unpack_extra(extra: bytes | None) -> tuple[bytes, bytes, bytes]:
    """Return (entry, salt, bytes of the event). The inverse of `pack_extra`. Of an erased event the entry is all: salt and bytes are empty.

    Raises:
        Malformed: the proof carries no event.
    """
    is_whole = extra is not None and (len(extra) == 1 + ENTRY_SIZE or len(extra) >= 1 + ENTRY_SIZE + SALT_SIZE)
    if extra is None or not is_whole or extra[:1] != _EXTRA_VERSION:
        raise Malformed("the proof carries no event", hint="ask for the evidence file, not only for its proof; or the event was erased")
    salt_at, raw_at = 1 + ENTRY_SIZE, 1 + ENTRY_SIZE + SALT_SIZE
    return extra[1:salt_at], extra[salt_at:raw_at], extra[raw_at:]


def parse_evidence(raw: bytes) -> Evidence:
    """Return what an evidence file, or a bare tlog-proof, says.

    Raises:
        Malformed: neither.
    """
    if len(raw) > MAX_EVIDENCE_SIZE:
        raise Malformed(f"evidence of `{len(raw)}` bytes, expected at most {MAX_EVIDENCE_SIZE}")
    if raw.startswith(_PROOF_HEADING):
        proof = parse_proof(raw)
        origin = parse_checkpoint(proof.checkpoint_note.rpartition("\n\n")[0] + "\n").origin
        event = decode_event_bytes(unpack_extra(proof.extra)[2])
        log = origin.partition("/")[2]
        return Evidence(
            format=FORMAT, log=log, origin=origin, index=proof.index, event=event, receipt=None, proof=raw.decode(), anchor_proof=None
        )  # fmt: skip
    if raw.lstrip()[:1] != b"{":
        raise Malformed(
            "this file is neither evidence nor a tlog-proof",
            hint="give what `jurat prove` wrote; a COSE receipt is for tools that know RFC 9942, a checkpoint goes with `--since`",
        )
    refuse_twice(raw, what="evidence")
    evidence = load_json(raw, Evidence, what="evidence")
    if evidence.format != FORMAT:
        raise Malformed(f"evidence of format `{evidence.format[:60]}`, expected `{FORMAT}`", hint="a newer jurat may be able to read it")
    return evidence


def verify_evidence(raw: bytes, keys: Sequence[LogKeys], policy: Policy | None = None) -> EvidenceReport:
    """Return what an evidence file proves, if all of it holds. Needs no network and no ledger.

    The steps, each numbered where it is done:
      (0) the file can be read
      (1) its log is one of those whose keys were given
      (2) the event's bytes, salted, give the commitment in the entry
      (3) what is in the clear, and what is shown to people, is what the bytes say
      (4) every key of the log signed the checkpoint
      (5) the entry's leaf is in that checkpoint's tree at that index
      (6) the log's receipt promised this index to this producer's event (if the file carries one)
      (7) every key of the anchor log signed a checkpoint that binds the one in (4) (if the file carries it)
      (8) a quorum of witnesses cosigned the checkpoint in (7) (if a policy demands it; then the file must carry it)

    Args:
        raw: the file's bytes.
        keys: from the auditor's own copy of `log-keys.json`, never from where the evidence came from.
        policy: the auditor's own: whose cosignatures count.
    Raises:
        Malformed: not evidence, or not keys.
        Tampered: something in it does not hold, or the keys of its log were not given.
    """
    evidence = parse_evidence(raw)  # (0)
    proof = parse_proof(evidence.proof)
    mine = keys_of_origin(evidence.origin, keys)  # (1)
    if evidence.log != mine.log:
        raise _disagree("log", evidence.log, mine.log)
    entry_bytes, salt, event_bytes = unpack_extra(proof.extra)  # (2)
    entry = unpack_entry(entry_bytes)
    is_shown = bool(salt)
    if is_shown and commit_event(salt, event_bytes) != entry.commitment:
        raise Tampered("the event's bytes are not those that the entry commits to", code="event_altered", hint="somebody changed the event")
    event = decode_event_bytes(event_bytes)  # (3)
    kind = BY_CODE[entry.kind_code].name if entry.kind_code in BY_CODE else f"code-{entry.kind_code}"
    said = event.get("kind") if isinstance(event, dict) else None
    if said is not None and said != kind and entry.kind_code not in OBSERVED_CODES:
        raise _disagree("kind", said, kind)
    if msgspec.json.encode(evidence.event, order="sorted") != msgspec.json.encode(event, order="sorted"):  # `true` is not 1
        raise Tampered(
            "the event that is shown is not the one in the proof", code="event_altered", hint="somebody changed what people read"
        )
    if evidence.index != proof.index:
        raise _disagree("index", evidence.index, proof.index)
    checkpoint = _verify_signed_by_all(proof, entry_bytes, mine)  # (4) (5)
    if evidence.receipt is not None:  # (6)
        _verify_receipt(evidence.receipt, mine, proof.index, entry, entry_bytes)
    if evidence.anchor_proof is not None:  # (7)
        _verify_anchored(parse_proof(evidence.anchor_proof), keys, checkpoint)
    witnesses = None if policy is None else _verify_witnessed(evidence, policy)  # (8)
    signatures = open_note(proof.checkpoint_note, verifiers_of(mine.vkeys_at(checkpoint.size))).signatures
    identifier = event.get("id") if isinstance(event, dict) else None
    return EvidenceReport(
        log=mine.log, origin=mine.origin, index=proof.index, size=checkpoint.size, root=checkpoint.root, kind=kind,
        event_id=identifier if isinstance(identifier, str) else None, event=event, raw=event_bytes,
        producer=entry.producer, epoch=entry.epoch, seq=entry.seq, received_ns=entry.received_ns,
        sealed_s=next((each.timestamp_s for each in signatures if each.timestamp_s is not None), None),
        signed_by=[f"{each.name}+{each.key_id.hex()}" for each in signatures],
        steps=[
            Step(0, "the file can be read", True),
            Step(1, f"keys of log {mine.log} were given", True),
            Step(2, "the event's bytes and salt give the entry's commitment", is_shown),
            Step(3, "kind, index and the event shown are those of the bytes", True),
            Step(4, f"all {len(mine.vkeys_at(checkpoint.size))} keys of the log signed the checkpoint of size {checkpoint.size}", True),
            Step(5, f"the entry is leaf {proof.index} of {checkpoint.size}, by {len(proof.path)} hashes", True),
            Step(6, "the log's receipt promised this place to this event", evidence.receipt is not None),
            Step(7, "the anchor log binds this checkpoint", evidence.anchor_proof is not None),
            *([] if witnesses is None else [Step(8, f"a quorum cosigned the anchor log: {witnesses}", True)]),
        ],
    )  # fmt: skip


def decode_event_bytes(raw: bytes) -> Any:
    """Return an event's bytes as JSON values; None for bytes that are no JSON."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None


def keys_of_origin(origin: str, keys: Sequence[LogKeys]) -> LogKeys:
    """Return the keys of the log of this origin.

    Raises:
        Tampered: they were not given, so nothing can be proved.
    """
    for each in keys:
        if each.origin == origin:
            return each
    known = ", ".join(f"`{each.origin}`" for each in keys)
    raise Tampered(
        f"the evidence is of log `{origin[:120]}`, the given keys are of {known or 'none'}",
        hint="ask the log's operator for its `log-keys.json`, by a way that you trust",
        code="log_unknown",
    )


def _verify_signed_by_all(proof: TlogProof, entry: bytes, keys: LogKeys) -> Checkpoint:
    verifiers = verifiers_of(keys.vkeys_at(open_checkpoint(proof.checkpoint_note, keys).size))
    return verify_proof(proof, entry, verifiers, keys.origin)


def _verify_receipt(note: str, keys: LogKeys, index: int, entry: Entry, entry_bytes: bytes) -> None:
    receipt: Receipt = open_receipt_of(note, keys)
    place = index - receipt.first_index
    promised = (receipt.origin, receipt.producer, receipt.epoch, receipt.first_seq + place, receipt.received_ns)
    found = (keys.origin, entry.producer, entry.epoch, entry.seq, entry.received_ns)
    if not 0 <= place < receipt.count or promised != found:
        raise Tampered("the receipt is for other events than this one", code="receipt_wrong")
    if receipt.count == 1 and hash_leaf(entry_bytes) != receipt.root:
        raise Tampered("the receipt promised another entry than the one that was sealed", code="receipt_broken")


def _verify_anchored(proof: TlogProof, keys: Sequence[LogKeys], checkpoint: Checkpoint) -> None:
    anchor = next((each for each in keys if each.log == "anchor"), None)
    if anchor is None:
        raise Tampered("the evidence carries an anchor, and no keys of the anchor log were given", code="log_unknown")
    entry = unpack_anchor_entry(proof.extra or b"")
    if (entry.origin_hash, entry.size, entry.root) != (
        hash_origin(checkpoint.origin),
        checkpoint.size,
        checkpoint.root,
    ):
        raise Tampered("the anchor is that of another checkpoint", code="anchor_wrong")
    _verify_signed_by_all(proof, proof.extra or b"", anchor)


def _verify_witnessed(evidence: Evidence, policy: Policy) -> str:
    """Return the names, in the policy, of the witnesses that cosigned the anchor log's checkpoint, if they are a quorum."""
    if evidence.anchor_proof is None:
        raise Tampered("the evidence carries no anchor, and only the anchor log is witnessed", code="quorum_missing")
    note = parse_proof(evidence.anchor_proof).checkpoint_note
    origin = read_unverified_text(note).partition("\n")[0]
    if policy.logs and origin not in {log.verifier.name for log in policy.logs}:
        raise Tampered(f"the policy trusts other logs than `{origin[:120]}`", code="log_unknown")
    names = sorted(map(show_name, policy.names_of(verify_quorum(policy, note))))
    return ", ".join(names) or "nobody, and the policy asks for nobody"


def _disagree(what: str, shown: object, proved: object) -> Tampered:
    return Tampered(f"the evidence shows {what} `{str(shown)[:120]}`, the proof has `{proved}`", code="evidence_altered")
