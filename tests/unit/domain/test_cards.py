"""Cards from facts: every line has its event, gaps are unknown, formats hold the same numbers, and nothing gets out of its cell."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
import yaml

from jurat.app.card_formats import as_html, as_json, as_markdown
from jurat.app.croissant import as_croissant
from jurat.app.mlbom import as_cyclonedx
from jurat.domain import facts, rows
from jurat.domain.cards import Measured, Registered, data_sheet, model_card
from jurat.domain.values import (
    Artefact,
    Artefacts,
    DataSheet,
    Metric,
    RiskTier,
    TrainingCode,
    TrainingConfig,
    TrainingData,
)

D = "sha256:" + "ab" * 32
PART = Artefact(version="1", digest=D, size_bytes=3)
VERSION = facts.VersionRegistered(
    version="credit@1.1.0", model="credit", system="lending", digest=D,
    artefacts=Artefacts(
        weights=PART, training_code=PART, training_data=PART, feature_definitions=PART, serving_configuration=PART, dependencies=PART,
    ),
    training_data=TrainingData(dataset="loans@v1", dataset_digest=D, row_count=300, feature_columns=["amount"]),
    training_code=TrainingCode(git_repo="https://example.org/credit", git_commit="a" * 40, git_branch="main"),
    training_config=TrainingConfig(hyperparameters={"C": 1}, training_duration_s=1.0, hardware="cpu"),
    claimed_metrics={"accuracy": 0.99}, validation_dataset="loans@v1", author="prn_1", packages=["numpy==2.1.0", "scikit_learn==1.7.0"],
)  # fmt: skip
SHEET = DataSheet(
    purpose="lending", source="UCI", collection_method="bank files", licence="CC BY 4.0", known_biases=["few young | <b>people</b>"],
    sensitive_columns=["sex"], label="risk", favourable_outcome="good",
)  # fmt: skip
DATA = rows.Dataset(as_of="evt_data", dataset="loans@v1", collection="training", digest=D, rows=300, registered_by="prn_2", sheet=SHEET)
SYSTEM = rows.System(as_of="evt_system", system="lending", purpose="decide loans", owner="prn_3", risk_tier=RiskTier.HIGH)


def evidence(kind, *metrics, event="evt_m", **environment):
    fact = facts.EvidenceMeasured(
        type=kind, version="credit@1.1.0", version_digest=D, dataset="holdout@v1", dataset_digest=D, metrics=list(metrics), method="m",
        environment=environment, duration_s=1.0,
    )  # fmt: skip
    return Measured(fact=fact, event=event, at="2026-11-25T10:00:00Z")


ACCURACY = Metric(name="accuracy", value=0.765, low=0.71, high=0.81, n=400)
GAP = Metric(name="demographic_parity_difference", value=0.02, low=0.0, high=0.1, n=400, group_by="sex")
NO_GAP = Metric(name="equalized_odds_difference", value=None, n=400, group_by="sex", reason="smallest group has 8 rows, needs 30")
CLEAN = Metric(name="no_critical_findings", value=1.0, n=1)
ALL = [
    evidence("evaluation", ACCURACY, event="evt_acc"), evidence("bias_test", GAP, NO_GAP, event="evt_bias", small_groups="sex=f: 60 rows"),
    evidence("security_scan", CLEAN, event="evt_scan"),
]  # fmt: skip
FULL = model_card(Registered(fact=VERSION, event="evt_reg"), SYSTEM, DATA, ALL)


def test_each_number_names_its_event_and_claims_are_not_told():
    lines = {line.label: line for section in FULL.sections for line in section.lines}
    assert (lines["accuracy"].text, lines["accuracy"].event) == ("0.765 [0.71, 0.81], n = 400", "evt_acc")
    assert lines["demographic_parity_difference by sex"].event == "evt_bias"
    assert lines["equalized_odds_difference by sex"].text == "unknown: smallest group has 8 rows, needs 30"
    assert lines["Small groups: read the intervals"].text == "sex=f: 60 rows"
    assert lines["Persons affected"].text == "unknown"
    assert FULL.is_complete
    assert "0.99" not in as_json(FULL)


@pytest.mark.parametrize("gone", ["evaluation", "bias_test", "security_scan"])
def test_a_card_without_a_measurement_says_unknown_and_is_not_complete(gone):
    card = model_card(Registered(fact=VERSION, event="e"), SYSTEM, DATA, [m for m in ALL if m.fact.type != gone])
    assert not card.is_complete
    assert "unknown" in as_markdown(card, DATA)
    bare = model_card(Registered(fact=VERSION, event="e"), None, None, [])
    assert {"Intended use", "Limitations", "Fairness", "Security scan"} <= set(bare.gaps)


def test_how_complete_a_card_is_is_not_in_the_card():
    more = [*ALL, evidence("documentation", Metric(name="model_card_complete", value=1.0, n=1))]
    assert model_card(Registered(fact=VERSION, event="evt_reg"), SYSTEM, DATA, more) == FULL


def test_the_hugging_face_card_is_yaml_with_the_measured_data_and_its_tables_stay_whole():
    text = as_markdown(FULL, DATA)
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "unknown"
    assert "datasets" not in front, "the hub has no such data set"
    results = front["model-index"][0]["results"]
    assert results[0]["dataset"] == {"type": "holdout-v1", "name": "holdout@v1"}
    assert results[0]["metrics"] == [{"type": "accuracy", "name": "accuracy", "value": 0.765, "args": {"event": "evt_acc"}}]
    assert front["metrics"] == ["accuracy", "demographic_parity_difference", "no_critical_findings"]
    for line in text.split("---\n", 2)[2].splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 4, line
    assert "<b>" not in text


def test_html_needs_nothing_else_and_cannot_be_escaped_from():
    page = as_html(FULL)
    assert "<b>" not in page
    assert "few young | &lt;b&gt;people" in page
    assert not re.search(r"<script|src=|@import|url\(|https?://(?!example\.org)", page)
    assert page.count("<svg") == 2  # accuracy and the gap: a flag has no interval
    for number in re.findall(r'href="#e(\d+)"', page):
        assert f'id="e{number}"' in page


def test_the_bill_of_materials_names_what_the_record_names():
    bom = json.loads(as_cyclonedx(FULL, VERSION, DATA))
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.7")
    card = bom["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"][0] == {
        "type": "accuracy", "value": "0.765", "confidenceInterval": {"lowerBound": "0.71", "upperBound": "0.81"},
    }  # fmt: skip
    assert {p["name"]: p["value"] for p in card["properties"]}["jurat:event:Performance, latency and robustness: accuracy"] == "evt_acc"
    assert [c["bom-ref"] for c in bom["components"]] == ["jurat:loans@v1", "pkg:pypi/numpy@2.1.0", "pkg:pypi/scikit-learn@1.7.0"]
    assert as_cyclonedx(FULL, VERSION, DATA) == as_cyclonedx(FULL, VERSION, DATA)
    other = model_card(Registered(fact=VERSION, event="evt_reg"), SYSTEM, DATA, ALL[1:])
    assert json.loads(as_cyclonedx(other, VERSION, DATA))["serialNumber"] != bom["serialNumber"]


@pytest.mark.slow
def test_the_bill_of_materials_is_valid_by_cyclonedxs_own_library():
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    validator = validation.JsonStrictValidator(SchemaVersion.V1_7)
    bare = model_card(Registered(fact=VERSION, event="e"), None, None, [])
    for text in (as_cyclonedx(FULL, VERSION, DATA), as_cyclonedx(bare, VERSION, None)):
        assert validator.validate_str(text) is None
        broken = json.loads(text) | {"components": [{"type": "nonsense", "name": "x"}]}
        assert validator.validate_str(json.dumps(broken)) is not None


def test_a_data_sheet_leaves_out_what_it_does_not_know_and_says_so():
    sheet = data_sheet(DATA)
    assert (sheet.gaps, sheet.is_complete) == ([], True)
    front = yaml.safe_load(as_markdown(sheet, DATA).split("---\n")[1])
    assert front["license"] == "cc-by-4.0"
    croissant = json.loads(as_croissant(sheet, DATA))
    assert croissant["@type"] == "sc:Dataset"
    assert croissant["distribution"][0]["sha256"] == "ab" * 32
    assert croissant["conformsTo"][0] == "http://mlcommons.org/croissant/1.0"
    bare = msgspec.structs.replace(DATA, sheet=msgspec.structs.replace(SHEET, licence="", known_biases=[], source=""))
    assert data_sheet(bare).gaps == ["Known biases", "Motivation and origin: Source", "Motivation and origin: Licence"]
    assert "license" not in json.loads(as_croissant(data_sheet(bare), bare))
    assert yaml.safe_load(as_markdown(data_sheet(bare), bare).split("---\n")[1])["license"] == "unknown"


def test_what_people_wrote_is_shown_letter_by_letter_and_is_no_markup():
    """Read by a parser of Markdown with GitHub's tables: as many cells as we wrote, no link, no picture, no code of theirs."""
    parser = pytest.importorskip("markdown_it", reason="comes along with the tools that draw help texts").MarkdownIt(
        "gfm-like", {"linkify": False}
    )
    hostile = [
        "![seen](http://evil.example/x.png)", "[accuracy 0.99](javascript:alert(1))", r"a\|b|c\\|d", "`code` **bold** ~~gone~~ _x_",
        "</td><script>alert(1)</script>", "&lt;script&gt; &#124; x", "| --- | --- |\n# head\n- item", "[a]: http://evil.example", "<http://evil.example>",
    ]  # fmt: skip
    sheet = msgspec.structs.replace(SHEET, known_biases=hostile, purpose="\u2028licence: mit\x85", licence="mine\x85license: mit\u2028x: y")
    data = msgspec.structs.replace(DATA, sheet=sheet)
    for card in (model_card(Registered(fact=VERSION, event="evt_reg"), SYSTEM, data, ALL), data_sheet(data)):
        text = as_markdown(card, data)
        front, body = text.removeprefix("---\n").split("---\n", 1)
        assert yaml.safe_load(front)["license"] in ("unknown", "other")
        tokens = parser.parse(body)
        assert {t.type for t in tokens if t.type.startswith(("html", "fence", "code"))} == set()
        inlines = [t for t in tokens if t.type == "inline"]
        assert {c.type for t in inlines for c in t.children} <= {"text", "text_special", "code_inline"}
        shown = ["".join(c.content for c in t.children) for t in inlines]
        assert [each for each in hostile if " ".join(each.split()) not in shown] == []
        assert sum(t.type == "td_open" for t in tokens) == 3 * sum(len(section.lines) for section in card.sections)
        codes = {c.content for t in inlines for c in t.children if c.type == "code_inline"}
        assert codes <= {card.subject, "jurat prove EVENT", *card.events}
