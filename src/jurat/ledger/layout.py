"""Where a ledger's things lie, and what its logs are called. Names only: nothing here opens or trusts a file.

<workspace>/ledger/
  journal/uuid  journal/00000001.wal …      the write-ahead file, shared by all logs (journal)
  <tenant>/<class>/entries L0 L1 …          flat arrays (arrays);  <tenant>/<class>/checkpoint: the public signed note
  anchor/entries L0 … anchor/checkpoint     the log of the other logs' checkpoints
  <tenant>/events/…                         Parquet and its manifest (archive)
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from jurat.core.errors import Malformed
from jurat.domain.kinds import RetentionClass
from jurat.merkle.entry import ANCHOR_ENTRY_SIZE, ENTRY_SIZE


class LogName(NamedTuple):
    """One log: a tenant's retention class, or the anchor log (`anchor`, of no tenant)."""

    tenant: str
    name: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}" if self.tenant else self.name

    def origin(self, host: str) -> str:
        """Return the log's public name, such as `jurat.local/main/inference`."""
        return f"{host}/{self}"

    def directory(self, ledger_root: Path) -> Path:
        """Return where the log's arrays and public checkpoint lie."""
        return ledger_root / self.tenant / self.name if self.tenant else ledger_root / self.name

    @property
    def entry_size(self) -> int:
        """Bytes of one entry: 59, or 89 in the anchor log."""
        return ENTRY_SIZE if self.tenant else ANCHOR_ENTRY_SIZE


ANCHOR: Final = LogName("", "anchor")


def class_logs(tenant: str) -> list[LogName]:
    """Return the tenant's six logs, always in the same order."""
    return [LogName(tenant, each.value) for each in RetentionClass]


def parse_log_name(text: str) -> LogName:
    """Return the log that `main/inference` or `anchor` names. The inverse of `str`.

    Raises:
        Malformed: neither form, or an unknown class.
    """
    if text == str(ANCHOR):
        return ANCHOR
    tenant, _, name = text.partition("/")
    if not tenant or name not in set(RetentionClass):
        classes = ", ".join(f"`{each}`" for each in RetentionClass)
        raise Malformed(f"`{text[:80]}` is not a log", hint=f"write `<tenant>/<class>` with a class of {classes}, or `anchor`")
    return LogName(tenant, name)


def hash_origin(origin: str) -> bytes:
    """Return SHA256(origin); the journal carries its first 8 bytes, anchor entries all 32."""
    return hashlib.sha256(origin.encode()).digest()


def journal_directory(ledger_root: Path) -> Path:
    return ledger_root / "journal"


def events_directory(ledger_root: Path, tenant: str) -> Path:
    return ledger_root / tenant / "events"


def checkpoint_file(ledger_root: Path, log: LogName) -> Path:
    return log.directory(ledger_root) / "checkpoint"


def log_keys_file(keys_directory: Path) -> Path:
    """The public half: what an auditor is given."""
    return keys_directory / "log-keys.json"


def signing_key_file(keys_directory: Path, number: int = 1) -> Path:
    """The secret half: one seed of which every key is derived; 2 and up once keys were changed."""
    return keys_directory / ("signing.key" if number == 1 else f"signing.{number}.key")
