"""Asking one witness, over HTTP, to cosign one checkpoint. The witness may be away, slow, broken or lying.

    200  its cosignatures, of which those of known keys are checked; none of them: it is of no use to us
    409  it has seen another size: build the proof from there and ask again; a larger one than ours: we are the fork
    422  its root for an old size of ours is not ours, though our proof holds: we are the fork
    else, garbage, or nothing within the deadline: it did not answer

"We are the fork" stops everything, on one witness's word: either the ledger was rolled back, or a witness lies, and a
person must find out which. If it shows a checkpoint of our own key to prove it, the message says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from jurat.core.errors import JuratError, Malformed, Tampered, Unavailable
from jurat.ledger.layout import hash_origin
from jurat.ledger.witness import SIZE_TYPE, Request, format_request
from jurat.merkle.checkpoint import Checkpoint, parse_checkpoint
from jurat.merkle.cosign import open_cosigned
from jurat.merkle.note import Verifier, open_note, read_unverified_text, select_signatures
from jurat.merkle.tree import NodeReader, consistency_path
from jurat.worker.exchange import Reply, exchange

_TURNS: Final = 4  # another client of the same log may move the witness on between two of ours
_SIZE_BODY: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n\Z")


class Site(NamedTuple):
    """Where one witness is asked, and its keys: one request brings the cosignatures of all of them."""

    url: str
    verifiers: tuple[Verifier, ...]


def ask_witness(
    site: Site, note: str, logs_keys: Sequence[Verifier], node: NodeReader, old_size: int, newest: Callable[[], int], timeout_s: float
) -> str:
    """Return the witness's cosignature lines on this note, each of them checked.

    Args:
        site: the witness.
        note: the checkpoint, signed by the log.
        logs_keys: the log's own public keys.
        node: the log's tree, at least as large as the checkpoint.
        old_size: what the witness is thought to have cosigned last; 0 if that is not known.
        newest: tells the log's size as it is public now; others may bring newer checkpoints of ours to a witness.
        timeout_s: for each request, everything included.
    Raises:
        Unavailable: it is away, refuses us, or answers nonsense. Try again later.
        Tampered: it has seen another tree of this log: stop.
    """
    checkpoint = parse_checkpoint(read_unverified_text(note))
    for _ in range(_TURNS):
        proof = consistency_path(old_size, checkpoint.size, node) if 0 < old_size < checkpoint.size else []
        reply = exchange("POST", f"{site.url}/add-checkpoint", format_request(Request(old_size, tuple(proof), note)), timeout_s)
        if reply.status == 200:
            return _check_cosignatures(site, note, reply.body)
        if reply.status == 409:
            size = _read_size(site, reply)
            if checkpoint.size < size <= newest():
                raise Unavailable(f"witness `{site.url}` has a newer checkpoint already", code="overtaken")
            if size > checkpoint.size:
                raise _we_are_the_fork(site, logs_keys, checkpoint, f"it is at size `{size}`, we are at `{checkpoint.size}`", timeout_s)
            if size == old_size:
                raise _useless(site, f"it refuses size `{size}` and names that size itself")
            old_size = size
            continue
        if reply.status == 422 and old_size:
            what = f"it has another root for size `{old_size}` than ours"
            raise _we_are_the_fork(site, logs_keys, checkpoint, what, timeout_s)
        raise _useless(site, f"it answers {reply.status}: {_words(reply.body)}", _HINTS.get(reply.status, ""))
    raise _useless(site, "it moves on faster than we can follow: is another ledger running with our keys?")


def ask_size(site: Site, note: str, logs_keys: Sequence[Verifier], timeout_s: float) -> int | None:
    """Return the size that the witness cosigned last, None if it had not seen this log; pass if it agrees with ours.

    Needs no tree: only the size, and the root if the sizes are equal, can be compared.

    Raises:
        Unavailable: no answer that is one.
        Tampered: it has seen a larger tree, or another one of this size.
    """
    checkpoint = parse_checkpoint(read_unverified_text(note))
    reply = exchange("POST", f"{site.url}/add-checkpoint", format_request(Request(0, (), note)), timeout_s)
    if reply.status == 200:
        _check_cosignatures(site, note, reply.body)
        return None
    if reply.status != 409:
        raise _useless(site, f"it answers {reply.status}: {_words(reply.body)}", _HINTS.get(reply.status, ""))
    size = _read_size(site, reply)
    if size > checkpoint.size:
        raise _we_are_the_fork(site, logs_keys, checkpoint, f"it is at size `{size}`, we are at `{checkpoint.size}`", timeout_s)
    if size == checkpoint.size:
        again = exchange("POST", f"{site.url}/add-checkpoint", format_request(Request(size, (), note)), timeout_s)
        if again.status == 422:
            raise _we_are_the_fork(site, logs_keys, checkpoint, f"it has another root for size `{size}` than ours", timeout_s)
        if again.status == 200:
            _check_cosignatures(site, note, again.body)
    return size


def _check_cosignatures(site: Site, note: str, body: bytes) -> str:
    try:
        lines = body.decode()
        cosigned = note + lines
        if not lines.startswith("— "):
            raise Malformed("it is not a signature line")
        if not open_cosigned(cosigned, site.verifiers).signatures:
            raise Malformed("none of its known keys cosigned, or none with a time")
        return select_signatures(f"{read_unverified_text(note)}\n{lines}", site.verifiers)
    except (UnicodeDecodeError, Malformed, Tampered) as error:
        raise _useless(site, f"its answer does not hold: {str(error)[:200]}") from error


def _read_size(site: Site, reply: Reply) -> int:
    match = _SIZE_BODY.match(reply.body)
    if match is None or reply.content_type.partition(";")[0].strip() != SIZE_TYPE or int(match[1]) >= 2**63:
        raise _useless(site, f"it answers 409 without a size: {_words(reply.body)}")
    return int(match[1])


def _we_are_the_fork(site: Site, logs_keys: Sequence[Verifier], ours: Checkpoint, what: str, timeout_s: float) -> Tampered:
    proof = _find_proof(site, logs_keys, ours, timeout_s)
    said = "and shows a checkpoint signed by our own key" if proof else "and shows nothing for it"
    return Tampered(
        f"witness `{site.url}` says that this ledger is not the one it knows: {what}, {said}",
        hint="the ledger was rolled back, or two run with one key: put the newer copy back. Only if you are sure that the "
        "witness is wrong, take it out of `witness-policy.txt`",
        code="forked",
        witness=site.url,
        checkpoint=proof or "",
    )


def _find_proof(site: Site, logs_keys: Sequence[Verifier], ours: Checkpoint, timeout_s: float) -> str | None:
    """Return the witness's last checkpoint if it is signed by our key and contradicts ours."""
    try:
        reply = exchange("GET", f"{site.url}/{hash_origin(ours.origin).hex()}/checkpoint", None, timeout_s)
        if reply.status != 200:
            return None
        theirs = parse_checkpoint(open_note(reply.body, logs_keys).text)
        if theirs.origin != ours.origin or theirs.size < ours.size or theirs == ours:
            return None
        return reply.body.decode()
    except JuratError:
        return None


def _useless(site: Site, why: str, hint: str = "") -> Unavailable:
    return Unavailable(f"witness `{site.url}` did not cosign: {why}", hint=hint, code="witness_refused")


def _words(body: bytes) -> str:
    return "".join(c if c.isprintable() else " " for c in body[:200].decode("utf-8", "replace")).strip() or "nothing"


_HINTS: Final = {
    404: "give its operator this ledger's `keys/log-keys.json`: it must add the anchor log",
    403: "it knows other keys of this log: give its operator this ledger's `keys/log-keys.json`",
}
