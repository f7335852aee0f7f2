"""The process that loads a model to explain one of its answers: `python -m jurat.app.explain_child`. Held as `measure_child` is.

The background is at most 100 rows of the training data, evenly spaced. What "not knowing a feature" means is: it is somebody
else's. So contributions depend on the background, and say how the model came to its answer, not what is true of the world.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from jurat.app.explain import ExplainOrder
from jurat.app.explained import Explained, Otherwise, Part
from jurat.app.features import parse_features, to_array
from jurat.app.measure import Outcome
from jurat.app.measure_child import import_libraries, limit_files, read_rows, serve, step
from jurat.app.measure_people import chances_of
from jurat.app.scan import verify_loadable
from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed
from jurat.guard.artefacts import read_artefact
from jurat.stats.counterfactual import nearest_change
from jurat.stats.shapley import contributions

BACKGROUND_ROWS: Final = 100


def main() -> int:
    """Write what explains the answer of the order on stdin to stdout; return the exit code."""
    return serve(ExplainOrder, lambda order, _network: Outcome(explained=_explain(order)))


def _explain(order: ExplainOrder) -> Explained:
    artefact, definitions = read_artefact(Path(order.artefact)), read_artefact(Path(order.features))
    verify_loadable(artefact, order.artefact_digest)
    schema = parse_features(definitions)
    raw = read_artefact(Path(order.dataset))
    rows = read_rows(raw, schema.names)
    if len(rows) > BACKGROUND_ROWS:
        rows = [rows[number] for number in np.linspace(0, len(rows) - 1, BACKGROUND_ROWS).round().astype(int)]
    background = to_array(schema, rows)
    point = to_array(schema, [order.values])[0]
    unknown = [name for name in order.may_change if name not in schema.names]
    if unknown:
        raise Malformed(f"the model has no feature `{unknown[0][:80]}`", hint=f"it has: {', '.join(schema.names)}"[:500])
    import_libraries(artefact)
    limit_files()
    with step("loading it"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pickle.loads(artefact)  # noqa: S301 - these very bytes were scanned above
    with step("predicting"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = str(np.ravel(model.predict(point[np.newaxis, :]))[0])

        def chance(some: NDArray[Any]) -> NDArray[np.float64]:
            found = chances_of(model, some, order.favourable)
            if found is None:
                raise Malformed("the model gives no probabilities, so nothing can be said of contributions", code="measurement_failed")
            return found

        found = contributions(chance, point, background)
        movable = [schema.names.index(name) for name in order.may_change]
        changes = [] if answer == order.favourable else nearest_change(_answers(model, order.favourable), point, background, movable)
    parts = [
        Part(feature=name, value=value, contribution=float(by), error=float(error))
        for name, value, by, error in zip(schema.names, point.tolist(), found.values, found.errors, strict=True)
    ]
    return Explained(
        answer=answer,
        probability=found.value,
        base=found.base,
        is_exact=found.is_exact,
        background_rows=len(background),
        parts=sorted(parts, key=lambda part: (-abs(part.contribution), part.feature)),
        otherwise=[Otherwise(feature=schema.names[c.column], before=c.before, after=c.after) for c in changes],
        may_change=order.may_change,
        base_digests={"features": digest_bytes(definitions), "background": digest_bytes(raw)},
    )


def _answers(model: Any, favourable: str) -> Any:
    """Return a score that is 1 where the model's own answer is the favourable one: its threshold need not be one half."""
    return lambda some: np.array([str(answer) == favourable for answer in np.ravel(model.predict(some))], dtype=np.float64)


if __name__ == "__main__":
    sys.exit(main())
