"""What witnesses say about the anchor log, for a verifier who brings a policy: the quorum, and how far it reaches.

A cosigned checkpoint binds the anchor log, and through it every class log, to what the witnesses saw. What came after
it may have been shown to you alone; for a ledger that runs that is a second's worth, so younger entries are no fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jurat.core.errors import JuratError, Tampered
from jurat.ledger.faults import Faults
from jurat.ledger.layout import ANCHOR
from jurat.ledger.verify_checkpoints import Claims, open_checkpoint
from jurat.ledger.witnessed import read_witnessed
from jurat.merkle.checkpoint import Checkpoint
from jurat.merkle.entry import unpack_anchor_entry
from jurat.merkle.note import read_unverified_text
from jurat.merkle.policy import Policy, verify_quorum

GRACE_S: Final = 60.0  # how old an anchor entry may be that no quorum has cosigned yet
_CLOCKS_DIFFER_S: Final = 300  # a cosignature from farther in the future is refused


def gather_cosigned(ledger_root: Path, since: Sequence[str | bytes]) -> list[str | bytes]:
    """Return the checkpoints of the anchor log that may be cosigned: the ledger's own, and those that somebody kept."""
    own = read_witnessed(ledger_root)
    return [*([] if own is None else [own]), *since]


def bind_witnessed(claims: Sequence[Claims], notes: Sequence[str | bytes], policy: Policy, now_s: float, faults: Faults) -> int:
    """Hold the anchor log to the newest of these checkpoints that a quorum cosigned; return its size, 0 if there is none.

    To be called before the tree is checked: what was cosigned is another size at which a root is known.
    """
    anchor = next((claim for claim in claims if claim.log == ANCHOR), None)
    if anchor is None:
        faults.add("anchor", "not_witnessed", "no keys of the anchor log were given, and it is what witnesses cosign")
        return 0
    found: list[Checkpoint] = []
    why = "no cosigned checkpoint is there"
    for note in notes:
        try:
            if not read_unverified_text(note).startswith(f"{anchor.keys.origin}\n"):
                continue  # kept from another log
            checkpoint = open_checkpoint(note, anchor.keys)
            _check_log(policy, anchor)
            verify_quorum(policy, note, latest_s=int(now_s) + _CLOCKS_DIFFER_S)
        except JuratError as error:
            why = error.detail
            continue
        found.append(checkpoint)
    for checkpoint in found:
        anchor.bind(checkpoint, "forked", f"the checkpoint of size {checkpoint.size} that a quorum of witnesses cosigned")
    size = max((checkpoint.size for checkpoint in found), default=0)
    newest = anchor.newest.size if anchor.newest else 0
    if size >= newest:
        return size
    if not found:
        faults.add("anchor", "not_witnessed", why, index=0, last_index=newest - 1)
    elif (age_s := now_s - _sealed_s(anchor, size)) > GRACE_S:
        detail = f"the quorum reaches size {size}, the log {newest}; the first entry beyond has been waiting for {age_s:.0f} s"
        faults.add("anchor", "not_witnessed", detail, index=size, last_index=newest - 1)
    return size


def _check_log(policy: Policy, anchor: Claims) -> None:
    """Pass if the policy names no log, or this one: by one of its keys."""
    if policy.logs and not {log.verifier.vkey for log in policy.logs} & set(anchor.keys.all_vkeys()):
        raise Tampered(f"the policy trusts other logs than `{anchor.keys.origin}`", code="log_unknown")


def _sealed_s(anchor: Claims, index: int) -> float:
    """Return when an anchor entry says it was sealed; an entry that cannot be read was never sealed."""
    try:
        return unpack_anchor_entry(anchor.files.entries(index, index + 1)[0]).sealed_ns / 1e9
    except (JuratError, IndexError):
        return 0.0
