"""Known flaws of packages: collections of OSV documents, imported whole or not at all, and held against what versions were built with.

A collection is a file of the workspace, known by its digest; what is in force is on record. An import reopens the approvals of versions
that a new or changed advisory meets, as `jurat advisory add` does, and measures every live version. Killed in between, it is run again.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from jurat.app.artefacts import open_artefact
from jurat.app.evaluator import evaluator_for
from jurat.app.look import See, check, known, look, look_at
from jurat.app.walk import Done, act, act_as
from jurat.app.wiring import App
from jurat.core.clock import parse_at
from jurat.core.digests import digest_bytes, digest_json
from jurat.core.errors import Malformed, NotFound, Tampered
from jurat.core.files import write_whole
from jurat.domain import commands, rows
from jurat.domain.commands_lineage import AddAdvisory, ImportAdvisories
from jurat.domain.lineage import PACKAGE, VERSION, node
from jurat.domain.osv import MAX_ADVISORY_BYTES, Advisory, Flaw, distinct, flaws_of, read_advisory
from jurat.domain.packages import is_in_range
from jurat.domain.stages import Stage
from jurat.domain.state import State
from jurat.domain.values import Metric

MOST_DOCUMENTS: Final = 500_000
MAX_TOTAL_BYTES: Final = 4 * 2**30
EVIDENCE: Final = "dependency_check"
_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Advisory)


class MayImport(See, frozen=True, kw_only=True):
    """Nothing is read for somebody who may not add advisories."""

    permission = "advisory:add"
    reason: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did."""

    advisories: int
    added: int
    changed: int
    withdrawn: int
    other: int
    digest: str
    is_new: bool
    changes: list[str]  # `chg_…`: changes upstream that were recorded for what it brought
    withdrawn_changes: list[str]  # open changes upstream whose advisory was withdrawn: a person clears them
    checked: list[Standing]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a version stands against the advisories in force."""

    version: str
    packages: int  # 0: its lock was not read
    flaws: list[KnownFlaw]
    event: str


class KnownFlaw(msgspec.Struct, frozen=True, kw_only=True):
    """One flaw, by every name that publishers gave it."""

    package: str
    pinned: str
    names: list[str]
    severity: float
    summary: str


def import_advisories(app: App, token: str, source: Path, reason: str, *, replace: bool = False) -> Imported:
    """Read a document, a folder or a zip of them, and hold versions against it from now on.

    Args:
        replace: forget the collection before; otherwise documents are added to it, and newer ones take the place of older.
    Raises:
        Malformed: one document cannot be read, by name; or there are more than can be meant. Nothing was imported.
        Denied: the caller may not add advisories; recorded.
        Conflict: somebody else imported meanwhile.
        NotFound, Tampered: the collection before is gone or was changed, and is not to be forgotten.
    """
    check(app, token, MayImport(place="workspace", reason=reason))
    with app.store.reading() as state:
        current = state.get(rows.AdvisoriesInForce, "current")
    before = _before(app, current, forgiving=replace)
    kept = {} if replace else dict(before)
    sources: list[str] = []
    brought: dict[str, Advisory] = {}
    other = 0
    for name, raw in _documents(source):
        sources.append(digest_bytes(raw))
        found = read_advisory(raw, what=f"`{name[-120:]}`")
        if found is None:
            other += 1
            continue
        old = kept.get(found.id)
        if old is None or parse_at(found.modified) > parse_at(old.modified):  # an older copy takes nothing back
            kept[found.id] = brought[found.id] = found
    if not sources:
        raise Malformed(f"`{source}` holds no OSV document", hint="a `.json` file, a folder of them, or an export such as PyPI/all.zip")
    lines = b"".join(_encoder.encode(kept[key]) + b"\n" for key in sorted(kept))
    digest = digest_bytes(lines)
    path = _path(app, digest)
    gone = {each.id for each in kept.values() if each.withdrawn}
    is_new = current is None or current.digest != digest
    if is_new or replace:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, lines)
    news = [each for each in brought.values() if before.get(each.id) != each]
    changes = _reopen(app, token, [each for each in news if not each.withdrawn], kept)
    added = sum(each.id not in before for each in news)
    if is_new:
        act(app, token, ImportAdvisories(
            digest=digest, source_digest=digest_json(sorted(sources)), previous=current.digest if current else "", advisories=len(kept),
            added=added, changed=len(news) - added, withdrawn=len(gone), other=other, reason=reason,
            newest=max((each.modified for each in kept.values()), key=parse_at, default=""),
        ))  # fmt: skip
        for old_file in path.parent.glob("*.jsonl"):
            if old_file != path:
                old_file.unlink()
    with app.store.reading() as state:
        cleared = [each.change for each in state.find(rows.UpstreamChange, cause="advisory") if each.advisory in gone]
    return Imported(
        advisories=len(kept), added=added, changed=len(news) - added, withdrawn=len(gone), other=other, digest=digest,
        is_new=is_new, changes=changes, withdrawn_changes=cleared, checked=check_dependencies(app, token),
    )  # fmt: skip


def check_dependencies(app: App, token: str, version: str | None = None) -> list[Standing]:
    """Hold what versions were built with against the advisories in force, and record of each how it stands: evidence for gates.

    Args:
        version: this one; None: every version that is not retired and that the caller may see.
    Raises:
        NotFound: no such version for the caller, or no advisories were imported yet.
    """
    evaluator = evaluator_for(app, token)
    known(app, token)
    with app.store.reading() as state:
        current = state.get(rows.AdvisoriesInForce, "current")
    if current is None:
        raise NotFound("no advisories were imported yet", hint="`jurat advisory import all.zip --reason 'export of osv.dev'`")
    chosen = (
        [look_at(app, token, rows.Version, version)] if version else [v for v in look(app, token, rows.Version) if v.stage != Stage.RETIRED]
    )
    by_package = _by_package(collection(app, current))
    found = []
    for each in chosen:
        with app.store.reading() as state:
            pins = packages_of(state, each.version)
        flaws = flaws_of(pins, by_package)
        done = act_as(app, evaluator, _evidence(each, current, pins, flaws))
        found.append(Standing(version=each.version, packages=len(pins), flaws=_told(flaws), event=done.events[0].id))
    return found


def packages_of(state: State, version: str) -> list[str]:
    """Return what a version's lock pins, `name==version`, as it was read when it was registered; none if it was not."""
    edges = state.find(rows.Edge, target=node(VERSION, version), relation="package")
    return sorted(edge.source.removeprefix(f"{PACKAGE}:") for edge in edges)


def collection(app: App, current: rows.AdvisoriesInForce) -> list[Advisory]:
    """Return the advisories in force.

    Raises:
        Tampered: the file is not the one on record.
        NotFound: it is gone.
    """
    try:
        raw = _path(app, current.digest).read_bytes()
    except OSError:
        raise NotFound("the collection of advisories is not in this workspace any more", hint="import it again, with `--replace`") from None
    if digest_bytes(raw) != current.digest:
        raise Tampered(
            "the collection of advisories is not the one on record", hint="import it again, with `--replace`", code="digest_mismatch"
        )
    return [_decoder.decode(line) for line in raw.splitlines()]


def _before(app: App, current: rows.AdvisoriesInForce | None, *, forgiving: bool) -> dict[str, Advisory]:
    try:
        return {each.id: each for each in collection(app, current)} if current else {}
    except (NotFound, Tampered):
        if forgiving:  # it is to be forgotten anyway
            return {}
        raise


def _reopen(app: App, token: str, brought: list[Advisory], kept: dict[str, Advisory]) -> list[str]:
    """Record a change upstream for each flaw that is news and that a live version rests on; what is known is passed over."""
    by_package = _by_package(brought)
    with app.store.reading() as state:
        pins = {pin for v in state.find(rows.Version) if v.stage != Stage.RETIRED for pin in packages_of(state, v.version)}
        told = [(each.package, each.advisory, each.affected_range) for each in state.find(rows.UpstreamChange, cause="advisory")]
    changes = []
    for flaw in flaws_of(pins, by_package):
        names = _names(flaw.advisory.id, kept)
        if any(package == flaw.package and names & _names(name, kept) and is_in_range(flaw.version, text) for package, name, text in told):
            continue
        severity = flaw.advisory.severity
        reason = f"{flaw.advisory.summary or 'no summary'} ({f'CVSS {severity:g}' if severity is not None else 'severity unknown'})"
        done: Done = act(app, token, AddAdvisory(
            package=flaw.package, affected_range=flaw.where, advisory=flaw.advisory.id, reason=reason
        ))  # fmt: skip
        changes.append(str(getattr(done.events[0].data, "change", "")))
        told.append((flaw.package, flaw.advisory.id, flaw.where))
    return changes


def _evidence(version: rows.Version, current: rows.AdvisoriesInForce, pins: list[str], flaws: list[Flaw]) -> commands.RecordEvidence:
    found = _told(flaws)
    unread = "" if pins else "nobody read its lock: register it with `--lock`"
    told = "; ".join(f"{flaw.package} {flaw.pinned}: {flaw.names[0]} ({flaw.severity:g})" for flaw in found)
    worst = max((flaw.severity for flaw in found), default=0.0)
    metrics = [
        Metric(name="known_flaws", value=float(len(found)) if pins else None, n=len(pins), reason=unread or told[:300]),
        Metric(name="worst_known_severity", value=worst if pins else None, n=len(pins), reason=unread),
    ]
    return commands.RecordEvidence(
        version=version.version, version_digest=version.digest, type=EVIDENCE, dataset=f"advisories:{current.digest}",
        dataset_digest=current.digest, metrics=metrics, method="OSV advisories held against the lock, versions ordered by PEP 440",
        environment={"advisories": str(current.advisories), "newest": current.newest}, duration_s=0.0,
    )  # fmt: skip


def _told(flaws: list[Flaw]) -> list[KnownFlaw]:
    found = []
    for names, package, severity in distinct(flaws):
        first = next(flaw for flaw in flaws if flaw.package == package and flaw.advisory.id in names)
        ours = [flaw.advisory.id for flaw in flaws if flaw.package == package and flaw.advisory.id in names]
        told = [*ours, *(name for name in names if name not in ours)]
        found.append(KnownFlaw(package=package, pinned=first.version, names=told, severity=severity, summary=first.advisory.summary))
    return found


def _names(advisory: str, kept: dict[str, Advisory]) -> set[str]:
    return {advisory, *(kept[advisory].aliases if advisory in kept else ())}


def _by_package(advisories: Iterable[Advisory]) -> dict[str, list[Advisory]]:
    found: dict[str, list[Advisory]] = {}
    for advisory in advisories:
        for package in {each.package for each in advisory.affected}:
            found.setdefault(package, []).append(advisory)
    return found


def _path(app: App, digest: str) -> Path:
    return app.workspace.advisories / f"{digest.removeprefix('sha256:')}.jsonl"


def _documents(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every document with its name, within bounds: in number, in size, and of what a zip may unpack to."""
    total = count = 0
    for name, raw in _zipped(source) if source.is_file() and zipfile.is_zipfile(source) else _lying(source):
        total, count = total + len(raw), count + 1
        if total > MAX_TOTAL_BYTES or count > MOST_DOCUMENTS:
            raise Malformed(f"`{source}` holds more than {MOST_DOCUMENTS} documents or {MAX_TOTAL_BYTES} bytes")
        yield name, raw


def _lying(source: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(source.rglob("*.json")) if source.is_dir() else [source]:
        with open_artefact(path) as file:
            yield str(path), file.read(MAX_ADVISORY_BYTES + 1)


def _zipped(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with open_artefact(source) as file, zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".json"):
                    with archive.open(member) as inside:
                        yield f"{source.name}/{member.filename}", inside.read(MAX_ADVISORY_BYTES + 1)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise Malformed(f"`{source}` is not a readable zip: {str(error)[:120].lower()}") from None
