"""The routes that look at the lineage, at two versions beside each other, and at what nobody uses."""

from __future__ import annotations

import msgspec

from jurat.app import lineage, versions, zombies
from jurat.app.wiring import App
from jurat.core.errors import Malformed
from jurat.web.queries import Looked, NoQuery


class WalkQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which way, and how far."""

    node: str = ""  # read after who asks is known: nothing is said to nobody
    direction: str = "downstream"
    depth: int = 64
    limit: int = 10_000


class PredictionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: str = ""
    limit: int = 100


class ZombieQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    days: int = 90


def walk(app: App, token: str, _path: dict[str, str], query: WalkQuery) -> Looked:
    up = {"upstream": True, "downstream": False}.get(query.direction)
    if up is None:
        raise Malformed(f"direction `{query.direction[:40]}` is neither `upstream` nor `downstream`")
    return lineage.graph(app, token, query.node, up=up, depth=query.depth, limit=query.limit), ""


def predictions(app: App, token: str, path: dict[str, str], query: PredictionsQuery) -> Looked:
    found = lineage.predictions_by_data(app, token, path["dataset"], after=query.after, limit=query.limit)
    return found, found.next


def difference(app: App, token: str, path: dict[str, str], _query: NoQuery) -> Looked:
    return versions.diff(app, token, path["version"], path["other"]), ""


def unused(app: App, token: str, _path: dict[str, str], query: ZombieQuery) -> Looked:
    return zombies.zombies(app, token, query.days), ""
