"""The measuring process's view on people: what the model gives each group, as metrics of evidence. Runs in `measure_child`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jurat.app.features import Datatype, FeatureSchema
from jurat.core.errors import Malformed
from jurat.domain.values import Metric
from jurat.stats.consistency import coordinates
from jurat.stats.fairness_report import FairnessReport, fairness_report
from jurat.stats.intervals import Interval, NotEnoughData

Rows = NDArray[np.object_]


def chances_of(model: Any, inputs: Rows, favourable: str) -> NDArray[np.float64] | None:
    """Return the model's probability of the favourable outcome for each row; None where it gives none.

    Raises:
        Malformed: it gives some, and they are no probabilities.
    """
    if not hasattr(model, "predict_proba"):
        return None
    classes = [str(name) for name in np.ravel(getattr(model, "classes_", []))]
    if favourable not in classes:
        return None
    found = np.asarray(model.predict_proba(inputs), dtype=np.float64)
    if found.shape != (len(inputs), len(classes)):
        raise Malformed("the model does not give one probability a class and row", code="measurement_failed")
    chances = found[:, classes.index(favourable)]
    if not (np.isfinite(chances) & (chances >= 0) & (chances <= 1)).all():
        raise Malformed("the model gives probabilities outside 0 to 1", hint="ask its author", code="measurement_failed")
    return chances


def people_report(
    rows: list[dict[str, str]],
    schema: FeatureSchema,
    inputs: Rows,
    selected: NDArray[np.bool_],
    favourable: NDArray[np.bool_],
    chances: NDArray[np.float64] | None,
    protected: list[str],
    min_group_size: int,
) -> FairnessReport:
    """Return the whole fairness report. People are similar when they are so in all features but the protected columns."""
    placed: list[NDArray[np.float64] | NDArray[np.str_]] = [
        inputs[:, number].astype(np.str_) if feature.datatype is Datatype.BYTES else inputs[:, number].astype(np.float64)
        for number, feature in enumerate(schema.features)
        if feature.name not in protected
    ]
    return fairness_report(
        selected,
        favourable,
        {column: np.array([row[column] for row in rows]) for column in protected},
        probability=chances,
        points=coordinates(placed) if placed else None,
        min_group_size=min_group_size,
    )


def as_metric(name: str, found: Interval | NotEnoughData, n: int, group_by: str = "") -> Metric:
    """Return a figure as evidence holds it."""
    if isinstance(found, NotEnoughData):
        return Metric(name=name, value=None, n=n, group_by=group_by, reason=found.reason)
    return Metric(name=name, value=found.point, low=found.low, high=found.high, n=n, group_by=group_by)
