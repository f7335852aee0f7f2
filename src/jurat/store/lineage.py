"""The lineage graph as PostgreSQL holds it: walked a whole front at a time, so that a million edges are a question of a second.

Changes nothing; edges come by `Tx.record` only.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import psycopg

# What `view.edges` has beside `key`, `row`, `as_of`: columns that PostgreSQL derives from the row itself.
LINEAGE_SHAPE: Final[dict[str, tuple[str, ...]]] = {
    "edges": (
        (
            "ALTER TABLE view.edges ADD source text COLLATE \"C\" GENERATED ALWAYS AS (row ->> 'source') STORED, "
            "ADD target text COLLATE \"C\" GENERATED ALWAYS AS (row ->> 'target') STORED, "
            "ADD relation text COLLATE \"C\" GENERATED ALWAYS AS (row ->> 'relation') STORED, "
            "ADD claimed boolean GENERATED ALWAYS AS ((row ->> 'claimed')::boolean) STORED"
        ),
        "CREATE INDEX ON view.edges (source) INCLUDE (target, relation, claimed, as_of)",
        "CREATE INDEX ON view.edges (target) INCLUDE (source, relation, claimed, as_of)",
    ),
}
_DOWN: Final = (
    "SELECT source, relation, target, claimed, as_of FROM view.edges WHERE source = ANY(%s) AND NOT (relation = ANY(%s)) LIMIT %s"
)
_UP: Final = _DOWN.replace("WHERE source", "WHERE target")


class Step(NamedTuple):
    """One edge as a walk met it: `depth` edges away from where it began, the first one 1."""

    depth: int
    source: str
    relation: str
    target: str
    claimed: bool
    event: str


class Walk(NamedTuple):
    """What a walk met. `is_cut`: there is more than was asked for."""

    nodes: dict[str, int]  # node → how many edges away; not the start
    steps: list[Step]
    is_cut: bool


def walk(
    connection: psycopg.Connection, start: str, *, up: bool, depth: int = 64, limit: int = 100_000, without: Collection[str] = ()
) -> Walk:
    """Return everything that a node rests on (`up`), or that rests on it, nearest first.

    Args:
        depth: edges away at most.
        limit: edges at most.
        without: relations that are not followed.
    """
    nodes, steps, front, is_cut = {start: 0}, list[Step](), [start], False
    connection.execute("SET LOCAL random_page_cost = 1.1")  # a front of thousands is still looked up by index: the graph is far larger
    for distance in range(1, depth + 1):
        left = limit - len(steps)
        found = connection.execute(_UP if up else _DOWN, [front, list(without), left + 1]).fetchall()
        is_cut, found = len(found) > left, found[:left]
        steps += [Step(distance, *edge) for edge in found]
        other = 0 if up else 2
        front = list(dict.fromkeys(edge[other] for edge in found if edge[other] not in nodes))
        nodes.update(dict.fromkeys(front, distance))
        if is_cut or not front:
            break
    else:
        is_cut = bool(front)
    del nodes[start]
    return Walk(nodes, steps, is_cut)
