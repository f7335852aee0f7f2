"""The birth of a workspace's logs: keys, journal, empty arrays, first checkpoints. Happens once, here and nowhere else.

An empty directory is never "a new log": an unmounted volume would become a fork. So the sequencer creates nothing that
the lock store does not know.
"""

from __future__ import annotations

import os
from pathlib import Path

from jurat.core.clock import Clock, SystemClock
from jurat.core.digests import digest_file
from jurat.core.errors import Conflict
from jurat.core.files import sync_directory, write_whole
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.ledger.arrays import LogArrays
from jurat.ledger.keys import LogKeys, LogSigners, create_signing_key, load_log_keys, load_signing_key, write_log_keys
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
    """Return the private keys of an existing workspace's logs, also of those that have changed their keys.

    Raises:
        NotFound, Malformed: a signing key is missing or corrupt, or `log-keys.json` does not fit them.
    """
    public = _changed_keys(workspace)
    periods = [period for keys in public.values() for period in keys.periods]
    needed = {1} | {period.seed for period in periods if period.last_size is None or signing_key_file(workspace.keys, period.seed).exists()}
    seeds = {number: load_signing_key(signing_key_file(workspace.keys, number)) for number in sorted(needed)}
    signers = make_signers(seeds[1], settings, clock)
    for log, own in signers.items():
        if (keys := public.get(str(log))) is not None:
            own.adopt(LogSigners.of_periods(seeds, log, settings.log_host, lambda: clock.now_ns() // 1_000_000_000, keys))
    return signers


class Keyring:
    """The signers of a running sequencer, taken up anew when `log-keys.json` changes: `run/log-keys.loaded` says which one was."""

    def __init__(self, workspace: Workspace, settings: Settings, clock: Clock) -> None:
        self._workspace, self._settings, self._clock = workspace, settings, clock
        self._seen, digest = self._identity(), self._digest()
        self.signers = load_signers(workspace, settings, clock)
        self._say(digest)

    def refresh(self) -> None:
        """Sign with the keys that the file names now. Whoever rotates waits for the digest that this leaves.

        Raises:
            NotFound, Malformed: a seed or the file is missing or corrupt: sealing cannot go on.
        """
        found = self._identity()
        if found == self._seen:
            return
        digest = self._digest()
        for log, fresh in load_signers(self._workspace, self._settings, self._clock).items():
            self.signers[log].adopt(fresh)
        self._seen = found
        self._say(digest)

    def _identity(self) -> tuple[int, ...]:
        try:
            found = log_keys_file(self._workspace.keys).stat()
        except FileNotFoundError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _digest(self) -> str:
        path = log_keys_file(self._workspace.keys)
        return digest_file(path) if path.exists() else ""

    def _say(self, digest: str) -> None:
        if digest and digest == self._digest():  # else it changed while it was read: the next look takes it up
            self._workspace.run.mkdir(mode=0o700, exist_ok=True)
            write_whole(loaded_keys_file(self._workspace.run), digest.encode())


def loaded_keys_file(run: Path) -> Path:
    """Where the sequencer says which `log-keys.json` it signs by: its digest."""
    return run / "log-keys.loaded"


def _changed_keys(workspace: Workspace) -> dict[str, LogKeys]:
    """Return the public keys of the logs that have changed them. The file must be there once there is a second seed."""
    path = log_keys_file(workspace.keys)
    if not path.exists() and not signing_key_file(workspace.keys, 2).exists():
        return {}
    return {keys.log: keys for keys in load_log_keys(path) if keys.periods}
