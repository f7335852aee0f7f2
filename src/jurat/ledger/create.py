"""The birth of a workspace's logs: keys, journal, empty arrays, first checkpoints. Happens once, here and nowhere else.

An empty directory is never "a new log": an unmounted volume would become a fork. So the sequencer creates nothing that
the lock store does not know.
"""

from __future__ import annotations

import os

from jurat.core.clock import Clock, SystemClock
from jurat.core.errors import Conflict
from jurat.core.files import sync_directory, write_whole
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.ledger.arrays import LogArrays
from jurat.ledger.keys import LogKeys, LogSigners, create_signing_key, load_signing_key, write_log_keys
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file, class_logs, journal_directory, log_keys_file, signing_key_file
from jurat.ledger.lockstore import Locked, create_lock_store
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.note import sign_note
from jurat.merkle.tree import EMPTY_ROOT


def create_ledger(workspace: Workspace, settings: Settings, clock: Clock | None = None) -> list[LogKeys]:
    """Make the logs of a workspace and their keys; return the public keys, which are in `keys/log-keys.json` too.

    Raises:
        Conflict: there is a ledger, a key or a lock store already; it is untouched.
        Unavailable: the disk refused.
    """
    clock = clock or SystemClock()
    lock = lock_file(workspace, settings)
    for path in (journal_directory(workspace.ledger), lock):
        if path.exists():
            raise Conflict(f"`{path}` is there already", hint="logs are born once; choose another directory", code="log_exists")
    for secret in (workspace.keys, workspace.ledger):  # events lie in the archive as they are, with their salts
        secret.mkdir(mode=0o700, parents=True, exist_ok=True)
    seed = create_signing_key(signing_key_file(workspace.keys))
    signers = make_signers(seed, settings, clock)
    write_log_keys(log_keys_file(workspace.keys), [signer.public for signer in signers.values()])
    born = []
    for log, signer in signers.items():
        directory = log.directory(workspace.ledger)
        directory.mkdir(mode=0o700, parents=True)
        LogArrays(directory, log.entry_size, 0).close()
        sync_directory(directory.parent)
        note = sign_note(format_checkpoint(Checkpoint(signer.public.origin, 0, EMPTY_ROOT)), signer.checkpoint)
        born.append(Locked(signer.public.origin, 0, EMPTY_ROOT, note, clock.now_ns()))
    journal = journal_directory(workspace.ledger)
    journal.mkdir(mode=0o700)
    uuid = os.urandom(16)
    write_whole(journal / "uuid", f"{uuid.hex()}\n".encode(), mode=0o600)
    sync_directory(workspace.ledger)
    create_lock_store(lock, uuid, born)
    for log, entry in zip(signers, born, strict=True):
        write_whole(checkpoint_file(workspace.ledger, log), entry.note.encode())
    return [signer.public for signer in signers.values()]


def make_signers(seed: bytes, settings: Settings, clock: Clock) -> dict[LogName, LogSigners]:
    """Return the private keys of every log of the workspace: the tenant's six, and the anchor log."""
    logs = [*class_logs(settings.tenant), ANCHOR]
    return {log: LogSigners(seed, log, settings.log_host, lambda: clock.now_ns() // 1_000_000_000) for log in logs}


def load_signers(workspace: Workspace, settings: Settings, clock: Clock) -> dict[LogName, LogSigners]:
    """Return the private keys of an existing workspace's logs.

    Raises:
        NotFound, Malformed: the signing key is missing or corrupt.
    """
    return make_signers(load_signing_key(signing_key_file(workspace.keys)), settings, clock)
