"""The process that loads a stranger's model and measures it: `python -m jurat.app.measure_child`, order on stdin, outcome on stdout.

Started only by `measure`. First it gives up what it will not need, then it scans, and only then it loads. Whatever goes
wrong with the model becomes an outcome that names the step and the kind of error, and never quotes data.
"""

from __future__ import annotations

import csv
import ctypes
import importlib
import importlib.metadata
import os
import pickle
import platform
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from jurat.app.features import parse_features, to_array
from jurat.app.measure import GroupFigures, Measurement, Order, Outcome
from jurat.app.measure_people import as_metric, chances_of, people_report
from jurat.app.scan import scan, verify_loadable
from jurat.app.trials import try_robustness
from jurat.core.digests import digest_bytes
from jurat.core.errors import JuratError, Malformed
from jurat.core.jsonio import dump_json, load_json
from jurat.domain.values import Metric
from jurat.guard.artefacts import read_artefact
from jurat.stats.fairness import group_rates
from jurat.stats.intervals import NotEnoughData
from jurat.stats.performance import accuracy, percentile, precision, recall, roc_auc

TIMED_CALLS: Final = 400  # p99 with an interval needs 368
_WARM_UP_CALLS: Final = 20
_CALLERS: Final = 4  # at once, under load
_MAX_ROWS: Final = 1_000_000
_NO_SCORES: Final = NotEnoughData("the model gives no probabilities")
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

Row = dict[str, str]
AnyOrder = TypeVar("AnyOrder", bound=Order)


def main() -> int:
    """Write the outcome of the order on stdin to stdout; return the exit code."""
    return serve(Order, lambda order, network: Outcome(measurement=_measure(order, network)))


def serve(kind: type[AnyOrder], work: Callable[[AnyOrder, str], Outcome]) -> int:
    """Read an order, give up what its work will not need, do it, and write the outcome; return the exit code."""
    answer_fd = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever prints from here on speaks to nobody
    order = load_json(sys.stdin.buffer.read(), kind, what="order")
    network = "none" if give_up_network() else "not isolated: the kernel does not allow it"
    _limit(resource.RLIMIT_AS, order.address_space_bytes, order.address_space_bytes)
    _limit(resource.RLIMIT_CPU, order.processor_s, order.processor_s + 1)  # the signal first, so that the parent knows why
    _limit(resource.RLIMIT_CORE, 0, 0)
    try:
        outcome = work(order, network)
    except JuratError as error:
        reasons = error.fields.get("reasons", [])
        outcome = Outcome(
            family=error.family,
            detail=error.detail,
            hint=error.hint,
            code=error.code,
            reasons=[str(reason) for reason in cast("list[object]", reasons)],
        )
    with os.fdopen(answer_fd, "wb") as answer:
        answer.write(dump_json(outcome))
    return 0


def give_up_network() -> bool:
    """Return True once this process lives in an empty network of its own; False if the kernel does not allow that.

    Source: unshare(2); an ordinary user needs a user namespace first, which some systems forbid.
    """
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    return any(unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def _limit(what: int, soft: int, hard: int) -> None:
    _, ceiling = resource.getrlimit(what)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(what, (soft, hard))


def limit_files() -> None:
    """From here on this process writes no file."""
    _limit(resource.RLIMIT_FSIZE, 0, 0)


def _measure(order: Order, network: str) -> Measurement:
    began = time.monotonic()
    artefact, definitions = read_artefact(Path(order.artefact)), read_artefact(Path(order.features))
    verify_loadable(artefact, order.artefact_digest)
    schema = parse_features(definitions)
    dataset = read_artefact(Path(order.dataset))
    rows = read_rows(dataset, [order.label, *order.protected])
    actual = _labels(rows, order)
    inputs = to_array(schema, rows)

    import_libraries(artefact)
    limit_files()
    with step("loading it"), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = pickle.loads(artefact)  # noqa: S301 - these very bytes were scanned above
    with step("predicting"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = np.array([str(answer) for answer in np.ravel(model.predict(inputs))])
        if answers.shape != actual.shape or not set(answers.tolist()) <= set(actual.tolist()):
            raise Malformed(
                f"the model does not answer each row with a value of `{order.label}`",
                hint="is it a classifier that was trained on this label?",
                code="measurement_failed",
            )
        latencies_s = _time_calls(model, inputs)
        loaded_s = _time_calls_at_once(model, inputs)
        chances = chances_of(model, inputs, order.favourable)
        tried = try_robustness(model, schema, inputs, frozenset(actual.tolist()))

    selected, favourable = answers == order.favourable, actual == order.favourable
    report = people_report(rows, schema, inputs, selected, favourable, chances, order.protected, order.min_group_size)
    return Measurement(
        artefact_digest=order.artefact_digest,
        features_digest=digest_bytes(definitions),
        dataset_digest=digest_bytes(dataset),
        row_count=len(rows),
        evaluation=[
            as_metric("accuracy", accuracy(selected, favourable), len(rows)),
            as_metric("precision", precision(selected, favourable), int(np.count_nonzero(selected))),
            as_metric("recall", recall(selected, favourable), int(np.count_nonzero(favourable))),
            as_metric("roc_auc", _NO_SCORES if chances is None else roc_auc(chances, favourable), len(rows)),
            *(as_metric(f"latency_p{p}", percentile(latencies_s, p / 100), len(latencies_s)) for p in (50, 95, 99)),
            as_metric("latency_p99_under_load", percentile(loaded_s, 0.99), len(loaded_s)),
            Metric(name="memory_usage", value=float(peak_memory_bytes()), n=1),
            *(as_metric(trial.name, trial.found, trial.n) for trial in tried),
        ],
        bias_test=[as_metric(figure.name, figure.found, figure.n, figure.by) for figure in report.gaps],
        segments=[as_metric(figure.name, figure.found, figure.n, figure.by) for figure in report.segments],
        groups=_groups(rows, selected, favourable, order),
        environment=_environment(network, order, sorted({type(w.message).__name__ for w in warned}), report.warnings),
        duration_s=time.monotonic() - began,
    )


def import_libraries(artefact: bytes) -> None:
    """Import what the artefact is made of: modules of our own list, some of which want a file while they are imported."""
    for module in sorted({name.rpartition(".")[0] for name in scan(artefact).globals}):
        with step("importing its libraries"):
            importlib.import_module(module)


@contextmanager
def step(doing: str) -> Iterator[None]:
    """What the model raises becomes `Malformed`, with the step and the kind of error; its words may quote data and are left out."""
    try:
        yield
    except JuratError:
        raise
    except MemoryError:
        raise Malformed(
            f"{doing} needs more memory than the model may have", hint="ask its author for a smaller model", code="measurement_failed"
        ) from None
    except Exception as error:
        raise Malformed(
            f"the model cannot be evaluated: {doing} failed with `{type(error).__name__}`",
            hint="it may have been saved by another version of its library, or be given columns that it was not trained on",
            code="measurement_failed",
        ) from None


def read_rows(raw: bytes, needed: Sequence[str]) -> list[Row]:
    try:
        reader = csv.DictReader(StringIO(raw.decode(), newline=""), strict=True)
        rows = [row for row, _ in zip(reader, range(_MAX_ROWS + 1), strict=False)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"the data set is not a CSV file in UTF-8: {type(error).__name__}") from error
    if not 0 < len(rows) <= _MAX_ROWS:
        raise Malformed(f"the data set has {len(rows):,} rows, expected 1 to {_MAX_ROWS:,}")
    columns = reader.fieldnames or []
    if len(set(columns)) != len(columns):
        raise Malformed("the data set has a column twice")
    if missing := [column for column in needed if column not in columns]:
        raise Malformed(f"the data set has no column `{missing[0][:80]}`", hint=f"it has: {', '.join(columns)[:500]}")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise Malformed(f"row {number} of the data set has not as many values as the header")
    return rows


def _labels(rows: list[Row], order: Order) -> NDArray[np.str_]:
    actual = np.array([row[order.label] for row in rows])
    kinds = set(actual.tolist())
    if len(kinds) != 2 or order.favourable not in kinds:
        raise Malformed(
            f"`{order.label}` has {len(kinds)} different values, expected two of which one is `{order.favourable[:80]}`",
            hint="only two-way decisions can be measured so far",
        )
    return actual


def _time_calls(model: Any, inputs: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return seconds of single-row calls, warm, in the order that they were made."""
    singles = [inputs[n % len(inputs)][np.newaxis, :] for n in range(_WARM_UP_CALLS + max(TIMED_CALLS, min(len(inputs), 2 * TIMED_CALLS)))]
    seconds = np.empty(len(singles))
    for number, single in enumerate(singles):
        began = time.perf_counter()
        model.predict(single)
        seconds[number] = time.perf_counter() - began
    return seconds[_WARM_UP_CALLS:]


def _time_calls_at_once(model: Any, inputs: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return seconds of single-row calls while `_CALLERS` threads ask the model at once, each its share of the calls."""

    def call(number: int) -> float:
        single = inputs[number % len(inputs)][np.newaxis, :]
        began = time.perf_counter()
        model.predict(single)
        return time.perf_counter() - began

    with ThreadPoolExecutor(_CALLERS) as callers:
        return np.array(list(callers.map(call, range(TIMED_CALLS))))


def _groups(rows: list[Row], selected: NDArray[np.bool_], favourable: NDArray[np.bool_], order: Order) -> list[GroupFigures]:
    figures: list[GroupFigures] = []
    for column in order.protected:
        names, group = np.unique([row[column] for row in rows], return_inverse=True)
        rates = group_rates(selected, favourable, group)
        figures += [GroupFigures(column=column, group=str(name), **rate._asdict()) for name, rate in zip(names, rates, strict=True)]
    return figures


def peak_memory_bytes() -> int:
    """Return the largest resident size this program has had.

    Not `getrusage`: on Linux its figure survives exec and may be that of the process that started this one.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux: fall through
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _environment(network: str, order: Order, warned: list[str], small_groups: list[str]) -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "scikit-learn": importlib.metadata.version("scikit-learn"),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, 1 thread used",
        "network": network,
        "limits": f"address space {order.address_space_bytes} B, processor {order.processor_s} s, files 0 B",
        "warnings_on_loading": ", ".join(warned) or "none",
        "small_groups": "; ".join(small_groups[:40]) or "none",
        "smallest_group": f"{order.min_group_size} rows",  # a setting: below it no gap is told
    }


if __name__ == "__main__":
    sys.exit(main())
