"""The lineage graph in PostgreSQL with a million edges: what rests on a data set that much rests on, and what an endpoint rests on.

`lineage.query_s`   the slower of the two, each the median of several, with everything that a caller pays: policy, walk, objects

2,000 data sets, each read by runs that write data sets in turn; 100,000 runs, 100,000 versions with their code, four artefacts and
packages, an endpoint for every tenth. The edges are loaded by the fast path of a rebuild, with the guards off, then analysed.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.support import result, timed

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.lineage import Graph, graph
from jurat.app.wiring import open_app
from jurat.core.jsonio import dump_json
from jurat.core.workspace import Workspace
from jurat.domain.lineage import edge_key
from jurat.domain.rows import Edge
from jurat.store.connect import attach_database
from jurat.store.store import Store

EDGES, QUICK_EDGES, TARGET_S = 1_000_000, 100_000, 1.0
_ROUNDS: Final = 5
_EVENT: Final = "evt_" + "0" * 26


def run(quick: bool) -> list[dict[str, Any]]:
    """Return the one result, with its `name`, `value`, `unit`, `against` and `ratio`."""
    count = QUICK_EDGES if quick else EDGES
    with tempfile.TemporaryDirectory(prefix="jurat-bench-") as folder:
        root = Path(folder) / "w"
        init_workspace(root, throwaway=True)
        try:
            with open_app(Workspace(root), throwaway=True) as app:
                fill(app.workspace, count)
                token = (root / "credentials" / "operator.token").read_text().strip()
                down, down_s = _ask(lambda: graph(app, token, "data:set-0@v1", up=False, limit=100_000))
                up, up_s = _ask(lambda: graph(app, token, "endpoint:e-10", up=True, limit=100_000))
        finally:
            remove_workspace(root)
    met = f"{len(down.edges):,} edges downstream in {down_s:.3f} s, {len(up.edges):,} upstream in {up_s:.3f} s, of {count:,}"
    return [result("lineage.query_s", max(down_s, up_s), "s", f"target {TARGET_S:g} s; {met}", max(down_s, up_s) / TARGET_S)]


def fill(workspace: Workspace, count: int) -> None:
    """Load that many edges."""
    with Store.open(attach_database(workspace).dsn("owner"), application="bench") as store, store.connection() as connection:
        with connection.transaction():
            connection.execute("ALTER TABLE view.edges DISABLE TRIGGER event_required")
            with connection.cursor() as cursor, cursor.copy("COPY view.edges (key, row, as_of) FROM STDIN") as copy:
                for source, relation, target in edges(count):
                    row = Edge(as_of=_EVENT, source=source, relation=relation, target=target, claimed=False)
                    copy.write_row((edge_key(source, relation, target), dump_json(row).decode(), _EVENT))
            connection.execute("ALTER TABLE view.edges ENABLE ALWAYS TRIGGER event_required")
        connection.execute("ANALYZE view.edges")


def edges(count: int) -> Iterator[tuple[str, str, str]]:
    """Yield exactly so many different edges; ten belong to one version. Data set 0 is the one that much rests on."""
    dice = random.Random(5)
    left, number, sets = count, 0, max(2, count // 500)
    while left > 0:
        version, made = f"version:m-{number}@1.0.0", f"run:mlflow:{number}"
        read = 0 if number % 20 == 0 else dice.randrange(sets)
        group = [  # ten edges
            (f"data:set-{read}@v1", "read_by", made), (made, "made", version), (f"data:set-{read}@v1", "trained_on", version),
            (f"code:example.org/m@{number // 7:040x}", "code", version), (f"artefact:sha256:{number:064x}", "weights", version),
            (f"artefact:sha256:{number % 97:064x}", "serving_configuration", version),
            (f"package:numpy==1.{number % 30}", "package", version), (f"package:scipy==1.{number % 20}", "package", version),
            (f"package:click==8.{number % 9}", "package", version) if number % 50 else (made, "wrote", f"data:set-{number % sets}@v1"),
            (version, "serves", f"endpoint:e-{number}") if number % 10 == 0 else (f"package:pandas==2.{number % 9}", "package", version),
        ]  # fmt: skip
        yield from group[:left]
        left, number = left - len(group), number + 1


def _ask(question: Any) -> tuple[Graph, float]:
    found: list[Graph] = []
    times = [timed(lambda: found.append(question())) for _ in range(_ROUNDS)]
    return found[-1], statistics.median(times)
