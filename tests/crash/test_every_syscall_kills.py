"""The same as `test_every_call_fails`, from outside: strace kills the process at the n-th system call, SQLite's and pyarrow's included.

Skipped where there is no strace, or none may be traced.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.test_every_call_fails import CHECKS, for_archive, for_write
from tests.scenes.faulty_runs import Ran, Runs

CALLS = ("pwrite64", "write", "fdatasync", "fsync", "rename", "ftruncate", "fallocate", "unlink")
PROGRAM = """
import json, sys
from pathlib import Path
from tests.scenes.faulty_runs import SCENES
with open(sys.argv[3], "w", buffering=1) as said:
    SCENES[sys.argv[1]](Path(sys.argv[2]), lambda what: said.write(json.dumps(what) + "\\n"))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs() as found:
        yield found


def traced(scene: str, root: Path, call: str, log: Path, inject: str = "") -> tuple[int, list[str]]:
    """Run a scene under strace; return its exit code and the lines about `call` on files of the workspace."""
    argv = ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", f"trace={call}", *(["-e", f"inject={call}:{inject}"] if inject else [])]
    program = [sys.executable, "-B", "-c", PROGRAM, scene, str(root), str(root.with_name("said"))]
    done = subprocess.run([*argv, *program], capture_output=True, check=False, timeout=120)
    lines = [line for line in log.read_text(errors="replace").splitlines() if f"{call}(" in line]
    return done.returncode, lines


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scene", ["write", "archive"])
def test_killed_at_each_system_call(scene: str, call: str, runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    template = {"write": for_write, "archive": for_archive}[scene](tmp_path / "made")
    root, log = tmp_path / "ws", tmp_path / "strace.log"
    shutil.copytree(template, root)
    code, lines = traced(scene, root, call, log)
    if code:
        pytest.skip(f"nothing may be traced here: {log.read_text()[:80]}")
    shutil.rmtree(root)
    ours = [number for number, line in enumerate(lines, 1) if str(root) in line]
    died = 0
    for number in ours:
        shutil.copytree(template, root)
        code, _ = traced(scene, root, call, log, f"signal=KILL:when={number}")
        died += code != 0
        said = [json.loads(line) for line in root.with_name("said").read_text().splitlines()]
        try:
            CHECKS[scene](root, Ran(-9, said, []), runs)
        except BaseException as error:
            error.add_note(f"killed at {call} number {number}")
            raise
        shutil.rmtree(root)
    assert died == len(ours), "each run was killed"
