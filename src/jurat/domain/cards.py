"""Model cards and data sheets, made from what is on record: every line names the event that says so, and a gap says "unknown".

Pure: facts in, a card out; the same facts always make the same card, so a card can be checked by making it again. Knows no
format (`app.card_formats`, `app.mlbom`, `app.croissant`) and takes no words or numbers from anybody.
"""

from __future__ import annotations

from typing import Final

import msgspec

from jurat.domain import facts, rows
from jurat.domain.gate_measured import show_metric
from jurat.domain.values import DataSheet, Metric
from jurat.policy.metrics import METRICS

UNKNOWN: Final = "unknown"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is known, or not."""

    label: str
    text: str
    event: str = ""  # empty: unknown
    metric: Metric | None = None


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Lines under one heading. A card is complete when no needed section is without a known line."""

    title: str
    lines: list[Line]
    is_needed: bool = True

    @property
    def is_known(self) -> bool:
        return any(line.event for line in self.lines)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one version, or of one data set."""

    kind: str  # `model` or `data`
    subject: str  # credit@1.1.0
    digest: str
    sections: list[Section]

    @property
    def gaps(self) -> list[str]:
        """Needed headings under which nothing is known, and lines that are unknown."""
        empty = [section.title for section in self.sections if section.is_needed and not section.is_known]
        return empty + [f"{s.title}: {line.label}" for s in self.sections for line in s.lines if not line.event and s.title not in empty]

    @property
    def is_complete(self) -> bool:
        return all(section.is_known for section in self.sections if section.is_needed)

    @property
    def events(self) -> list[str]:
        """Every event that it rests on, once, in order of appearance."""
        return list(dict.fromkeys(line.event for section in self.sections for line in section.lines if line.event))


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it was registered, and the event that says so."""

    fact: facts.VersionRegistered
    event: str


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence, and the event that holds it."""

    fact: facts.EvidenceMeasured
    event: str
    at: str


# Where each type of evidence is told. Others come last, under their own name.
_HEADINGS: Final = {
    "evaluation": "Performance, latency and robustness",
    "bias_test": "Fairness",
    "segments": "Performance by group",
    "security_scan": "Security scan",
    "dependency_check": "Dependencies with known flaws",
    "model_signature": "Signature",
    "soak": "In staging",
}
_NEEDED: Final = ("evaluation", "bias_test", "security_scan")
_NOT_TOLD: Final = ("documentation",)  # says how complete this card is: it cannot rest on itself


def model_card(registered: Registered, system: rows.System | None, data: rows.Dataset | None, measured: list[Measured]) -> Card:
    """Return the card of a version."""
    fact, event = registered.fact, registered.event
    sections = [
        Section(
            title="Intended use",
            lines=[
                _line("Purpose", system.purpose if system else None, system),
                _line("System", system.system if system else None, system),
                _line("Risk tier (EU AI Act)", str(system.risk_tier) if system else None, system),
                _line("Persons affected", system.affected_persons if system else None, system),
                _line("Answers for it", system.owner if system else None, system),
            ],
        ),
        Section(
            title="What it is",
            lines=[
                Line(label="Version", text=fact.version, event=event),
                Line(label="Digest", text=fact.digest, event=event),
                Line(label="Author", text=fact.author, event=event),
                Line(label="Code", text=f"{fact.training_code.git_repo}@{fact.training_code.git_commit}", event=event),
                Line(label="Hyperparameters", text=_pairs(fact.training_config.hyperparameters), event=event),
                *(
                    Line(label=name.replace("_", " ").capitalize(), text=f"{part.version} ({part.digest})", event=event)
                    for name, part in ((name, getattr(fact.artefacts, name)) for name in fact.artefacts.__struct_fields__)
                ),
            ],
        ),
        Section(
            title="Training data",
            lines=[
                Line(label="Data set", text=f"{fact.training_data.dataset} ({fact.training_data.dataset_digest})", event=event),
                Line(label="Rows", text=str(fact.training_data.row_count), event=event),
                Line(label="Features", text=", ".join(fact.training_data.feature_columns), event=event),
            ],
        ),
        Section(title="Limitations", lines=_limitations(data)),
    ]
    by_type = {each.fact.type: each for each in measured}
    for evidence_type, title in _HEADINGS.items():
        found = by_type.pop(evidence_type, None)
        sections.append(
            Section(
                title=title,
                is_needed=evidence_type in _NEEDED,
                lines=_metric_lines(found) if found else [Line(label="Measured", text=UNKNOWN)],
            )
        )
    sections += [
        Section(title=evidence_type, is_needed=False, lines=_metric_lines(found))
        for evidence_type, found in sorted(by_type.items())
        if evidence_type not in _NOT_TOLD
    ]
    return Card(kind="model", subject=fact.version, digest=fact.digest, sections=sections)


def data_sheet(data: rows.Dataset) -> Card:
    """Return the sheet of a data set."""
    sheet: DataSheet = data.sheet
    return Card(
        kind="data",
        subject=data.dataset,
        digest=data.digest,
        sections=[
            Section(
                title="Motivation and origin",
                lines=[
                    _line("Purpose", sheet.purpose, data),
                    _line("Source", sheet.source, data),
                    _line("Licence", sheet.licence, data),
                    _line("Registered by", data.registered_by, data),
                ],
            ),
            Section(
                title="Composition",
                lines=[
                    _line("Rows", str(data.rows), data),
                    _line("Label", sheet.label, data),
                    _line("Favourable outcome", sheet.favourable_outcome, data),
                    _line("Sensitive columns", ", ".join(sheet.sensitive_columns), data),
                    _line("Digest", data.digest, data),
                ],
            ),
            Section(title="Collection", lines=[_line("Method", sheet.collection_method, data)]),
            Section(title="Known biases", lines=_limitations(data)),
        ],
    )


def _limitations(data: rows.Dataset | None) -> list[Line]:
    known = [bias for bias in data.sheet.known_biases if bias.strip()] if data else []
    return [_line("Known bias of the training data", bias, data) for bias in known] or [Line(label="Known biases", text=UNKNOWN)]


def _metric_lines(found: Measured) -> list[Line]:
    fact = found.fact
    lines = [
        Line(label="Measured on", text=f"{fact.dataset} ({fact.dataset_digest})", event=found.event),
        Line(label="Measured at", text=found.at, event=found.event),
    ]
    small = fact.environment.get("small_groups", "none")
    if small != "none":
        lines.append(Line(label="Small groups: read the intervals", text=small, event=found.event))
    for metric in fact.metrics:
        label = metric.name + (f" by {metric.group_by}" if metric.group_by else "")
        if metric.value is None:
            text = f"{UNKNOWN}: {metric.reason}"  # measured, and there is no figure: the event says why
        else:
            text = show_metric(msgspec.structs.replace(metric, group_by="")) + (f", n = {metric.n}" if metric.n else "")
        lines.append(Line(label=label, text=text, event=found.event, metric=metric))
    return lines


def _line(label: str, text: str | None, row: rows.Row | None) -> Line:
    return Line(label=label, text=text, event=row.as_of) if row is not None and text and text.strip() else Line(label=label, text=UNKNOWN)


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sorted(values.items())) or UNKNOWN


def meaning_of(metric: str) -> str:
    """Return what the catalogue says of a metric; nothing for one that is not in it."""
    return METRICS[metric].meaning if metric in METRICS else ""
