"""What holds now of assets, of what rests on what, and of what changed upstream."""

from __future__ import annotations

from typing import Final

from jurat.domain.row import Row


class Asset(Row, frozen=True, kw_only=True):
    """Key: its name, `prompt/greeting@1.0.0`."""

    asset: str
    kind: str
    system: str
    digest: str
    size_bytes: int
    description: str
    uses: list[str]
    author: str


class Edge(Row, frozen=True, kw_only=True):
    """`target` rests on `source`. Key: both with the relation between them, so that saying it twice changes nothing."""

    source: str
    relation: str
    target: str
    claimed: bool  # an outside producer's word


class UpstreamChange(Row, frozen=True, kw_only=True):
    """One that was not cleared. Key: its id."""

    change: str
    cause: str
    node: str
    reason: str
    in_production: str
    package: str
    affected_range: str
    advisory: str
    at: str


class ReopeningRules(Row, frozen=True, kw_only=True):
    """Key `current`."""

    rules: dict[str, str]


class AdvisoriesInForce(Row, frozen=True, kw_only=True):
    """Key `current`: the collection that versions are held against."""

    digest: str
    advisories: int
    newest: str
    at: str


LINEAGE_ROWS: Final[dict[str, type[Row]]] = {
    "assets": Asset,
    "edges": Edge,
    "upstream_changes": UpstreamChange,
    "reopening_rules": ReopeningRules,
    "advisories": AdvisoriesInForce,
}
