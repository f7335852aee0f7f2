"""Advisories in the OSV schema: read strictly, as far as they concern Python packages, and held against what a lock pins.

A version is affected if it is listed, or lies in a range (OSV's own algorithm, versions ordered by PEP 440). What cannot be read as a
version is never taken for safe: a package with such a version is affected, a fix in such a version fixes nothing.
Source: https://ossf.github.io/osv-schema/ (1.7), section «Evaluation»; severities by https://www.first.org/cvss/v3.1/specification-document
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from jurat.core.clock import parse_at
from jurat.core.errors import Malformed
from jurat.core.jsonio import load_json
from jurat.domain.packages import Key, canonical, version_key

ECOSYSTEM: Final = "PyPI"
MAX_ADVISORY_BYTES: Final = 8 * 2**20
WORST: Final = 10.0
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{2,63}\Z")
_MOST_EVENTS: Final = 10_000
# What an advisory's publisher says in words, as the upper end of its band in CVSS: what is not known exactly is not taken for less.
_BANDS: Final = {"LOW": 3.9, "MODERATE": 6.9, "MEDIUM": 6.9, "HIGH": 8.9, "CRITICAL": WORST}


class Range(msgspec.Struct, frozen=True):
    """Versions from `introduced` on: up to, without, `fixed`; or up to, with, `last`; or all. Empty texts: from the first, without end."""

    introduced: str = ""
    fixed: str = ""
    last: str = ""

    @property
    def text(self) -> str:
        """The range as `packages.check_range` has it."""
        parts = [
            f">={self.introduced or '0.dev0'}",
            *([f"<{self.fixed}"] if self.fixed else []),
            *([f"<={self.last}"] if self.last else []),
        ]
        return ",".join(parts)


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions of one package have the flaw."""

    package: str
    versions: list[str] = []
    ranges: list[Range] = []


class Advisory(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one advisory."""

    id: str
    modified: str  # RFC 3339
    affected: list[Affected]
    aliases: list[str] = []
    summary: str = ""
    severity: float | None = None  # 0 to 10; None: nobody says, or in a way that is not read here
    withdrawn: bool = False


class Flaw(NamedTuple):
    """One advisory that one pinned package is met by; `where` says by which range or version, as `packages.check_range` has it."""

    advisory: Advisory
    package: str
    version: str
    where: str


class _Package(msgspec.Struct):
    ecosystem: str
    name: str


class _Range(msgspec.Struct):
    type: str
    events: list[dict[str, str]]


class _Severity(msgspec.Struct):
    type: str
    score: str


class _Affected(msgspec.Struct):
    package: _Package | None = None
    ranges: list[_Range] = []
    versions: list[str] = []
    severity: list[_Severity] = []


class _Osv(msgspec.Struct):
    id: str
    modified: str
    schema_version: str = "1.0.0"
    withdrawn: str | None = None
    aliases: list[str] = []
    summary: str = ""
    details: str = ""
    severity: list[_Severity] = []
    affected: list[_Affected] = []
    database_specific: Any = None


def read_advisory(raw: bytes, *, what: str = "advisory") -> Advisory | None:
    """Return what one OSV document says of Python packages; None if it is about others.

    Raises:
        Malformed: too large, no such document, or one that cannot be meant: nothing of it is believed.
    """
    if len(raw) > MAX_ADVISORY_BYTES:
        raise Malformed(f"{what} has {len(raw)} bytes, expected at most {MAX_ADVISORY_BYTES}")
    found = load_json(raw, _Osv, what=what)
    if not _ID.match(found.id) or found.schema_version.partition(".")[0] != "1":
        raise Malformed(f"{what} has id `{found.id[:64]}` and schema `{found.schema_version[:20]}`, expected an OSV document of schema 1")
    for at in (found.modified, found.withdrawn):
        try:
            parse_at(at) if at else None
        except ValueError:
            raise Malformed(f"{what} `{found.id}` has time `{str(at)[:40]}`, expected RFC 3339") from None
    ours = [each for each in found.affected if each.package and each.package.ecosystem.partition(":")[0] == ECOSYSTEM]
    if not ours:
        return None
    said = [*found.severity, *(each for part in ours for each in part.severity)]
    return Advisory(
        id=found.id, modified=found.modified, affected=[_affected(each, what) for each in ours], withdrawn=bool(found.withdrawn),
        aliases=sorted({each for each in found.aliases if _ID.match(each)}), severity=_severity(said, found.database_specific),
        summary=" ".join((found.summary or found.details).split())[:300],
    )  # fmt: skip


def flaws_of(pins: Iterable[str], by_package: dict[str, list[Advisory]]) -> list[Flaw]:
    """Return every advisory that a pinned package (`name==version`) is met by, sorted; withdrawn ones meet nothing."""
    found = []
    for pin in sorted(set(pins)):
        package, _, version = pin.partition("==")
        for advisory in by_package.get(package, ()):
            where = "" if advisory.withdrawn else met_by(advisory, package, version)
            if where:
                found.append(Flaw(advisory, package, version, where))
    return sorted(found, key=lambda flaw: (flaw.package, flaw.advisory.id))


def met_by(advisory: Advisory, package: str, version: str) -> str:
    """Return by which range, or as which version, an advisory meets a version; empty if it does not."""
    own = version_key(version)
    for each in advisory.affected:
        if each.package != package:
            continue
        if version in each.versions or (own is not None and any(version_key(listed) == own for listed in each.versions)):
            return next((r.text for r in each.ranges if own is not None and _holds(own, r)), f"=={version}" if own else Range().text)
        for one in each.ranges:
            if own is None or _holds(own, one):
                return one.text
        if own is None:
            return Range().text
    return ""


def distinct(flaws: Iterable[Flaw]) -> list[tuple[list[str], str, float]]:
    """Return the flaws behind advisories, several publishers' names for one being one: its names, its package, its severity."""
    groups: list[tuple[set[str], str, list[float | None]]] = []
    for flaw in flaws:
        names = {flaw.advisory.id, *flaw.advisory.aliases}
        same = [group for group in groups if group[1] == flaw.package and group[0] & names]
        for group in same:
            groups.remove(group)
        groups.append((names.union(*(g[0] for g in same)), flaw.package, [flaw.advisory.severity, *(s for g in same for s in g[2])]))
    known = [(sorted(names), package, [s for s in scores if s is not None]) for names, package, scores in groups]
    return sorted((names, package, max(scores) if scores else WORST) for names, package, scores in known)


def cvss3_score(vector: str) -> float | None:
    """Return the base score of a CVSS 3.0 or 3.1 vector; None if this is none, or not whole.

    Example:
        >>> cvss3_score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
        9.8
    """
    version, _, rest = vector.partition("/")
    parts = dict(part.split(":", 1) for part in rest.split("/") if part.count(":") == 1)
    if version not in ("CVSS:3.0", "CVSS:3.1") or any(parts.get(name) not in values for name, values in _CVSS3.items()):
        return None
    is_changed = parts["S"] == "C"
    value = {name: values[parts[name]] for name, values in _CVSS3.items()}
    privileges = value["PR"] if not is_changed else {"N": 0.85, "L": 0.68, "H": 0.5}[parts["PR"]]
    missing = 1 - (1 - value["C"]) * (1 - value["I"]) * (1 - value["A"])
    impact = 7.52 * (missing - 0.029) - 3.25 * (missing - 0.02) ** 15 if is_changed else 6.42 * missing
    if impact <= 0:
        return 0.0
    reach = 8.22 * value["AV"] * value["AC"] * privileges * value["UI"]
    return _round_up(min((1.08 if is_changed else 1.0) * (impact + reach), WORST))


_IMPACT: Final = {"H": 0.56, "L": 0.22, "N": 0.0}
_CVSS3: Final[dict[str, dict[str, float]]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2}, "AC": {"L": 0.77, "H": 0.44}, "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62}, "S": {"U": 0.0, "C": 0.0}, "C": _IMPACT, "I": _IMPACT, "A": _IMPACT,
}  # fmt: skip


def _round_up(score: float) -> float:
    """CVSS 3.1, appendix A: the smallest number of one decimal that is not below, free of what floats add."""
    whole = round(score * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10


def _severity(said: list[_Severity], more: Any) -> float | None:
    scores = [score for each in said if (score := cvss3_score(each.score)) is not None]
    if scores:
        return max(scores)
    word = more.get("severity") if isinstance(more, dict) else None
    return _BANDS.get(word.upper()) if isinstance(word, str) else None


def _affected(part: _Affected, what: str) -> Affected:
    assert part.package is not None
    ranges = [one for each in part.ranges if each.type == "ECOSYSTEM" for one in _ranges(each, what)]
    if not ranges and not part.versions:
        ranges = [Range()]  # nothing that we can read says which versions: then all of them
    return Affected(package=canonical(part.package.name), versions=sorted(set(part.versions))[:_MOST_EVENTS], ranges=ranges)


def _ranges(said: _Range, what: str) -> list[Range]:
    """Return the stretches that a list of events means: each begins at an `introduced`, and ends at what comes next after it."""
    if len(said.events) > _MOST_EVENTS or any(len(each) != 1 for each in said.events):
        raise Malformed(f"{what} has a range with too many events, or with an event that says other than one thing")
    events = [(name, version) for each in said.events for name, version in each.items() if name != "limit"]
    if unknown := [name for name, _ in events if name not in ("introduced", "fixed", "last_affected")]:
        raise Malformed(f"{what} has a range with event `{unknown[0][:40]}`", hint="OSV knows introduced, fixed, last_affected, limit")
    if not any(name == "introduced" for name, _ in events):
        raise Malformed(f"{what} has a range without `introduced`")
    readable = [(name, version) for name, version in events if version == "0" or version_key(version) is not None or name == "introduced"]
    ranges: list[Range] = []
    start: str | None = None
    for name, version in sorted(readable, key=_place):
        if name == "introduced":
            start = version if start is None else start
        elif start is not None:
            ends = Range(fixed=version) if name == "fixed" else Range(last=version)
            ranges.append(msgspec.structs.replace(ends, introduced="" if _is_first(start) else start))
            start = None
    if start is not None:
        ranges.append(Range(introduced="" if _is_first(start) else start))
    return ranges


def _is_first(version: str) -> bool:
    return version == "0" or version_key(version) is None  # what cannot be read began at the beginning


def _place(event: tuple[str, str]) -> tuple[bool, Key, int]:
    """Order events by version; of one version, what ends a stretch comes before what begins one, and `last_affected` ends after it."""
    name, version = event
    key = None if version == "0" else version_key(version)
    order = {"fixed": 0, "introduced": 1, "last_affected": 2}[name]
    return (False, _FIRST, order) if key is None else (True, key, order)


_FIRST: Final[Key] = (0, (0,), (-1, 0, 0), (0, 0), (0, 0))


def _holds(own: Key, one: Range) -> bool:
    low, high, last = (version_key(text) if text else None for text in (one.introduced, one.fixed, one.last))
    return (low is None or own >= low) and (high is None or own < high) and (last is None or own <= last)
