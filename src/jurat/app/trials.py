"""Robustness, smoke-tested: a model is asked about rows that are a little wrong. Knows one model and its rows.

What is tried, on at most 1,000 rows, with the same random numbers each time:
- `noise_agreement`: every number is moved by a normal error of 5 % of its column's standard deviation;
- `missing_agreement`: one value is missing (a number becomes NaN, a text is empty), each column in turn. A model that refuses such
  a row has done nothing wrong: refusals are left out, and if it refuses all there is no figure;
- `order_agreement`: the rows in another order. Below 1 a model remembers what it was asked before, or looks at the batch;
- `out_of_range_valid`: every number is a thousand times the largest of its column, texts are unheard of. A refusal is right; an
  answer must be one of the two labels, and its probabilities finite and within [0, 1].
These are smoke tests: they find what is careless, not what an adversary finds.
"""

from __future__ import annotations

import warnings
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jurat.app.features import Datatype, FeatureSchema
from jurat.stats.intervals import Interval, NotEnoughData, wilson

_MOST_ROWS: Final = 1_000
_MISSING_ROWS: Final = 10  # of each column, asked one by one where a model refuses a hole
_SEED: Final = 20_250_101
_NOISE: Final = 0.05

Rows = NDArray[np.object_]


class Trial(NamedTuple):
    """One figure, and how many answers it rests on."""

    name: str
    found: Interval | NotEnoughData
    n: int


def try_robustness(model: Any, schema: FeatureSchema, inputs: Rows, labels: frozenset[str]) -> list[Trial]:
    """Return the four figures. The model's own failures are counted, never raised."""
    random = np.random.default_rng(_SEED)
    rows = inputs if len(inputs) <= _MOST_ROWS else inputs[np.linspace(0, len(inputs) - 1, _MOST_ROWS).round().astype(int)]
    usual = answers(model, rows)
    numeric = [number for number, feature in enumerate(schema.features) if feature.datatype is not Datatype.BYTES]
    order = random.permutation(len(rows))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    shuffled = answers(model, rows[order])
    return [
        _agreement("noise_agreement", usual, answers(model, _noisy(rows, numeric, random))) if numeric else _no_numbers("noise_agreement"),
        _missing(model, rows, usual, numeric),
        _agreement("order_agreement", usual, shuffled[back]),
        _out_of_range(model, rows, numeric, labels),
    ]


def answers(model: Any, rows: Rows) -> NDArray[np.str_]:
    """Return the model's answer to each row as text; an empty text where it refused. One bad row does not spoil the others."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return _texts(model.predict(rows), len(rows))
        except Exception:
            return np.array([_one(model, row) for row in rows], dtype=np.str_)


def _one(model: Any, row: Rows) -> str:
    try:
        return str(_texts(model.predict(row[np.newaxis, :]), 1)[0])
    except Exception:
        return ""


def _texts(found: Any, n: int) -> NDArray[np.str_]:
    texts = np.array([str(answer) for answer in np.ravel(found)], dtype=np.str_)
    if len(texts) != n:
        raise ValueError("not one answer a row")
    return texts


def _agreement(name: str, usual: NDArray[np.str_], now: NDArray[np.str_]) -> Trial:
    return Trial(name, wilson(int(np.count_nonzero(usual == now)), len(usual)), len(usual))


def _no_numbers(name: str) -> Trial:
    return Trial(name, NotEnoughData("the model takes no numbers"), 0)


def _noisy(rows: Rows, numeric: list[int], random: np.random.Generator) -> Rows:
    moved = rows.copy()
    for column in numeric:
        values = rows[:, column].astype(float)
        moved[:, column] = values + random.normal(0.0, _NOISE * values.std(), len(values))
    return moved


def _missing(model: Any, rows: Rows, usual: NDArray[np.str_], numeric: list[int]) -> Trial:
    same, given = 0, 0
    for column in range(rows.shape[1]):
        holed = rows[:_MISSING_ROWS].copy()
        holed[:, column] = np.nan if column in numeric else ""
        now = answers(model, holed)
        given += int(np.count_nonzero(now != ""))
        same += int(np.count_nonzero((now != "") & (now == usual[: len(now)])))
    found = wilson(same, given) if given else NotEnoughData("the model refuses every row in which a value is missing")
    return Trial("missing_agreement", found, given)


def _out_of_range(model: Any, rows: Rows, numeric: list[int], labels: frozenset[str]) -> Trial:
    far = rows[:_MISSING_ROWS].copy()
    for column in range(rows.shape[1]):
        far[:, column] = 1e3 * max(1.0, float(np.abs(rows[:, column].astype(float)).max())) if column in numeric else "\ufffdunheard of"
    valid = sum(_is_valid(model, row, answer, labels) for row, answer in zip(far, answers(model, far), strict=True))
    return Trial("out_of_range_valid", wilson(valid, len(far)), len(far))


def _is_valid(model: Any, row: Rows, answer: str, labels: frozenset[str]) -> bool:
    if not answer:
        return True  # refused
    if answer not in labels:
        return False
    if not hasattr(model, "predict_proba"):
        return True
    try:
        chances = np.asarray(model.predict_proba(row[np.newaxis, :]), float)
    except Exception:
        return True
    return bool((np.isfinite(chances) & (chances >= 0) & (chances <= 1)).all())
