"""Tests of policies, in YAML beside them: who asks what, and what must be the answer.

    tests:
      - name: nobody reads training data without a purpose
        roles: [data_scientist]
        action: data:read
        resource: data/training/loans@v5
        expect: deny
        by: [house.purpose_of_data]

`roles`, `action` and `resource` may be lists: each combination of act and place is a case of its own, and must get the same
answer. Strict, as all YAML here: an unknown key, act, role or place is refused with its line. Knows no files.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import yaml

from jurat.core.errors import Malformed
from jurat.policy.engine import Decision, Engine, Request
from jurat.policy.plainyaml import compose, read_mapping, read_scalar, read_sequence, reading, refuse_at, suggest
from jurat.policy.policyset import PolicySet
from jurat.policy.resources import parse_resource
from jurat.policy.slices import PRINCIPAL_TYPES
from jurat.policy.values import Value

_KEYS: Final = {"name", "principal", "id", "roles", "action", "resource", "attributes", "standing", "context", "expect", "by"}
_BOOL, _INT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"


class Case(msgspec.Struct, frozen=True):
    """One question with its answer. `by` None: whoever decides."""

    name: str
    place: str  # `roles.yaml:12`
    request: Request
    expect: str
    by: list[str] | None


class Failure(msgspec.Struct, frozen=True):
    """A case whose answer is another one."""

    name: str
    place: str
    expected: str
    got: str


class Report(msgspec.Struct, frozen=True):
    """What came out. `coverage`: policy → in how many cases it decided; 0 for those that never did."""

    cases: int
    failures: list[Failure]
    coverage: dict[str, int]

    @property
    def uncovered(self) -> list[str]:
        return [name for name, count in self.coverage.items() if not count]


def parse_tests(files: Mapping[str, str], policy_set: PolicySet) -> list[Case]:
    """Return the cases in test files (name to text).

    Raises:
        Malformed: as this module says.
    """
    return [case for name in sorted(files) for case in _file(name, files[name], policy_set)]


def run_tests(engine: Engine, cases: Iterable[Case]) -> Report:
    """Return how the policies answer."""
    failures: list[Failure] = []
    coverage: Counter[str] = Counter(dict.fromkeys(sorted(engine.policy_set.policies), 0))
    count = 0
    for case in cases:
        count += 1
        decision = engine.decide(case.request)
        coverage.update(decision.policies)
        if not holds(case, decision):
            got = f"{decision.effect} by {', '.join(decision.policies) or 'no policy'}" + "".join(f"; {e}" for e in decision.errors)
            wanted = case.expect + (f" by {', '.join(case.by) or 'no policy'}" if case.by is not None else "")
            failures.append(Failure(case.name, case.place, wanted, got))
    return Report(count, failures, dict(coverage))


def holds(case: Case, decision: Decision) -> bool:
    """Whether a decision is the expected one. A question that could not be answered is never what was expected."""
    if decision.errors or decision.effect != case.expect:
        return False
    return case.by is None or sorted(case.by) == decision.policies


def _file(name: str, text: str, policy_set: PolicySet) -> list[Case]:
    try:
        root = read_mapping(compose(text), "the file", {"tests"})
        if "tests" not in root:
            raise Malformed("the file has no `tests`", hint="begin it with `tests:`, then one `- name:` a case")
        return [case for item in read_sequence(root["tests"], "`tests`", "tests") for case in _cases(name, item, policy_set)]
    except Malformed as error:
        raise Malformed(f"`{name}`: {error.detail}", hint=error.hint, code=error.code, **error.fields) from error


def _cases(file: str, node: yaml.Node, policy_set: PolicySet) -> list[Case]:
    fields = read_mapping(node, "a test", _KEYS)
    for key in ("name", "action", "resource", "expect"):
        if key not in fields:
            raise refuse_at(node, f"a test has no `{key}`", "it needs `name`, `action`, `resource` and `expect`")
    name, expect = read_scalar(fields["name"], "`name`"), read_scalar(fields["expect"], "`expect`")
    if expect not in ("allow", "deny"):
        raise refuse_at(fields["expect"], f"`expect` is `{expect[:40]}`, expected `allow` or `deny`", "write one of the two")
    kind = read_scalar(fields["principal"], "`principal`") if "principal" in fields else "person"
    if kind not in PRINCIPAL_TYPES:
        raise refuse_at(fields["principal"], f"`{kind[:40]}` is no type of principal", suggest(kind, PRINCIPAL_TYPES, "types"))
    roles = _known(fields.get("roles"), policy_set.roles, "roles")
    by = _known(fields["by"], policy_set.policies, "policies") if "by" in fields else None
    who = read_scalar(fields["id"], "`id`") if "id" in fields else "prn_tested"
    told = [_values(fields.get(key), key) for key in ("attributes", "context", "standing")]
    place = f"{file}:{node.start_mark.line + 1}"
    places = _words(fields["resource"])
    for path in places:
        reading(fields["resource"], lambda path=path: parse_resource(path))  # type: ignore[misc]
    actions = _known(fields["action"], policy_set.actions, "acts")
    return [
        Case(name, place, Request(who, kind, frozenset(roles), action, path, *told), expect, by)
        for action, path in itertools.product(actions, places)
    ]


def _words(node: yaml.Node) -> list[str]:
    if isinstance(node, yaml.SequenceNode):
        return [read_scalar(each, "a word") for each in node.value]
    return [read_scalar(node, "a word")]


def _known(node: yaml.Node | None, known: Iterable[str], plural: str) -> list[str]:
    if node is None:
        return []
    names = set(known)
    found = _words(node)
    for word in found:
        if word not in names:
            raise refuse_at(node, f"`{word[:60]}` is none of the {plural}", suggest(word, names, plural))
    return found


def _values(node: yaml.Node | None, what: str) -> dict[str, Value]:
    if node is None:
        return {}
    found: dict[str, Value] = {}
    for key, value in read_mapping(node, f"`{what}`", None).items():
        text = read_scalar(value, f"`{key}`")
        if value.tag == _BOOL:
            found[key] = text.lower() in ("true", "yes", "on")
        else:
            found[key] = int(text) if value.tag == _INT and text.lstrip("-").isdigit() else text
    return found
