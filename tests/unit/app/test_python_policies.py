"""Policies in Python: the code as people write it, found by its entry point, in a real child; and its old bugs, which do not pass."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.unit.domain.law import Law

from jurat.app.policy_child import Said
from jurat.app.python_policies import Registration, policies_to_ask, registration_of, run_policy
from jurat.domain import rows
from jurat.domain.stages import Stage
from jurat.policy.governance import BiasThreshold, Known, RequireModelCard, ask

# As the organisation wrote it, its own base class and all.
AS_WRITTEN = '''
class GovernancePolicy:
    """Base class for governance policies."""

    def __init__(self, name, severity):
        self.name = name
        self.severity = severity  # "warning", "blocking"

    def evaluate(self, context):
        raise NotImplementedError


class RequireModelCard(GovernancePolicy):
    """All production models must have documentation."""

    def __init__(self):
        super().__init__("require-model-card", "blocking")

    def evaluate(self, model_registration):
        if model_registration.get("environment") != "production":
            return {"passed": True}

        has_card = model_registration.get("model_card_url") is not None
        return {
            "passed": has_card,
            "message": "Production models require a model card" if not has_card else None
        }


class BiasThreshold(GovernancePolicy):
    """Models must meet bias thresholds before deployment."""

    def __init__(self, max_disparity=0.1):
        super().__init__("bias-threshold", "blocking")
        self.max_disparity = max_disparity

    def evaluate(self, model_registration):
        metrics = model_registration.get("bias_metrics", {})

        violations = []
        for group, disparity in metrics.items():
            if disparity > self.max_disparity:
                violations.append(f"{group}: {disparity:.2%} > {self.max_disparity:.2%}")

        return {
            "passed": len(violations) == 0,
            "message": f"Bias violations: {violations}" if violations else None
        }
'''
NAUGHTY = """
import os, sys, socket, time

def policy(body):
    class Policy:
        name, severity = "naughty", "blocking"
        def evaluate(self, registration):
            return body(registration)
    return Policy

def _sleep(r): time.sleep(60)
def _spin(r):
    while True: pass
def _eat(r):
    hoard = []
    while True: hoard.append(bytearray(1 << 24))
def _exit(r): os._exit(0)
def _print(r):
    print("{}"); sys.stdout.flush()
    return {"passed": True}
def _fork(r):
    if os.fork() == 0:
        time.sleep(60)
    return {"passed": True}
def _hide(r):
    if os.fork() == 0:
        os.setsid()  # no longer among those whom its parent's parent can signal
        if os.fork() == 0:
            for fd in range(3, 64):
                try: os.close(fd)
                except OSError: pass
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(50)", r["mark"]])
        os._exit(0)
    return {"passed": True}
def _write(r):
    with open("x", "w") as file: file.write("x" * 100)
    return {"passed": True}
Sleep, Spin, Eat, Exit, Print, Fork, Hide, Write = map(policy, (_sleep, _spin, _eat, _exit, _print, _fork, _hide, _write))
Truthy, One, Text = policy(lambda r: {"passed": "yes"}), policy(lambda r: {"passed": 1}), policy(lambda r: "passed")
Nothing, Empty, Raises = policy(lambda r: None), policy(lambda r: {}), policy(lambda r: 1 / 0)
class Loud(policy(lambda r: {"passed": True})):
    severity = "BLOCKING!"
class Warns(policy(lambda r: {"passed": False, "message": "m" * 9999})):
    severity = "warning"
"""
BREAKS = "raise RuntimeError('secret')\n"
NAMES = (
    "Sleep", "Spin", "Eat", "Exit", "Print", "Fork", "Hide", "Write",
    "Truthy", "One", "Text", "Nothing", "Empty", "Raises", "Loud", "Warns",
)  # fmt: skip
ENTRIES = {
    "require-model-card": "bank:RequireModelCard", "bias-threshold": "bank:BiasThreshold", "broken": "breaks:X", "gone": "bank:Gone",
    **{n.lower(): f"naughty:{n}" for n in NAMES},
}  # fmt: skip


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, source in (("bank", AS_WRITTEN), ("naughty", NAUGHTY), ("breaks", BREAKS)):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
    info = tmp_path / "bank_policies-1.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bank-policies\nVersion: 1.2.0\n")
    (info / "entry_points.txt").write_text("[jurat.policies]\n" + "".join(f"{k} = {v}\n" for k, v in ENTRIES.items()))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def law() -> Law:
    law = Law()
    law.apply_gates()
    return law


def said(name: str, told: Registration | None = None, **more: float) -> Said:
    return run_policy(name, told or Registration(known={"environment": "production"}, unknown=[]), **more)[0]


def told(law: Law, version: rows.Version, stage: Stage = Stage.PRODUCTION) -> Registration:
    return registration_of(law.state, version, stage)


def test_no_card_does_not_pass_and_a_card_does(law: Law) -> None:
    version = law.register()
    answer = said("require-model-card", told(law, version))
    assert (answer.answer.passed, answer.answer.message) == (False, "Production models require a model card")
    assert (answer.distribution, answer.code) == ("bank-policies 1.2.0", "bank:RequireModelCard")
    assert answer.code_digest.startswith("sha256:")
    law.measure(version, "documentation", model_card_complete=1.0)
    assert said("require-model-card", told(law, version)).answer.passed is True


def test_an_incomplete_card_is_an_empty_url_and_does_not_pass(law: Law) -> None:
    version = law.register()
    law.measure(version, "documentation", model_card_complete=0.0)
    assert said("require-model-card", told(law, version)).answer.passed is False


def test_the_rule_is_about_production_only(law: Law) -> None:
    assert said("require-model-card", told(law, law.register(), Stage.STAGING)).answer.passed is True


@pytest.mark.parametrize(("gap", "passes"), [(0.05, True), (-0.05, True), (0.2, False), (-0.5, False)])
def test_a_negative_disparity_is_a_disparity(law: Law, gap: float, passes: bool) -> None:
    version = law.register()
    law.measure(version, "bias_test", demographic_parity_difference=gap)
    assert said("bias-threshold", told(law, version)).answer.passed is passes


def test_missing_metrics_are_no_pass(law: Law) -> None:
    version = law.register()
    answer = said("bias-threshold", told(law, version)).answer
    assert (answer.passed, answer.message) == (None, "`bias_metrics` is not known of this version")
    law.measure(version, "bias_test", demographic_parity_difference=None)  # asked for, and not to be had
    assert said("bias-threshold", told(law, version)).answer.passed is None


def test_the_shipped_ones_have_none_of_these_bugs_by_themselves() -> None:
    card, bias = RequireModelCard(), BiasThreshold()
    for url in ("", None):
        assert ask(card, Known({"environment": "production", "model_card_url": url})).passed is False
    assert ask(card, Known({"environment": "production"})).passed is None
    assert ask(bias, Known({"bias_metrics": {"sex": -0.5}})).passed is False
    assert ask(bias, Known({"bias_metrics": {}})).passed is False
    assert ask(bias, Known({"bias_metrics": {"sex": float("nan")}})).passed is not None
    assert ask(bias, Known({}, ["bias_metrics"])).passed is None
    assert ask(bias, Known({"bias_metrics": {"sex": -0.05}})).passed is True


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("spin", "was stopped"), ("eat", "MemoryError"), ("exit", "without an answer"), ("truthy", "expected True or False"),
        ("one", "expected True or False"), ("text", "TypeError"), ("nothing", "TypeError"), ("empty", "KeyError"),
        ("raises", "ZeroDivisionError"), ("loud", "severity"), ("broken", "RuntimeError"), ("gone", "AttributeError"),
        ("unheard-of", "no installed package"), ("write", "OSError"),
    ],
)  # fmt: skip
def test_whatever_goes_wrong_is_no_answer_and_blocks(name: str, says: str) -> None:
    answer = said(name).answer
    assert (answer.passed, answer.severity) == (None, "blocking")
    assert says in answer.message
    assert "secret" not in answer.message


def test_one_that_sleeps_is_stopped_in_time() -> None:
    began = time.monotonic()
    assert "longer than 0.7 s" in said("sleep", wall_s=0.7).answer.message
    assert time.monotonic() - began < 5


def test_what_it_prints_or_leaves_behind_is_not_its_answer() -> None:
    assert said("print").answer.passed is True
    began = time.monotonic()
    said("fork", wall_s=1.0)  # its child holds the pipe: it is ended, whatever was said
    assert time.monotonic() - began < 5


def test_what_it_hides_in_a_session_of_its_own_ends_with_it() -> None:
    if not can_isolate():
        pytest.skip("this kernel lets nobody make a namespace of processes")
    mark = f"hidden-{os.getpid()}-{time.monotonic_ns()}"
    found = said("hide", Registration(known={"mark": mark}, unknown=[]))
    assert found.answer.passed is True
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark.encode() in read(path)]


def can_isolate() -> bool:
    try_it = "import sys; from jurat.app.policy_child import give_up; sys.exit(not give_up(0x60000000))"
    return subprocess.run([sys.executable, "-c", try_it], check=False).returncode == 0


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def test_a_warning_is_told_and_cut_short() -> None:
    answer = said("warns").answer
    assert (answer.passed, answer.severity, len(answer.message)) == (False, "warning", 500)


def test_only_what_is_not_fresh_is_asked(law: Law) -> None:
    from tests.unit.domain.test_gate_kinds import GATES, POLICY

    law.apply_gates(GATES)
    version = law.register()
    assert policies_to_ask(law.state, version, Stage.PRODUCTION) == [("require-model-card", Stage.STAGING)]
    law.measure(version, POLICY, policy_passed=1.0, policy_blocking=1.0)
    assert policies_to_ask(law.state, version, Stage.PRODUCTION) == []
    law.measure(version, "evaluation", accuracy=0.9)
    assert len(policies_to_ask(law.state, version, Stage.PRODUCTION)) == 1
