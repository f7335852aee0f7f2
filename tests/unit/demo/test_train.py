"""The demo's candidates: real, deterministic, loadable by our own rules, and as good and as bad as the demo says."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from jurat.app.features import parse_features, to_array
from jurat.app.scan import scan
from jurat.core.digests import digest_file
from jurat.core.errors import Malformed
from jurat.demo.dataset import FAVOURABLE, LABEL, PROTECTED, load_rows, split_rows
from jurat.demo.train import VERSIONS, reweigh, train
from jurat.stats.fairness import demographic_parity_difference, equalized_odds_difference
from jurat.stats.intervals import Interval

PARTS = split_rows(load_rows())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    return {version: train(version, PARTS["training"], directory) for version in VERSIONS}


def figures(candidate, part):
    rows = PARTS[part]
    model = pickle.loads(candidate.artefact.read_bytes())
    selected = model.predict(to_array(candidate.schema, rows)) == FAVOURABLE
    favourable = np.array([row[LABEL] == FAVOURABLE for row in rows])
    parity, odds = {}, {}
    for column in PROTECTED:
        group = np.unique([row[column] for row in rows], return_inverse=True)[1]
        parity[column] = demographic_parity_difference(selected, group)
        odds[column] = equalized_odds_difference(selected, favourable, group)
    assert all(isinstance(gap, Interval) for gap in [*parity.values(), *odds.values()])
    return float((selected == favourable).mean()), {c: g.point for c, g in parity.items()}, {c: g.point for c, g in odds.items()}


def test_the_first_candidate_truly_fails_the_bias_gate(trained):
    accuracy, parity, _ = figures(trained["1.0.0"], "evaluation")
    assert parity["age_over_25"] > 0.11
    assert accuracy < 0.72


def test_the_second_candidate_truly_passes_every_gate(trained):
    accuracy, parity, odds = figures(trained["1.1.0"], "evaluation")
    assert accuracy >= 0.74
    assert max(parity.values()) <= 0.07
    assert max(odds.values()) <= 0.08


def test_the_mitigated_candidate_is_given_no_protected_column(trained):
    assert not set(trained["1.1.0"].schema.names) & {*PROTECTED, "age", "personal_status", "foreign_worker"}
    assert {"age", "personal_status", "foreign_worker"} <= set(trained["1.0.0"].schema.names)


@pytest.mark.parametrize("version", VERSIONS)
def test_both_scanners_pass_it_and_its_files_are_what_the_lineage_says(trained, version):
    candidate = trained[version]
    assert scan(candidate.artefact.read_bytes()).is_clean
    assert digest_file(candidate.artefact) == candidate.artefact_digest
    assert digest_file(candidate.features) == candidate.features_digest
    assert parse_features(candidate.features.read_bytes()) == candidate.schema
    assert candidate.row_count == 300
    assert candidate.training_duration_s > 0
    assert candidate.hyperparameters["estimator"] in ("GradientBoostingClassifier", "LogisticRegression")
    assert 0.7 < candidate.claimed_metrics["accuracy"] <= 1


@pytest.mark.parametrize("version", VERSIONS)
def test_training_again_gives_the_same_file(trained, version, tmp_path):
    assert train(version, PARTS["training"], tmp_path).artefact_digest == trained[version].artefact_digest


def test_reweighing_makes_outcome_and_group_independent():
    rows = PARTS["training"]
    weights = reweigh(rows)
    assert weights.sum() == pytest.approx(len(rows))
    good = np.array([row[LABEL] == FAVOURABLE for row in rows])
    groups = [tuple(row[column] for column in PROTECTED) for row in rows]
    for group in set(groups):
        mine = np.array([g == group for g in groups])
        assert weights[mine & good].sum() / weights[mine].sum() == pytest.approx(good.mean())


def test_the_weights_are_really_used(trained):
    candidate, rows = trained["1.1.0"], PARTS["training"]
    model = pickle.loads(candidate.artefact.read_bytes())
    inputs, labels = to_array(candidate.schema, rows), [row[LABEL] for row in rows]
    plain = clone(model).fit(inputs, labels)
    weighted = clone(model).fit(inputs, labels, model__sample_weight=reweigh(rows))
    assert np.allclose(model.predict_proba(inputs), weighted.predict_proba(inputs))
    assert not np.allclose(model.predict_proba(inputs), plain.predict_proba(inputs), atol=1e-3)


def test_another_candidate_is_malformed(tmp_path):
    with pytest.raises(Malformed, match=r"expected one of `1\.0\.0`, `1\.1\.0`"):
        train("2.0.0", PARTS["training"], tmp_path)
    assert list(tmp_path.iterdir()) == []
