"""A governed workspace in memory: the real walk, the real law, the real policies; only the database is a dictionary.

What the fake store promises is what the walk asks of a store: an act is all or nothing, a picture does not change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from jurat.app.admit import new_token
from jurat.app.wiring import App
from jurat.core.clock import FixedClock, parse_at
from jurat.core.settings import Settings, format_settings
from jurat.core.workspace import Workspace
from jurat.domain import facts
from jurat.domain.context import Context
from jurat.domain.events import Actor, Event, encode_event
from jurat.domain.evolve import evolve
from jurat.domain.roles import expiry
from jurat.domain.rows import Row
from jurat.domain.state import MemoryState
from jurat.domain.values import PrincipalType
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources
from jurat.store.vault import KnownToken, Person

NOW_NS = 1_764_000_000 * 10**9


class MemoryVault:
    def __init__(self) -> None:
        self.persons: dict[str, Person] = {}
        self.tokens: dict[bytes, KnownToken] = {}

    def put_person(self, principal: str, *, name: str, email: str) -> None:
        self.persons[principal] = Person(principal, name, email)

    def people(self) -> list[Person]:
        return sorted(self.persons.values())

    def put_token(
        self, token_hash: bytes, *, token_id: str, principal: str, chain: Sequence[str], expires_at: datetime, session: str = "",
        jkt: str = "", audience: Sequence[str] = (), hands: Sequence[str] = (), root: str = "",
        idle_s: float = 0.0, used_at: datetime | None = None,
    ) -> None:  # fmt: skip
        self.tokens[token_hash] = KnownToken(
            token_id, principal, list(chain), "*", expires_at, None, session, jkt, " ".join(audience), hands, root, idle_s, used_at
        )

    def forget_tokens(self, before: datetime) -> int:
        return 0

    def find_token(self, token_hash: bytes) -> KnownToken | None:
        return self.tokens.get(token_hash)

    def revoke_token(self, token_id: str, principal: str, at: datetime) -> None:
        for key, token in self.tokens.items():
            if (token.token_id, token.principal) == (token_id, principal):
                self.tokens[key] = token._replace(revoked_at=at)


class MemoryTx:
    def __init__(self, store: MemoryStore) -> None:
        self.state, self.vault, self._events = store.state, store.vault, store.events

    def record(self, events: Sequence[Event]) -> None:
        assert events
        for event in events:
            encode_event(event)
            self.state.apply(evolve(self.state, event))
            self._events.append(event)


class Picture(MemoryState):
    vault: MemoryVault


class MemoryStore:
    """A store in dictionaries. `events` is the outbox, in order."""

    def __init__(self) -> None:
        self.state, self.vault, self.events = MemoryState(), MemoryVault(), list[Event]()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[MemoryTx]:
        tables, persons, tokens, count = self._copy(), dict(self.vault.persons), dict(self.vault.tokens), len(self.events)
        try:
            yield MemoryTx(self)
        except BaseException:
            self.state.tables, self.vault.persons, self.vault.tokens = tables, persons, tokens
            del self.events[count:]
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Picture]:
        picture = Picture()
        picture.tables, picture.vault = self._copy(), self.vault
        yield picture

    def _copy(self) -> dict[str, dict[str, Row]]:
        return {table: dict(rows) for table, rows in self.state.tables.items()}  # rows themselves are frozen


class NoEvents:
    """A ledger that nothing was written to yet."""

    def as_of(self) -> dict[str, int]:
        return {"main/access": 0}


@dataclass
class World:
    """A workspace with policies and people. `tokens`: by name; each person holds the role of their name."""

    app: App
    store: MemoryStore
    tokens: dict[str, str]
    ids: dict[str, str]


def make_world(root: Path, *roles: str) -> World:
    """Return a world with one person per role, called like it, and the default policies in force."""
    workspace = Workspace(root)
    root.mkdir(exist_ok=True)
    workspace.settings_file.write_text(format_settings(Settings()))
    workspace.credentials.mkdir(mode=0o700, exist_ok=True)
    store = MemoryStore()
    app = App(workspace, Settings(), cast("Any", store), FixedClock(NOW_NS), cast("Any", NoEvents()))
    sources = default_sources()
    schema = sources.pop(SCHEMA_NAME)
    nobody = Actor(principal="prn_" + "0" * 26, type=PrincipalType.PERSON, chain=["prn_" + "0" * 26])
    context = Context(nobody, NOW_NS, None, "workspace")
    ids, tokens = {}, {}
    with store.transaction() as tx:
        digest = PolicySet.load(sources, schema).digest
        tx.record([context.event(facts.PolicySetApplied(digest=digest, files=sources, schema=schema, reason="test"))])
        for role in ("operator", *roles):
            ids[role] = context.fresh("prn")
            registered = facts.PrincipalRegistered(principal=ids[role], type=PrincipalType.PERSON, owner=None, name=None)
            granted = facts.RoleGranted(
                grant=context.fresh("grt"), principal=ids[role], role=role, scope="*", reason="test", expires_at=expiry(NOW_NS, 86_400)
            )
            tx.record([context.event(registered), context.event(granted)])
            tokens[role], token_hash = new_token()
            tx.vault.put_person(ids[role], name=role.title(), email="")
            tx.vault.put_token(
                token_hash, token_id=context.fresh("tok"), principal=ids[role], chain=[ids[role]], expires_at=parse_at(expiry(NOW_NS, 3600))
            )
            path = workspace.credentials / f"{role}.token"
            path.write_text(tokens[role] + "\n")
            path.chmod(0o600)
    return World(app, store, tokens, ids)
