"""A real ledger and real witnesses: quorum, witnesses that are away, rollback, split view, and the start."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.ledger_workspace import INFERENCE, OpenLedger, make_workspace, running
from tests.scenes.witnesses import WitnessProcess, hang, neighbour, serving

from jurat.core.errors import Tampered
from jurat.core.workspace import Workspace
from jurat.ledger.layout import ANCHOR, checkpoint_file
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.witness import parse_request
from jurat.ledger.witness_desk import Witness, create_witness
from jurat.ledger.witnessed import anchor_keys, public_anchor, read_standings, read_witnessed, unverified_checkpoint
from jurat.merkle.policy import parse_policy, verify_quorum
from jurat.worker.start_check import check_start
from jurat.worker.witnesses import Gatherer, keep_witnessed


class Site:
    """A workspace, its witnesses' homes, and the processes that serve them."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.workspace = make_workspace(root / "workspace")
        self.keys = anchor_keys(self.workspace)
        self.homes = [root / "w1", root / "w2"]
        self.vkeys: list[str] = []
        self._stack = stack
        for home in self.homes:
            self.vkeys.append(create_witness(home, f"witness.example/{home.name}").vkeys[1])
            desk = Witness(home)
            desk.add_log(self.keys.origin, self.keys.vkeys)
            desk.close()
        self.processes = [self.serve(n) for n in range(2)]
        self.write_policy("all", [process.url for process in self.processes])

    def serve(self, number: int) -> WitnessProcess:
        return self._stack.enter_context(serving(self.homes[number]))

    def write_policy(self, threshold: str, urls: list[str]) -> None:
        lines = [f"witness w{n} {vkey} {url}\n" for n, (vkey, url) in enumerate(zip(self.vkeys, urls, strict=True), start=1)]
        self.workspace.witness_policy.write_text("".join(lines) + f"group all-of-them {threshold} w1 w2\nquorum all-of-them\n")

    def gatherer(self, **options: float) -> Gatherer:
        return Gatherer(self.workspace, parse_policy(self.workspace.witness_policy.read_bytes()), **options)

    def seal(self, first_seq: int, count: int = 3, workspace: Workspace | None = None, epoch: int = 1) -> None:
        with OpenLedger(workspace or self.workspace) as ledger:
            ledger.append(INFERENCE, first_seq, [b'{"n":%d}' % n for n in range(first_seq, first_seq + count)], epoch=epoch)
            ledger.publish()

    def gather(self, **options: float) -> Gatherer:
        gatherer = self.gatherer(**options)
        deadline_s = time.monotonic() + 10
        while not gatherer.step() and time.monotonic() < deadline_s:
            pass
        return gatherer

    @property
    def policy(self):
        return parse_policy(self.workspace.witness_policy.read_bytes())


def step_often(gatherer: Gatherer) -> None:
    for _ in range(50):
        gatherer.step()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_what_is_published_is_cosigned_by_a_quorum(site: Site) -> None:
    site.seal(1)
    site.gather()
    note = read_witnessed(site.workspace.ledger)
    assert len(verify_quorum(site.policy, note)) == 2
    assert open_checkpoint(note, site.keys).size == 1
    assert public_anchor(site.workspace.ledger) == note.encode()
    site.seal(4)
    assert site.gather().size == 2
    assert [each.size for each in read_standings(site.workspace.ledger).witnesses] == [2, 2]


def test_a_running_ledger_is_witnessed_as_it_seals(site: Site) -> None:
    stopping, birth = threading.Event(), checkpoint_file(site.workspace.ledger, ANCHOR).read_bytes()
    keeper = threading.Thread(target=keep_witnessed, args=(site.workspace, stopping))
    keeper.start()
    try:
        with running(site.workspace) as daemon, daemon.connect() as client:
            for turn in range(3):
                client.append(INFERENCE, 1 + turn, [(51, b'{"turn":%d}' % turn)])
                client.flush()
                wanted = unverified_checkpoint(checkpoint_file(site.workspace.ledger, ANCHOR).read_bytes()).size
                deadline_s = time.monotonic() + 10
                while unverified_checkpoint(read_witnessed(site.workspace.ledger) or birth).size < wanted:
                    assert time.monotonic() < deadline_s
                    time.sleep(0.02)
                verify_quorum(site.policy, public_anchor(site.workspace.ledger), latest_s=int(time.time()) + 5)
    finally:
        stopping.set()
        keeper.join()


def test_a_witness_that_is_away_is_asked_again_and_holds_up_nobody(site: Site) -> None:
    site.write_policy("any", [process.url for process in site.processes])
    site.processes[1].stop()
    site.seal(1)
    gatherer = site.gatherer()
    began_s = time.monotonic()
    while not gatherer.has_quorum:
        gatherer.step()
    assert time.monotonic() - began_s < 3
    assert "did not answer" in read_standings(site.workspace.ledger).witnesses[1].error
    site._stack.enter_context(serving(site.homes[1], site.processes[1].port))
    deadline_s = time.monotonic() + 10
    while not gatherer.step():
        assert time.monotonic() < deadline_s
    assert len(verify_quorum(site.policy, read_witnessed(site.workspace.ledger))) == 2


def test_a_witness_that_hangs_misses_rounds_and_holds_up_nobody(site: Site) -> None:
    with neighbour(hang) as url:
        site.write_policy("any", [site.processes[0].url, url])
        site.seal(1)
        gatherer = site.gatherer(timeout_s=20)
        before = threading.active_count()
        for turn in range(1, 4):
            deadline_s = time.monotonic() + 5
            while gatherer.size < turn:
                gatherer.step()
                assert time.monotonic() < deadline_s
            assert threading.active_count() < before + 8
            assert sum(thread.name == "witness" for thread in threading.enumerate()) == 1, "one request in flight, no more"
            site.seal(1 + 3 * turn)


def test_without_the_quorum_nothing_is_published_as_witnessed_and_readers_get_the_newest_in_the_end(site: Site) -> None:
    site.seal(1)
    site.gather()
    first = read_witnessed(site.workspace.ledger)
    site.processes[1].stop()
    site.seal(4)
    gatherer = site.gatherer()
    for _ in range(15):
        gatherer.step()
    assert not gatherer.has_quorum
    assert read_witnessed(site.workspace.ledger) == first
    assert public_anchor(site.workspace.ledger) == first.encode(), "for a while the older one, with its quorum"
    assert unverified_checkpoint(public_anchor(site.workspace.ledger, now_s=time.time() + 60)).size == 2, "then the newest, without"
    with pytest.raises(Tampered, match="too few"):
        verify_quorum(site.policy, public_anchor(site.workspace.ledger, now_s=time.time() + 60))


def test_a_ledger_that_was_rolled_back_with_its_lock_store_does_not_start(site: Site, tmp_path: Path) -> None:
    site.seal(1)
    shutil.copytree(site.workspace.root, tmp_path / "backup")
    site.seal(4)
    site.gather()
    assert check_start(site.workspace) == []
    shutil.rmtree(site.workspace.root)
    shutil.copytree(tmp_path / "backup", site.workspace.root)
    with OpenLedger(site.workspace):
        pass  # the ledger by itself notices nothing
    with pytest.raises(Tampered, match="is at size `2`, we are at `1`"):
        check_start(site.workspace)
    with pytest.raises(Tampered):
        site.gather()
    assert "our own key" in (site.workspace.run / "forked.json").read_text(), "the witness has shown what we had signed"


def test_a_ledger_that_was_emptied_does_not_start(site: Site, tmp_path: Path) -> None:
    shutil.copytree(site.workspace.root, tmp_path / "backup")
    site.seal(1)
    site.gather()
    shutil.rmtree(site.workspace.root)
    shutil.copytree(tmp_path / "backup", site.workspace.root)
    with pytest.raises(Tampered, match="we are at `0`"):
        check_start(site.workspace)


def test_two_ledgers_with_one_key_are_found_and_the_witness_keeps_the_evidence(site: Site, tmp_path: Path) -> None:
    site.seal(1)
    twin = Workspace(tmp_path / "twin")
    shutil.copytree(site.workspace.root, twin.root)
    site.seal(4)
    site.gather()
    site.seal(1, workspace=twin, epoch=2)
    with pytest.raises(Tampered, match="another root"):
        check_start(twin)
    site.seal(4, workspace=twin, epoch=2)  # longer than the true one
    assert check_start(twin) == [], "from sizes alone it could be a younger one"
    with pytest.raises(Tampered, match="another root"):
        step_often(Gatherer(twin, site.policy))
    desk = Witness(site.homes[0])
    kept = desk.evidence()
    desk.close()
    assert len(kept) == 2
    split = kept[0]
    views = [open_checkpoint(note, site.keys) for note in (parse_request(split.request).note, split.held)]
    assert views[0].size == views[1].size
    assert views[0].root != views[1].root


def test_at_the_start_a_witness_that_gives_no_word_is_named(site: Site) -> None:
    site.seal(1)
    site.processes[0].stop()
    assert check_start(site.workspace) == [site.processes[0].url]
    with neighbour(hang) as url:
        site.write_policy("any", [url, site.processes[1].url])
        assert check_start(site.workspace, timeout_s=0.3) == [url]


def test_without_a_policy_nobody_is_asked(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    assert check_start(workspace) == []
    stopped = threading.Event()
    stopped.set()
    keep_witnessed(workspace, stopped)
    assert read_standings(workspace.ledger) is None


def test_a_policy_that_is_changed_holds_at_once_and_a_spoiled_one_never(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    good = site.workspace.witness_policy.read_bytes()
    site.workspace.witness_policy.unlink()
    site.seal(1)
    stopping = threading.Event()
    keeper = threading.Thread(target=keep_witnessed, args=(site.workspace, stopping))
    keeper.start()

    def reach(size: int) -> None:
        deadline_s = time.monotonic() + 10
        while (note := read_witnessed(site.workspace.ledger)) is None or unverified_checkpoint(note).size < size:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    try:
        site.workspace.witness_policy.write_bytes(good)
        reach(1)
        site.workspace.witness_policy.write_bytes(good + b"quorum nobody\n")
        deadline_s = time.monotonic() + 10
        said = ""
        while "second `quorum`" not in said:
            said += capsys.readouterr().err
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        site.seal(4)
        reach(2)
    finally:
        stopping.set()
        keeper.join()
