"""`jurat events --follow` as people run it: beside a real server that goes away and comes back; nothing twice, nothing left out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest
from tests.scenes.keeping import Kept, make_kept
from tests.scenes.served import Serve

from jurat.app.bootstrap import remove_workspace
from jurat.app.wiring import attach_app

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    with tempfile.TemporaryDirectory(prefix="jurat-follow-") as directory:
        root = Path(directory) / "ws"
        yield make_kept(root, (3, 1))
        remove_workspace(root)


class Follower:
    """The command, and the lines that it prints."""

    def __init__(self, kept: Kept, *options: str) -> None:
        argv = [sys.executable, "-m", "jurat.cli.main", "-C", str(kept.workspace.root), "events", "--follow", *options]
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests that run in the background are started to ignore it
        )  # fmt: skip
        self.lines: Queue[str] = Queue()
        assert self.process.stdout is not None
        self.reader = threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout], daemon=True)
        self.reader.start()

    def next(self, count: int) -> list[dict[str, Any]]:
        return [json.loads(self.lines.get(timeout=60)) for _ in range(count)]

    def is_quiet(self, seconds: float = 1.5) -> bool:
        try:
            self.lines.get(timeout=seconds)
        except Empty:
            return True
        return False

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        assert self.process.wait(20) == 0, said
        self.reader.join(10)
        self.process.stderr.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return said


def stop(serve: Serve) -> None:
    serve.terminate()
    serve.close()


def predictions(lines: list[dict[str, Any]]) -> list[str]:
    return [line["event"]["data"]["prediction"] for line in lines]


def test_what_is_sealed_is_shown_once_over_a_restart_and_from_any_line_on(kept: Kept) -> None:
    operator_may = ["--as", "auditor", "--json", "--where", "class=inference and kind=prediction.made.v1"]
    serve = Serve(kept.workspace)
    try:
        with attach_app(kept.workspace, application="test") as app:
            token = kept.auditor(app)
        file = kept.workspace.credentials / "auditor.token"
        file.write_text(token + "\n")
        file.chmod(0o600)
        old = Follower(kept, *operator_may, "--after", "inference:1")
        shown = old.next(2)
        assert predictions(shown) == list(kept.said)[1:3], "from the cursor on"
        first = kept.record(4)
        shown += old.next(4)
        assert predictions(shown[2:]) == first
        stop(serve)
        assert old.process.poll() is None, "it waits"
        serve = Serve(kept.workspace)
        second = kept.record(3)
        shown += old.next(3)
        assert predictions(shown[6:]) == second
        assert old.is_quiet(), "its own reading is an event too, of another class"
        assert "to go on: --after access:" in old.stop()

        again = Follower(kept, *operator_may, "--after", shown[3]["after"])
        assert predictions(again.next(5)) == predictions(shown[4:])
        assert again.is_quiet(0.5)
        again.stop()
        with attach_app(kept.workspace, application="test") as app:
            app.settle()
            asked = [json.loads(e.raw)["data"] for e in app.events.scan(kinds=["records.read.v1"])]
        assert [each["question"] for each in asked].count("follow") >= 2, "following is reading, and on record"
        refused = subprocess.run(
            [sys.executable, "-m", "jurat.cli.main", "-C", str(kept.workspace.root), "events", "--as", "auditor", "--follow",
             "--after", "inference:999999"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (refused.returncode, "sealed up to" in refused.stderr) == (2, True), refused.stderr
    finally:
        stop(serve)
