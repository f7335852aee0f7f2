"""CEL in gates: what is read, what is not let in, what is never a pass; and that nothing hostile takes long or much."""

from __future__ import annotations

import contextlib
import math
import resource
import sys
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jurat.core.errors import Malformed
from jurat.policy.cel import FACTS, MAX_LENGTH, Value, parse_cel, variable
from jurat.policy.conditions import Measured, Verdict, parse_condition
from jurat.policy.gatefile import Custom, format_gates, parse_gates
from jurat.policy.metrics import METRICS

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.NOT_ENOUGH_DATA
ACCURATE, FAST = "evidence.accuracy >= 0.85", "evidence.latency_p99 <= duration('100ms')"
MS = timedelta(milliseconds=1)


def judge(text: str, **found: Value | list[Value]) -> Verdict:
    """Check with values by their last names: `accuracy`, `risk_tier`."""
    parsed = parse_cel(text)
    choices = {
        full: given if isinstance(given, list) else [given]  # several values, one for each attribute
        for full in [*(f"evidence.{name}" for name in METRICS), *FACTS]
        if (given := found.get(full.partition(".")[2])) is not None
    }
    return parsed.check(choices)[0]


@pytest.mark.parametrize(
    ("text", "found", "verdict"),
    [
        (ACCURATE, {"accuracy": 0.85}, PASS), (ACCURATE, {"accuracy": 0.84}, FAIL), (ACCURATE, {}, UNKNOWN),
        (FAST, {"latency_p99": 100 * MS}, PASS), (FAST, {"latency_p99": 101 * MS}, FAIL),
        (f"{ACCURATE} && system.risk_tier != 'high'", {"accuracy": 0.9, "risk_tier": "limited"}, PASS),
        (f"{ACCURATE} && system.risk_tier != 'high'", {"accuracy": 0.9, "risk_tier": "high"}, FAIL),
        # Every name must have a value, wherever it stands: `||` and `?:` hide nothing.
        (f"{ACCURATE} || {FAST}", {"accuracy": 0.9}, UNKNOWN), (f"{FAST} || {ACCURATE}", {"accuracy": 0.9}, UNKNOWN),
        (f"{ACCURATE} || {FAST}", {"accuracy": 0.9, "latency_p99": 200 * MS}, PASS),
        (f"!({ACCURATE})", {}, UNKNOWN), (f"!({ACCURATE})", {"accuracy": 0.5}, PASS), (f"!(!({ACCURATE}))", {"accuracy": 0.9}, PASS),
        (f"true || {ACCURATE}", {}, UNKNOWN), (f"system.risk_tier == 'high' ? {ACCURATE} : true", {"risk_tier": "minimal"}, UNKNOWN),
        (f"system.risk_tier == 'high' ? {ACCURATE} : {FAST}", {"risk_tier": "high", "accuracy": 0.9, "latency_p99": 1000 * MS}, PASS),
        # A value for each protected attribute: it must hold for each.
        ("evidence.demographic_parity_difference <= 0.1", {"demographic_parity_difference": [0.05, 0.2]}, FAIL),
        ("evidence.demographic_parity_difference <= 0.1", {"demographic_parity_difference": [0.05, 0.1]}, PASS),
        ("!(evidence.demographic_parity_difference > 0.1)", {"demographic_parity_difference": [0.2, 0.05]}, FAIL),
        # A value of another type, which `variable` does not make.
        (ACCURATE, {"accuracy": "0.9"}, UNKNOWN), (FAST, {"latency_p99": 0.01}, UNKNOWN),
        ("!(" + FAST + ")", {"latency_p99": "x"}, UNKNOWN),
        # What else the language has.
        ("evidence.known_flaws <= 0 && evidence.no_critical_findings", {"known_flaws": 0, "no_critical_findings": True}, PASS),
        ("double(evidence.known_flaws) * 0.5 + evidence.accuracy >= 1.0", {"known_flaws": 1, "accuracy": 0.5}, PASS),
        ("'public' in system.environments", {"environments": [["internal"]]}, FAIL),
        ("system.environments.all(e, e.startsWith('eu-'))", {"environments": [["eu-west", "eu-east"]]}, PASS),
        ("!system.purpose.contains('child')", {"purpose": "scores children"}, FAIL),
        ("!version.semver.startsWith('0.') // no early version", {"semver": "1.0.0"}, PASS),
    ],
)  # fmt: skip
def test_verdicts(text: str, found: dict[str, Value], verdict: Verdict) -> None:
    assert judge(text, **found) == verdict


def test_too_many_combinations_are_no_pass() -> None:
    assert judge("evidence.accuracy >= evidence.recall", accuracy=[0.9] * 17, recall=[0.1] * 16) == UNKNOWN
    assert judge("evidence.accuracy >= evidence.recall", accuracy=[0.9] * 16, recall=[0.1] * 16) == PASS


@pytest.mark.parametrize(
    ("metric", "measured", "value"),
    [
        ("accuracy", 0.9, 0.9), ("accuracy", None, None), ("accuracy", float("nan"), None), ("accuracy", float("inf"), None),
        ("accuracy", 1.01, None), ("accuracy", -0.1, None), ("accuracy", True, None), ("accuracy", Decimal("0.1"), 0.1),
        ("demographic_parity_difference", -0.3, 0.3), ("demographic_parity_difference", -1.2, None),
        ("latency_p99", 0.1, 100 * MS), ("latency_p99", 0.10000000001, 100 * MS + timedelta(microseconds=1)), ("latency_p99", -1.0, None),
        ("memory_usage", 2e9, 2_000_000_000), ("memory_usage", 2e9 + 0.5, 2_000_000_001),
        ("known_flaws", 3.0, 3), ("known_flaws", 2.5, None),
        ("no_critical_findings", True, True), ("no_critical_findings", False, False), ("no_critical_findings", 1.0, None),
    ],
)  # fmt: skip
def test_what_a_condition_would_not_believe_is_not_there(metric: str, measured: float | None, value: Value | None) -> None:
    found, why = variable(metric, Measured(value=measured))
    assert (found, type(found)) == (value, type(value))
    assert bool(why) is (value is None)


def test_an_interval_that_makes_no_sense_is_not_believed() -> None:
    assert variable("accuracy", Measured(value=0.9, low=0.95, high=0.8))[0] is None
    assert variable("accuracy", Measured(value=0.9, sample_size=0))[0] is None
    assert variable("accuracy", Measured(value=0.9, too_small=True))[0] is None


@settings(max_examples=60, deadline=None)
@given(st.floats(-2, 2) | st.sampled_from([math.nan, math.inf, 0.3, -0.3, 1.0]), st.integers(0, 100))
def test_a_plain_bound_says_what_the_condition_says(number: float, percent: int) -> None:
    for metric, sign in (("accuracy", ">="), ("demographic_parity_difference", "<=")):
        measured = Measured(value=number)
        value, _ = variable(metric, measured)
        cel = parse_cel(f"evidence.{metric} {sign} {percent / 100}").check({} if value is None else {f"evidence.{metric}": [value]})[0]
        assert cel == parse_condition(f"{metric} {sign} {percent}%").check(measured).verdict


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 characters"), ("  \n", "0 characters"), (ACCURATE + " " * MAX_LENGTH + "&& true", "expected 1 to 2000"),
        ("evidence.accuracy >=", "line 1, column 21: not CEL"),
        (f"{ACCURATE} &&\n  evidence.acuracy > 0.5", "line 2, column 11: `evidence.acuracy` is unknown"),
        ("evidence.auc > 0.5", "did you mean `evidence.roc_auc`?"), ("evidence['accuracy'] > 0.5", "`evidence` is unknown"),
        ("now() > 3", "`now` is unknown"), ("open('/etc/passwd') == ''", "`open` is unknown"), ("version.author == 'x'", "is unknown"),
        ("evidence.accuracy >= 1", "does not go with `(double, int)`"), ("evidence.latency_p99 <= 100", "`(duration, int)`"),
        ("evidence.latency_p99 <= 0.1", "duration('100ms')"), ("evidence.accuracy", "answers double"), ("1 + 1", "answers int"),
        ("evidence.no_critical_findings ? 1 : 2", "answers int"), ("null", "answers null"),
        ("true", "nothing of the version"), ("1 < 2 || 'evidence.accuracy' == 'x'", "nothing of the version"),
        ("has(evidence.accuracy) || true", "not let in"), ("has // x\n (evidence.no_critical_findings)", "line 1, column 1: not let in"),
        # Whatever could err, so that `||` has nothing to absorb; and whatever could make NaN.
        (f"{ACCURATE} || 1 / 0 == 1", "divide_int64"), ("!(evidence.accuracy / 0.0 > 0.1)", "divide_double"),
        (f"{ACCURATE} || {{'a': true}}.b", "not let in"), ("system.environments[3] == 'x'", "index_list"),
        ("evidence.known_flaws + 9223372036854775807 > 0", "18 digits"), ("evidence.known_flaws * 2 > 0", "multiply_int64"),
        ("evidence.accuracy * 1e308 * 1e308 > 0.5", "exponent"), ("evidence.accuracy > 0.5" + " * 2.0" * 9, "more than 8 times"),
        ("double(version.semver) > 0.5", "string_to_double"), ("int(evidence.accuracy) > 0", "double_to_int64"),
        (f"{ACCURATE} || evidence.latency_p99 < duration('soon')", "not written out"),
        (f"{ACCURATE} || evidence.latency_p99 < duration('1.2.3s')", "not written out"),
        ("\"duration('1s')\" != '' || evidence.latency_p99 < duration(version.semver)", "not written out"),
        ("evidence.latency_p99 + duration('1s') < duration('2s')", "add_duration"),
        ("version.semver.matches('(')", "matches"), ("version.semver < '1.10.0'", "less_string"),
        ("dyn(evidence.accuracy) == 'x'", "to_dyn"), ("type(evidence.accuracy) == double", "`type`"),
        ("google.protobuf.Int32Value{value: 99999999999} == 1", "not let in"), ("google.protobuf.Timestamp == int", "google.protobuf"),
        (f"{ACCURATE} && timestamp('2020-01-01T00:00:00Z') > timestamp('x')", "timestamp"),
        # Whatever could grow.
        ("['a'].map(a, a + a).size() > 0 || " + ACCURATE, "add_"), ("system.environments.filter(e, true) == []", "add_list"),
        ("system.environments.exists_one(e, true)", "add_int64"), ("system.purpose + 'x' == 'x'", "add_string"),
        ("system.environments.all(a, system.environments.exists(b, a == b))", "more than one"),
        ("(" * 60 + ACCURATE + ")" * 60, "nested too deeply"), ("[" * 60 + "]" * 60 + " == [] || " + ACCURATE, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_not_let_in(text: str, says: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_cel(text)
    assert says in f"{refused.value.detail} | {refused.value.hint}"


def _list(of: str, many: int) -> str:
    return "[" + ",".join([of] * many) + "]"


@pytest.mark.parametrize(
    "text",
    [
        f"[{_list('1', 300)}].all(a, {_list('a', 300)} == {_list('a', 300)}) || {ACCURATE}",
        f"{_list('1', 900)}.exists(a, a == 2) || {ACCURATE}",
        "!" * (MAX_LENGTH - 30) + "(evidence.accuracy > 0.5)",
        " && ".join([ACCURATE] * 60),
        "evidence.accuracy" + " - 0.1" * 280 + " < 0.5",
        "evidence." * 200 + "accuracy > 0.5",
        "evidence.accuracy > 0.5 ? true : " * 50 + "false",
        "['" + "aaaaaaaaaa" * 90 + "'].all(a, a.contains('" + "aaaaaaaaaa" * 90 + "b')) || " + ACCURATE,
        "h" * 1_900 + "as(evidence.accuracy)",
        "duration" * 240,
    ],
    ids=range(10),
)
def test_nothing_hostile_takes_long_or_much(text: str) -> None:
    """The bound on time is for a busy machine: each takes well under 0.1 s of CPU time on a quiet one."""
    assert len(text) <= MAX_LENGTH
    parse_cel(ACCURATE)  # the library is loaded
    began_s, before_kib = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(Malformed):
        parse_cel(text).check({"evidence.accuracy": [0.9] * 16})
    assert time.process_time() - began_s < 2
    if sys.platform == "linux":  # elsewhere it counts in other units
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 100_000


FILE = """
deployment_gates:
  staging:
    - type: custom
      name: house-rule
      cel: %s
      max_age: 30d
  production:
    - {type: automated_tests, checks: [accuracy >= 0.86]}
"""


@pytest.mark.parametrize(
    "written",
    [
        '"evidence.accuracy >= 0.85 && system.purpose != \'Kredit für \\u2028 \\U0001f600\'"', ACCURATE,
        "|\n        evidence.accuracy >= 0.85\n        && !system.purpose.contains(\"a 'child'\") // none",
    ],
)  # fmt: skip
def test_the_file_is_read_and_written_alike(written: str) -> None:
    read = parse_gates(FILE % written, roles=None)
    gate = read.staging[0]
    assert isinstance(gate, Custom)
    assert gate.cel is not None
    assert gate.cel.metrics == ("accuracy",)
    again = parse_gates(format_gates(read), roles=None)
    assert (again, again.digest) == (read, read.digest)


@pytest.mark.parametrize(("written", "says"), [("evidence.acuracy > 0.5", "line 6: `cel` at line 1, column 9"), ("[a]", "not plain text")])
def test_a_fault_is_told_with_its_line_in_the_file(written: str, says: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_gates(FILE % written, roles=None)
    assert says in refused.value.detail
    assert refused.value.fields["line"] == 6
