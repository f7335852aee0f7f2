"""`jurat verify` over a whole ledger: offline, read-only, believing nothing but the keys (and the lock store, if given).

The steps, each numbered where it is done:
  (1) open every signed checkpoint: public, in the lock store, kept by somebody; every key of a log must have signed, and
      a quorum of witnesses, if a policy was given
  (2) hash the anchor log again; what it holds binds the other logs to sizes and roots
  (3) hash every class log again, past every size at which a root is known
  (4) check every event that is left, in the archive and in the journal, against the entry that stands for it
  (5) say what is not as it was sealed: which log, which index, which event, which file

Whatever lies in the ledger, the answer is a report. An exception means that this program is wrong, or the keys are.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from jurat.core.errors import JuratError, Malformed
from jurat.ledger.faults import WHAT, Fault, Faults, LogReport, Report
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import ANCHOR, checkpoint_file, events_directory, hash_origin
from jurat.ledger.locate import locate
from jurat.ledger.manifest import read_manifest
from jurat.ledger.verdict import judge_events, judge_keys, judge_tree
from jurat.ledger.verify_checkpoints import Claims, bind_anchors, gather_claims, judge_pruned, open_checkpoint
from jurat.ledger.verify_events import EventCheck
from jurat.ledger.verify_journal import check_journal
from jurat.ledger.verify_log import TreeCheck, check_tree
from jurat.ledger.verify_names import name_events
from jurat.ledger.verify_parts import check_parts
from jurat.ledger.verify_receipts import check_receipts
from jurat.ledger.verify_sizes import find_oversized
from jurat.ledger.verify_tombstones import Tombstones, gather_tombstones
from jurat.ledger.verify_witnesses import bind_witnessed, gather_cosigned
from jurat.merkle.policy import Policy

__all__ = ["WHAT", "Fault", "LogReport", "Report", "verify_workspace"]

_PATIENCE = 3  # times that the archive may move on while it is read


def verify_workspace(
    ledger_root: Path,
    keys: Sequence[LogKeys],
    lock_path: Path | None,
    *,
    since: Sequence[str | bytes] = (),
    receipts: Sequence[str | bytes] = (),
    progress: Callable[[int, int], None] | None = None,
    jobs: int = 1,
    policy: Policy | None = None,
    now_s: float | None = None,
) -> Report:
    """Return everything that is wrong with a ledger, each with its place.

    May run beside the ledger's own process: it looks at what was sealed when it began.

    Args:
        ledger_root: the directory of the logs. Not trusted, not written.
        keys: the public keys of every log, the anchor log's too: the auditor's own copy.
        lock_path: the store of last signed checkpoints; trusted. Without it an older copy of the whole ledger is only
            noticed by `since`.
        since: signed checkpoints that somebody kept.
        receipts: receipts that producers kept, which the logs must honour.
        progress: called with (steps done, steps in all), often.
        jobs: processes that check the archive, if it is large enough to be worth them.
        policy: whose cosignatures are demanded on the anchor log's checkpoint.
        now_s: Unix seconds; by default the machine's. Only cosignatures are measured against it.

    Raises:
        Malformed: no keys, or keys that are none.
    """
    if not keys:
        raise Malformed("a ledger cannot be verified without keys", hint="ask the operator for `log-keys.json`, or use your own copy")
    faults = Faults()
    if odd := _find_odd(ledger_root):
        for name in odd:  # opening one could wait for ever, or never end
            faults.add("ledger", "not_a_file", "a pipe, a device or the like; nothing was opened before it is gone", file=name)
        return Report(logs=[], faults=faults.all())
    if oversized := find_oversized(ledger_root):
        for name, size in oversized:  # reading one could take for ever, or all memory
            faults.add("ledger", "too_large", f"it has {size} bytes; nothing was opened before it is gone", file=name)
        return Report(logs=[], faults=faults.all())
    claims = gather_claims(ledger_root, keys, lock_path, since, faults)  # (1)
    witnessed = None
    if policy is not None:
        cosigned = gather_cosigned(ledger_root, since)
        witnessed = bind_witnessed(claims, cosigned, policy, time.time() if now_s is None else now_s, faults)
    tick = _Progress(claims, progress)
    trees: dict[str, TreeCheck] = {}
    for claim in claims:  # (2) (3): the anchor log is the first
        trees[str(claim.log)] = check_tree(claim.files, _size(claim), claim.waypoints, tick)
        if claim.log == ANCHOR:
            bind_anchors(claims, claim, _damaged(claim, trees["anchor"]), faults)
    unjudged = judge_pruned(claims, faults)
    events, event_faults = _check_events(ledger_root, claims, tick, jobs)  # (4)
    for claim in claims:  # (5)
        check = events[str(claim.log)]
        located = judge_tree(claim, trees[str(claim.log)], check, faults)
        judge_events(check, located, event_faults, is_archived=claim.log != ANCHOR)
    for log, promises in check_receipts(claims, receipts, faults).items():
        unjudged.setdefault(log, []).extend(promises)
    found = faults.all() + event_faults.all()
    name_events(ledger_root, keys, found)
    return Report(
        logs=[
            LogReport(
                log=str(claim.log),
                size=claim.files.count("entries"),
                sealed=_size(claim),
                checked_entries=trees[str(claim.log)].present - trees[str(claim.log)].floor,
                pruned=claim.files.minimum,
                unjudged=unjudged.get(str(claim.log), []),
                checked_payloads=events[str(claim.log)].checked,
                witnessed=witnessed if claim.log == ANCHOR else None,
            )
            for claim in claims
        ],
        faults=found,
    )


def _check_events(ledger_root: Path, claims: Sequence[Claims], tick: _Progress, jobs: int) -> tuple[dict[str, EventCheck], Faults]:
    """Check archive and journal, again if the archive's follower moved events from one to the other meanwhile."""
    tenants = sorted({claim.log.tenant for claim in claims if claim.log.tenant})
    for left in range(_PATIENCE, -1, -1):
        faults = Faults()
        checks = {str(claim.log): EventCheck(str(claim.log), claim.files, _size(claim), faults) for claim in claims}
        gone = [_tombstones(ledger_root, tenant, claims) for tenant in tenants]
        for check in checks.values():
            for each in gone:
                check.expect_gone(each.may.get(check.log, ()), each.must.get(check.log, ()), each.expired.get(check.log, ()))
                check.said_pruned = max(check.said_pruned or 0, each.pruned.get(check.log, 0))
        manifests = [check_parts(ledger_root, tenant, checks, faults, tick, jobs) for tenant in tenants]
        by_hash = {hash_origin(claim.keys.origin)[:8]: checks[str(claim.log)] for claim in claims}
        check_journal(ledger_root, by_hash, faults, tick)
        judge_keys(claims, [said for each in gone for said in each.rotated], faults)
        if not left or manifests == [_manifest_number(ledger_root, tenant) for tenant in tenants]:
            break
    for claim in claims:
        check, size = checks[str(claim.log)], max(_size(claim), _public_size(ledger_root, claim))
        for index, file in check.unknown:
            if index >= size:
                faults.add(check.log, "row_unknown", f"the archive holds it, the log is signed up to {size}", index=index, file=file)
    return checks, faults


def _tombstones(ledger_root: Path, tenant: str, claims: Sequence[Claims]) -> Tombstones:
    mine = next((claim for claim in claims if str(claim.log) == f"{tenant}/configuration"), None)
    if mine is None:
        return Tombstones({}, {}, {}, {}, [])
    size = max(_size(mine), _public_size(ledger_root, mine))
    found = gather_tombstones(ledger_root, tenant, mine.files, hash_origin(mine.keys.origin)[:8], size)
    own = f"{tenant}/"
    may, must, expired = ({log: said for log, said in each.items() if log.startswith(own)} for each in found[:3])
    return Tombstones(may, must, expired, {log: at for log, at in found.pruned.items() if log.startswith(own)}, found.rotated)


def _damaged(anchor: Claims, tree: TreeCheck) -> set[int]:
    """Return the indexes of the anchor log whose entries are not, or not surely, the sealed ones."""
    if anchor.newest is None or (tree.present == tree.size and tree.root == anchor.newest.root):
        return set()
    located = locate(anchor.files, tree, anchor.newest.root, {})
    return set(located.altered).union(*(range(begin, end) for begin, end in located.unknown))


def _find_odd(ledger_root: Path) -> list[str]:
    """Return what lies in the ledger, or is linked into it, and is neither a file nor a directory."""
    found = []
    for directory, _, names in os.walk(ledger_root):
        for path in (Path(directory, name) for name in names):
            with contextlib.suppress(OSError):  # gone meanwhile, or a link to nothing
                if not stat.S_ISREG(path.stat().st_mode):
                    found.append(path.relative_to(ledger_root).as_posix())
    return sorted(found)


def _size(claim: Claims) -> int:
    """Return the signed size; of a log without a checkpoint, what is there, to be checked at least against itself."""
    return claim.newest.size if claim.newest else claim.files.count("entries")


def _public_size(ledger_root: Path, claim: Claims) -> int:
    try:
        return open_checkpoint(checkpoint_file(ledger_root, claim.log).read_bytes(), claim.keys).size
    except (JuratError, OSError):
        return 0


def _manifest_number(ledger_root: Path, tenant: str) -> int:
    try:
        return read_manifest(events_directory(ledger_root, tenant)).number
    except (JuratError, OSError):
        return 0


class _Progress:
    """Counts entries hashed and events checked; each event may be met twice, in the archive and in the journal."""

    def __init__(self, claims: Sequence[Claims], report: Callable[[int, int], None] | None) -> None:
        self._total = sum(_size(claim) * (2 if claim.log.tenant else 1) for claim in claims)
        self._report = report
        self._done = 0

    def __call__(self, count: int) -> None:
        self._done += count
        if self._report:
            self._report(min(self._done, self._total), self._total)
