"""Jurat's own measurement, in its real process: right figures, the same each time, and no harm from any model."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier
from tests import hostile

from jurat.app.features import Datatype, Feature, FeatureSchema, format_features, to_array
from jurat.app.measure import Order, carry_out, measure
from jurat.core.digests import digest_bytes, digest_file
from jurat.core.errors import Denied, Malformed, NotFound, Tampered, Unavailable
from jurat.demo.dataset import FAVOURABLE, LABEL, PROTECTED, format_csv, load_rows, split_rows
from jurat.demo.train import train

PARTS = split_rows(load_rows())


@dataclass
class Bench:
    """A directory with a candidate and the rows to measure it on."""

    directory: Path
    candidate: object

    def order(self, **changes):
        fields = {
            "artefact": str(self.candidate.artefact), "artefact_digest": self.candidate.artefact_digest,
            "features": str(self.candidate.features), "dataset": str(self.directory / "evaluation.csv"),
            "label": LABEL, "favourable": FAVOURABLE, "protected": list(PROTECTED),
        }  # fmt: skip
        return Order(**fields | changes)

    def put(self, name, raw):
        (self.directory / name).write_bytes(raw)
        return {"artefact": str(self.directory / name), "artefact_digest": digest_bytes(raw)}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    directory = tmp_path_factory.mktemp("measure")
    (directory / "evaluation.csv").write_bytes(format_csv(PARTS["evaluation"]))
    return Bench(directory, train("1.1.0", PARTS["training"], directory))


@pytest.fixture(scope="module")
def found(bench):
    return carry_out(bench.order())


def by_name(found):
    return {(m.name, m.group_by): m for m in [*found.evaluation, *found.bias_test]}


def test_the_figures_are_those_of_the_model_computed_here(found, bench):
    rows = PARTS["evaluation"]
    model = pickle.loads(bench.candidate.artefact.read_bytes())
    selected = model.predict(to_array(bench.candidate.schema, rows)) == FAVOURABLE
    good = np.array([row[LABEL] == FAVOURABLE for row in rows])
    metrics = by_name(found)
    assert metrics["accuracy", ""].value == pytest.approx((selected == good).mean())
    for column in PROTECTED:
        group = np.array([row[column] for row in rows])
        rates = [selected[group == g].mean() for g in np.unique(group)]
        assert metrics["demographic_parity_difference", column].value == pytest.approx(max(rates) - min(rates))
        odds = [[selected[(group == g) & (good == truth)].mean() for g in np.unique(group)] for truth in (True, False)]
        assert metrics["equalized_odds_difference", column].value == pytest.approx(max(np.ptp(o) for o in odds))


def test_every_metric_has_its_interval_and_its_count(found):
    metrics = by_name(found)
    gaps = ("demographic_parity_difference", "equalized_odds_difference", "calibration_error_per_group")
    assert set(metrics) == {
        *((name, "") for name in ("accuracy", "precision", "recall", "roc_auc", "memory_usage", "consistency_score")),
        *((f"latency_{name}", "") for name in ("p50", "p95", "p99", "p99_under_load")),
        *((name, "") for name in ("noise_agreement", "missing_agreement", "order_agreement", "out_of_range_valid")),
        *((name, column) for name in gaps for column in PROTECTED),
        *((f"intersectional_{name}", "sex × age_over_25") for name in gaps),
    }  # fmt: skip
    unknown = metrics.pop(("intersectional_equalized_odds_difference", "sex × age_over_25"))  # too few in one cell
    assert unknown.value is None
    assert "needs 30" in unknown.reason
    for (name, _), metric in metrics.items():
        assert metric.reason == ""
        if name != "memory_usage":
            assert metric.low <= metric.value <= metric.high
    assert {metric.n for (name, _), metric in metrics.items() if name not in ("memory_usage", "precision", "recall", "missing_agreement",
            "out_of_range_valid")} == {400}  # fmt: skip
    assert 0 < metrics["latency_p50", ""].value <= metrics["latency_p95", ""].value <= metrics["latency_p99", ""].value < 5
    assert 50e6 < metrics["memory_usage", ""].value < 2e9
    assert metrics["order_agreement", ""].value == 1
    assert metrics["noise_agreement", ""].value > 0.9
    assert metrics["out_of_range_valid", ""].value == 1


def test_probabilities_are_judged_by_group_and_small_groups_are_named(found, bench):
    rows = PARTS["evaluation"]
    model = pickle.loads(bench.candidate.artefact.read_bytes())
    chances = model.predict_proba(to_array(bench.candidate.schema, rows))[:, list(model.classes_).index(FAVOURABLE)]
    good = np.array([row[LABEL] == FAVOURABLE for row in rows])
    assert by_name(found)["roc_auc", ""].value == pytest.approx(roc_auc_score(good, chances))
    segments = {(m.name, m.group_by): m for m in found.segments}
    young = np.array([row["age_over_25"] == "no" for row in rows])
    assert segments["calibration_excess", "age_over_25=no"].value == pytest.approx((chances - good)[young].mean())
    assert segments["accuracy", "age_over_25=no"].n == int(young.sum()) == 76
    assert "age_over_25=no: 76 rows" in found.environment["small_groups"]
    assert found.environment["smallest_group"] == "30 rows"


def test_it_is_bound_to_what_was_measured(found, bench):
    assert found.artefact_digest == bench.candidate.artefact_digest
    assert found.features_digest == bench.candidate.features_digest
    assert found.dataset_digest == digest_file(bench.directory / "evaluation.csv")
    assert found.row_count == 400
    assert {"python", "scikit-learn", "numpy", "network", "limits", "warnings_on_loading"} <= set(found.environment)
    assert found.environment["warnings_on_loading"] == "none"
    assert sum(g.n for g in found.groups if g.column == "sex") == 400
    assert {(g.column, g.group) for g in found.groups} == {
        ("sex", "female"),
        ("sex", "male"),
        ("age_over_25", "yes"),
        ("age_over_25", "no"),
    }


def test_measuring_again_finds_the_same_and_groups_that_are_too_small_give_no_figure_and_a_reason(found, bench):
    again = measure(
        bench.candidate.artefact, bench.candidate.artefact_digest, bench.candidate.features, bench.directory / "evaluation.csv",
        label=LABEL, favourable=FAVOURABLE, protected=PROTECTED, min_group_size=77,
    )  # fmt: skip
    assert again.groups == found.groups
    timed = ("latency", "memory")
    same = [[m for m in run.evaluation if not m.name.startswith(timed)] for run in (again, found)]
    assert same[0] == same[1]
    for once_more, first, least in ((again.bias_test, found.bias_test, 3), (again.segments, found.segments, 6)):
        given = [metric for metric in once_more if metric.value is not None]
        assert len(given) >= least
        assert all(metric in first for metric in given)
    metrics = by_name(again)
    parity = metrics["demographic_parity_difference", "age_over_25"]
    assert (parity.value, parity.low, parity.high) == (None, None, None)
    assert parity.reason == "smallest group has 76 rows, needs 77"
    assert metrics["demographic_parity_difference", "sex"].value is not None


def test_a_hostile_artefact_is_refused_and_never_loaded(bench):
    trace = bench.directory / "trace"
    with pytest.raises(Denied) as caught:
        carry_out(bench.order(**bench.put("hostile.pkl", hostile.plant(trace))))
    assert caught.value.code == "artefact_refused"
    assert "`posix.system`" in caught.value.detail
    assert any("posix.system" in reason for reason in caught.value.fields["reasons"])
    assert not trace.exists()


def test_an_artefact_with_another_digest_is_tampered(bench):
    with pytest.raises(Tampered):
        carry_out(bench.order(artefact_digest=digest_bytes(b"another")))


def test_a_missing_file_is_not_found_and_a_link_is_malformed(bench):
    with pytest.raises(NotFound):
        carry_out(bench.order(artefact=str(bench.directory / "missing.pkl")))
    link = bench.directory / "link.pkl"
    link.symlink_to(bench.candidate.artefact)
    with pytest.raises(Malformed, match="symbolic link"):
        carry_out(bench.order(artefact=str(link)))


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"label": "outcome"}, "the data set has no column `outcome`"),
        ({"protected": ["religion"]}, "the data set has no column `religion`"),
        ({"favourable": "yes"}, "`credit_risk` has 2 different values, expected two of which one is `yes`"),
        ({"label": "purpose"}, "different values, expected two"),
        ({"label": "telephone", "favourable": "none"}, "does not answer each row with a value of `telephone`"),
    ],
)
def test_a_data_set_that_does_not_fit_is_malformed(bench, changes, detail):
    with pytest.raises(Malformed) as caught:
        carry_out(bench.order(**changes))
    assert detail in caught.value.detail


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b"", "expected 1 to"),
        (b"a,b\n", "has 0 rows"),
        (b"\xff\xfe", "not a CSV file"),
        (b"credit_risk,credit_risk\ngood,bad\n", "a column twice"),
        (b"credit_risk,sex,age_over_25\ngood,male\n", "row 1 of the data set has not as many values"),
    ],
)
def test_a_broken_data_set_is_malformed(bench, tmp_path, raw, detail):
    (tmp_path / "broken.csv").write_bytes(raw)
    with pytest.raises(Malformed) as caught:
        carry_out(bench.order(dataset=str(tmp_path / "broken.csv")))
    assert detail in caught.value.detail


def test_what_is_no_model_and_a_model_of_other_columns_are_malformed_without_quoting_data(bench, tmp_path):
    with pytest.raises(Malformed, match="predicting failed with `AttributeError`"):
        carry_out(bench.order(**bench.put("no_model.pkl", hostile.GOOD)))
    schema = msgspec.structs.replace(bench.candidate.schema, features=bench.candidate.schema.features[::-1])
    (tmp_path / "other.json").write_bytes(format_features(schema))
    with pytest.raises(Malformed) as caught:
        carry_out(bench.order(features=str(tmp_path / "other.json")))
    assert "predicting failed with" in caught.value.detail
    assert "account" not in caught.value.detail


def crashing_model():
    """Return a tree, made only of allowed things, whose nodes point far outside its memory."""
    model = DecisionTreeClassifier().fit(np.arange(40.0).reshape(10, 4), ["bad", "good"] * 5)
    state = model.tree_.__getstate__()
    state["nodes"]["left_child"][0] = state["nodes"]["right_child"][0] = 2**40
    model.tree_.__setstate__(state)
    model.n_features_in_ = 4
    return pickle.dumps(model, protocol=5)


def test_a_model_that_crashes_its_process_is_malformed_here(bench, tmp_path):
    columns = ["duration_months", "credit_amount", "age", "dependants"]
    (tmp_path / "f.json").write_bytes(format_features(FeatureSchema("1", [Feature(c, Datatype.FP64) for c in columns])))
    with pytest.raises(Malformed) as caught:
        carry_out(bench.order(**bench.put("crash.pkl", crashing_model()), features=str(tmp_path / "f.json")))
    assert caught.value.code == "measurement_failed"
    assert "was ended by signal 11" in caught.value.detail


def test_too_much_wall_time_is_unavailable_and_nothing_is_left_running(bench):
    with pytest.raises(Unavailable) as caught:
        carry_out(bench.order(wall_s=0.05))
    assert caught.value.code == "measurement_timed_out"
    assert "jurat.app.measure_child" not in subprocess.run(
        ["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    ).stdout  # fmt: skip


def test_too_much_processor_time_is_unavailable(bench):
    with pytest.raises(Unavailable, match="more than 1 s of processor time"):
        carry_out(bench.order(processor_s=1))


def test_too_much_memory_is_malformed(bench):
    with pytest.raises(Malformed) as caught:
        carry_out(bench.order(address_space_bytes=250_000_000))
    assert caught.value.code == "measurement_failed"


def test_once_it_is_given_up_there_is_no_network():
    program = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "from jurat.app.measure_child import give_up_network\n"
        "if not give_up_network(): print('not allowed'); raise SystemExit\n"
        "try: socket.create_connection(server.getsockname(), timeout=2)\n"
        "except OSError as error: print('none')\n"
        "else: print('reached')\n"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60, check=True
    ).stdout.strip()
    if said == "not allowed":
        pytest.skip("the kernel does not let this user make a network namespace")
    assert said == "none"
