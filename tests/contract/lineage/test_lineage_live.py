"""The registry and its lineage over a real workspace: git, lock and machine read by `jurat model register`; questions with one command."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
from starlette.testclient import TestClient
from tests.contract.lineage.conftest import CSV, LOCK, TRAIN, Site, git, register, told, train, version_fact

from jurat.domain import facts_lineage, rows
from jurat.web.asgi import make_asgi


def test_a_version_is_read_from_git_lock_and_machine(site: Site, repository: Path, credit: str) -> None:
    said = version_fact(site, credit)
    assert said.training_code.git_commit == git(repository, "rev-parse", "HEAD")
    assert (said.training_code.git_repo, said.training_code.git_branch) == ("https://git.example.org/bank/credit.git", "main")
    assert said.packages == ["click==8.1.7", "numpy==1.26.4", "scikit-learn==1.5.0"]
    assert "Python 3" in said.training_config.hardware
    assert said.training_data.feature_columns == ["age", "amount"]
    archive = subprocess.run(["git", "-C", str(repository), "archive", "--format=tar", "HEAD"], check=True, capture_output=True).stdout
    assert said.artefacts.training_code.digest == "sha256:" + hashlib.sha256(archive).hexdigest()
    assert "hunter2" not in msgspec.json.encode(said).decode()


def test_a_changed_work_tree_is_refused_or_its_files_are_named(site: Site, repository: Path, loans: str, jurat) -> None:
    (repository / "train.py").write_text(TRAIN.replace("BIAS", "0") + "# changed\n")
    try:
        said = register(jurat, repository, "credit@0.9.0")
        assert said.code == 4
        assert "`train.py`" in said.err
        assert register(jurat, repository, "credit@0.9.0", "--allow-dirty").code == 0
        assert version_fact(site, "credit@0.9.0").uncommitted == ["train.py"]
    finally:
        git(repository, "checkout", "--quiet", "train.py")


def test_other_bytes_under_a_name_and_odd_names_are_refused(site: Site, repository: Path, credit: str, tmp_path: Path, jurat) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    with site.app.store.reading() as state:
        before = [v.version for v in state.find(rows.Version)]
    again = register(jurat, repository, credit, "--weights", str(other))
    assert again.code == 4
    assert "a version never changes" in again.err
    for name in ("cre/dit@1.0.0", "сredit@1.0.0", "c" * 10_000 + "@1.0.0", "credit@1", "credit@../1.0.0", "@1.0.0"):
        assert register(jurat, repository, name).code == 2, name
    with site.app.store.reading() as state:
        assert [v.version for v in state.find(rows.Version)] == before


def test_links_pipes_and_archives_with_tricks_are_refused(site: Site, repository: Path, credit: str, tmp_path: Path, jurat) -> None:
    link, pipe, outside, bomb = (tmp_path / name for name in ("link.pkl", "pipe.pkl", "outside.zip", "bomb.zip"))
    link.symlink_to("/etc/passwd")
    os.mkfifo(pipe)
    with zipfile.ZipFile(outside, "w") as archive:
        archive.writestr("../../etc/cron.d/x", "x")
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.bin", b"\0" * (64 << 20))
    for path, why in ((link, "symbolic link"), (pipe, "not a regular file"), (outside, "lies outside"), (bomb, "a bomb")):
        said = register(jurat, repository, "credit@3.0.0", "--weights", str(path))
        assert (said.code, why in said.err) == (2, True), said.err
    with site.app.store.reading() as state:
        assert state.get(rows.Version, "credit@3.0.0") is None


def test_downstream_and_upstream_are_one_command_each(site: Site, credit: str, jurat) -> None:
    down = told(jurat("--as", "data_scientist", "lineage", "downstream", "loans@v1", "--debug", "--json"))
    assert down["nodes"]["version:credit@1.0.0"] == 1
    up = told(jurat("--as", "data_scientist", "lineage", "upstream", credit, "--json"))
    assert {"data:loans@v1", "package:numpy==1.26.4", "run:mlflow:r1"} <= set(up["nodes"])
    edge = next(e for e in up["edges"] if e["source"] == "data:loans@v1")
    assert edge["relation"] == "trained_on"
    assert not edge["claimed"]
    assert jurat("--as", "data_scientist", "lineage", "upstream", "nothing@v1").code == 4
    assert jurat("--as", "data_scientist", "lineage", "upstream", "secret:x").code in (2, 4)
    assert "recorded as evt_" in jurat("--as", "recorder", "lineage", "downstream", "loans@v1").err


def test_openlineage_events_join_the_graph(site: Site, credit: str, jurat) -> None:
    client = TestClient(make_asgi(site.app), base_url="http://127.0.0.1")
    headers = {"authorization": f"Bearer {site.tokens['recorder']}"}
    digest = "sha256:" + hashlib.sha256(CSV.encode()).hexdigest()
    event = {
        "eventType": "COMPLETE", "eventTime": "2026-11-25T10:00:00.000Z", "producer": "https://example.org/airflow",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": "0198c0de-0000-7000-8000-000000000001", "facets": {}}, "job": {"namespace": "etl", "name": "clean"},
        "inputs": [{"namespace": "postgres://db:5432", "name": "bank.public.applications", "facets": {}}],
        "outputs": [{"namespace": "s3://lake", "name": "loans.csv", "facets": {"version": {"datasetVersion": digest}}}],
    }  # fmt: skip
    answer = client.post("/api/v1/lineage", json=event, headers=headers)
    assert answer.status_code == 201, answer.text
    assert client.post("/api/v1/lineage", json=event, headers=headers).status_code == 201  # said again, and nothing is doubled
    up = told(jurat("--as", "data_scientist", "lineage", "upstream", credit, "--json"))
    assert up["nodes"]["dataset:postgres://db:5432/bank.public.applications"] == 3
    assert len([e for e in up["edges"] if e["claimed"]]) == 2
    for wrong, status in (
        ({**event, "run": {"runId": "../x"}}, 400),
        ({**event, "eventTime": "yesterday"}, 400),
        ({**event, "inputs": [{"namespace": "n", "name": "a\u202eb"}]}, 400),
        ({**event, "inputs": "all"}, 400),
        ({k: v for k, v in event.items() if k != "run"} | {"dataset": {"namespace": "n", "name": "x"}}, 202),
    ):
        assert client.post("/api/v1/lineage", json=wrong, headers=headers).status_code == status, wrong
    assert client.post("/api/v1/lineage", json=event).status_code == 401
    person = {"authorization": f"Bearer {site.tokens['data_scientist']}"}
    assert client.post("/api/v1/lineage", json=event, headers=person).status_code == 403
    assert (
        client.post("/api/v1/lineage", content=b"x" * 2_000_000, headers=headers | {"content-type": "application/json"}).status_code == 413
    )


def test_predictions_by_data_follow_derived_data_and_not_measurements(site: Site, credit: str, jurat) -> None:
    said = told(jurat("--as", "compliance_officer", "ask", "predictions-by-data", "loans@v1", "--json"))
    assert "credit@1.0.0" in said["versions"]
    assert said["predictions"] == []
    raw = "dataset:postgres://db:5432/bank.public.applications"
    derived = told(jurat("--as", "compliance_officer", "ask", "predictions-by-data", raw, "--json"))
    assert "credit@1.0.0" in derived["versions"]
    assert jurat("--as", "compliance_officer", "ask", "predictions-by-data", credit).code == 2


def test_what_changed_between_two_versions(site: Site, repository: Path, credit: str, jurat) -> None:
    (repository / "train.py").write_text(TRAIN.replace("BIAS", "1"))
    (repository / "requirements.lock").write_text(LOCK.replace("1.26.4", "2.0.0"))
    git(repository, "commit", "--quiet", "-am", "Bias")
    train(repository)
    assert register(jurat, repository, "credit@1.1.0", "--param", "bias=1", "--metric", "accuracy=0.6").code == 0
    said = told(jurat("--as", "data_scientist", "model", "diff", credit, "credit@1.1.0", "--json"))
    changes = {(c["about"], c["name"]): (c["before"], c["after"]) for c in said["changes"]}
    assert changes["hyperparameter", "bias"] == ("0", "1")
    assert changes["package", "numpy"] == ("1.26.4", "2.0.0")
    assert changes["claim", "accuracy"] == ("0.5", "0.6")
    assert {("artefact", "weights"), ("artefact", "training_code"), ("lineage", "training_code.git_commit")} <= set(changes)
    assert set(said["same"]) == {"training_data", "feature_definitions", "serving_configuration"}


def test_a_version_is_made_again_with_the_same_digest_or_what_differs_is_said(
    site: Site, repository: Path, credit: str, tmp_path: Path, jurat
) -> None:
    script = tmp_path / "reproduce.sh"
    assert jurat("--as", "data_scientist", "model", "reproduce", credit, "-o", str(script)).code == 0
    environment = {**os.environ, "JURAT_PYTHON": sys.executable}
    again = ["sh", str(script), str(repository / "data.csv")]
    done = subprocess.run(again, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert version_fact(site, credit).artefacts.weights.digest in done.stdout
    wrong = tmp_path / "other.csv"
    wrong.write_text(CSV + "1,1,1\n")
    assert subprocess.run(["sh", str(script), str(wrong)], capture_output=True, env=environment, check=False).returncode == 2
    text = script.read_text()
    script.write_text(text.replace("python3 train.py", "python3 train.py && echo ' ' >> model.json"))
    other = subprocess.run(again, capture_output=True, text=True, env=environment, check=False)
    assert other.returncode == 1
    assert "made now" in other.stderr
    assert "package numpy: registered with 1.26.4" in other.stderr


def test_a_reference_is_read_and_what_was_never_read_passes_no_gate(
    site: Site, repository: Path, credit: str, tmp_path: Path, jurat
) -> None:
    weights = tmp_path / "far.json"
    weights.write_text('{"far":1}')
    said = register(jurat, repository, "far@1.0.0", "--reference", f"weights={weights.as_uri()}")
    assert said.code == 0, said.err[-1500:]
    with site.app.store.reading() as state:
        row = state.get(rows.Version, "far@1.0.0")
    assert row is not None
    assert row.references == {"weights": weights.as_uri()}
    assert row.unverified == []
    weights.write_text('{"far":2}')
    changed = jurat("--as", "data_scientist", "model", "verify", "far@1.0.0")
    assert changed.code == 4
    assert "other" in changed.err or "digest" in changed.err


def test_assets_are_versioned_as_models_are(site: Site, credit: str, tmp_path: Path, jurat) -> None:
    prompt = tmp_path / "greeting.txt"
    prompt.write_text("Be kind.")
    new = ("--as", "data_scientist", "asset", "register")
    assert jurat(*new, "prompt/greeting@1.0.0", str(prompt), "--system", "credit-decisions").code == 0
    agent = tmp_path / "agent.yaml"
    agent.write_text("model: credit")
    uses = ("--uses", "asset:prompt/greeting@1.0.0", "--uses", f"version:{credit}")
    assert jurat(*new, "agent/helper@1.0.0", str(agent), "--system", "credit-decisions", *uses).code == 0
    prompt.write_text("Be rude.")
    again = jurat(*new, "prompt/greeting@1.0.0", str(prompt), "--system", "credit-decisions")
    assert again.code == 4
    assert "a version never changes" in again.err
    for name in ("poem/x@1.0.0", "prompt/a/b@1.0.0", "prompt/grееting@1.0.0", "prompt/x@latest", "prompt/" + "x" * 10_000 + "@1.0.0"):
        assert jurat(*new, name, str(prompt), "--system", "credit-decisions").code == 2, name
    assert jurat(*new, "agent/b@1.0.0", str(agent), "--system", "credit-decisions", "--uses", "version:none@1.0.0").code == 4
    down = told(jurat("--as", "data_scientist", "lineage", "downstream", "loans@v1", "--debug", "--json"))
    assert down["nodes"]["asset:agent/helper@1.0.0"] == 2
    assert facts_lineage.AssetRegistered  # the mechanism is one: four kinds, one table
    assert len(told(jurat("--as", "data_scientist", "asset", "list", "--json"))) == 2


def test_recall_over_the_command_line_lists_versions_and_says_why_no_gate_passes(site: Site, credit: str, jurat) -> None:
    said = told(jurat("--as", "data_owner", "data", "recall", "loans@v1", "--reason", "consent was withdrawn", "--json"))
    assert credit in [each["affected"]["version"] for each in said["reopened"]]
    refused = jurat("--as", "data_scientist", "data", "recall", "loans@v1", "--reason", "x")
    assert refused.code == 3
    assert "`data:loans@v1` was recalled" in jurat("--as", "data_owner", "advisory", "list").out
    change = said["change"]["change"]
    assert credit in jurat("--as", "data_scientist", "advisory", "show", change).out
    assert jurat("--as", "compliance_officer", "advisory", "clear", change, "--reason", "a mistake").code == 0
    flawed = told(
        jurat(
            "--as", "compliance_officer", "advisory", "add", "scikit-learn@<1.5.1", "--id", "CVE-2024-5206", "--reason", "leaks", "--json"
        )
    )
    assert credit in [each["affected"]["version"] for each in flawed["reopened"]]
