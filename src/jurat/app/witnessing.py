"""A witness and its memory, plugged together: a file in its directory, or somebody's PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from jurat.core.errors import Malformed
from jurat.ledger.witness_desk import PublicWitness, Witness, create_witness
from jurat.ledger.witness_store import Memory


def make_witness(directory: Path, name: str, store: str = "") -> PublicWitness:
    """Make a witness: its keys in a directory, and an empty memory there or at `store`.

    Raises:
        Malformed: a name that no key can have, or an address of no database.
        Conflict: there is one already.
        Unavailable: the disk or the database refused.
    """
    if not store:
        return create_witness(directory, name)
    from jurat.store.witness import create_witness_memory

    url = _database_url(store)
    return create_witness(directory, name, make_memory=lambda vkeys: create_witness_memory(url, vkeys))


def open_witness(directory: Path, store: str = "") -> Witness:
    """Return an existing witness, ready to answer.

    Raises:
        NotFound, Malformed, Conflict, Unavailable: keys or memory are missing, corrupt, another's, or away.
    """
    if not store:
        return Witness(directory)
    url = _database_url(store)

    def open_memory(vkeys: Sequence[str]) -> Memory:
        from jurat.store.witness import PostgresMemory

        return PostgresMemory(url, vkeys)

    return Witness(directory, memory=open_memory)


def _database_url(store: str) -> str:
    if urlsplit(store).scheme not in ("postgresql", "postgres"):
        raise Malformed("the witness's store is not the address of a database", hint="write `postgresql://user@host/database`")
    return store
