"""The demo's two candidates, trained on the spot. Why these two, and what else was looked at: docs/decisions/0030-demo-candidates.md.

`credit@1.0.0` is a natural first try: gradient boosting on everything the bank knows, age and marital status included.
`credit@1.1.0` is the mitigation: a scorecard on the four columns about the credit and how credit was repaid before, with
the training rows reweighed so that outcome and protected group are independent (Kamiran & Calders 2012). It is given no
protected column. What each is worth is for Jurat to measure; nothing here is evidence.

`python train.py 1.1.0` trains a candidate again, on the file that `JURAT_TRAINING_DATA` names: what `jurat model reproduce` runs.
"""

from __future__ import annotations

import csv
import os
import pickle
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from jurat.app.features import Datatype, FeatureSchema, format_features, to_array
from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed
from jurat.core.files import write_whole
from jurat.demo.dataset import LABEL, PROTECTED, Row, attributes, features_of

VERSIONS: Final = ("1.0.0", "1.1.0")
_CREDIT_CONDUCT: Final = ["checking_status", "duration_months", "credit_history", "savings"]


class Trained(NamedTuple):
    """A trained candidate: two files and their lineage. What the author claims is only that."""

    version: str
    artefact: Path  # one pickle, protocol 5
    artefact_digest: str
    features: Path  # feature definitions, JSON
    features_digest: str
    schema: FeatureSchema
    row_count: int
    hyperparameters: dict[str, Any]
    training_duration_s: float
    hardware: str
    libraries: dict[str, str]
    claimed_metrics: dict[str, float]  # on the rows it learned from, as optimistic as such claims are


def train(version: str, rows: list[Row], directory: Path) -> Trained:
    """Train one candidate on `rows` and leave `credit-<version>.pkl` and `credit-<version>.features.json` in `directory`.

    Deterministic: the same rows and libraries give the same predictions.

    Raises:
        Malformed: no such candidate.
    """
    if version not in VERSIONS:
        raise Malformed(f"demo candidate `{version}` is unknown, expected one of `{'`, `'.join(VERSIONS)}`")
    mitigated = version == "1.1.0"
    columns = _CREDIT_CONDUCT if mitigated else attributes(rows[0])
    schema = FeatureSchema(version="1.1.0" if mitigated else "1.0.0", features=features_of(columns))
    inputs, labels = to_array(schema, rows), np.array([row[LABEL] for row in rows])
    model = _pipeline(schema, LogisticRegression(C=1.0, max_iter=2000) if mitigated else GradientBoostingClassifier(random_state=0))

    began = time.perf_counter()
    model.fit(inputs, labels, model__sample_weight=reweigh(rows) if mitigated else None)
    duration_s = time.perf_counter() - began

    artefact = pickle.dumps(model, protocol=5)
    definitions = format_features(schema)
    artefact_path, features_path = directory / f"credit-{version}.pkl", directory / f"credit-{version}.features.json"
    write_whole(artefact_path, artefact)
    write_whole(features_path, definitions)
    return Trained(
        version=version,
        artefact=artefact_path,
        artefact_digest=digest_bytes(artefact),
        features=features_path,
        features_digest=digest_bytes(definitions),
        schema=schema,
        row_count=len(rows),
        hyperparameters=_hyperparameters(model, mitigated=mitigated),
        training_duration_s=duration_s,
        hardware=_hardware(),
        libraries={"python": platform.python_version(), "scikit-learn": sklearn.__version__, "numpy": np.__version__},
        claimed_metrics={"accuracy": float(np.mean(model.predict(inputs) == labels))},
    )


def reweigh(rows: list[Row]) -> NDArray[np.float64]:
    """Return a weight for each row, under which outcome and protected group are independent. The weights sum to n.

    Source: Kamiran & Calders 2012, *Data preprocessing techniques for classification without discrimination*, reweighing:
        P(group)·P(outcome) / P(group, outcome).
    """
    groups = [tuple(row[column] for column in PROTECTED) for row in rows]
    outcomes = [row[LABEL] for row in rows]
    by_group, by_outcome, by_both = Counter(groups), Counter(outcomes), Counter(zip(groups, outcomes, strict=True))
    n = len(rows)
    return np.array([by_group[g] * by_outcome[o] / (n * by_both[g, o]) for g, o in zip(groups, outcomes, strict=True)])


def _pipeline(schema: FeatureSchema, model: Any) -> Pipeline:
    numbers = [i for i, feature in enumerate(schema.features) if feature.datatype is not Datatype.BYTES]
    words = [i for i, feature in enumerate(schema.features) if feature.datatype is Datatype.BYTES]
    encode = ColumnTransformer([("numbers", StandardScaler(), numbers), ("words", OneHotEncoder(handle_unknown="ignore"), words)])
    return Pipeline([("encode", encode), ("model", model)])


def _hyperparameters(model: Pipeline, *, mitigated: bool) -> dict[str, Any]:
    estimator = model.named_steps["model"]
    return {
        "estimator": type(estimator).__name__,
        **{key: value for key, value in sorted(estimator.get_params().items()) if value is not None},
        "numbers": "StandardScaler",
        "words": "OneHotEncoder(handle_unknown=ignore)",
        "sample_weight": f"reweighed by {' x '.join(PROTECTED)}" if mitigated else "none",
    }


def _hardware() -> str:
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass  # not Linux: the architecture must do
    return f"{model}, {os.cpu_count()} CPUs"


if __name__ == "__main__":
    with Path(os.environ["JURAT_TRAINING_DATA"]).open(encoding="utf-8", newline="") as data:
        train(sys.argv[1], list(csv.DictReader(data)), Path())
