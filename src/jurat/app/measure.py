"""Jurat evaluates an artefact itself, in a process of its own: this is the side that asks, waits and believes nothing.

What an author claims is not evidence; what comes back from here, bound to digests, is. The other side, which loads the
model, is `measure_child`. Knows nothing of versions, gates or events: it returns figures that become evidence elsewhere.

What holds the child, and what does not:
- the artefact's digest is checked and it is scanned before it is loaded, from the very bytes that are then loaded;
- address space, processor time and wall time are limited; it cannot write files or leave a core dump;
- it has no network if the kernel lets it give the network up; `environment["network"]` says which;
- it runs as the same user and can read what that user can read: the scan is what stands between.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from jurat.app.explained import Explained
from jurat.core.digests import check_digest, short
from jurat.core.errors import Denied, JuratError, Malformed, NotFound, Tampered, Unavailable
from jurat.core.jsonio import dump_json, load_json
from jurat.domain.values import Metric

METHOD: Final = (
    "held-out rows, predicted at once; rates: Wilson 95 %; gaps between protected groups: Newcombe 95 % of the worst pair, uncorrected; "
    "calibration: ten bins, 95 % for all groups at once; consistency: five nearest by all features but protected ones; latency: single-row "
    "calls in the process, warm, order-statistic 95 %, under load by four threads; memory: the process's largest resident size; "
    "robustness: as `jurat.app.trials` says. Definitions: docs/fairness.md"
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured, on what, within which limits."""

    artefact: str  # path of one pickled classifier
    artefact_digest: str
    features: str  # path of its feature definitions
    dataset: str  # path of a CSV with a header: the features, the label and the protected columns
    label: str
    favourable: str  # the label's value that people hope for
    protected: list[str]
    min_group_size: int = 30
    address_space_bytes: int = 4 * 2**30  # virtual; resident memory is what is measured
    processor_s: int = 120
    wall_s: float = 180.0


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one protected group got, as counts."""

    column: str
    group: str
    n: int
    selected: int  # answered favourably
    favourable: int  # truly favourable
    selected_favourable: int  # both


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `evaluation` and `bias_test` are evidence once they are bound to a version.

    All but latency, memory, `environment` and `duration_s` is the same whenever it is measured again.
    """

    artefact_digest: str
    features_digest: str
    dataset_digest: str
    row_count: int
    evaluation: list[Metric]
    bias_test: list[Metric]
    segments: list[Metric]  # each group's own rates
    groups: list[GroupFigures]
    environment: dict[str, str]
    duration_s: float
    method: str = METHOD


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a child writes: a measurement or an explanation, or why there is none."""

    measurement: Measurement | None = None
    explained: Explained | None = None
    family: str = ""
    detail: str = ""
    hint: str = ""
    code: str = ""
    reasons: list[str] = []


_FAMILIES: Final[dict[str, type[JuratError]]] = {family.family: family for family in (Malformed, Denied, NotFound, Tampered, Unavailable)}
_KEPT_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "SYSTEMROOT")
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
_MAX_ANSWER_BYTES: Final = 4 * 2**20


def measure(
    artefact: Path,
    artefact_digest: str,
    features: Path,
    dataset: Path,
    *,
    label: str,
    favourable: str,
    protected: Sequence[str],
    min_group_size: int = 30,
    wall_s: float = 180.0,
) -> Measurement:
    """Return what the model in `artefact` is worth on the rows of `dataset`.

    Raises:
        Denied: a scanner refuses the artefact (code `artefact_refused`); it was not loaded.
        Tampered: the artefact has another digest.
        NotFound, Malformed: a file is missing or unreadable, a column is missing, or the model cannot be evaluated
            (code `measurement_failed`).
        Unavailable: it took longer than allowed (code `measurement_timed_out`); nothing is left running.
    """
    order = Order(
        artefact=str(artefact.absolute()),
        artefact_digest=check_digest(artefact_digest),
        features=str(features.absolute()),
        dataset=str(dataset.absolute()),
        label=label,
        favourable=favourable,
        protected=list(protected),
        min_group_size=min_group_size,
        wall_s=wall_s,
    )
    return carry_out(order)


def carry_out(order: Order) -> Measurement:
    """Return what the child finds. Raises as `measure`."""
    began = time.monotonic()
    found = run_child(order, "jurat.app.measure_child").measurement
    if found is None:
        raise Malformed("the measuring process answered nothing", code="measurement_failed")
    return msgspec.structs.replace(found, duration_s=time.monotonic() - began)


def run_child(order: Order, module: str) -> Outcome:
    """Return what a child of that module found. Raises as `measure`; nothing is left running."""
    answer, exit_code = _run(order, module)
    if exit_code != 0 or not answer:
        raise _failure(order, exit_code)
    outcome = load_json(answer, Outcome, what="the measuring process's answer")
    if not outcome.family:
        return outcome
    family = _FAMILIES.get(outcome.family, Malformed)
    raise family(outcome.detail, hint=outcome.hint, code=outcome.code, reasons=outcome.reasons)


def _run(order: Order, module: str) -> tuple[bytes, int]:
    with tempfile.TemporaryDirectory(prefix="jurat-measure-") as empty:
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        environment |= dict.fromkeys(_ONE_THREAD, "1") | {"LANG": "C.UTF-8", "HOME": empty}
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # may quote data; what went wrong comes back in the outcome
            cwd=empty,
            env=environment,
            start_new_session=True,
        )
        try:
            answer, _ = child.communicate(dump_json(order), timeout=order.wall_s)
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"measuring artefact `{short(order.artefact_digest)}…` took longer than {order.wall_s:g} s and was stopped",
                hint="try again when the machine is less busy, or measure on fewer rows",
                code="measurement_timed_out",
            ) from None
        finally:
            _end(child)
        if len(answer) > _MAX_ANSWER_BYTES:
            raise Malformed("the measuring process answered more than can be meant", code="measurement_failed")
        return answer, child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    """Nothing of the child's process group is left once this returns."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _failure(order: Order, exit_code: int) -> JuratError:
    """Return the error for a child that died without a word."""
    name = f"`{short(order.artefact_digest)}…`"
    if exit_code == -signal.SIGXCPU:
        return Unavailable(
            f"measuring artefact {name} used more than {order.processor_s} s of processor time and was stopped",
            hint="measure on fewer rows, or ask its author why one answer takes so long",
            code="measurement_timed_out",
        )
    how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"
    return Malformed(
        f"the process that evaluated artefact {name} {how}",
        hint="the model crashes, or needs more memory than it may have; ask its author",
        code="measurement_failed",
    )
