"""All six artefacts behind one URL, and what a registration leaves that dies between keeping bytes and recording them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.lineage.conftest import Said, Site, register, told, version_fact
from tests.scenes.s3 import BUCKET, S3, s3_server

from jurat.app.artefact_store import ArtefactStore, name_of
from jurat.app.artefacts import artefact_path
from jurat.core.errors import Conflict, Malformed, NotFound, Tampered
from jurat.core.settings import Settings, parse_settings
from jurat.domain import rows
from jurat.domain.commands_keeping import CleanArtefacts
from jurat.ledger.objects import ObjectStore

PARTS = ("weights", "training_code", "training_data", "feature_definitions", "serving_configuration", "dependencies")
DYING = """
import os, signal, sys
from pathlib import Path
from jurat.app import walk, wiring
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.workspace import Workspace

def die(app, token, command):
    os.kill(os.getpid(), signal.SIGKILL)

walk.act = die  # every byte is kept; the act that would record it never begins
root = sys.argv[1]
run(sys.argv[2:], Session(workspace_given=root, opener=lambda w: wiring.attach_app(w, application="dying")))
"""


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.environment.items():
            patch.setenv(name, value)
        yield found


def days_ago(path: Path, days: float) -> None:
    stat = path.stat()
    os.utime(path, (stat.st_atime - days * 86_400, stat.st_mtime - days * 86_400))


def test_who_is_killed_between_keeping_and_registering_leaves_orphans_that_are_found_and_go(
    site: Site,
    repository: Path,
    loans: str,
    credit: str,
    jurat,
    tmp_path: Path,
) -> None:
    weights = tmp_path / "new.json"
    weights.write_text('{"never": "seen before"}')
    words = [
        "--as", "data_scientist", "model", "register", "credit@7.0.0", "--weights", str(weights), "--data", "loans@v1",
        "--system", "credit-decisions", "--features", str(repository / "features.json"), "--serving", str(repository / "serving.json"),
        "--repo", str(repository),
    ]  # fmt: skip
    died = subprocess.run([sys.executable, "-c", DYING, str(site.root), *words], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    with site.app.store.reading() as state:
        assert state.get(rows.Version, "credit@7.0.0") is None
    store = site.app.artefacts
    digest = store.put(io.BytesIO(weights.read_bytes()))  # where it was kept; keeping it once more changes nothing
    left = artefact_path(store.folder, digest)
    kept = version_fact(site, credit).artefacts
    half = store.folder / ".0123456789abcdef.tmp"
    half.write_bytes(b"half")
    foreign = store.folder / "README"
    foreign.write_bytes(b"somebody's own")

    young = told(jurat("artefact", "orphans", "--json"))
    assert digest not in json.dumps(young)
    assert young["spared"] >= 2, "somebody may be about to register them"
    for path in (left, half, foreign, artefact_path(store.folder, kept.weights.digest)):
        days_ago(path, 2)
    found = {each["name"]: each["why"] for each in told(jurat("artefact", "orphans", "--json"))["found"]}
    assert found == {name_of(digest): "orphan", half.name: "unfinished"}
    assert jurat("--as", "data_scientist", "artefact", "clean").code == 3, "whoever may register may not take away"
    assert left.is_file()
    done = told(jurat("artefact", "clean", "--json"))
    assert (done["removed"], done["kept"]) == (2, 0)
    gone, stayed = (left, half), (foreign, artefact_path(store.folder, kept.weights.digest))
    assert [path.exists() for path in (*gone, *stayed)] == [False, False, True, True]
    site.app.settle()
    event = site.app.events.find(done["events"][0])
    assert event is not None
    assert (event.kind, json.loads(event.raw)["data"]["digests"]) == ("artefacts.cleaned.v1", [digest])
    assert told(jurat("artefact", "clean", "--json"))["removed"] == 0
    again = jurat(*words)
    assert again.code == 0, again.err[-800:]
    assert jurat("artefact", "orphans", "--older-than", "5min").code == 2, "a registration takes a while"
    with pytest.raises(Conflict, match="is registered, and stays"):
        site.act("operator", CleanArtefacts(digests=[kept.weights.digest], unfinished=0, copies=0, size_bytes=0))
    with pytest.raises(Malformed):
        site.act("operator", CleanArtefacts(digests=["sha256:x"], unfinished=0, copies=0, size_bytes=0))


def test_what_is_written_again_meanwhile_stays(tmp_path: Path) -> None:
    for store in (ArtefactStore(tmp_path / "here"), ArtefactStore(tmp_path / "cache", (tmp_path / "there").as_uri())):
        digest = store.put(io.BytesIO(b"x"))
        seen = list(store.list())
        assert {each.digest for each in seen} == {digest}
        for path in (tmp_path / "here", tmp_path / "cache", tmp_path / "there"):
            for file in path.rglob("*"):
                days_ago(file, 1)
        old = list(store.list())
        assert store.put(io.BytesIO(b"x")) == digest
        assert [store.remove(each) for each in old] == [False] * len(old)
        assert store.get(digest).read_bytes() == b"x"
        assert [store.remove(each) for each in list(store.list())] == [True] * len(old)
        with pytest.raises(NotFound):
            store.get(digest)


def test_all_six_artefacts_lie_behind_one_address_and_come_back_from_there(
    site: Site,
    repository: Path,
    loans: str,
    s3: S3,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from contextlib import nullcontext

    from jurat.cli.main import run
    from jurat.cli.session import Session

    url = f"s3://{BUCKET}/artefacts"
    app = replace(site.app, settings=replace(site.app.settings, artefact_store=url))
    assert app.artefacts.url == url

    def jurat(*words: str) -> Said:
        capsys.readouterr()
        code = run(words, Session(workspace_given=str(site.root), opener=lambda _workspace: nullcontext(app)))
        return Said(code, *capsys.readouterr())

    said = register(jurat, repository, "far-away@1.0.0")
    assert said.code == 0, said.err[-1500:]
    kept = version_fact(site, "far-away@1.0.0").artefacts
    elsewhere = ObjectStore(url)
    for part in PARTS:
        digest = getattr(kept, part).digest
        if part == "training_data":  # its bytes are registered where they lie, by digest: somebody with the file keeps it
            assert app.artefacts.put(io.BytesIO((repository / "data.csv").read_bytes())) == digest
        assert elsewhere.read(name_of(digest)) is not None, part
        artefact_path(app.workspace.artefacts, digest).unlink()
        assert app.artefacts.get(digest).is_file(), part

    recipe = json.loads(jurat("--as", "data_scientist", "model", "reproduce", "far-away@1.0.0", "--json").out)
    assert {each["source"] for each in recipe["inputs"]} == {f"{url}/{name_of(getattr(kept, part).digest)}" for part in PARTS}

    artefact_path(app.workspace.artefacts, kept.weights.digest).unlink()
    elsewhere.swap(name_of(kept.weights.digest), elsewhere.hold(name_of(kept.weights.digest)), b"other bytes")
    with pytest.raises(Tampered, match="other bytes than its name says"):
        app.artefacts.get(kept.weights.digest)
    assert not artefact_path(app.workspace.artefacts, kept.weights.digest).exists(), "what is wrong has no name here"
    elsewhere.remove([name_of(kept.weights.digest)])
    with pytest.raises(NotFound):
        app.artefacts.get(kept.weights.digest)

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    weights = tmp_path / "model.json"
    weights.write_text('{"nobody": "saw it"}')
    away = replace(app)  # opens its own store: this one is away
    away.__dict__.pop("artefacts", None)
    code = run(
        ["--as", "data_scientist", "asset", "register", "prompt/away@1.0.0", str(weights), "--system", "credit-decisions"],
        Session(workspace_given=str(site.root), opener=lambda _workspace: nullcontext(away)),
    )
    assert code == 5
    with site.app.store.reading() as state:
        assert state.get(rows.Asset, "prompt/away@1.0.0") is None, "nothing is half-registered"


def test_a_piece_at_a_time_goes_to_the_object_store_and_back(s3: S3, tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path / "cache", f"s3://{BUCKET}/large")
    raw = os.urandom(1 << 20) * 40  # several pieces
    digest = store.put(io.BytesIO(raw))
    (copy, there) = sorted(store.list(), key=lambda each: each.is_elsewhere)
    assert (copy.digest, there.digest, there.size_bytes) == (digest, digest, len(raw))
    assert store.remove(copy)
    assert store.get(digest).read_bytes() == raw
    assert store.remove(next(each for each in store.list() if each.is_elsewhere))
    assert [each.is_elsewhere for each in store.list()] == [False]


def test_the_address_is_checked_when_the_settings_are_read(tmp_path: Path) -> None:
    assert Settings().artefact_store == ""
    for url in ("http://bucket/x", "bucket", "s3:bucket"):
        with pytest.raises(Malformed, match="artefact_store"):
            parse_settings({"artefact_store": url}, source="jurat.toml")
    with pytest.raises(Malformed, match="credentials"):
        ArtefactStore(tmp_path / "x", "s3://key:secret@bucket/x").put(io.BytesIO(b""))
