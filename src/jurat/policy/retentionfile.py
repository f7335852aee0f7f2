"""The retention file: how long each class of events is kept, and what the law asks for at least.

    jurisdictions: [EU]                    where the workspace's systems are used
    classes: {training: P7Y, …}            every class, ISO 8601
    rules:   [{class, tier, period}]       optional: another period for the systems of one risk tier
    floors:  [{jurisdiction, tier, classes, period, starts, source, applies_from}]
    placed_on_market: {system: date}       optional: where a floor starts with that day

Strict as the gate file is. A rule under a floor that meets it is refused, with the floor's source. Knows the file; what
it means for an event is `domain.retention`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from importlib.resources import files
from typing import Final

import msgspec
import yaml

from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed
from jurat.core.periods import Period, format_period, last_day, parse_period
from jurat.policy.plainyaml import compose, read_mapping, read_scalar, read_sequence, reading, refuse_at, suggest

FILE_NAME: Final = "retention.yaml"
STARTS: Final = ("received", "placed_on_market")
# Days on which two periods can differ most: month ends, a leap day, a turn of the year.
_PROBES: Final = tuple(
    date(y, m, d) for y, m, d in ((2026, 8, 31), (2027, 2, 28), (2028, 1, 31), (2028, 2, 29), (2026, 12, 31), (2027, 6, 15))
)


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """What a law asks for at least. `tier` `any` meets every system, and events of none."""

    jurisdiction: str
    tier: str
    classes: tuple[str, ...]
    period: Period
    starts: str
    source: str
    applies_from: date


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Another period for one class of events, of systems of one tier."""

    retention: str
    tier: str
    period: Period


class RetentionTable(msgspec.Struct, frozen=True, kw_only=True):
    """A whole retention file. Every class has a period."""

    jurisdictions: tuple[str, ...]
    classes: dict[str, Period]
    rules: tuple[Rule, ...] = ()
    floors: tuple[Floor, ...] = ()
    placed_on_market: dict[str, date] = {}

    @property
    def digest(self) -> str:
        """The digest of what the file means: comments, order of keys and white space do not count."""
        return digest_bytes(msgspec.json.encode(self, order="sorted"))

    def floors_of(self, retention: str, tier: str | None) -> list[Floor]:
        """Return the floors that meet events of a class and a tier (None: of no system)."""
        return [f for f in self.floors if f.jurisdiction in self.jurisdictions and retention in f.classes and f.tier in ("any", tier)]

    def period_of(self, retention: str, tier: str | None) -> Period:
        """Return the period that the organisation chose: its rule for the tier, or else the class's."""
        return next((r.period for r in self.rules if (r.retention, r.tier) == (retention, tier)), self.classes[retention])


def is_shorter(one: Period, other: Period) -> bool:
    """Whether `one` ends before `other` for some day that both may start on."""
    return any(last_day(day, one) < last_day(day, other) for day in _PROBES)


def default_retention() -> str:
    """Return the shipped file, to be laid into a workspace."""
    return (files("jurat.policy") / "defaults" / FILE_NAME).read_text("utf-8")


def parse_retention(text: str, *, classes: Collection[str], tiers: Collection[str]) -> RetentionTable:
    """Return the table that a file says.

    Raises:
        Malformed: it cannot be read, or says what cannot be; the line is named. Code `under_floor`: a rule is shorter
            than the law allows.
    """
    root = read_mapping(compose(text), "the file", {"jurisdictions", "classes", "rules", "floors", "placed_on_market"})
    missing = [key for key in ("jurisdictions", "classes", "floors") if key not in root]
    if missing:
        raise Malformed(f"the file does not say `{missing[0]}`", hint="compare with the one of a fresh workspace")
    periods = {key: _period(node) for key, node in read_mapping(root["classes"], "`classes`", set(classes)).items()}
    if absent := sorted(set(classes) - periods.keys()):
        raise refuse_at(root["classes"], f"class `{absent[0]}` has no period", f"each of {', '.join(sorted(classes))} needs one")
    table = RetentionTable(
        jurisdictions=tuple(read_scalar(n, "a jurisdiction") for n in read_sequence(root["jurisdictions"], "`jurisdictions`", "names")),
        classes=periods,
        floors=tuple(_floor(node, classes, tiers) for node in read_sequence(root["floors"], "`floors`", "floors")),
        placed_on_market={name: _date(node) for name, node in _mapping_or_none(root.get("placed_on_market")).items()},
    )
    nodes = _sequence_or_none(root.get("rules"))
    rules = tuple(_rule(node, classes, tiers, table) for node in nodes)
    for at, rule in enumerate(rules):
        if any((rule.retention, rule.tier) == (other.retention, other.tier) for other in rules[:at]):
            raise refuse_at(nodes[at], f"there are two rules for `{rule.retention}` of tier `{rule.tier}`", "only one can be meant")
    return msgspec.structs.replace(table, rules=rules)


def _rule(node: yaml.Node, classes: Collection[str], tiers: Collection[str], table: RetentionTable) -> Rule:
    found = _whole(node, "a rule", ("class", "tier", "period"))
    rule = Rule(
        retention=_word(found["class"], "class", classes), tier=_word(found["tier"], "tier", tiers), period=_period(found["period"])
    )
    for floor in table.floors_of(rule.retention, rule.tier):
        if floor.starts != "received" or is_shorter(rule.period, floor.period):
            wanted = f"{format_period(floor.period)} from {floor.starts.replace('_', ' ')}"
            raise refuse_at(
                node,
                f"`{format_period(rule.period)}` for `{rule.retention}` of {rule.tier}-risk systems is under the legal floor of {wanted}",
                f"the floor's source: {floor.source}; leave the rule out, and the floor decides",
                "under_floor",
            )
    return rule


def _floor(node: yaml.Node, classes: Collection[str], tiers: Collection[str]) -> Floor:
    names = ("jurisdiction", "tier", "classes", "period", "starts", "source", "applies_from")
    found = _whole(node, "a floor", names)
    source = read_scalar(found["source"], "`source`")
    if not source.strip():
        raise refuse_at(found["source"], "a floor has no source", "name the law and its article")
    return Floor(
        jurisdiction=read_scalar(found["jurisdiction"], "`jurisdiction`"),
        tier=_word(found["tier"], "tier", [*tiers, "any"]),
        classes=tuple(_word(each, "class", classes) for each in read_sequence(found["classes"], "`classes`", "classes")),
        period=_period(found["period"]),
        starts=_word(found["starts"], "start", STARTS),
        source=source,
        applies_from=_date(found["applies_from"]),
    )


def _whole(node: yaml.Node, what: str, names: tuple[str, ...]) -> dict[str, yaml.Node]:
    found = read_mapping(node, what, set(names))
    for name in names:
        if name not in found:
            raise refuse_at(node, f"{what} does not say its `{name}`", f"it has {', '.join(names)}")
    return found


def _word(node: yaml.Node, what: str, known: Collection[str]) -> str:
    word = read_scalar(node, f"a {what}")
    if word not in known:
        raise refuse_at(node, f"{what} `{word[:60]}` is unknown", suggest(word, known, f"{what}s"))
    return word


def _period(node: yaml.Node) -> Period:
    return reading(node, lambda: parse_period(read_scalar(node, "a period")))


def _date(node: yaml.Node) -> date:
    text = read_scalar(node, "a date")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refuse_at(node, f"`{text[:40]}` is not a date", "write it like `2026-08-02`") from None


def _mapping_or_none(node: yaml.Node | None) -> dict[str, yaml.Node]:
    return {} if node is None else read_mapping(node, "`placed_on_market`", None)


def _sequence_or_none(node: yaml.Node | None) -> list[yaml.Node]:
    if node is None or (isinstance(node, yaml.SequenceNode) and not node.value):
        return []
    return read_sequence(node, "`rules`", "rules")
