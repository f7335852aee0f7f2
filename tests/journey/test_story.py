"""From a loan model's registration to a decision that anyone can verify: every step of the demo, asserted."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.journey.conftest import Kept

from jurat.app.artefacts import get_artefact
from jurat.app.card import check_card, make_card, make_sheet, record_documentation, render
from jurat.app.explain import explain, for_person
from jurat.app.features import FeatureSchema, to_array
from jurat.app.performance_report import SEGMENTS, as_html, as_markdown, report_performance
from jurat.app.versions import reproduce
from jurat.app.wiring import open_app
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.errors import Conflict, Denied, Malformed
from jurat.core.jsonio import dump_json
from jurat.demo.dataset import features_of, load_rows, split_rows
from jurat.demo.played import FIRST, SECOND, Played
from jurat.domain import facts
from jurat.domain.events import decode_event
from jurat.domain.kinds import BY_NAME
from jurat.gateway.v2 import InferRequest, hash_inputs, parse_request
from jurat.ledger.query import Events

pytestmark = pytest.mark.timeout(400)  # one file, so that one worker plays the story once


@pytest.fixture(scope="session")
def ledger(played: Played) -> list[tuple[str, int, str, dict]]:
    """Every event of the story: log, index, kind, what it says."""
    events = Events(played.workspace.ledger, "main")
    return [(s.log, s.index, s.kind, json.loads(s.raw)) for s in events.scan()]


def of_kind(ledger: list, kind: str) -> list[dict]:
    return [event for _, _, name, event in ledger if name == kind]


def test_data_sets_are_registered_with_digest_version_and_sheet(ledger: list) -> None:
    found = {e["data"]["dataset"]: e["data"] for e in of_kind(ledger, "dataset.registered.v1")}
    assert set(found) == {"german-credit-training@v1-2026-11-25", "german-credit-evaluation@v1-2026-11-25"}
    for data in found.values():
        assert data["digest"].startswith("sha256:")
        assert data["rows"] >= 300
        assert data["sheet"]["licence"] == "CC BY 4.0"
        assert data["sheet"]["known_biases"]


def test_two_versions_carry_the_whole_lineage_and_all_six_artefacts(ledger: list, played: Played) -> None:
    found = {e["data"]["version"]: e["data"] for e in of_kind(ledger, "version.registered.v1")}
    assert set(found) == {FIRST, SECOND}
    for data in found.values():
        assert set(data["artefacts"]) == {
            "weights", "training_code", "training_data", "feature_definitions", "serving_configuration", "dependencies",
        }  # fmt: skip
        for name, artefact in data["artefacts"].items():
            digest = artefact["digest"].removeprefix("sha256:")
            assert (played.workspace.artefacts / digest[:2] / digest).is_file(), name
        assert data["training_data"]["row_count"] == 300
        assert data["training_data"]["feature_columns"]
        assert len(data["training_code"]["git_commit"]) == 40
        assert data["training_code"]["git_branch"] == "main"
        assert data["training_config"]["hyperparameters"]["estimator"]
        assert data["training_config"]["training_duration_s"] > 0
        assert data["training_config"]["hardware"]
        assert data["claimed_metrics"]["accuracy"] > 0
        assert data["validation_dataset"] == "german-credit-evaluation@v1-2026-11-25"
        assert "requirements-lock:sha256:" in data["artefacts"]["dependencies"]["version"]
    assert found[FIRST]["digest"] != found[SECOND]["digest"]


def test_measurements_are_bound_to_the_digest_and_carry_intervals(ledger: list) -> None:
    digests = {e["data"]["version"]: e["data"]["digest"] for e in of_kind(ledger, "version.registered.v1")}
    measured = [e["data"] for e in of_kind(ledger, "evidence.measured.v1")]
    for version in (FIRST, SECOND):
        mine = [m for m in measured if m["version"] == version]
        assert {m["type"] for m in mine} >= {"evaluation", "bias_test"}
        assert {m["version_digest"] for m in mine} == {digests[version]}
        metrics = {(m["name"], m["group_by"]): m for e in mine for m in e["metrics"]}
        for name, group in [("accuracy", ""), ("latency_p99", "")]:
            assert metrics[name, group]["low"] <= metrics[name, group]["value"] <= metrics[name, group]["high"]
        assert metrics["memory_usage", ""]["value"] > 50e6
        for name in ("demographic_parity_difference", "equalized_odds_difference"):
            for group in ("sex", "age_over_25"):
                m = metrics[name, group]
                assert 0 <= m["low"] <= m["value"] <= m["high"] <= 1


def test_one_candidate_truly_fails_the_bias_gate_and_the_other_passes_all(played: Played) -> None:
    first = {c.condition: c.verdict for c in played.gates[FIRST].clauses}
    assert played.gates[FIRST].verdict == "fail"
    assert first["demographic_parity_difference <= 0.1"] == "fail"
    assert first["accuracy >= 0.72"] == "fail"
    assert first["equalized_odds_difference <= 0.1"] == "pass"
    assert played.gates[SECOND].verdict == "pass"
    assert {c.verdict for c in played.gates["production"].clauses} == {"pass"}
    assert len(played.gates["production"].clauses) == 9


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("promotion without gates", "gate_not_passed", "was not measured"),
        ("promotion past a stage", "stage_skipped", "cannot go to `production` directly"),
        ("a failed bias gate", "gate_not_passed", "demographic_parity_difference"),
        ("an analyst reads training data", "policy_denied", "may not `data:read`"),
        ("the author's own approval", "policy_denied", "nobody approves what they made"),
        ("one person, two roles", "already_approved", "people are counted, not roles"),
        ("one of two approvals", "gate_not_passed", "has 1, open: product_owner"),
        ("an approval of something else", "shown_changed", "you looked at"),
    ],
)
def test_each_refusal_names_rule_reason_and_remedy_and_is_recorded(played: Played, ledger: list, name: str, code: str, says: str) -> None:
    refusal = next(r for r in played.refusals if r.name == name)
    assert refusal.code == code
    assert says in refusal.detail
    assert refusal.hint
    recorded = next(e for e in of_kind(ledger, "act.denied.v1") if e["id"] == refusal.event)
    assert recorded["data"]["rule"] == code
    assert recorded["data"]["detail"] == refusal.detail
    assert recorded["data"]["hint"] == refusal.hint


def test_the_story_knows_no_other_refusals(played: Played, ledger: list) -> None:
    assert {r.event for r in played.refusals} == {e["id"] for e in of_kind(ledger, "act.denied.v1")}


def test_two_different_people_approved_exactly_this_digest(ledger: list, played: Played) -> None:
    approvals = of_kind(ledger, "request.approved.v1")
    asked = of_kind(ledger, "promotion.requested.v1")[0]["data"]
    assert len({e["actor"]["chain"][0] for e in approvals}) == 2
    assert {e["data"]["shown_digest"] for e in approvals} == {asked["shown_digest"]}
    author = of_kind(ledger, "version.registered.v1")[0]["data"]["author"]
    assert author not in {e["actor"]["principal"] for e in approvals}
    promoted = [e["data"] for e in of_kind(ledger, "version.promoted.v1")]
    assert [(p["from_stage"], p["to_stage"]) for p in promoted] == [("development", "staging"), ("staging", "production")]
    assert sorted(promoted[1]["approvals"]) == sorted(e["id"] for e in approvals)
    assert promoted[1]["version_digest"] == asked["version_digest"]


def test_every_prediction_is_recorded_twice_with_what_the_issue_asks(ledger: list, played: Played) -> None:
    asked = {e["data"]["prediction"]: e for e in of_kind(ledger, "prediction.requested.v1") if e["data"]["endpoint"] == "credit"}
    made = {e["data"]["prediction"]: e for e in of_kind(ledger, "prediction.made.v1") if e["data"]["endpoint"] == "credit"}
    assert len(played.answers) == 300
    assert {a.prediction for a in played.answers} == set(asked) == set(made)
    crm = played.players["crm"].principal
    for answer in played.answers:
        event = made[answer.prediction]
        data = event["data"]
        assert data["input_hash"].startswith("sha256:")
        assert data["input_salt"]
        assert data["version"] == SECOND
        assert data["outcome"] == answer.outcome
        assert data["latency_ms"] > 0
        assert 0.5 <= data["confidence"] <= 1
        assert event["actor"]["principal"] == crm
        assert event["because"] == [asked[answer.prediction]["id"]]
        assert all(g["status"] in ("ran", "skipped") for g in data["guardrails"])


def test_low_confidence_abstains_and_a_person_overrides_one(ledger: list, played: Played) -> None:
    abstained = [a for a in played.answers if a.outcome == "abstained"]
    released = [a for a in played.answers if a.outcome == "released"]
    assert abstained
    assert released
    assert all(a.approved is None for a in abstained)
    assert all(a.confidence is not None and a.confidence >= 0.6 for a in released)
    override = of_kind(ledger, "prediction.overridden.v1")
    assert [o["data"]["prediction"] for o in override] == [played.overridden]
    assert override[0]["actor"]["type"] == "person"
    assert override[0]["data"]["reason"]


def test_no_input_and_no_name_of_a_person_lies_in_the_ledger(ledger: list) -> None:
    text = json.dumps([event for *_, event in ledger])
    for name in ("Ada Byron", "Olga Brandt", "Dan Ruiz", "jrt_", "critical_or_credits_elsewhere", "existing_repaid_so_far"):
        assert name not in text


def test_asking_why_leads_to_everything_with_event_ids(played: Played, ledger: list) -> None:
    assert played.story is not None
    about = {line.about for line in played.story.lines}
    assert about >= {
        "request", "answer", "guardrails", "model version", "training data", "data", "code", "measured", "gate", "approval", "promotion",
        "policy", "asked by", "author", "approved by", "promoted by", "served by", "measured by", "decided by policy",
    }  # fmt: skip
    ids = {event["id"]: (log, index) for log, index, _, event in ledger if "id" in event}  # a producer's statement has none
    for line in played.story.lines:
        log, index = ids[line.event]
        assert line.position == f"{log.removeprefix('main/')}#{index}"
    assert sum(line.about == "approved by" for line in played.story.lines) == 2
    asked = [e for e in of_kind(ledger, "records.read.v1") if e["data"]["subject"] == played.refused_applicant]
    assert len(asked) == 1
    assert asked[0]["actor"]["principal"] == played.players["fay"].principal


def test_the_evidence_file_verifies_offline(played: Played) -> None:
    assert played.evidence is not None
    assert played.evidence_file is not None
    assert all(step.is_checked for step in played.evidence.steps)
    assert json.loads(played.evidence_file.read_bytes())["receipt"]
    assert decode_event(played.evidence.raw).data.prediction == played.refused_applicant  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "what", "names_the_place"),
    [
        ("alter an event", "event_altered", True),
        ("alter an entry", "entry_altered", True),
        ("drop the newest events", "entries_missing", False),
        ("swap two events", "entries_swapped", True),
        ("restore an older ledger", "rolled_back", False),
        ("restore the lock store too", "rolled_back", False),
    ],
)
def test_every_attack_on_the_ledger_is_found_and_named(played: Played, name: str, what: str, names_the_place: bool) -> None:
    attack = next(a for a in played.attacks if a.name == name)
    assert played.target is not None
    found = [f for f in attack.faults if f.what == what and f.log == str(played.target.log)]
    assert found, attack.found
    if names_the_place:
        assert found[0].index == played.target.position
        assert found[0].event_id == played.target.event_id
    else:
        assert found[0].index is not None
        assert found[0].index <= (found[0].last_index or found[0].index)


def test_dropped_events_are_named_one_by_one(played: Played) -> None:
    attack = next(a for a in played.attacks if a.name == "drop the newest events")
    missing = next(f for f in attack.faults if f.what == "entries_missing")
    assert missing.last_index is not None
    assert missing.index is not None
    assert missing.last_index - missing.index + 1 == 5
    assert not [f for f in attack.faults if f.what == "entry_altered"], "nobody altered these: they cannot be judged, and that is said"


def test_an_edited_row_is_found_and_named(played: Played, ledger: list) -> None:
    assert [(d.table, d.key, d.what) for d in played.edited_rows] == [("versions", FIRST, "altered")]
    assert played.edited_rows[0].fields["stage"] == ("development", "production")
    registered = next(e for e in of_kind(ledger, "version.registered.v1") if e["data"]["version"] == FIRST)
    assert played.edited_rows[0].as_of == registered["id"]


def test_afterwards_the_workspace_is_whole_again(played: Played) -> None:
    assert played.faults_after == []


def test_every_event_has_a_kind_of_the_catalogue_and_lies_in_its_class(ledger: list) -> None:
    for log, _, kind, _ in ledger:
        assert BY_NAME[kind].belongs_in(log.removeprefix("main/"))
    assert facts.KIND_OF  # the catalogue that the above rests on is not empty


# --- the README's first screen is what the demo prints, line by line; `…` stands for what differs each time

README = Path(__file__).parents[2] / "README.md"


def shown() -> list[str]:
    story = next(block for block in re.findall(r"```text\n(.*?)```", README.read_text(), re.DOTALL) if "Measure:" in block)
    return story.splitlines()


def as_pattern(line: str) -> re.Pattern[str]:
    return re.compile("".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", line)))


def test_the_first_screen_is_what_the_demo_prints_in_that_order(played: Played, told: Kept) -> None:
    assert played.faults_after == []
    printed = iter([re.sub(r"\s+$", "", line) for text in told.lines for line in text.splitlines()])
    for line in shown():
        pattern = as_pattern(line)
        assert any(pattern.fullmatch(candidate) for candidate in printed), f"the demo does not print, in this order: {line}"


def test_a_line_that_the_demo_does_not_print_would_be_seen(told: Kept) -> None:
    printed = [line for text in told.lines for line in text.splitlines()]
    assert not any(as_pattern("  promoted     to production by Ada Byron, on 1 approvals (evt_…)").fullmatch(line) for line in printed)


def test_the_cards_of_the_story_are_true_until_somebody_edits_them_and_one_refusal_is_explained(played: Played) -> None:
    """One opening of the workspace for all of it: opening costs seconds."""
    asked, request, body = refused_applicant(played)
    with open_app(played.workspace) as app:
        ada, fay, eve = (played.players[name].token for name in ("ada", "fay", "eve"))
        dossier = make_card(app, ada, SECOND)
        assert dossier.card.is_complete
        documents = [render(dossier, form) for form in ("markdown", "html", "json", "cyclonedx")]
        documents += [render(make_sheet(app, ada, dossier.version.training_data.dataset), f) for f in ("markdown", "html", "croissant")]
        for text in documents:
            subject, differences = check_card(app, ada, text)
            assert (subject.split()[0] in ("model", "data"), differences) == (True, [])
        edited = documents[0].replace("0.76 [", "0.86 [", 1)
        assert edited != documents[0]
        (difference,) = check_card(app, ada, edited)[1]
        assert (difference.why, "0.86" in difference.says, "0.76" in difference.record) == ("edited", True, True)
        evidence = next(e for e in dossier.card.events if e in documents[0].split("## Fairness")[1])
        older = documents[0].replace(evidence, make_card(app, ada, FIRST).card.events[-1])
        assert {d.why for d in check_card(app, ada, older)[1]} == {"stale"}
        with pytest.raises(Malformed, match="not a card that Jurat made"):
            check_card(app, ada, "# Model card\naccuracy 0.99\n")

        done = record_documentation(app, ada, SECOND)
        assert [m.value for m in done.events[-1].data.metrics] == [1.0, 1.0]
        assert check_card(app, ada, render(make_card(app, ada, SECOND), "markdown"))[1] == []

        values = {tensor.name: tensor.data[0] for tensor in request.inputs}
        found = explain(app, fay, asked, values, lambda salt: hash_inputs(salt, request))
        it = found.explained
        assert (it.answer, it.is_exact, found.is_compared) == ("bad", True, True)
        assert it.base + sum(part.contribution for part in it.parts) == pytest.approx(it.probability, abs=1e-9)
        changed = values | {change.feature: change.after for change in it.otherwise}
        model = pickle.loads(get_artefact(played.workspace.artefacts, dossier.version.artefacts.weights.digest).read_bytes())
        schema = FeatureSchema(version="1", features=features_of(list(values)))
        assert it.otherwise
        assert [str(a) for a in model.predict(to_array(schema, [values, changed]))] == ["bad", "good"]
        told = for_person(found)
        assert asked in told
        assert "would have answered `good` if" in told
        assert "percentage points" in told
        other = parse_request(body.replace(b'"data":["', b'"data":["x', 1))
        with pytest.raises(Conflict) as caught:
            explain(app, fay, asked, values, lambda salt: hash_inputs(salt, other))
        assert caught.value.code == "other_input"
        with pytest.raises(Denied):
            explain(app, eve, asked, values, lambda salt: hash_inputs(salt, request))


def refused_applicant(played: Played) -> tuple[str, InferRequest, bytes]:
    """Return a prediction that said no, and the request behind it: the one whose salted hash is on record."""
    made = [json.loads(s.raw)["data"] for s in Events(played.workspace.ledger, "main").scan() if s.kind == "prediction.made.v1"]
    refused = next(data for data in made if data["output"] is False and data["outcome"] == "released" and data["version"] == SECOND)
    columns = features_of(["checking_status", "duration_months", "credit_history", "savings"])
    for row in split_rows(load_rows())["applicants"]:
        values = [row[c.name] if c.datatype == "BYTES" else float(row[c.name]) for c in columns]
        inputs = [{"name": c.name, "shape": [1], "datatype": c.datatype, "data": [v]} for c, v in zip(columns, values, strict=True)]
        body = dump_json({"inputs": inputs})
        request = parse_request(body)
        if hash_inputs(bytes.fromhex(refused["input_salt"]), request) == refused["input_hash"]:
            return refused["prediction"], request, body
    raise AssertionError("no applicant of the story was refused")


def test_the_report_counts_what_the_ledger_holds_and_asking_is_on_record(played: Played) -> None:
    stored = [(s.kind, json.loads(s.raw)) for s in Events(played.workspace.ledger, "main").scan()]
    asked = [e for kind, e in stored if kind == "prediction.requested.v1"]
    fay, eve, now = played.players["fay"].token, played.players["eve"].token, datetime.now(UTC)
    with open_app(played.workspace) as app:
        found = {by: report_performance(app, fay, "credit", now - timedelta(days=9), now, by) for by in SEGMENTS}
        for by, value_of in {"version": lambda e: e["data"]["version"], "caller": lambda e: e["actor"]["principal"]}.items():
            assert {s.segment: s.asked for s in found[by].segments} == dict(Counter(map(value_of, asked)))
        for report in found.values():
            assert sum(s.overridden for s in report.segments) == sum(kind == "prediction.overridden.v1" for kind, _ in stored)
            outcomes = Counter(e["data"]["outcome"] for kind, e in stored if kind == "prediction.made.v1")
            assert sum(s.abstained for s in report.segments) == outcomes["abstained"]
        assert report_performance(app, fay, "credit", now - timedelta(days=9), now - timedelta(days=8)).segments == []
        assert report_performance(app, fay, "another", now - timedelta(days=9), now).segments == []
        with pytest.raises(Malformed):
            report_performance(app, fay, "credit", now, now - timedelta(days=1))
        with pytest.raises(Malformed, match="segments by `sex`"):
            report_performance(app, fay, "credit", now - timedelta(days=9), now, "sex")
        with pytest.raises(Denied):
            report_performance(app, eve, "credit", now - timedelta(days=9), now)
        app.settle()
        read = [json.loads(s.raw)["data"]["question"] for s in app.events.scan(kinds=["records.read.v1"])]
        assert any(question.startswith("performance of credit by day") for question in read)
    page = as_html(found["version"])
    assert "<script" not in page
    assert SECOND in page
    assert as_markdown(found["version"]).count("█") == 20


def test_who_has_the_record_makes_the_model_again_and_gets_the_same_bytes(played: Played, tmp_path: Path) -> None:
    """A real training, in a process of its own, from the kept code and data: gradient boosting and the scorecard both."""
    with open_app(played.workspace) as app:
        recipes = [reproduce(app, played.players["ada"].token, version) for version in (FIRST, SECOND)]
    for recipe in recipes:
        assert recipe.unknown == []
        script = tmp_path / f"{recipe.version}.sh"
        script.write_text(recipe.script)
        done = subprocess.run(
            ["sh", str(script)], capture_output=True, text=True, check=False, env={**os.environ, "JURAT_PYTHON": sys.executable}
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert recipe.weights_digest in done.stdout
    wrong = subprocess.run(
        ["sh", str(script), str(script)], capture_output=True, text=True, check=False, env={**os.environ, "JURAT_PYTHON": sys.executable}
    )  # fmt: skip
    assert (wrong.returncode, wrong.stderr) == (2, "other bytes: training data\n")


def test_which_predictions_rest_on_a_data_set_is_answered_page_by_page(
    played: Played, ledger: list, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training data leads to both versions, and one of them answered: each answer that left the gateway is there, once."""
    made = {e["data"]["prediction"] for e in of_kind(ledger, "prediction.made.v1")}
    found: list[dict] = []
    with open_app(played.workspace) as app:
        session = Session(workspace_given=str(played.workspace.root), opener=lambda _workspace: contextlib.nullcontext(app))

        def ask(dataset: str, *more: str) -> dict:
            capsys.readouterr()
            assert run(["--as", "fay", "ask", "predictions-by-data", dataset, "--limit", "150", "--json", *more], session) == 0
            return json.loads(capsys.readouterr().out)

        page = ask("german-credit-training@v1-2026-11-25")
        assert page["versions"] == [FIRST, SECOND]
        assert [(each["version"], each["predictions"]) for each in page["made"]] == [(SECOND, len(made))]
        while True:
            found += page["predictions"]
            if not page["next"]:
                break
            page = ask("german-credit-training@v1-2026-11-25", "--after", page["next"])
        assert ask("german-credit-evaluation@v1-2026-11-25")["predictions"] == [], "measured on it is not trained on it"
    assert len(found) == len(made) == 360
    assert {each["prediction"] for each in found} == made
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)
