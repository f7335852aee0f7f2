"""The access file: which duties exclude each other, who says yes to which access, break-glass, and how often access is reviewed.

    duties:      {train: {permissions: [model:register], roles: [data_scientist]}, …}
    conflicts:   [{between: [train, approve], within: version, reason: …}]    within: version, or person
    approvals:   [{roles: [auditor], scope: "*", approvers: [compliance_officer], longest: 8h}]   the first that fits decides
    break_glass: {who: […], roles: […], usual: 1h, longest: 4h, tell: […], reviewers: […], review_within: 72h}
    trust_operator_tokens: false   (only a demo or a test says `true`)
    reviews:     {every: 30d, answer_within: 14d, remind_before: [7d, 1d], unused_after: 30d, deciders: […]}

Strict as the gate file is. Knows the file; what it means for a person or a version is `domain.duties`'.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from importlib.resources import files
from typing import Final

import msgspec
import yaml

from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed
from jurat.core.units import parse_duration_s
from jurat.policy.plainyaml import compose, read_mapping, read_scalar, read_sequence, reading, refuse_at, suggest

FILE_NAME: Final = "access.yaml"
VERSION, PERSON = "version", "person"
LONGEST_GLASS_S: Final = 4 * 3600.0  # whatever a file says
_LONGEST_ACCESS_S: Final = 366 * 86_400.0
ANY: Final = "*"
_TRUSTING: Final = """
# This workspace is to be thrown away: approvals count by tokens that its operator made in other people's names, and what one
# person grants stands. Cannot be switched on later.
trust_operator_tokens: true
"""


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """A part in the work: the acts that belong to it, and the roles that give it."""

    permissions: tuple[str, ...]
    roles: tuple[str, ...]


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Two duties that one person may not do: on one version, ever; or at all, while they hold the other."""

    between: tuple[str, str]
    within: str
    reason: str

    @property
    def name(self) -> str:
        return " and ".join(f"`{duty}`" for duty in self.between)

    def against(self, duty: str) -> str | None:
        """Return the other duty, or None if this conflict does not speak of `duty`."""
        one, other = self.between
        return other if duty == one else one if duty == other else None


class ApprovalRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who says yes to these roles in this scope: one person for each approver named."""

    roles: tuple[str, ...]
    scope: str
    approvers: tuple[str, ...]
    longest_s: float


class GlassRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who may break the glass, for which roles, how long, who is told and who reviews."""

    who: tuple[str, ...]
    roles: tuple[str, ...]
    usual_s: float
    longest_s: float
    tell: tuple[str, ...]
    reviewers: tuple[str, ...]
    review_within_s: float


class ReviewRule(msgspec.Struct, frozen=True, kw_only=True):
    """How often access is reviewed, and how long an answer may take before silence takes the grant away."""

    every_s: float
    answer_within_s: float
    remind_before_s: tuple[float, ...]
    unused_after_s: float
    deciders: tuple[str, ...]  # who answers for a grant whose granter is gone


class AccessRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A whole access file."""

    duties: dict[str, Duty]
    conflicts: tuple[Conflict, ...]
    approvals: tuple[ApprovalRule, ...]
    break_glass: GlassRule
    reviews: ReviewRule
    trust_operator_tokens: bool = False  # what operators make in another's name counts as that person's word: for demos only

    @property
    def digest(self) -> str:
        """The digest of what the file means: comments, order of keys and white space do not count."""
        return digest_bytes(msgspec.json.encode(self, order="sorted"))

    def duties_of(self, permission: str) -> list[str]:
        """Return the duties that an act belongs to."""
        return [name for name, duty in self.duties.items() if permission in duty.permissions]

    def duties_in(self, role: str) -> list[str]:
        """Return the duties that a role gives."""
        return [name for name, duty in self.duties.items() if role in duty.roles]


def default_access(*, throwaway: bool = False) -> str:
    """Return the shipped file, to be laid into a workspace; one to throw away trusts what its operator makes in others' names."""
    shipped = (files("jurat.policy") / "defaults" / FILE_NAME).read_text("utf-8")
    return shipped + _TRUSTING if throwaway else shipped


@lru_cache(maxsize=64)
def read_access(text: str) -> AccessRules:
    """Return the rules in a file that was checked when it was applied."""
    return parse_access(text, roles=None, permissions=None)


def parse_access(text: str, *, roles: Collection[str] | None, permissions: Collection[str] | None) -> AccessRules:
    """Return the rules that a file says.

    Args:
        roles, permissions: the ones there are; None: not checked.
    Raises:
        Malformed: it cannot be read, or says what cannot be; the line is named.
    """
    root = read_mapping(compose(text), "the file", {"duties", "conflicts", "approvals", "break_glass", "reviews", "trust_operator_tokens"})
    missing = [key for key in ("duties", "conflicts", "approvals", "break_glass", "reviews") if key not in root]
    if missing:
        raise Malformed(f"the file does not say `{missing[0]}`", hint="compare with the one of a fresh workspace")
    duties = {name: _duty(node, name, roles, permissions) for name, node in read_mapping(root["duties"], "`duties`", None).items()}
    conflicts = tuple(_conflict(node, duties) for node in read_sequence(root["conflicts"], "`conflicts`", "conflicts"))
    return AccessRules(
        duties=duties,
        conflicts=conflicts,
        approvals=tuple(_approval(node, roles) for node in read_sequence(root["approvals"], "`approvals`", "rules")),
        break_glass=_glass(root["break_glass"], roles),
        reviews=_reviews(root["reviews"], roles),
        trust_operator_tokens="trust_operator_tokens" in root and _yes_or_no(root["trust_operator_tokens"]),
    )


def _duty(node: yaml.Node, name: str, roles: Collection[str] | None, permissions: Collection[str] | None) -> Duty:
    found = _whole(node, f"duty `{name[:40]}`", ("permissions", "roles"))
    return Duty(permissions=_names(found["permissions"], "permissions", permissions), roles=_names(found["roles"], "roles", roles))


def _conflict(node: yaml.Node, duties: dict[str, Duty]) -> Conflict:
    found = _whole(node, "a conflict", ("between", "within", "reason"))
    between = _names(found["between"], "duties", duties)
    if len(between) != 2:
        raise refuse_at(found["between"], f"a conflict is between two duties, got {len(between)}", "write it like `[train, approve]`")
    within = read_scalar(found["within"], "`within`")
    if within not in (VERSION, PERSON):
        raise refuse_at(found["within"], f"a conflict holds within `{VERSION}` or `{PERSON}`, got `{within[:40]}`", "choose one")
    both = sorted(set(duties[between[0]].roles) & set(duties[between[1]].roles))
    if within == PERSON and both:
        raise refuse_at(
            node, f"role `{both[0]}` gives both duties, so nobody could ever hold it", "take it out of one duty, or hold within `version`"
        )
    reason = read_scalar(found["reason"], "`reason`").strip()
    if not reason:
        raise refuse_at(found["reason"], "a conflict needs a reason", "it is what a refused person reads")
    return Conflict(between=(between[0], between[1]), within=within, reason=reason)


def _approval(node: yaml.Node, roles: Collection[str] | None) -> ApprovalRule:
    found = _whole(node, "a rule of approval", ("roles", "scope", "approvers", "longest"))
    wanted = found["roles"]
    names = (ANY,) if isinstance(wanted, yaml.ScalarNode) and wanted.value == ANY else _names(wanted, "roles", roles)
    return ApprovalRule(
        roles=names,
        scope=read_scalar(found["scope"], "`scope`"),
        approvers=_names(found["approvers"], "approvers", roles, once=False),
        longest_s=_duration(found["longest"], _LONGEST_ACCESS_S),
    )


def _glass(node: yaml.Node, roles: Collection[str] | None) -> GlassRule:
    keys = ("who", "roles", "usual", "longest", "tell", "reviewers", "review_within")
    found = _whole(node, "`break_glass`", keys)
    rule = GlassRule(
        who=_names(found["who"], "roles", roles),
        roles=_names(found["roles"], "roles", roles),
        usual_s=_duration(found["usual"], LONGEST_GLASS_S),
        longest_s=_duration(found["longest"], LONGEST_GLASS_S),
        tell=_names(found["tell"], "roles", roles),
        reviewers=_names(found["reviewers"], "roles", roles),
        review_within_s=_duration(found["review_within"], 31 * 86_400.0),
    )
    if rule.usual_s > rule.longest_s:
        raise refuse_at(found["usual"], "the usual time is longer than the longest", "lower `usual`, or raise `longest` up to 4h")
    return rule


def _reviews(node: yaml.Node, roles: Collection[str] | None) -> ReviewRule:
    found = _whole(node, "`reviews`", ("every", "answer_within", "remind_before", "unused_after", "deciders"))
    rule = ReviewRule(
        every_s=_duration(found["every"], _LONGEST_ACCESS_S),
        answer_within_s=_duration(found["answer_within"], _LONGEST_ACCESS_S),
        remind_before_s=tuple(
            sorted(
                (_duration(n, _LONGEST_ACCESS_S) for n in read_sequence(found["remind_before"], "`remind_before`", "times")), reverse=True
            )
        ),
        unused_after_s=_duration(found["unused_after"], _LONGEST_ACCESS_S),
        deciders=_names(found["deciders"], "roles", roles),
    )
    if rule.answer_within_s >= rule.every_s:
        raise refuse_at(found["answer_within"], "an answer may take longer than the time between two reviews", "lower it")
    return rule


def _yes_or_no(node: yaml.Node) -> bool:
    said = read_scalar(node, "`trust_operator_tokens`")
    if said not in ("true", "false"):
        raise refuse_at(node, f"`{said[:40]}` is neither `true` nor `false`", "leave it out; only a workspace to throw away says `true`")
    return said == "true"


def _whole(node: yaml.Node, what: str, keys: tuple[str, ...]) -> dict[str, yaml.Node]:
    found = read_mapping(node, what, set(keys))
    if absent := [key for key in keys if key not in found]:
        raise refuse_at(node, f"{what} does not say `{absent[0]}`", f"it says {', '.join(keys)}")
    return found


def _names(node: yaml.Node, what: str, known: Collection[str] | None, *, once: bool = True) -> tuple[str, ...]:
    names = []
    for each in read_sequence(node, f"the list of {what}", what):
        name = read_scalar(each, f"one of the {what}")
        if known is not None and name not in known:
            raise refuse_at(each, f"`{name[:60]}` is none of the {what} there are", suggest(name, known, what))
        if once and name in names:
            raise refuse_at(each, f"`{name[:60]}` is listed twice", "once is enough")
        names.append(name)
    return tuple(names)


def _duration(node: yaml.Node, longest_s: float) -> float:
    found_s = reading(node, lambda: parse_duration_s(read_scalar(node, "a duration")))
    if not 0 < found_s <= longest_s:
        raise refuse_at(node, f"`{node.value}` is outside what is sensible here", f"more than nothing, at most {longest_s / 3600:g} h")
    return found_s
