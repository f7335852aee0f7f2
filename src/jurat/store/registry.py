"""The MLflow-shaped registry, read with its own indexes: one row by name, a page of a search, the newest of each stage.

Each answer carries the position of the last event that it contains, read in the same statement: whoever remembers what a
caller may see knows whether that still holds. Changes nothing; changes come by `Tx.record` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import psycopg
from psycopg import sql

from jurat.core.errors import Malformed, Tampered
from jurat.core.jsonio import dump_json
from jurat.domain.registry_names import STAGES
from jurat.domain.registry_search import PROMPT_TAG, Clause
from jurat.domain.rows import RegistryModel, RegistryVersion

# What the two tables have beside `key`, `row`, `as_of`: columns that PostgreSQL derives from the row itself.
SHAPE: Final[dict[str, tuple[str, ...]]] = {
    "registry_models": (
        (
            "ALTER TABLE view.registry_models ADD name text COLLATE \"C\" GENERATED ALWAYS AS (row ->> 'name') STORED, "
            "ADD updated_ms bigint GENERATED ALWAYS AS ((row ->> 'updated_ms')::bigint) STORED"
        ),
        "CREATE INDEX ON view.registry_models (name)",
        "CREATE INDEX ON view.registry_models (updated_ms, name)",
    ),
    "registry_versions": (
        (
            "ALTER TABLE view.registry_versions ADD name text COLLATE \"C\" GENERATED ALWAYS AS (row ->> 'name') STORED, "
            "ADD number int GENERATED ALWAYS AS ((row ->> 'number')::int) STORED, "
            "ADD stage text GENERATED ALWAYS AS (row ->> 'stage') STORED, "
            "ADD run_id text COLLATE \"C\" GENERATED ALWAYS AS (row ->> 'run_id') STORED, "
            "ADD source_path text COLLATE \"C\" GENERATED ALWAYS AS (row ->> 'source') STORED, "
            "ADD created_ms bigint GENERATED ALWAYS AS ((row ->> 'created_ms')::bigint) STORED, "
            "ADD updated_ms bigint GENERATED ALWAYS AS ((row ->> 'updated_ms')::bigint) STORED"
        ),
        "CREATE INDEX ON view.registry_versions (name, number DESC)",
        "CREATE INDEX ON view.registry_versions (name, stage, number DESC)",
        "CREATE INDEX ON view.registry_versions (updated_ms DESC, name, number DESC)",
        "CREATE INDEX ON view.registry_versions (created_ms DESC, name, number DESC)",
        "CREATE INDEX ON view.registry_versions (run_id)",
        "CREATE INDEX ON view.registry_versions (number)",
    ),
}
HEAD: Final = "(SELECT next_position - 1 FROM outbox.head)"
LATEST: Final = (
    "(SELECT jsonb_agg(l.row)::text FROM unnest(%(stages)s::text[]) AS s (stage) CROSS JOIN LATERAL (SELECT v.row FROM "
    "view.registry_versions v WHERE v.name = m.key AND v.stage = s.stage ORDER BY v.number DESC LIMIT 1) AS l)"
)
_R = TypeVar("_R")
_OPERATORS: Final = {op: sql.SQL(op) for op in ("=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE")}
_NUMBERS: Final = (-(2**63), 2**63 - 1)


class Found(NamedTuple):
    """A model with the newest version of each stage, as of a position; None: there is no such model."""

    position: int
    model: RegistryModel | None
    latest: list[RegistryVersion]


class FoundVersion(NamedTuple):
    """A version with its model, as of a position."""

    position: int
    model: RegistryModel | None
    version: RegistryVersion | None


class RegistryView:
    """The registry through one connection in autocommit: each answer is a picture of its own."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def models(
        self, clauses: Iterable[Clause], prompts: bool, order: Sequence[tuple[str, bool]], after: list[Any] | None, limit: int
    ) -> tuple[int, list[Found]]:
        """Return a page of models, and the position that it is of."""
        where, values = _where(clauses, order, after, prompts)
        query = sql.SQL("SELECT {head}, m.row::text, {latest} FROM view.registry_models m WHERE {where} ORDER BY {order} LIMIT %(limit)s")
        text = query.format(head=sql.SQL(HEAD), latest=sql.SQL(LATEST), where=where, order=_order(order))
        rows = self._connection.execute(text, {**values, "stages": list(STAGES), "limit": limit}).fetchall()
        found = [Found(p, read_model(m), read_versions(latest) if latest else []) for p, m, latest in rows]
        return (found[0].position if found else self.position()), found

    def versions(
        self, clauses: Iterable[Clause], prompts: bool, order: Sequence[tuple[str, bool]], after: list[Any] | None, limit: int
    ) -> tuple[int, list[RegistryVersion]]:
        """Return a page of versions, and the position that it is of."""
        where, values = _where(clauses, order, after, prompts)
        query = sql.SQL("SELECT {head}, m.row::text FROM view.registry_versions m WHERE {where} ORDER BY {order} LIMIT %(limit)s")
        text = query.format(head=sql.SQL(HEAD), where=where, order=_order(order))
        rows = self._connection.execute(text, {**values, "limit": limit}).fetchall()
        return (rows[0][0] if rows else self.position()), [read_version(row) for _, row in rows]

    def aliases(self, names: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return the aliases of these models: alias → number."""
        query = "SELECT key, (row -> 'aliases')::text FROM view.registry_models WHERE key = ANY(%s) AND row -> 'aliases' <> '{}'"
        return {key: msgspec.json.decode(text) for key, text in self._connection.execute(query, [sorted(set(names))], prepare=True)}

    def position(self) -> int:
        """Return the position of the last event."""
        found = self._connection.execute(f"SELECT {HEAD}".encode()).fetchone()
        return int(found[0]) if found else 0


def _where(
    clauses: Iterable[Clause], order: Sequence[tuple[str, bool]], after: list[Any] | None, prompts: bool
) -> tuple[sql.Composable, dict[str, Any]]:
    parts: list[sql.Composable] = []
    values: dict[str, Any] = {}

    def value(given: Any) -> sql.Placeholder:
        name = f"v{len(values)}"
        values[name] = given
        return sql.Placeholder(name)

    for clause in clauses:
        parts.append(_condition(clause, value))
    if not prompts:
        parts.append(sql.SQL("(m.row -> 'tags' ->> {key}) IS DISTINCT FROM 'true'").format(key=value(PROMPT_TAG)))
    if after is not None:
        parts.append(_beyond(order, after, value))
    return sql.SQL(" AND ").join(parts) if parts else sql.SQL("true"), values


def _condition(clause: Clause, value: Any) -> sql.Composable:
    if clause.is_tag:
        if clause.operator == "=":  # by the row's own index
            return sql.SQL("m.row @> {}::jsonb").format(value(dump_json({"tags": {clause.key: clause.value}}).decode()))
        return sql.SQL("(m.row -> 'tags' ->> {}) {} {}").format(value(clause.key), _OPERATORS[clause.operator], value(clause.value))
    column = sql.Identifier("m", {"version_number": "number"}.get(clause.key, clause.key))
    if isinstance(clause.value, tuple):
        test = "{} = ANY({})" if clause.operator == "IN" else "{} <> ALL({})"
        return sql.SQL(test).format(column, value(list(clause.value)))
    if isinstance(clause.value, int) and not _NUMBERS[0] <= clause.value <= _NUMBERS[1]:
        raise Malformed(f"`{clause.value}` does not fit into 64 bits")
    compared = sql.SQL("{} {} {}").format(column, _OPERATORS[clause.operator], value(clause.value))
    if clause.key == "name" and (clause.operator == "ILIKE" or (clause.operator == "LIKE" and str(clause.value)[:1] in ("%", "_"))):
        # No index of versions answers this; there are far fewer models than versions, and each version's name is a model's.
        matching = sql.SQL("SELECT r.name FROM view.registry_models r WHERE r.name {} {}")
        return sql.SQL("{} IN ({})").format(column, matching.format(_OPERATORS[clause.operator], value(clause.value)))
    return compared


def _beyond(order: Sequence[tuple[str, bool]], after: list[Any], value: Any) -> sql.Composable:
    """Return the condition for what comes after a row in this order: equal so far, and beyond in the next field."""
    choices: list[sql.Composable] = []
    for index, (field, ascending) in enumerate(order):
        same = [sql.SQL("{} = {}").format(sql.Identifier("m", f), value(v)) for (f, _), v in zip(order[:index], after, strict=False)]
        more = sql.SQL("{} > {}" if ascending else "{} < {}").format(sql.Identifier("m", field), value(after[index]))
        choices.append(sql.SQL("({})").format(sql.SQL(" AND ").join([*same, more])))
    first, ascending = order[0]
    bound = sql.SQL("{} >= {}" if ascending else "{} <= {}").format(sql.Identifier("m", first), value(after[0]))  # for the index
    return sql.SQL("{} AND ({})").format(bound, sql.SQL(" OR ").join(choices))


def _order(order: Sequence[tuple[str, bool]]) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL("{} ASC" if up else "{} DESC").format(sql.Identifier("m", field)) for field, up in order)


def _reader(decoder: msgspec.json.Decoder[_R]) -> Callable[[str], _R]:
    def read(text: str) -> _R:
        try:
            return decoder.decode(text)
        except msgspec.DecodeError as error:
            raise Tampered(
                f"a row of the registry cannot be read: {error}", hint="run `jurat rebuild --compare`", code="row_unreadable"
            ) from None

    return read


read_model: Final = _reader(msgspec.json.Decoder(RegistryModel))
read_version: Final = _reader(msgspec.json.Decoder(RegistryVersion))
read_versions: Final = _reader(msgspec.json.Decoder(list[RegistryVersion]))
