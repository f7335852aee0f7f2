"""The client against the real door: what was put arrives once and in order, whoever is killed; nothing blocks longer than asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.web.conftest import Live
from tests.contract.web.test_api_process import Process
from tests.contract.web.test_ingest import join

from jurat.client import AsyncClient, Client
from jurat.core.errors import Conflict, Exhausted, Malformed, Unavailable
from jurat.core.statements import CLOSED, HEARTBEAT, OPENED, extend_hash, parse_statement
from jurat.domain import rows
from jurat.ledger.query import StoredEvent

NOBODY = "http://127.0.0.1:9"  # the discard port: connections are refused

PUTTER = """
import sys, json
from pathlib import Path
from jurat.client import Client
url, token, spool, first = sys.argv[1:]
client = Client(url, token, spool=Path(spool))
n = int(first)
while True:
    client.put("inference", {"n": n})
    print(n, flush=True)
    n += 1
"""


class Site:
    """The API's process, which can be killed and started again on the same port, and one producer."""

    def __init__(self, live: Live, classes: list[str]) -> None:
        self.live = live
        self.token, self.producer, _ = join(live, classes)
        self._settings = live.app.workspace.settings_file
        self._text = self._settings.read_text()
        self.port = 0
        self.start()

    def start(self) -> None:
        self._settings.write_text(self._text.replace("api_port = 8700", f"api_port = {self.port}"))
        self.process = Process(self.live.app.workspace.root)
        self.port = self.process.port

    def kill(self) -> None:
        self.process.process.send_signal(signal.SIGKILL)
        self.process.end()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self, *kinds: str) -> list[StoredEvent]:
        self.live.app.settle()
        found = [event for event in self.live.app.events.scan(classes=["inference"]) if event.producer == self.producer]
        return [event for event in found if event.kind in (kinds or ("inference.observed.v1",))]

    def close(self) -> None:
        self.kill()
        self._settings.write_text(self._text)


@pytest.fixture
def site(live: Live) -> Iterator[Site]:
    site = Site(live, ["inference", "error"])
    yield site
    site.close()


def test_what_was_put_arrives_once_in_order_and_the_stream_says_how_far_it_went(site: Site, tmp_path: Path) -> None:
    with Client(site.url, site.token, spool=tmp_path / "spool", period_s=0.3) as client:
        for n in range(50):
            client.put("inference", {"n": n})
        client.flush(10)
        time.sleep(0.8)  # heartbeats, while nothing else happens
        client.put_many("inference", [{"n": n} for n in range(50, 60)])
    assert [json.loads(event.raw)["n"] for event in site.events()] == list(range(60))
    whole = site.events("inference.observed.v1", OPENED, HEARTBEAT, CLOSED)
    assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
    assert (whole[0].kind, whole[-1].kind) == (OPENED, CLOSED)
    assert any(event.kind == HEARTBEAT for event in whole)
    for event in whole:
        if event.kind in (OPENED, HEARTBEAT, CLOSED):
            said = parse_statement(event.raw).data
            assert (said.epoch, said.last_seq) == (event.epoch, event.seq - 1)
            assert said.running_hash == extend_hash(bytes(32), (each.commitment for each in whole[: said.hashed_seq])).hex()
    assert parse_statement(whole[-1].raw).data.hashed_seq == len(whole) - 1


def test_a_closed_spool_goes_on_in_a_fresh_epoch_that_names_the_one_before(site: Site, tmp_path: Path) -> None:
    for n in range(2):
        with Client(site.url, site.token, spool=tmp_path / "spool") as client:
            client.put("inference", {"n": n})
            client.flush(30)
    first, second = (parse_statement(event.raw).data for event in site.events(OPENED))
    assert second.epoch > first.epoch
    assert (second.previous_epoch, second.previous_last_seq) == (first.epoch, 3)  # opened, the event, closed


def test_it_survives_being_killed_and_the_door_being_killed(site: Site, tmp_path: Path) -> None:
    known: list[int] = []
    for turn in range(3):
        argv = [sys.executable, "-c", PUTTER, site.url, site.token, str(tmp_path / "spool"), str(known[-1] + 2 if known else 0)]
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines: list[int] = []
        reader = threading.Thread(target=lambda out=child.stdout, into=lines: into.extend(int(line) for line in out))
        reader.start()
        until_s = time.monotonic() + 30
        while not lines and time.monotonic() < until_s:  # an interpreter takes its time to start on a busy machine
            time.sleep(0.05)
        time.sleep(1.0)
        if turn == 1:
            site.kill()
            time.sleep(0.3)
            site.start()
            time.sleep(0.7)
        child.kill()
        child.wait()
        reader.join()
        child.stdout.close()
        assert lines
        known += lines
    with Client(site.url, site.token, spool=tmp_path / "spool") as client:
        client.flush(30)
    found = [json.loads(event.raw)["n"] for event in site.events()]
    assert len(found) == len(set(found))
    assert set(known) <= set(found)
    assert len(set(found) - set(known)) <= 3  # put, and killed before it could say so
    assert found == sorted(found)
    assert len({event.epoch for event in site.events()}) == 1


def test_a_spool_restored_from_a_copy_loses_nothing_and_takes_nobodys_number(site: Site, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    client = Client(site.url, site.token, spool=spool)
    client.put("inference", {"n": "before"})
    client.flush(10)
    database = sqlite3.connect(spool)
    with sqlite3.connect(tmp_path / "copy") as copy:
        database.backup(copy)
    database.close()
    client.put("inference", {"n": "after the copy"})
    client.close()
    with Client(site.url, site.token, spool=tmp_path / "copy") as old:
        old.put("inference", {"n": "from the copy"})
    assert [json.loads(event.raw)["n"] for event in site.events()] == ["before", "after the copy", "from the copy"]


def test_one_bad_event_holds_nothing_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jurat.client.producer.check_events", lambda *_args, **_options: None)  # a client of another version
    with Client(site.url, site.token, spool=tmp_path / "spool") as client:
        client.put_many("inference", [{"n": 1}, {"password": "x"}, {"n": 3}])
        client.flush(10)
        (refused,) = client.refused()
        with pytest.raises(Unavailable):
            client.put("inference", {"password": "y"}, fail_closed=True, timeout_s=1)
    assert (refused.code, refused.raw) == ("holds_secret", b'{"password":"x"}')
    found = [json.loads(event.raw) for event in site.events()]
    assert found[:3] == [{"n": 1}, {"refused": "holds_secret", "size_bytes": 16}, {"n": 3}]


def test_no_receipt_no_act(site: Site, tmp_path: Path) -> None:
    with Client(site.url, site.token, spool=tmp_path / "spool") as client:
        done = client.put("inference", {"act": 1}, fail_closed=True, timeout_s=10)
        assert done.is_recorded
        assert [json.loads(event.raw) for event in site.events()] == [{"act": 1}]
        site.kill()
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no receipt"):
            client.put("inference", {"act": 2}, fail_closed=True, timeout_s=0.5)
        assert 0.4 < time.monotonic() - began < 1.5
        assert client.trouble is not None
        site.start()
        client.flush(15)
    assert [json.loads(event.raw) for event in site.events()] == [{"act": 1}, {"act": 2}]


def test_a_full_spool_says_so_within_the_time_asked(tmp_path: Path) -> None:
    client = Client(NOBODY, "jrt_x", spool=tmp_path / "spool", max_waiting=3)
    client.put_many("inference", [{"n": 1}, {"n": 2}])
    for timeout_s in (0.0, 0.4):
        began = time.monotonic()
        with pytest.raises(Exhausted, match="spool"):
            client.put_many("inference", [{"n": 3}, {"n": 4}], timeout_s=timeout_s)
        assert timeout_s <= time.monotonic() - began < timeout_s + 0.5
    with pytest.raises(Unavailable):
        client.flush(0.1)
    with pytest.raises(Unavailable):
        client.close(0.1)
    with pytest.raises(Unavailable, match="closed"):
        client.put("inference", {"n": 5})


def test_what_may_not_be_recorded_is_refused_before_it_is_spooled(tmp_path: Path) -> None:
    client = Client(NOBODY, "jrt_x", spool=tmp_path / "spool")
    for event in ({"password": "x"}, b"[1]", b'{"a":\n1}', {"kind": CLOSED}, {"time": "2999-01-01T00:00:00Z"}):
        with pytest.raises(Malformed):
            client.put("inference", event)  # type: ignore[arg-type]
    assert client.waiting == 0
    with pytest.raises(Conflict, match="another process"):
        Client(NOBODY, "jrt_x", spool=tmp_path / "spool")
    client.close()


def test_the_same_for_asyncio(site: Site, tmp_path: Path) -> None:
    async def produce() -> None:
        async with await AsyncClient.open(site.url, site.token, spool=tmp_path / "spool") as client:
            await asyncio.gather(*(client.put("inference", {"n": n}) for n in range(20)))
            done = await client.put("inference", {"n": 20}, fail_closed=True, timeout_s=10)
            assert done.is_recorded

    asyncio.run(produce())
    assert sorted(json.loads(event.raw)["n"] for event in site.events()) == list(range(21))


def test_the_gap_report_of_a_workspace_with_producers_of_all_sorts(site: Site, tmp_path: Path) -> None:
    from jurat.app.complete import gaps, gaps_offline
    from jurat.core.errors import Denied
    from jurat.ledger.completeness import Span

    with Client(site.url, site.token, spool=tmp_path / "spool") as client:
        client.put("inference", {"n": 1})
    app = site.live.app
    found = gaps(app, site.live.tokens["operator"], Span())
    assert found.is_complete, found.findings
    (mine,) = [stream for stream in found.streams if stream.producer == site.producer]
    assert (mine.count, mine.missing, mine.is_closed, mine.hashed_seq) == (3, 0, True, 2)
    assert gaps_offline(app.workspace, "main", app.clock.now_ns(), Span()).is_complete
    with pytest.raises(Denied):
        gaps(app, site.live.tokens["business_analyst"], Span())


def test_a_producer_that_falls_silent_is_on_record_once_and_in_the_status(site: Site, tmp_path: Path) -> None:
    from jurat.app.status import status_of
    from jurat.app.watch import Watch

    app = site.live.app
    watch = Watch(app)

    def mine() -> list[Any]:
        return [each for each in watch.silent_now() if each.producer == site.producer]

    client = Client(site.url, site.token, spool=tmp_path / "spool", period_s=1.0)
    client.put("inference", {"n": 1})
    client.flush(10)
    assert mine() == [], "it has just spoken"
    client._sender.stop(5)  # killed, or cut off: it says nothing more
    client._spool.close()
    time.sleep(2.5)
    app.settle()
    (silent,) = mine()
    assert (silent.log, silent.period_s) == ("main/inference", 1.0)
    assert silent.last_seq >= 2
    new = [each for each in watch.step() if each.producer == site.producer]
    assert [(each.epoch, each.last_received_at) for each in new] == [(silent.epoch, silent.last_received_at)]
    for again in (watch, Watch(app)):
        assert [each for each in again.step() if each.producer == site.producer] == [], "one silence is told once"
    recorded = [json.loads(event.raw) for event in app.events.scan(kinds=["producer.silent.v1"])]
    assert [event["data"]["producer"] for event in recorded].count(site.producer) == 1
    with app.store.reading() as state:
        told = [each for each in state.find(rows.Notice, subject="silence") if f"#{site.producer}." in each.about]
    assert told, "operators are told"
    assert len({each.to for each in told}) == len(told), "each of them once"
    watched = status_of(app.workspace).watched
    assert watched is not None
    assert site.producer in {each.producer for each in watched.silent}
    with Client(site.url, site.token, spool=tmp_path / "spool", period_s=1.0) as again:
        again.put("inference", {"n": 2})
        again.flush(10)
        app.settle()
        assert mine() == [], "it is heard again"
    app.settle()
    time.sleep(2.5)
    assert mine() == [], "it said that it ends"


def test_the_gap_report_on_the_command_line(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from jurat.cli.main import run
    from jurat.cli.session import Session

    with Client(site.url, site.token, spool=tmp_path / "spool") as client:
        client.put("inference", {"n": 1})
    app = site.live.app
    app.settle()

    def ask(*words: str) -> tuple[int, str]:
        code = run(["-C", str(app.workspace.root), *words], Session(opener=lambda _workspace: contextlib.nullcontext(app)))
        return code, capsys.readouterr().out

    code, said = ask("--json", "log", "gaps")
    found = json.loads(said)
    assert (code, found["complete"]) == (0, True)
    assert site.producer in {stream["producer"] for stream in found["streams"]}
    code, said = ask("verify", "--complete", "--from", "2020-01-01T00:00:00Z")
    assert code == 0
    assert "no number is missing" in said
    code, said = ask("--json", "verify", "--complete")
    found = json.loads(said)  # one document
    assert (code, found["complete"], found["faults"]) == (0, True, [])
    assert {each["log"] for each in found["ranges"]} == {each["log"] for each in found["logs"]} - {"anchor"}
    assert ask("verify", "--from", "2020-01-01T00:00:00Z")[0] == 2
    assert ask("verify", "--complete", "--from", "yesterday")[0] == 2
    assert str(site.producer) in ask("producer", "list")[1]
