"""Erasure on a real workspace: bytes and salts gone from every file, proofs intact, and a kill in the middle changes nothing."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.scenes.keeping import INFERENCE, Kept, files_with, make_kept, opened

from jurat.app.bootstrap import remove_workspace
from jurat.app.erase import approve_erasure, run_erasure, take_certificate
from jurat.app.mirroring import push_archive
from jurat.app.records import ask_sql, take_proof
from jurat.app.tree import Tree
from jurat.app.wiring import App
from jurat.core.errors import Conflict, NotFound, Unavailable
from jurat.core.jsonio import load_json
from jurat.core.settings import load_settings
from jurat.domain import rows
from jurat.domain.facts_keeping import EventsErased
from jurat.ledger.archive import Follower
from jurat.ledger.claim import claimed_archive
from jurat.ledger.crash_points import ERASE_POINTS
from jurat.ledger.data import verify_log as alone
from jurat.ledger.gone import read_gone, unmask
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import events_directory, log_keys_file
from jurat.ledger.manifest import read_manifest
from jurat.ledger.objects import ObjectStore
from jurat.ledger.prove import prove_event, verify_evidence
from jurat.ledger.stored import StoredEvent
from jurat.store.cluster import cluster_elsewhere

pytestmark = [pytest.mark.xdist_group("erasure"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    with tempfile.TemporaryDirectory(prefix="jurat-erase-") as directory:
        root = Path(directory) / "ws"
        yield make_kept(root)
        remove_workspace(root)


def erasure(app: App, request: str) -> rows.Erasure:
    with app.store.reading() as state:
        found = state.get(rows.Erasure, request)
    assert found is not None
    return found


def assert_gone(kept: Kept, app: App, prediction: str, stored: StoredEvent) -> None:
    """Nowhere in the workspace, masked or not, and nothing else with it; the ledger is as it was sealed."""
    for needle in (stored.raw, stored.salt, f"secret of {prediction}".encode()):
        assert files_with(kept.workspace.root, needle) == []
    assert app.events.find_prediction(prediction) == []
    row = app.events.select("SELECT raw, salt, event_id, prediction FROM events WHERE log = ? AND idx = ?", [stored.log, stored.index])
    assert row.rows == [(None, None, None, None)]
    told = {event.raw for event in app.events.scan(classes=["inference"])}
    assert {raw for other, raw in kept.said.items() if other != prediction} <= told | kept.erased
    assert kept.verify().faults == []


def test_an_erased_prediction_is_in_no_file_and_every_proof_still_holds(kept: Kept) -> None:
    keys = load_log_keys(log_keys_file(kept.workspace.keys))
    with opened(kept) as app:
        victim, *_ = kept.record(40)
        stored = app.events.find_prediction(victim)[0]
        handed_out = prove_event(kept.workspace.ledger, stored, keys, None)
        assert files_with(kept.workspace.root, stored.raw), "the plain search can find it"

        fact = kept.ask(app, "prediction", victim)
        assert fact.count == 1
        assert app.events.find_prediction(victim), "asking hides nothing yet"
        approve_erasure(app, kept.tokens["privacy"], fact.request, fact.shown_digest)
        assert app.events.find_prediction(victim) == [], "masked at once"
        for ask in (app.events.select, app.events.sql):
            assert ask("SELECT count(*) FROM events WHERE prediction = ?", [victim]).rows == [(0,)]
        assert stored.raw not in {event.raw for event in app.events.scan(classes=["inference"])}
        with pytest.raises(NotFound, match="was erased"):
            app.events.at(INFERENCE, stored.index)
        assert kept.verify().faults == []

        done = run_erasure(app, kept.tokens["operator"], fact.request)
        erased = done.events[0].data
        assert isinstance(erased, EventsErased)
        assert (erased.search.left_over, erased.search.needles) == ([], 1)
        assert erased.files
        assert any(name.startswith("journal/") for name in erased.removed)
        kept.erased.add(stored.raw)
        assert_gone(kept, app, victim, stored)
        assert erasure(app, fact.request).status == "done"

        verify_evidence(handed_out, keys)
        reader = kept.auditor(app)
        left = take_proof(app, reader, f"main/inference#{stored.index}")
        report = verify_evidence(left, keys)
        assert (report.index, report.event, report.raw) == (stored.index, None, b"")
        assert [step.number for step in report.steps if not step.is_checked][:1] == [2]
        assert len(base64.b64decode(re.findall(r"extra (\S+)", load_json(left, dict)["proof"])[0])) == 60
        plain = json.loads(log_keys_file(kept.workspace.keys).read_bytes())
        assert alone.check_evidence(json.loads(left), plain).endswith("whose content is not shown")
        certificate = take_certificate(app, kept.tokens["privacy"], fact.request)
        assert verify_evidence(certificate, keys).event["data"]["search"]["left_over"] == []


def test_an_erasure_beside_a_serving_tree_makes_the_worker_let_go_and_go_on(kept: Kept) -> None:
    settings = load_settings(kept.workspace)
    with Tree(kept.workspace, settings, mode="serve", throwaway=True) as tree, opened(kept) as app:
        assert app.relay is None, "the tree's own process keeps the archive"
        victim, *_ = kept.record(20)
        stored = app.events.find_prediction(victim)[0]
        request = kept.approved(app, "subject", victim)
        worker = tree.pids["archive"]
        run_erasure(app, kept.tokens["operator"], request)
        kept.erased.add(stored.raw)
        assert_gone(kept, app, victim, stored)
        with claimed_archive(app.workspace.ledger, "main"):
            impatient = claimed_archive(app.workspace.ledger, "main", patience_s=0.3)
            with pytest.raises(Unavailable, match="does not let go"), impatient:
                pass
        time.sleep(3)
        assert Path(f"/proc/{worker}/fd").exists(), "the same process"
        with pytest.raises(Conflict, match="another process keeps"):  # has taken the archive up again
            Follower(app.workspace.ledger, "main")


def test_the_certificate_names_the_mirrors_that_may_hold_it_and_the_next_push_takes_it_away(kept: Kept, tmp_path: Path) -> None:
    mirror = f"file://{tmp_path}/mirror"
    with opened(kept) as app:
        victim, *_ = kept.record(5)
        stored = app.events.find_prediction(victim)[0]
        reader = kept.auditor(app)
        push_archive(app, reader, mirror)
        assert ObjectStore(mirror).below("events").names(), "what was recorded a moment ago is there, too"
        in_mirror = [path for path in (tmp_path / "mirror").rglob("*.parquet") if holds(path, stored)]
        assert in_mirror
        done = run_erasure(app, kept.tokens["operator"], kept.approved(app, "subject", victim))
        kept.erased.add(stored.raw)
        erased = done.events[0].data
        assert isinstance(erased, EventsErased)
        assert erased.copies == [mirror]
        assert all(map(Path.exists, in_mirror)), "nobody else takes it away"
        push_archive(app, reader, mirror)
        assert not any(holds(path, stored) for path in (tmp_path / "mirror").rglob("*.parquet"))


def holds(path: Path, stored: StoredEvent) -> bool:
    with pq.ParquetFile(path) as file:
        return stored.raw in file.read(columns=["raw"])["raw"].to_pylist()


def test_what_passed_through_postgresql_is_gone_from_its_files_too(kept: Kept) -> None:
    with opened(kept) as app:
        auditor, question = kept.auditor(app), f"SELECT 'asked by nobody {os.urandom(8).hex()}'"
        ask_sql(app, auditor, question)
        app.settle()
        stored = next(event for event in app.events.scan(classes=["access"]) if question.encode() in event.raw)
        cluster = cluster_elsewhere(kept.workspace) or kept.workspace.postgres
        assert files_with(cluster, stored.raw), "its dead rows and its log still hold it"
        request = kept.approved(app, "event", load_json(stored.raw, dict)["id"])
        run_erasure(app, kept.tokens["operator"], request)
        for place in (cluster, kept.workspace.root):
            assert files_with(place, stored.raw) == []
        assert kept.verify().faults == []


def test_killed_between_approval_and_mask_it_is_hidden_all_the_same(kept: Kept) -> None:
    with opened(kept) as app:
        victim, *_ = kept.record(5)
        fact = kept.ask(app, "prediction", victim)
        token = kept.workspace.credentials / "privacy.token"
        token.write_text(kept.tokens["privacy"])
        token.chmod(0o600)
    approve = ["erase", "approve", fact.request, "--shown", fact.shown_digest]
    argv = [sys.executable, "-m", "jurat.cli.main", "-C", str(kept.workspace.root), "--as", "privacy", *approve]
    died = subprocess.run(argv, env={**os.environ, "JURAT_CRASH_AT": "approve_before_mask"}, capture_output=True, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert read_gone(events_directory(kept.workspace.ledger, "main")).masked.get(fact.request) is None, "it was killed before"
    with opened(kept) as app:
        assert erasure(app, fact.request).status == "approved"
        assert app.events.find_prediction(victim) == []
    unmask(events_directory(kept.workspace.ledger, "main"), fact.request)
    with Tree(kept.workspace, load_settings(kept.workspace), mode="serve", throwaway=True), opened(kept) as app:
        until_s = time.monotonic() + 30
        while app.events.find_prediction(victim):  # the worker sees to it, too
            assert time.monotonic() < until_s
            time.sleep(0.1)
    kept.erased.add(kept.said[victim])


def test_a_persons_name_goes_from_the_vault_with_their_erasure(kept: Kept) -> None:
    person, name = kept.ids["second"], b"Second Officer"
    with opened(kept) as app:
        cluster = cluster_elsewhere(kept.workspace) or kept.workspace.postgres
        assert files_with(cluster, name)
        fact = kept.ask(app, "subject", person, only_free=True)
        assert fact.person == person
        approve_erasure(app, kept.tokens["privacy"], fact.request, fact.shown_digest)
        run_erasure(app, kept.tokens["operator"], fact.request)
        with app.store.reading() as state:
            assert state.vault.find_person(person) is None
            assert state.get(rows.Principal, person) is not None, "what holds now stays, without a name"
        for place in (cluster, kept.workspace.root):
            assert files_with(place, name) == []
        assert kept.verify().faults == []


@pytest.mark.slow
@pytest.mark.parametrize("point", ERASE_POINTS)
def test_a_run_that_is_killed_is_run_again(kept: Kept, point: str) -> None:
    with opened(kept) as app:
        victim, *_ = kept.record(5)
        stored = app.events.find_prediction(victim)[0]
        request = kept.approved(app, "prediction", victim)
    argv = [sys.executable, "-m", "jurat.cli.main", "-C", str(kept.workspace.root), "erase", "run", request]
    died = subprocess.run(argv, env={**os.environ, "JURAT_CRASH_AT": point}, capture_output=True, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert kept.verify().faults == [], "whatever is half done is not a fault"
    with opened(kept) as app:
        assert erasure(app, request).status == "started"
        assert app.events.find_prediction(victim) == [], "still masked"
        done = run_erasure(app, kept.tokens["operator"], request)
        told = done.events[0].data
        assert isinstance(told, EventsErased)
        there = {part.path for part in read_manifest(events_directory(kept.workspace.ledger, "main")).parts}
        assert [path for path in told.files if path.removeprefix("main/events/") in there], "whoever wrote it anew"
        assert any(path.endswith(".parquet") for path in told.removed), "whoever deleted it"
        assert any(path.startswith("journal/") for path in told.removed)
        kept.erased.add(stored.raw)
        assert_gone(kept, app, victim, stored)
