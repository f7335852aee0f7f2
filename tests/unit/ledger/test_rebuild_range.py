"""The hashes of a stretch of a log from the archive's rows alone: whole if nothing was touched, and each fault at its index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.ledger_workspace import INFERENCE
from tests.scenes.archive import START_NS
from tests.scenes.forgetting import Forgetting

from jurat.domain.facts_keeping import EventsExpired
from jurat.domain.places import to_places
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.completeness import FAULTS, Finding, RangeReport, Span
from jurat.ledger.expire import drop_rows
from jurat.ledger.layout import class_logs
from jurat.ledger.rebuild_range import rebuild_ranges
from jurat.merkle.tree import root_of

LOGS = class_logs("main")
Change = Callable[[pa.Table], pa.Table]
ORIGINS = {log: log.origin("jurat.local") for log in LOGS}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Forgetting]:
    """40 predictions in the archive, 7 more a while later, and 5 in the journal only."""
    bench = Forgetting(tmp_path)
    bench.clock.advance(100)
    bench.append(7)
    bench.archive()
    bench.clock.advance(100)
    bench.append(5)
    bench.seal()
    yield bench
    bench.close()


def rebuild(bench: Forgetting, span: Span = Span()) -> tuple[RangeReport, list[Finding]]:  # noqa: B008
    reports, findings = rebuild_ranges(bench.root, LOGS, ORIGINS, span)
    assert [report.log for report in reports] == [str(log) for log in LOGS]
    return next(report for report in reports if report.log == str(INFERENCE)), findings


def leaves(bench: Forgetting, first: int, end: int) -> bytes:
    reader = ArrayReader(INFERENCE.directory(bench.root), INFERENCE.entry_size)
    found = root_of(reader.hashes(0, first, end))
    reader.close()
    return found


def test_what_the_archive_has_is_rebuilt_and_what_it_has_not_yet_is_said(bench: Forgetting) -> None:
    report, findings = rebuild(bench)
    assert findings == []
    assert (report.first, report.end, report.rebuilt, report.erased, report.expired, report.waiting) == (0, 52, 47, 0, 0, 5)
    assert report.root == "", "not all of it was rebuilt"


def test_a_span_of_time_is_a_stretch_of_the_log_and_has_a_root_of_its_own(bench: Forgetting) -> None:
    report, findings = rebuild(bench, Span(START_NS + 50 * 10**9, START_NS + 150 * 10**9))
    assert findings == []
    assert (report.first, report.end, report.rebuilt, report.waiting) == (40, 47, 7, 0)
    assert report.root == leaves(bench, 40, 47).hex()
    nothing, _ = rebuild(bench, Span(START_NS + 500 * 10**9, None))
    assert (nothing.first, nothing.end, nothing.root) == (52, 52, "")


def test_erased_rows_give_their_leaf_by_the_commitment_and_expired_ones_are_counted(bench: Forgetting) -> None:
    some, due = to_places({"main/inference": [3, 17, 18]}), to_places({"main/inference": range(41, 44)})
    bench.ask(some)
    bench.empty(some, bench.approve(some))
    report, findings = rebuild(bench)
    assert (findings, report.rebuilt, report.erased) == ([], 52, 3)
    assert report.root == leaves(bench, 0, 52).hex()
    with bench.follower() as follower:
        drop_rows(follower, due)
    assert [finding.detail.partition(":")[0] for finding in rebuild(bench)[1]] == ["#41–43"], "nobody has said so"
    bench.say(EventsExpired(events=due, count=3, kinds={}, before="2026-11-26", retention=""), "prn_clock")
    report, findings = rebuild(bench)
    assert (findings, report.rebuilt, report.erased, report.expired, report.root) == ([], 49, 3, 3, "")


def alter(column: str, value: Callable[[pa.ChunkedArray], pa.Array]) -> Change:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        return table.set_column(at, table.schema.field(at), value(table[column]))

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda table: pa.concat_tables([table.slice(0, 5), table.slice(7)]), {"rows_missing: #5–6"}),
        (lambda table: pa.concat_tables([table.slice(0, 6), table.slice(5)]), {"rows_doubled: #5"}),
        (alter("seq", lambda seqs: pc.add(seqs, pa.scalar(1, pa.uint64()))), {"rows_differ: #0–39"}),
        (alter("raw", lambda raws: pa.array([b"{}", *raws.to_pylist()[1:]], pa.binary())), {"rows_differ: #0"}),
        (alter("salt", lambda salts: pa.array([*salts.to_pylist()[:-1], bytes(16)], pa.binary(16))), {"rows_differ: #39"}),
    ],
    ids=["missing", "doubled", "seq", "raw", "salt"],
)
def test_a_row_that_is_not_what_was_sealed_is_located(
    bench: Forgetting, change: Callable[[pa.Table], pa.Table], expected: set[str]
) -> None:
    (path,) = (path for path in bench.parts() if "part-0-39" in path.name)
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)
    report, findings = rebuild(bench)
    assert {f"{finding.what}: {finding.detail.partition(':')[0]}" for finding in findings} == expected
    assert {finding.what for finding in findings} <= FAULTS
    assert report.root == ""


def test_a_file_that_is_none_is_named_and_its_rows_are_missing(bench: Forgetting) -> None:
    (path,) = (path for path in bench.parts() if "part-40-46" in path.name)
    path.write_bytes(b"PAR1 nonsense")
    _, findings = rebuild(bench)
    assert {finding.what for finding in findings} == {"rows_unreadable", "rows_missing"}
    assert any("part-40-46" in finding.detail for finding in findings)


def test_a_list_of_files_that_cannot_be_read_is_a_finding(bench: Forgetting) -> None:
    for path in bench.events_dir.glob("manifest-*.json"):
        path.write_text("{}")
    reports, findings = rebuild_ranges(bench.root, LOGS, ORIGINS, Span())
    assert (reports, [finding.what for finding in findings]) == ([], ["rows_unreadable"])
