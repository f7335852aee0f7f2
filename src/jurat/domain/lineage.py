"""What rests on what: the names of nodes, and walks along edges. Pure; a walk reads edges through `State`, one node at a time.

Long walks over a large graph are the store's (`store.lineage`), which asks for a whole front at once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final, NamedTuple

from jurat.core.digests import digest_json
from jurat.core.errors import Malformed
from jurat.domain import rows
from jurat.domain.packages import is_in_range
from jurat.domain.state import State

DATA, VERSION, ENDPOINT, ASSET, CODE, ARTEFACT, PACKAGE, RUN, FOREIGN = SORTS = (
    "data", "version", "endpoint", "asset", "code", "artefact", "package", "run", "dataset",
)  # fmt: skip
MEASURED: Final = "measured"  # a version was measured on it: it stands behind its approvals, not behind its predictions
MOST_NODE_BYTES: Final = 512
_PASSED_ON: Final = frozenset((DATA, VERSION, ASSET, RUN, FOREIGN))  # what can rest on something else
_MOST_NODES: Final = 50_000


def node(sort: str, name: str) -> str:
    """Return the name of a node, such as `data:loans@v1`."""
    return f"{sort}:{name}"


def check_node(text: str) -> str:
    """Return `text` if it can name a node.

    Raises:
        Malformed: no known sort, too long, or characters that do not show.
    """
    sort, bar, name = text.partition(":")
    if not bar or sort not in SORTS or not name:
        raise Malformed(f"`{text[:80]}` is not a node of the lineage", hint=f"write `<sort>:<name>`; sorts: {', '.join(SORTS)}")
    return f"{sort}:{check_foreign_name(name)}"


def check_foreign_name(name: str) -> str:
    """Return a name from outside if it can stand in a node: what looks the same is the same.

    Raises:
        Malformed: empty, too long, not in normal form, or with characters that do not show.
    """
    if not name or len(name.encode("utf-8", "surrogatepass")) > MOST_NODE_BYTES:
        raise Malformed(f"name `{name[:60]}…` has {len(name)} characters, expected 1 to {MOST_NODE_BYTES} bytes")
    if any(unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp") for c in name):
        raise Malformed(f"name {name[:60]!a} holds characters that do not show")
    if unicodedata.normalize("NFC", name) != name:
        raise Malformed(f"name {name[:60]!a} is not in Unicode's normal form C", hint="two names that look the same must be the same")
    return name


def edge_key(source: str, relation: str, target: str) -> str:
    """Return the key of an edge: saying the same twice changes nothing."""
    return digest_json([source, relation, target]).removeprefix("sha256:")


def upstream(state: State, start: str) -> set[str]:
    """Return what a node rests on, at any remove. Raises Malformed beyond 50,000 nodes: nothing real is that deep."""
    return _walk(state, start, up=True)


def versions_on(state: State, starts: Iterable[str]) -> list[rows.Version]:
    """Return the versions that rest on any of these nodes, by name."""
    found: set[str] = set()
    for start in starts:
        found |= {each for each in _walk(state, start, up=False) if each.startswith("version:")}
    known = [state.get(rows.Version, each.partition(":")[2]) for each in sorted(found)]
    return [version for version in known if version is not None]


class Doubt(NamedTuple):
    """A change upstream that a version's approvals have not taken into account."""

    change: str
    text: str
    event: str


def doubts(state: State, version: rows.Version) -> list[Doubt]:
    """Return what changed upstream of a version since, and was not approved in knowledge of it. Read at every gate."""
    changes = [each for each in state.find(rows.UpstreamChange) if each.change not in version.accepted]
    if not changes:
        return []
    behind = upstream(state, node(VERSION, version.version))
    return [Doubt(each.change, tell(each), each.as_of) for each in changes if concerns(each, behind)]


def concerns(change: rows.UpstreamChange, behind: set[str]) -> bool:
    """Whether a change touches one of these nodes."""
    if change.cause != "advisory":
        return change.node in behind
    prefix = f"package:{change.package}=="
    return any(is_in_range(each.removeprefix(prefix), change.affected_range) for each in behind if each.startswith(prefix))


def tell(change: rows.UpstreamChange) -> str:
    """Return a change for people."""
    if change.cause == "advisory":
        return f"`{change.package}` {change.affected_range} has a known flaw ({change.advisory})"
    return f"`{change.node}` was recalled" if change.cause == "recalled" else f"the licence of `{change.node}` changed"


def data_node(state: State, namespace: str, name: str, digest: str) -> str:
    """Return the node of a data set as an outside producer names it: one of ours by digest or by name, else a foreign one."""
    same = sorted(each.dataset for each in state.find(rows.Dataset, digest=digest)) if digest else []
    if same:
        return node(DATA, same[0])
    if namespace == "jurat":
        sort, _, rest = name.partition("/")
        if sort == "data" and state.get(rows.Dataset, rest) is not None:
            return node(DATA, rest)
        if sort == "model" and state.get(rows.Version, rest) is not None:
            return node(VERSION, rest)
    return check_node(node(FOREIGN, f"{namespace}/{name}"))


def _walk(state: State, start: str, *, up: bool) -> set[str]:
    seen: set[str] = set()
    front = [start]
    while front:
        current = front.pop()
        edges = state.find(rows.Edge, target=current) if up else state.find(rows.Edge, source=current)
        for edge in edges:
            other = edge.source if up else edge.target
            if other in seen:
                continue
            seen.add(other)
            if len(seen) > _MOST_NODES:
                raise Malformed(f"more than {_MOST_NODES} things lie {'up' if up else 'down'}stream of `{start}`")
            if other.partition(":")[0] in _PASSED_ON:
                front.append(other)
    return seen
