"""A mirror in an object store, doubted: tiles from the signed roots down, then every archive file against the entries.

Believes the keys and nothing else. Files are fetched one at a time; whether rows are missing that should be there is for the
ledger itself to say (`verify`), as what has expired is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from jurat.core.errors import JuratError, NotFound
from jurat.core.jsonio import load_json
from jurat.ledger.faults import Faults, LogReport, Report
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import ANCHOR, parse_log_name
from jurat.ledger.manifest import Manifest, check_manifest
from jurat.ledger.minimum import MINIMUM_FILE, open_minimum
from jurat.ledger.objects import ObjectStore, not_there
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.verify_events import EventCheck
from jurat.ledger.verify_parts import check_part
from jurat.ledger.verify_public import TiledFiles, verify_public
from jurat.merkle.note import MAX_NOTE_SIZE
from jurat.merkle.policy import Policy

_LARGEST_MANIFEST: Final = 256 * 1024 * 1024
_LANES: Final = 8


def verify_mirror(
    store: ObjectStore,
    keys: Sequence[LogKeys],
    *,
    since: Sequence[str | bytes] = (),
    receipts: Sequence[str | bytes] = (),
    progress: Callable[[int, int], None] | None = None,
    policy: Policy | None = None,
) -> Report:
    """Return everything that is wrong with a mirror, each with its place. Arguments as of `verify_public`.

    Raises:
        NotFound: there is no mirror.
        Unavailable: the store did not answer; nothing is known then.
    """
    if store.read(f"{ANCHOR}/checkpoint", MAX_NOTE_SIZE) is None:
        raise not_there(store, f"{ANCHOR}/checkpoint")
    anchor = next((each for each in keys if each.log == str(ANCHOR)), None)
    logs = [(each, store.below(each.log)) for each in keys]
    report = verify_public(logs, since=since, receipts=receipts, progress=progress, policy=policy, anchor_keys=anchor)
    faults = Faults()
    checked = _check_archive(store, keys, anchor, faults, progress)
    by_log = {each.log: each for each in report.logs}
    for log, count in checked.items():
        by_log.setdefault(log, LogReport(log=log, size=0, sealed=0)).checked_payloads = count
    return Report(logs=report.logs, faults=report.faults + faults.all())


def _check_archive(
    store: ObjectStore, keys: Sequence[LogKeys], anchor: LogKeys | None, faults: Faults, progress: Callable[[int, int], None] | None
) -> dict[str, int]:
    """Check every file that the newest manifest lists; return how many events were, per log."""
    events = store.below("events")
    manifest = _manifest(events, faults)
    total, done = sum(part.rows for part in manifest.parts), 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    with ThreadPoolExecutor(_LANES) as lanes, tempfile.TemporaryDirectory(prefix="jurat-mirror-") as directory:
        checks = {each.log: _check_of(store, each, anchor, lanes, faults) for each in keys}
        for part in manifest.parts:
            check, file = checks.get(part.log), f"events/{part.path}"
            raw = events.read(part.path)
            if raw is None:
                faults.add(part.log, "parquet_altered", "it is listed, and not there", index=part.first, last_index=part.last, file=file)
            elif check is None:
                faults.add(part.log, "manifest_altered", "a part of a log that is not in the given keys", file=file)
            else:
                path = Path(directory) / "part.parquet"
                path.write_bytes(raw)
                check_part(path, part, file, check, faults, tick)
        for log, check in checks.items():
            for index, suspects in check.suspects.items():
                for suspect in suspects:
                    detail = "its bytes, salt or entry fields are not those sealed"
                    faults.add(log, "event_altered", detail, index=index, event_id=suspect.event_id, file=suspect.file)
            for index, file in check.unknown:
                faults.add(log, "row_unknown", f"the mirror's log is signed up to {check.size}", index=index, file=file)
        return {log: check.checked for log, check in checks.items() if check.checked}


def _check_of(store: ObjectStore, keys: LogKeys, anchor: LogKeys | None, lanes: ThreadPoolExecutor, faults: Faults) -> EventCheck:
    """Return what rows of a log are held against: the tiles of its mirror, which were judged before."""
    log, own = parse_log_name(keys.log), store.below(keys.log)
    files = TiledFiles(own, log.entry_size, lanes)
    try:
        files.size = open_checkpoint(own.read("checkpoint", MAX_NOTE_SIZE) or b"", keys).size
        proof = own.read(MINIMUM_FILE, MAX_NOTE_SIZE)
        files.minimum = 0 if proof is None or anchor is None else open_minimum(proof, keys, anchor)
    except JuratError:
        pass  # said already
    check = EventCheck(keys.log, files, files.size, faults)
    check.may_be_gone[:] = True  # an erased row is judged in the ledger, by the approval on record
    return check


def _manifest(events: ObjectStore, faults: Faults) -> Manifest:
    numbers = sorted(int(name[9:-5]) for name in events.names() if name.startswith("manifest-") and name[9:-5].isdigit())
    if not numbers:
        return Manifest()
    name = f"manifest-{numbers[-1]}.json"
    try:
        raw = events.read(name, _LARGEST_MANIFEST)
        if raw is None:
            raise NotFound(f"`{name}` vanished while it was read")
        found = load_json(raw, Manifest, what=f"`{name}`")
        if damage := check_manifest(found, numbers[-1]):
            raise NotFound(damage)
    except JuratError as error:
        faults.add("events", "manifest_altered", error.detail, file=f"events/{name}")
        return Manifest()
    return found
