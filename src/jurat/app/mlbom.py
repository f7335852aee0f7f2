"""A card as a CycloneDX 1.7 machine learning bill of materials. Knows the card and the registration; invents nothing, dates nothing."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from jurat.app.card_formats import mark
from jurat.domain import facts, rows
from jurat.domain.cards import Card

_NAMESPACE: Final = uuid.UUID("9c0ae6f0-6b8c-5d0e-9d55-6a7572617400")


def as_cyclonedx(card: Card, version: facts.VersionRegistered | None, data: rows.Dataset | None) -> str:
    """Return the BOM of a version: the model with its card, its training data, and the packages that its lock pins.

    The serial number follows from what it says: the same record gives the same document.
    Source: CycloneDX 1.7 JSON schema, `modelCard`, `data`.
    """
    assert version is not None
    name, _, number = card.subject.partition("@")
    reference = f"jurat:{card.subject}"
    bom: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": "",
        "version": 1,
        "metadata": {
            "component": _model(card, version, name, number, reference, data),
            "properties": [{"name": "jurat:card", "value": mark(card)}],
        },
        "components": [*_data(card, data), *(_package(pinned) for pinned in version.packages)],
    }
    bom["dependencies"] = [{"ref": reference, "dependsOn": [c["bom-ref"] for c in bom["components"]]}]
    bom["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(bom, sort_keys=True))}"
    return json.dumps(bom, indent=2, ensure_ascii=False) + "\n"


def _model(
    card: Card, version: facts.VersionRegistered, name: str, number: str, reference: str, data: rows.Dataset | None
) -> dict[str, Any]:
    metrics = []
    for section in card.sections:
        for line in section.lines:
            metric = line.metric
            if metric is None or metric.value is None:
                continue
            entry: dict[str, Any] = {"type": metric.name, "value": repr(metric.value)}
            if metric.group_by:
                entry["slice"] = metric.group_by
            if metric.low is not None and metric.high is not None:
                entry["confidenceInterval"] = {"lowerBound": repr(metric.low), "upperBound": repr(metric.high)}
            metrics.append(entry)
    text = {section.title: [line for line in section.lines if line.event] for section in card.sections}
    purposes = [line.text for line in text["Intended use"] if line.label == "Purpose"]
    considerations: dict[str, Any] = {}
    if purposes:
        considerations["useCases"] = purposes
    if text["Limitations"]:
        considerations["technicalLimitations"] = [line.text for line in text["Limitations"]]
    fair = [line for line in text["Fairness"] if line.metric is not None]
    if fair:
        considerations["fairnessAssessments"] = [{"groupAtRisk": line.label, "harms": line.text} for line in fair]
    model_card: dict[str, Any] = {"modelParameters": {"task": "classification"}, "quantitativeAnalysis": {"performanceMetrics": metrics}}
    if data is not None:
        model_card["modelParameters"]["datasets"] = [{"ref": f"jurat:{data.dataset}"}]
    if considerations:
        model_card["considerations"] = considerations
    model_card["properties"] = [
        {"name": f"jurat:event:{section.title}: {line.label}", "value": line.event or "unknown"}
        for section in card.sections
        for line in section.lines
    ]
    weights = version.artefacts.weights
    return {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": name,
        "version": number,
        "hashes": _hashes(weights.digest),
        "externalReferences": [{"type": "vcs", "url": version.training_code.git_repo, "comment": version.training_code.git_commit}],
        "modelCard": model_card,
        "properties": [{"name": "jurat:version_digest", "value": version.digest}],
    }


def _data(card: Card, data: rows.Dataset | None) -> list[dict[str, Any]]:
    if data is None:
        return []
    sheet = data.sheet
    described = {
        "type": "dataset",
        "name": data.dataset,
        "contents": {"properties": [{"name": "rows", "value": str(data.rows)}, {"name": "jurat:event", "value": data.as_of}]},
        "sensitiveData": sheet.sensitive_columns,
        "description": sheet.purpose,
    }
    component: dict[str, Any] = {
        "type": "data",
        "bom-ref": f"jurat:{data.dataset}",
        "name": data.dataset.partition("@")[0],
        "version": data.dataset.partition("@")[2],
        "hashes": _hashes(data.digest),
        "data": [described],
    }
    if sheet.licence.strip():
        component["licenses"] = [{"license": {"name": sheet.licence}}]
    return [component]


def _package(pinned: str) -> dict[str, Any]:
    name, _, version = pinned.partition("==")
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]
