"""Our documents before the validators of those who defined the formats: MLCommons' mlcroissant, Hugging Face's huggingface_hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.domain.test_cards import ALL, DATA, FULL, SHEET, VERSION

from jurat.app.card_formats import as_markdown
from jurat.app.croissant import as_croissant
from jurat.domain.cards import Registered, data_sheet, model_card
from jurat.domain.values import DataSheet

VALIDATORS = Path(sys.prefix) / "validators" / "bin" / "python"
CHECKER = Path(__file__).parents[2] / "scenes" / "card_validators.py"
pytestmark = pytest.mark.slow

BARE = DataSheet(
    purpose="", source="", collection_method="", licence="", known_biases=[], sensitive_columns=[], label="y", favourable_outcome="1"
)
ODD = msgspec.structs.replace(
    SHEET, purpose='a "quote" — : # é\n---\n# no heading', source="https://example.org/a?b=c&d=<e>", licence="Our own: see contract #7",
    known_biases=["'single'", "[brackets]", "{braces}: yes"], sensitive_columns=["Geschlecht", "@age"],
)  # fmt: skip
# What is recommended, and not on record: nobody registers when a data set was published, and its versions are not of three numbers.
KNOWN = ("schema.org/datePublished", "MAJOR.MINOR.PATCH")
LEFT_OUT = {
    "full": ("schema.org/url",), "bare": ("schema.org/url", "schema.org/license", "schema.org/description", "croissant/citeAs"), "odd": (),
}  # fmt: skip


def validated(folder: Path, documents: dict[str, str]) -> dict[str, Any]:
    if not VALIDATORS.exists():
        pytest.skip("the validators are not installed: `make test-long` does it")
    for name, text in documents.items():
        (folder / name).write_text(text)
    done = subprocess.run([VALIDATORS, CHECKER, folder], capture_output=True, text=True, timeout=110, env={"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert set(found) == set(documents)
    return found


def test_every_document_is_valid_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    sheets = {"full": SHEET, "bare": BARE, "odd": ODD}
    datasets = {name: msgspec.structs.replace(DATA, sheet=sheet) for name, sheet in sheets.items()}
    unmeasured = model_card(Registered(fact=VERSION, event="evt_reg"), None, None, [])
    documents = {
        **{f"{name}.croissant.json": as_croissant(data_sheet(data), data) for name, data in datasets.items()},
        **{f"data-{name}.md": as_markdown(data_sheet(data), data) for name, data in datasets.items()},
        "model-full.md": as_markdown(FULL, DATA), "model-bare.md": as_markdown(unmeasured, None),
    }  # fmt: skip
    for name, found in validated(tmp_path, documents).items():
        assert found["errors"] == [], name
        known = (*KNOWN, *LEFT_OUT.get(name.partition(".")[0], ()))
        assert [each for each in found["warnings"] if not any(word in each for word in known) and not each.startswith("Found ")] == [], name
        assert found.get("lost", []) == [], name
        if name == "model-full.md":
            told = {(r["dataset"], r["metric"]): r["value"] for r in found["results"]}
            figures = [(e.fact.dataset, m.name, m.value) for e in ALL for m in e.fact.metrics if m.value is not None]
            assert told == {(dataset, name): value for dataset, name, value in figures}
    assert FULL.kind == "model"


def test_the_validators_would_say_so(tmp_path: Path) -> None:
    broken = json.loads(as_croissant(data_sheet(DATA), DATA))
    broken["distribution"][0].pop("encodingFormat")
    found = validated(tmp_path, {"broken.croissant.json": json.dumps(broken)})
    assert "encodingFormat" in found["broken.croissant.json"]["errors"][0]
