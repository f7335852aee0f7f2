"""Cards and sheets put before those who defined their formats. Runs in an environment of its own: reads a folder, prints JSON.

`*.croissant.json` are read by MLCommons' `mlcroissant`, `*.md` by Hugging Face's `huggingface_hub`. Nothing is fetched.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import mlcroissant  # type: ignore[import-not-found]
from huggingface_hub import DatasetCard, ModelCard  # type: ignore[import-not-found]
from huggingface_hub.utils import validate_repo_id  # type: ignore[import-not-found]


class Heard(logging.Handler):
    """What validators say in passing."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def croissant(path: Path) -> dict[str, object]:
    heard = Heard()
    logging.getLogger("absl").addHandler(heard)
    try:
        found = mlcroissant.Dataset(str(path))
    except mlcroissant.ValidationError as error:
        return {"errors": [str(error)], "warnings": heard.said}
    issues = found.metadata.ctx.issues
    kept = found.metadata.to_json()
    lost = sorted(set(json.loads(path.read_text())) - set(kept))
    return {"errors": sorted(issues.errors), "warnings": [*sorted(issues.warnings), *heard.said], "lost": lost, "name": kept["name"]}


def hugging_face(path: Path) -> dict[str, object]:
    kind = ModelCard if path.name.startswith("model") else DatasetCard
    heard = Heard()
    logging.getLogger("huggingface_hub").addHandler(heard)
    card = kind.load(path, ignore_metadata_errors=False)
    results = [
        {"dataset": r.dataset_name, "type": r.dataset_type, "metric": r.metric_type, "value": r.metric_value}
        for r in getattr(card.data, "eval_results", None) or []
    ]
    for each in [*(getattr(card.data, "datasets", None) or []), *(r["type"] for r in results)]:
        validate_repo_id(each)
    return {"errors": [], "warnings": heard.said, "license": card.data.license, "results": results, "text": str(card)[:200]}


if __name__ == "__main__":
    logging.getLogger("huggingface_hub").propagate = False
    folder = Path(sys.argv[1])
    told = {path.name: croissant(path) for path in sorted(folder.glob("*.croissant.json"))}
    told |= {path.name: hugging_face(path) for path in sorted(folder.glob("*.md"))}
    print(json.dumps(told))
