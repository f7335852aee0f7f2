"""The law of a witness: given what it saw last of a log, may it cosign this? Pure: no clock, no key of its own, no disk.

    unknown origin                                                    404
    no signature by every key that it knows of the log, or a bad one  403
    old size > the checkpoint's                                       400
    old size is not the size last cosigned                            409, and the body is that size
    old 0 and a proof · size 0 and another root than the empty tree's
    equal sizes, other roots · a proof that does not hold             422: keep it, it may be evidence
    else                                                              200

Request: "old <size>" LF, up to 63 lines of proof in base64, an empty line, the signed checkpoint.
Source: C2SP tlog-witness v1.0.0. Stricter than that in one thing: of a log with two keys both must have signed (decision 0016).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from jurat.core.errors import Malformed, Tampered
from jurat.merkle.checkpoint import Checkpoint, format_base64, parse_base64, parse_checkpoint, parse_number
from jurat.merkle.note import MAX_NOTE_SIZE, Verifier, open_note, read_unverified_text, select_signatures
from jurat.merkle.tree import EMPTY_ROOT, verify_consistency

MAX_REQUEST_SIZE: Final = MAX_NOTE_SIZE + 64 * 64  # bytes
MAX_PROOF: Final = 63
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"


class Request(NamedTuple):
    """What a log sends: the size that the witness should have seen last, the way from there, and the new checkpoint."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str


class Submission(NamedTuple):
    """A request whose signatures hold. `note` carries those of the known keys only. No checkpoint: its root is impossible."""

    origin: str
    checkpoint: Checkpoint | None
    text: str
    note: str


class Refusal(NamedTuple):
    """Why not. `is_evidence`: the log may have misbehaved, so what it sent must be kept."""

    status: int
    body: str
    content_type: str = TEXT_TYPE
    is_evidence: bool = False


def format_request(request: Request) -> bytes:
    """Return the body of `add-checkpoint`."""
    return "".join([f"old {request.old_size}\n", *(f"{format_base64(each)}\n" for each in request.proof), "\n", request.note]).encode()


def parse_request(raw: bytes) -> Request:
    """Return what a body says. The inverse of `format_request`.

    Raises:
        Malformed: it is not one.
    """
    if len(raw) > MAX_REQUEST_SIZE:
        raise Malformed(f"a request of more than `{MAX_REQUEST_SIZE}` bytes")
    try:
        head, separator, note = raw.decode().partition("\n\n")
    except UnicodeDecodeError:
        raise Malformed("a request that is not UTF-8") from None
    first, *proof = head.split("\n")
    if not separator or not first.startswith("old "):
        raise Malformed("a request is `old <size>`, lines of proof, an empty line and a checkpoint")
    if len(proof) > MAX_PROOF:
        raise Malformed(f"a proof of `{len(proof)}` lines, expected at most {MAX_PROOF}")
    read_unverified_text(note)
    return Request(parse_number(first.removeprefix("old "), "old size"), tuple(parse_base64(line, "proof line") for line in proof), note)


def open_submission(request: Request, logs: Mapping[str, Callable[[int], Sequence[Verifier]]]) -> Submission | Refusal:
    """Return the submission if a known log signed it. `logs`: by origin, the keys that must have signed a checkpoint of some size.

    Raises:
        Malformed: what was signed is not a checkpoint.
    """
    text = read_unverified_text(request.note)
    origin = text.partition("\n")[0]
    keys_at = logs.get(origin)
    if keys_at is None:
        return Refusal(404, f"unknown log: {origin[:200]}\n")
    verifiers = keys_at(_claimed_size(text))
    try:
        signatures = open_note(request.note, verifiers).signatures
    except Tampered as error:
        return Refusal(403, f"{error.detail}\n")
    if len(signatures) != len(verifiers):
        return Refusal(403, f"{len(signatures)} of the {len(verifiers)} keys of this log signed, expected all\n")
    note = f"{text}\n{select_signatures(request.note, verifiers)}"
    try:
        return Submission(origin, parse_checkpoint(text), text, note)
    except Malformed as error:
        if error.code != "empty_root_wrong":
            raise
        return Submission(origin, None, text, note)


def _claimed_size(text: str) -> int:
    try:
        return parse_number(text.split("\n")[1], "size")
    except (IndexError, Malformed):
        return 0  # whatever it is, it is refused as no checkpoint once its signature holds


def judge(request: Request, submission: Submission, last: Checkpoint | None) -> Refusal | None:
    """Return why this may not be cosigned after `last` (None: nothing yet), or None if it may."""
    new = submission.checkpoint or Checkpoint(submission.origin, 0, b"")
    held = last or Checkpoint(submission.origin, 0, EMPTY_ROOT)
    if request.old_size > new.size:
        return Refusal(400, f"old size {request.old_size} is larger than the checkpoint's {new.size}\n")
    if request.old_size != held.size:
        return Refusal(409, f"{held.size}\n", SIZE_TYPE)
    if new.size == 0 and new.root != EMPTY_ROOT:
        return _evidence("the root of size 0 is not that of the empty tree")
    if request.old_size == 0 and request.proof:
        return _evidence("a consistency proof from size 0, expected none: it is consistent with everything")
    if new.size == held.size:
        if new.root != held.root:
            return _evidence(f"another root for size {new.size} than the one that was cosigned")
        return None if not request.proof else _evidence("a consistency proof between equal sizes, expected none")
    if request.old_size:
        try:
            verify_consistency(held.size, new.size, held.root, new.root, request.proof)
        except (Tampered, Malformed) as error:
            return _evidence(f"the consistency proof does not hold: {error.detail}")
    return None


def _evidence(why: str) -> Refusal:
    return Refusal(422, f"{why}\n", is_evidence=True)
