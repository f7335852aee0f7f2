"""Evidence: a registered version, measured by Jurat itself on registered data.

the person reads the data (authorized, for this purpose)
the evaluator scans the artefact, and records what it found; a refused artefact is never loaded
the evaluator measures in a process of its own, and records the figures, bound to the version's digest
"""

from __future__ import annotations

from pathlib import Path

from jurat.app.evaluator import evaluator_for
from jurat.app.look import known
from jurat.app.measure import measure
from jurat.app.scan import scan
from jurat.app.walk import Done, act, act_as
from jurat.app.wiring import App
from jurat.core.digests import digest_file, short
from jurat.core.errors import Conflict, Denied, NotFound
from jurat.domain import commands, facts, rows
from jurat.domain.decide_models import known_version
from jurat.guard.artefacts import read_artefact


def evaluate(app: App, token: str, version_name: str, data: Path, dataset_name: str) -> Done:
    """Measure a version on the rows in `data` and record scan, evaluation and bias test.

    Raises:
        NotFound, Conflict: the version or the data set is not registered, or these are other bytes.
        Denied: the caller may not read that data, or the artefact is refused by the scanners; each is recorded.
        Malformed, Unavailable: the model is too large to be measured, or could not be; nothing is recorded as measured.
    """
    known(app, token)
    with app.store.reading() as state:
        version = known_version(state, version_name)
        dataset = state.get(rows.Dataset, dataset_name)
    if dataset is None:
        raise NotFound(f"data set `{dataset_name[:80]}` is not registered", hint="register it first: `jurat data register`")
    read = act(app, token, commands.ReadData(dataset=dataset.dataset, purpose=f"evaluate {version.version}"))
    found_digest = digest_file(data)
    if found_digest != dataset.digest:
        raise Conflict(
            f"`{data.name}` has digest `{short(found_digest)}`, `{dataset.dataset}` is registered with `{short(dataset.digest)}`",
            hint="measure on the registered bytes, or register these as a new version",
            code="digest_mismatch",
        )
    evaluator = evaluator_for(app, token)
    weights = app.artefacts.get(version.artefacts.weights.digest)
    features = app.artefacts.get(version.artefacts.feature_definitions.digest)
    scanned = scan(read_artefact(weights))
    events = [
        *read.events,
        *act_as(
            app,
            evaluator,
            commands.RecordScan(
                version=version.version,
                artefact_digest=scanned.digest,
                verdict=scanned.verdict,
                format=scanned.format,
                reasons=scanned.reasons,
                size_bytes=scanned.size_bytes,
            ),
        ).events,
    ]
    scan_event = next(event.id for event in reversed(events) if isinstance(event.data, facts.ArtefactScanned))
    if not scanned.is_clean:
        raise Denied(
            f"the weights of `{version.version}` are refused before loading: {scanned.reasons[0]}",
            hint="a model file may only hold what a model is made of; ask its author where this comes from",
            code="artefact_refused",
            reasons=scanned.reasons,
            event=scan_event,
        )
    measured = measure(
        weights,
        version.artefacts.weights.digest,
        features,
        data,
        label=dataset.sheet.label,
        favourable=dataset.sheet.favourable_outcome,
        protected=dataset.sheet.sensitive_columns,
        min_group_size=app.settings.min_group_size,
    )
    if (measured.dataset_digest, measured.features_digest) != (dataset.digest, version.artefacts.feature_definitions.digest):
        raise Conflict(  # the files changed between our look and the measuring process's
            "the files changed while they were measured", hint="keep them still and measure again", code="digest_mismatch"
        )
    found = (("evaluation", measured.evaluation), ("bias_test", measured.bias_test), ("segments", measured.segments))
    for evidence_type, metrics in found:
        if not metrics:
            continue  # no protected column: there are no groups to tell of
        command = commands.RecordEvidence(
            version=version.version,
            version_digest=version.digest,
            type=evidence_type,
            dataset=dataset.dataset,
            dataset_digest=dataset.digest,
            metrics=metrics,
            method=measured.method,
            environment=measured.environment,
            duration_s=round(measured.duration_s, 3),
            scan=scan_event,
        )
        events += act_as(app, evaluator, command).events
    return Done(events)
