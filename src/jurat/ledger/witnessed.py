"""The anchor log's checkpoint as witnesses cosigned it. Files only; who asks the witnesses is elsewhere.

    anchor/checkpoint             the newest one, written by the sequencer alone, signed by the log alone
    anchor/checkpoint.witnessed   the newest one that a quorum cosigned, with their lines; written by the worker alone
    anchor/witnesses.json         how each witness stands

Two files, because each has one writer: the sequencer never waits for a witness, and never loses a cosignature by
writing over it. Readers get the witnessed one as long as the worker keeps up (its file is fresh, or nothing is newer);
when the quorum has been away for longer, the newest: whoever demands a quorum then refuses it, and sees why.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec

from jurat.core.errors import JuratError, Malformed
from jurat.core.files import write_whole
from jurat.core.jsonio import load_json
from jurat.core.workspace import Workspace
from jurat.ledger.keys import LogKeys, load_log_keys
from jurat.ledger.layout import ANCHOR, checkpoint_file, log_keys_file
from jurat.merkle.checkpoint import Checkpoint, parse_checkpoint
from jurat.merkle.note import read_unverified_text
from jurat.merkle.policy import Policy, parse_policy

PATIENCE_S: Final = 10.0  # how long a newer checkpoint waits for its quorum before it is shown without


class Standing(msgspec.Struct, kw_only=True):
    """How one witness stands. Times are Unix seconds, 0 for never."""

    url: str
    names: list[str]  # in the policy file
    size: int = 0  # last cosigned by it, as far as we know
    cosigned_s: int = 0
    failed_s: int = 0
    error: str = ""  # of the last attempt, empty if it succeeded


class Standings(msgspec.Struct, kw_only=True):
    """How all of them stand. `size`: of the newest checkpoint with a quorum."""

    quorum: str
    size: int
    witnesses: list[Standing]


def anchor_keys(workspace: Workspace) -> LogKeys:
    """Return the public keys of the workspace's anchor log.

    Raises:
        NotFound, Malformed: there are none.
    """
    for each in load_log_keys(log_keys_file(workspace.keys)):
        if each.log == str(ANCHOR):
            return each
    raise Malformed("`keys/log-keys.json` has no key of the anchor log")


def load_policy(path: Path) -> Policy | None:
    """Return the policy in a file, None if there is no such file.

    Raises:
        Malformed: it cannot be read.
    """
    try:
        return parse_policy(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Malformed(f"`{path}` cannot be read: {(error.strerror or str(error)).lower()}") from error


def witnessed_file(ledger_root: Path) -> Path:
    return ANCHOR.directory(ledger_root) / "checkpoint.witnessed"


def standings_file(ledger_root: Path) -> Path:
    return ANCHOR.directory(ledger_root) / "witnesses.json"


def write_witnessed(ledger_root: Path, note: str) -> None:
    """Put this as the newest checkpoint that a quorum cosigned."""
    write_whole(witnessed_file(ledger_root), note.encode())


def read_witnessed(ledger_root: Path) -> str | None:
    """Return the newest checkpoint that a quorum cosigned, unverified; None if there is none that can be read."""
    try:
        note = witnessed_file(ledger_root).read_text("utf-8")
        read_unverified_text(note)
    except (OSError, ValueError, JuratError):
        return None
    return note


def public_anchor(ledger_root: Path, *, now_s: float | None = None) -> bytes:
    """Return the checkpoint of the anchor log that is shown to everybody.

    Raises:
        OSError: there is none.
    """
    newest = checkpoint_file(ledger_root, ANCHOR).read_bytes()
    witnessed = read_witnessed(ledger_root)
    if witnessed is None:
        return newest
    try:
        newest_is_later = read_unverified_text(newest) != read_unverified_text(witnessed)
        age_s = (time.time() if now_s is None else now_s) - witnessed_file(ledger_root).stat().st_mtime
    except (OSError, JuratError):
        return newest
    return newest if newest_is_later and age_s > PATIENCE_S else witnessed.encode()


def newest_anchor(ledger_root: Path) -> bytes:
    """Return the newest checkpoint of the anchor log, with the witnesses' lines if they cosigned this very one.

    Raises:
        OSError: there is none.
    """
    newest, witnessed = checkpoint_file(ledger_root, ANCHOR).read_bytes(), read_witnessed(ledger_root)
    try:
        is_same = witnessed is not None and read_unverified_text(newest) == read_unverified_text(witnessed)
    except JuratError:
        return newest
    return witnessed.encode() if is_same and witnessed is not None else newest


def await_witnessed(ledger_root: Path, timeout_s: float) -> bool:
    """Return whether a quorum cosigned what the anchor log holds now, having waited for it up to `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    wanted = unverified_checkpoint(checkpoint_file(ledger_root, ANCHOR).read_bytes()).size
    while True:
        note = read_witnessed(ledger_root)
        if note is not None and unverified_checkpoint(note).size >= wanted:
            return True
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)


def unverified_checkpoint(note: str | bytes) -> Checkpoint:
    """Return what a note claims, without looking at its signatures.

    Raises:
        Malformed: not a checkpoint.
    """
    return parse_checkpoint(read_unverified_text(note))


def write_standings(ledger_root: Path, standings: Standings) -> None:
    """Tell people and programs how the witnesses stand."""
    write_whole(standings_file(ledger_root), msgspec.json.format(msgspec.json.encode(standings), indent=2) + b"\n")


def read_standings(ledger_root: Path) -> Standings | None:
    """Return how the witnesses stood last, None if nobody asked them yet.

    Raises:
        Malformed: the file holds something else.
    """
    try:
        raw = standings_file(ledger_root).read_bytes()
    except FileNotFoundError:
        return None
    return load_json(raw, Standings, what=f"`{standings_file(ledger_root)}`")
