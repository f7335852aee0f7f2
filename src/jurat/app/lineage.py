"""What rests on what: asked for by name, answered from the graph; and which predictions were made by what was trained on a data set."""

from __future__ import annotations

from typing import Final

import msgspec

from jurat.app.look import SeeLineage, check
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.domain import commands, rows
from jurat.domain.lineage import ASSET, DATA, ENDPOINT, MEASURED, SORTS, VERSION, check_node, node
from jurat.domain.state import State
from jurat.store.store import Snapshot

MOST_EDGES: Final = 100_000
MOST_PREDICTIONS: Final = 10_000
_ROWS: Final[dict[str, type[rows.Row]]] = {DATA: rows.Dataset, VERSION: rows.Version, ASSET: rows.Asset, ENDPOINT: rows.Endpoint}
_PREDICTIONS: Final = """
    SELECT prediction, version, occurred_at, outcome, event_id FROM events
    WHERE kind = 'prediction.made.v1' AND version IN (SELECT unnest(?)) AND (occurred_at, event_id) > (?, ?)
    ORDER BY occurred_at, event_id LIMIT ?
"""
_COUNT: Final = """
    SELECT version, count(*), min(occurred_at), max(occurred_at) FROM events
    WHERE kind = 'prediction.made.v1' AND version IN (SELECT unnest(?)) GROUP BY version ORDER BY version
"""


class Edge(msgspec.Struct, frozen=True):
    """One edge, `depth` away from where the walk began. `claimed`: an outside producer's word, not our own record."""

    depth: int
    source: str
    relation: str
    target: str
    claimed: bool
    event: str


class Graph(msgspec.Struct, frozen=True):
    """What a walk met, nearest first. `is_cut`: there is more."""

    start: str
    direction: str  # upstream, downstream
    nodes: dict[str, int]  # node → edges away
    edges: list[Edge]
    is_cut: bool
    as_of: int  # the position of the last event that it contains


class MadeBy(msgspec.Struct, frozen=True):
    version: str
    predictions: int
    first: str
    last: str


class Prediction(msgspec.Struct, frozen=True):
    prediction: str
    version: str
    at: str
    outcome: str
    event: str


class PredictionsByData(msgspec.Struct, frozen=True):
    """Every version that was trained on a data set, at any remove, and what they answered. `next`: where a further page begins."""

    dataset: str
    versions: list[str]
    made: list[MadeBy]
    predictions: list[Prediction]
    next: str
    as_of: dict[str, int]


def graph(app: App, token: str, name: str, *, up: bool, depth: int = 64, limit: int = 10_000) -> Graph:
    """Return what a node rests on (`up`), or what rests on it.

    Raises:
        Denied: the caller may not see the lineage; recorded.
        NotFound: nothing is called so.
        Malformed: no node's name, or a depth or limit out of range.
    """
    if not 1 <= depth <= 1_000 or not 1 <= limit <= MOST_EDGES:
        raise Malformed(f"depth `{depth}`, limit `{limit}`: expected 1 to 1000, and 1 to {MOST_EDGES}")
    check(app, token, SeeLineage(place="workspace"))
    with app.store.reading() as state:
        start = resolve(state, name)
        found, as_of = state.walk(start, up=up, depth=depth, limit=limit), state.as_of
        if not found.steps:
            _refuse_unknown(state, start)
    edges = [Edge(*step) for step in found.steps]
    return Graph(start, "upstream" if up else "downstream", found.nodes, edges, found.is_cut, as_of)


def predictions_by_data(app: App, token: str, dataset: str, *, after: str = "", limit: int = 100) -> PredictionsByData:
    """Return which predictions were made by versions trained on a data set, at any remove: the asking is an act, and recorded.

    Raises:
        Denied: the caller may not read the ledger, or not see the lineage; recorded.
        NotFound: no data set is called so.
    """
    if not 1 <= limit <= MOST_PREDICTIONS:
        raise Malformed(f"limit `{limit}` is outside 1 to {MOST_PREDICTIONS}")
    since = _cursor(after)
    check(app, token, SeeLineage(place="workspace"))
    act(app, token, commands.ReadRecords(question="predictions-by-data", subject=dataset[:200], as_of=app.events.as_of()))
    app.settle()
    with app.store.reading() as state:
        start = resolve(state, dataset)
        if not start.startswith((f"{DATA}:", "dataset:")):
            raise Malformed(f"`{dataset[:80]}` is no data set", hint="`jurat data list` shows what is")
        walked = state.walk(start, up=False, without=[MEASURED, "serves"])
        _refuse_unknown(state, start)
    if walked.is_cut:
        raise Conflict(
            f"more than {MOST_EDGES} edges lie downstream of `{start}`", hint="ask for what rests on it: `jurat lineage downstream`"
        )
    versions = sorted(each.partition(":")[2] for each in walked.nodes if each.startswith(f"{VERSION}:"))
    kinds = ["prediction.made.v1"]
    counted = app.events.select(_COUNT, [versions], kinds=kinds)
    made = [MadeBy(version, int(count), _at(first), _at(last)) for version, count, first, last in counted.rows]
    answer = app.events.select(_PREDICTIONS, [versions, *since, limit + 1], kinds=kinds)
    shown = [Prediction(prediction, version, _at(at), outcome, event) for prediction, version, at, outcome, event in answer.rows[:limit]]
    following = f"{shown[-1].at}|{shown[-1].event}" if len(answer.rows) > limit else ""
    return PredictionsByData(start.partition(":")[2], versions, made, shown, following, dict(answer.as_of))


def resolve(state: State, name: str) -> str:
    """Return the node that a name means: a whole node, or the bare name of a data set, version, asset or endpoint.

    Raises:
        NotFound, Malformed: nothing, or more than one thing, is called so.
    """
    if name.partition(":")[0] in SORTS:
        return check_node(name)
    found = [node(sort, name) for sort, row in _ROWS.items() if state.get(row, name) is not None]
    if not found:
        raise NotFound(f"nothing is called `{name[:80]}`", hint=f"write a whole node: `data:loans@v1`; sorts: {', '.join(SORTS)}")
    if len(found) > 1:
        raise Malformed(f"`{name[:80]}` means {' and '.join(f'`{each}`' for each in found)}", hint="write one of them")
    return found[0]


def _refuse_unknown(state: Snapshot, start: str) -> None:
    sort, _, name = start.partition(":")
    row = _ROWS.get(sort)
    if row is not None and state.get(row, name) is not None:
        return
    if not state.walk(start, up=True, depth=1, limit=1).steps and not state.walk(start, up=False, depth=1, limit=1).steps:
        raise NotFound(
            f"nothing in the lineage is called `{start[:120]}`", hint="`jurat data list` and `jurat model list` show what is registered"
        )


def _cursor(after: str) -> tuple[object, str]:
    if not after:
        return parse_at("1970-01-01T00:00:00Z"), ""
    at, bar, event = after.partition("|")
    if not bar:
        raise Malformed(f"`{after[:60]}` is not where a page begins", hint="use `next` of the answer before")
    return parse_at(at), event


def _at(value: object) -> str:
    return format_at(to_ns(value))  # type: ignore[arg-type]  # DuckDB gives a datetime
