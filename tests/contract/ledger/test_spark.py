"""Apache Spark reads the archive's folder as it lies there, and says what our own queries say."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ledger_workspace import ACCESS, PREDICTION_MADE
from tests.scenes.archive import ACT_DENIED, PREDICTION_REQUESTED, Bench

from jurat.core.jsonio import dump_json
from jurat.ledger.layout import LogName
from jurat.ledger.parts import read_part

SPARK = Path(sys.prefix) / "spark" / "bin" / "python"
READER = Path(__file__).parents[2] / "scenes" / "spark_reader.py"
OLDEST_JAVA = 17
ERRORS = LogName("main", "error")
PREDICTION_FAILED, FROM_A_NEWER_VERSION = 70, 65_000
DAY_NS = 86_400 * 1_000_000_000
ODD_TIMES = (  # and what each is in UTC
    ("2026-11-25T23:59:59.999999Z", "2026-11-25 23:59:59.999999"),
    ("2026-11-26T00:00:00.000001+05:45", "2026-11-25 18:15:00.000001"),
    ("2026-03-29T02:30:00.5-11:00", "2026-03-29 13:30:00.500000"),  # an hour that many zones skip
    ("1969-12-31T23:59:59.999999Z", "1969-12-31 23:59:59.999999"),
    ("1500-02-28T12:00:00.000001Z", "1500-02-28 12:00:00.000001"),  # another calendar, for older Sparks
    ("9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999"),
    ("yesterday", None),
)
# The same text for both.
QUESTIONS = {
    "how many": "SELECT count(*), count(DISTINCT kind), count(DISTINCT date) FROM events",
    "which models made decisions, by whom": """
        SELECT version, principal, count(*) AS made FROM events WHERE kind = 'prediction.made.v1'
        GROUP BY version, principal ORDER BY made DESC, version NULLS LAST, principal NULLS LAST""",
    "who was refused on one day": """
        SELECT principal, count(*) FROM events WHERE kind = 'act.denied.v1' AND date = DATE '2026-11-26'
        GROUP BY principal ORDER BY principal""",
}
OURS = """
    SELECT log, CAST(idx AS BIGINT), kind, CAST(date AS VARCHAR), epoch_us(received_at), epoch_us(occurred_at),
           strftime(occurred_at AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S.%f'), principal, latency_ms, sha256(raw), lower(hex(commitment))
    FROM events ORDER BY log, idx"""
THEIRS = """
    SELECT concat('main/', class) AS log, CAST(idx AS BIGINT), kind, CAST(date AS STRING),
           unix_micros(timestamp_micros(CAST(received_ns DIV 1000 AS BIGINT))), unix_micros(occurred_at),
           date_format(occurred_at, 'yyyy-MM-dd HH:mm:ss.SSSSSS'), principal, latency_ms, sha2(raw, 256), lower(hex(commitment))
    FROM events ORDER BY log, idx"""


def need_spark() -> None:
    """Skip with the reason, where Spark cannot run."""
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else shutil.which("java")
    if java is None or not Path(java).exists():
        pytest.skip("no Java: Spark runs on it")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) < OLDEST_JAVA:
        pytest.skip(f"Spark runs on Java {OLDEST_JAVA} or later, this is {told.splitlines()[0]}")
    if not SPARK.exists():
        pytest.skip(f"no Spark in {SPARK.parents[1]}: `make test-long` installs it from locks/spark.txt")


def ask_spark(events: Path, scratch: Path) -> dict[str, Any]:
    """Return what the reader says, on a machine that is half a day ahead of UTC."""
    scratch.mkdir()
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "TZ": "Pacific/Auckland"}
    command = [SPARK, READER, events, json.dumps({**QUESTIONS, "rows": THEIRS})]
    done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def odd_event(number: int, at: str) -> bytes:
    data = {"version": "2.0.0-β", "latency_ms": 0.1 + number}
    return dump_json({"id": f"evt_odd_{number}", "at": at, "actor": {"principal": "prn_Zoë"}, "data": data})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Three classes, five kinds, three days, over midnight to the nanosecond; archived day by day."""
    bench = Bench(tmp_path)
    bench.append(30)
    bench.append(8, kinds=(PREDICTION_REQUESTED, PREDICTION_MADE))
    bench.append(9, ACCESS, kinds=(ACT_DENIED,))
    bench.archive()
    bench.append(5)
    bench.archive()
    bench.clock.at_ns = (bench.clock.at_ns // DAY_NS + 1) * DAY_NS - 1
    bench.append(3, ACCESS, kinds=(ACT_DENIED,))
    bench.clock.at_ns += 1
    bench.append(4, ACCESS, kinds=(ACT_DENIED,))
    bench.archive()
    bench.clock.advance(2 * 86_400)
    odd = [odd_event(number, at) for number, (at, _) in enumerate(ODD_TIMES)]
    bench.ledger.append(ERRORS, 1, odd, kind=PREDICTION_FAILED)
    bench.recorded[ERRORS] = [*odd, b"\xff\x00 no text at all", b"{}"]
    bench.ledger.append(ERRORS, len(odd) + 1, bench.recorded[ERRORS][len(odd) :], kind=FROM_A_NEWER_VERSION)
    bench.append(11)
    bench.archive()
    yield bench
    bench.close()


@pytest.mark.slow
@pytest.mark.timeout(600)  # a Java machine, and Spark in it
def test_spark_reads_the_same_folder(bench: Bench, tmp_path: Path) -> None:
    need_spark()
    with bench.follower() as follower:
        assert follower.compact(everything=True) > 0
        replaced = [bench.events_dir / each.path for each in follower.manifest.retired]
    replaced_rows = sum(table.num_rows for path in replaced for table in read_part(path))
    events, recorded = bench.events(), bench.recorded
    total = sum(map(len, recorded.values()))
    ours = {name: [list(row) for row in events.select(text).rows] for name, text in {**QUESTIONS, "rows": OURS}.items()}
    assert ours["how many"] == [[total, 5, 3]]
    assert all(ours.values()), "a question without an answer compares nothing"

    said = ask_spark(bench.events_dir, tmp_path / "spark")

    listed = said["listed"]
    assert listed.keys() == ours.keys()
    for name, rows in ours.items():
        assert listed[name] == rows, name
    # And both say what was recorded, not only the same.
    for log, raws in recorded.items():
        assert [row[-2] for row in listed["rows"] if row[0] == str(log)] == [hashlib.sha256(raw).hexdigest() for raw in raws]
    assert [row[6] for row in listed["rows"] if row[0] == str(ERRORS)] == [*(utc for _, utc in ODD_TIMES), None, None]
    # What a merge has replaced lies there until running queries are over: who reads past the manifest sees such rows twice.
    assert replaced_rows > 0
    assert said["folder_rows"] == total + replaced_rows
