"""`.tlog-proof`: one entry's inclusion, and the signed checkpoint that it leads to, as one text.

    c2sp.org/tlog-proof@v1 LF | [extra <base64> LF] | index <n> LF | path, one base64 hash a line, the sibling first | LF | checkpoint note

`extra` is not authenticated by the proof: whoever uses it checks it through the leaf. Source: C2SP tlog-proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jurat.core.errors import Malformed, Tampered
from jurat.merkle.checkpoint import Checkpoint, format_base64, parse_base64, parse_checkpoint, parse_number
from jurat.merkle.note import MAX_NOTE_SIZE, Verifier, open_note, read_unverified_text
from jurat.merkle.tree import HASH_SIZE, hash_leaf, verify_inclusion

MAX_PROOF_SIZE: Final = 2 * 1024 * 1024  # bytes: an event of 1 MiB in base64, a path and a note
MAX_PATH: Final = 63
_HEADER: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """What a proof file says. Nothing in it is verified yet."""

    index: int
    path: list[bytes]
    checkpoint_note: str
    extra: bytes | None


def format_proof(proof: TlogProof) -> str:
    """Return the proof file's text."""
    lines = [_HEADER]
    if proof.extra is not None:
        lines.append(f"extra {format_base64(proof.extra)}")
    lines.append(f"index {proof.index}")
    lines += map(format_base64, proof.path)
    return "\n".join(lines) + "\n\n" + proof.checkpoint_note


def parse_proof(text: str | bytes) -> TlogProof:
    """Return what a proof file says. The inverse of `format_proof`.

    Raises:
        Malformed: not a proof file.
    """
    if len(text) > MAX_PROOF_SIZE:
        raise Malformed(f"a proof of `{len(text)}` bytes, expected at most {MAX_PROOF_SIZE}")
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError:
            raise Malformed("a proof that is not UTF-8") from None
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines.pop(0) != _HEADER:
        raise Malformed(f"a proof file begins with `{_HEADER}`")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = parse_base64(lines.pop(0).removeprefix("extra "), "extra")
    if not lines or not lines[0].startswith("index "):
        raise Malformed("a proof file has an `index` line")
    index = parse_number(lines.pop(0).removeprefix("index "), "index")
    if len(lines) > MAX_PATH:
        raise Malformed(f"a proof path of `{len(lines)}` hashes, expected at most {MAX_PATH}")
    path = [parse_base64(line, "path hash") for line in lines]
    if any(len(found) != HASH_SIZE for found in path):
        raise Malformed(f"a path hash is not {HASH_SIZE} bytes")
    if len(note) > MAX_NOTE_SIZE:
        raise Malformed(f"a checkpoint of `{len(note)}` bytes, expected at most {MAX_NOTE_SIZE}")
    read_unverified_text(note)
    return TlogProof(index, path, note, extra)


def verify_proof(proof: TlogProof, entry: bytes, verifiers: Sequence[Verifier], origin: str) -> Checkpoint:
    """Return the checkpoint that the proof leads to, if the entry is in this log at the proof's index.

    Only the given keys count, and only this origin: a proof for another log of the same keys is refused.

    Raises:
        Malformed: not a checkpoint.
        Tampered: signature, origin, index or path do not hold.
    """
    checkpoint = parse_checkpoint(open_note(proof.checkpoint_note, verifiers).text)
    if checkpoint.origin != origin:
        raise Tampered(f"the proof is for log `{checkpoint.origin[:120]}`, expected `{origin}`", code="origin_wrong")
    if proof.index >= checkpoint.size:
        raise Tampered(f"the proof is for leaf `{proof.index}`, its checkpoint has `{checkpoint.size}`", code="proof_bad")
    verify_inclusion(hash_leaf(entry), proof.index, checkpoint.size, proof.path, checkpoint.root)
    return checkpoint
