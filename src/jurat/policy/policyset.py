"""A set of Cedar policies and its schema: whole, validated, and named by one digest, or not there at all.

Loading is the only moment when policies are checked, so everything that would let a set mean less than its authors
think is refused here: a policy without a name, two with one name, a misspelt role, a template that nothing links,
a set that is empty, a permit for everyone to do everything. Asks no questions of it; that is `engine`.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import cedarpy
from cedarpy import pst

from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed
from jurat.policy.policytree import reads

SCHEMA_NAME: Final = "schema.cedarschema"
_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,100}\.cedar\Z")
_POLICY_ID: Final = re.compile(r"[a-z][a-z0-9_.-]{0,100}\Z")
_MAX_BYTES: Final = 1_048_576
_SETS_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, as people name and read it."""

    id: str
    effect: str  # "permit" or "forbid"
    reason: str  # its `@reason`: why it is there, one clause
    hint: str  # its `@hint`: what would satisfy it, one clause; may be empty
    file: str


@dataclass(frozen=True, slots=True)
class PolicySet:
    """Policies that are in force together. Immutable; a change is another set with another digest.

    Attributes:
        digest: what every decision names. `sha256sum *.cedar schema.cedarschema | LC_ALL=C sort -k2 | sha256sum` gives its hex.
        sources: file name to text, the schema under `schema.cedarschema`.
        policies: by `@id`.
        roles: every role that some policy speaks of.
        actions: every action that the schema declares.
    """

    digest: str
    sources: Mapping[str, str]
    policies: Mapping[str, Policy]
    roles: frozenset[str]
    actions: frozenset[str]
    handle: cedarpy.PolicySet
    by_action: Mapping[str, cedarpy.PolicySet]  # what the engine asks: for each action the policies whose scope admits it
    permits_unconditioned: cedarpy.PolicySet  # only the permits, without their `when` and `unless`: for explanations, never decisions
    schema: cedarpy.Schema
    tree: pst.PolicySet  # what was read, to be looked at
    ancestors: Mapping[str, frozenset[str]]  # for each action the groups that it is in
    has_action_groups: bool  # whether an action lies in another
    reads: frozenset[tuple[str, str]]  # what conditions look at: (`context`, `at`), (`resource`, `risk_tier`), …

    @classmethod
    def load(cls, files: Mapping[str, str], schema: str) -> PolicySet:
        """Return the set in these files (name to text), checked against the schema. The last few are kept: they never change.

        Raises:
            Malformed: something in it cannot be read, or cannot be meant; the file or the policy is named.
        """
        return _load(tuple(sorted(files.items())), schema)

    @classmethod
    def _read(cls, files: Mapping[str, str], schema: str) -> PolicySet:
        if sum(map(len, files.values())) + len(schema) > _MAX_BYTES:
            raise Malformed(f"the policy set is larger than {_MAX_BYTES} bytes")
        try:
            schema_handle = cedarpy.Schema.from_str(schema)
        except ValueError as error:
            raise Malformed(f"`{SCHEMA_NAME}` cannot be read: {_words(error)}", hint="compare with the one of a fresh workspace") from error
        policies: dict[str, Policy] = {}
        for name in sorted(files):
            for policy in _read_file(name, files[name]):
                if policy.id in policies:
                    raise Malformed(
                        f"policy `{policy.id}` in `{name}` has the same name as one in `{policies[policy.id].file}`",
                        hint="decisions name policies by `@id`: give each its own",
                    )
                policies[policy.id] = policy
        if not policies:
            raise Malformed(
                "the policy set is empty", hint="no policy means that nothing is allowed: restore the files", code="no_policies"
            )
        text = "\n".join(files[name] for name in sorted(files))
        handle = cedarpy.PolicySet.from_str(text)
        _validate(text, schema)
        tree = handle.to_pst()
        ancestors = _action_ancestors(schema_handle)
        sources = {**files, SCHEMA_NAME: schema}
        return cls(
            digest=_digest(sources),
            sources=MappingProxyType(dict(sorted(sources.items()))),
            policies=MappingProxyType(policies),
            roles=frozenset(uid.id for uid in pst.entity_uids(tree) if uid.type.basename == "Role"),
            actions=frozenset(ancestors),
            handle=handle,
            by_action=MappingProxyType(_by_action(tree, ancestors)),
            permits_unconditioned=cedarpy.PolicySet.from_pst(_without_conditions(tree)),
            schema=schema_handle,
            tree=tree,
            ancestors=MappingProxyType(ancestors),
            has_action_groups=any(ancestors.values()),
            reads=reads(tree),
        )


@lru_cache(maxsize=_SETS_KEPT)
def _load(files: tuple[tuple[str, str], ...], schema: str) -> PolicySet:
    return PolicySet._read(dict(files), schema)  # noqa: SLF001 - its own cache


def load_default_policies() -> PolicySet:
    """Return the set that a new workspace starts with."""
    sources = default_sources()
    return PolicySet.load({name: text for name, text in sources.items() if name != SCHEMA_NAME}, sources[SCHEMA_NAME])


def default_sources() -> dict[str, str]:
    """Return the shipped policy files and their schema, by file name, to be laid into a workspace's `policies/`."""
    folder = importlib.resources.files("jurat.policy") / "defaults"
    return {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith((".cedar", ".cedarschema"))}


def default_tests() -> dict[str, str]:
    """Return the shipped tests of these policies, by file name, to be laid into a workspace's `policies/tests/`."""
    folder = importlib.resources.files("jurat.policy") / "defaults"
    return {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith("_tests.yaml")}


def _read_file(name: str, text: str) -> list[Policy]:
    if not _FILE_NAME.match(name):
        raise Malformed(
            f"`{name[:80]}` is not a name for a policy file", hint="lower case, ending in `.cedar`, such as `ml_engineer.cedar`"
        )
    try:
        tree = cedarpy.policies_to_pst(text)
    except ValueError as error:
        raise Malformed(f"`{name}` cannot be read: {_words(error)}", hint="check the file with `jurat policy check`") from error
    if tree.templates:
        raise Malformed(f"`{name}` holds a template", hint="a template permits nothing until it is linked: write the policy out")
    return [_read_policy(name, position, node) for position, node in enumerate(tree.static_policies.values(), start=1)]


def _read_policy(file: str, position: int, node: pst.Template) -> Policy:
    name = node.annotations.get("id", "")
    if not _POLICY_ID.match(name):
        raise Malformed(
            f'policy {position} of `{file}` has `@id("{name[:60]}")`' if name else f"policy {position} of `{file}` has no `@id`",
            hint='name each policy, lower case with dots, such as `@id("ml_engineer.models.prod")`',
        )
    for_everyone = isinstance(node.principal, pst.ScopeAny) and isinstance(node.action, pst.ScopeAny)
    if node.effect == "permit" and for_everyone and isinstance(node.resource, pst.ScopeAny) and not node.clauses:
        raise Malformed(f"policy `{name}` of `{file}` permits everything to everyone", hint="say who, what and on what")
    return Policy(name, node.effect, node.annotations.get("reason", ""), node.annotations.get("hint", ""), file)


def _validate(text: str, schema: str) -> None:
    report = cedarpy.validate_policies(text, schema)
    if report.validation_passed:
        return
    names = report.id_annotations_by_policy_id
    found = [_words(re.sub(r"^for policy `policy\d+`: ", "", error.error)) for error in report.errors]
    first = report.errors[0].policy_id if report.errors else ""
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise Malformed(
        f"policy `{names.get(first, first)}` does not fit the schema: {found[0] if found else 'no reason given'}{more}",
        hint=f"roles, folders, actions and attributes are declared in `{SCHEMA_NAME}`",
        code="policy_invalid",
        policies=sorted({names.get(error.policy_id, error.policy_id) for error in report.errors}),
    )


def _action_ancestors(schema: cedarpy.Schema) -> dict[str, frozenset[str]]:
    """Return every declared action with the action groups that it is in. Cedar adds them to any entities it checks."""
    found = json.loads(str(cedarpy.Entities.from_json_str("[]", schema)))
    return {entity["uid"]["id"]: frozenset(parent["id"] for parent in entity["parents"]) for entity in found}


def admits(node: pst.Template, actions: AbstractSet[str]) -> bool:
    """Whether a policy's scope admits one of `actions`."""
    match node.action:
        case pst.ActionEq(entity):
            return entity.id in actions
        case pst.ActionIn(entities):
            return any(entity.id in actions for entity in entities)
    return True


def admitting(tree: pst.PolicySet, actions: AbstractSet[str]) -> cedarpy.PolicySet:
    """Return the policies whose scope admits one of `actions`. The others cannot match, nor fail: the answer is the same, sooner."""
    kept = {key: node for key, node in tree.static_policies.items() if admits(node, actions)}
    return cedarpy.PolicySet.from_pst(replace(tree, static_policies=pst.FrozenMap(kept)))


def _by_action(tree: pst.PolicySet, ancestors: Mapping[str, frozenset[str]]) -> dict[str, cedarpy.PolicySet]:
    handles: dict[tuple[str, ...], cedarpy.PolicySet] = {}
    found = {}
    for action, above in ancestors.items():
        keys = tuple(key for key, node in tree.static_policies.items() if admits(node, {action, *above}))
        if keys not in handles:
            handles[keys] = admitting(tree, {action, *above})
        found[action] = handles[keys]
    return found


def _without_conditions(tree: pst.PolicySet) -> pst.PolicySet:
    kept = {key: replace(node, clauses=()) for key, node in tree.static_policies.items() if node.effect == "permit"}
    return replace(tree, static_policies=pst.FrozenMap(kept))


def _digest(sources: Mapping[str, str]) -> str:
    lines = [f"{sha256(sources[name].encode()).hexdigest()}  {name}\n" for name in sorted(sources)]
    return digest_bytes("".join(lines).encode())


def _words(error: object) -> str:
    text = " ".join(str(error).split())[:300].rstrip(".")
    return text[:1].lower() + text[1:]
