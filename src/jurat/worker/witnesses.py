"""Gathers cosignatures on the anchor log's checkpoints, as they are published, and publishes what a quorum cosigned.

One round is one checkpoint: every witness that is free is asked for it at once, and the round ends with the quorum, with
the last answer, or when it has lasted too long. A witness has at most one request in flight; one that hangs misses
rounds and holds up nobody, one that failed is asked again after a pause that grows. The sequencer knows nothing of this
and waits for nothing; only a witness that has seen another tree (`Tampered`) stops the whole tree of processes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Sequence
from typing import Final

from jurat.core.errors import JuratError, Malformed, Tampered, Unavailable
from jurat.core.files import write_whole
from jurat.core.jsonio import dump_json
from jurat.core.last_words import say
from jurat.core.workspace import Workspace
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.layout import ANCHOR, checkpoint_file
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.witnessed import (
    Standing,
    Standings,
    anchor_keys,
    load_policy,
    unverified_checkpoint,
    witnessed_file,
    write_standings,
    write_witnessed,
)
from jurat.merkle.note import Verifier, read_unverified_text, verifiers_of
from jurat.merkle.policy import Policy, show_name, verify_quorum
from jurat.worker.witness_client import Site, ask_witness

TIMEOUT_S: Final = 5.0  # of one request
_ROUND_S: Final = 6.0
_PAUSE_S: Final = (1.0, 60.0)  # after a failure: from … doubling to …
_TICK_S: Final = 0.1
_REFRESH_S: Final = 1.0  # how often the published file is marked as current


class Asked:
    """One witness, and how it stands."""

    def __init__(self, site: Site, names: Sequence[str]) -> None:
        self.site = site
        self.standing = Standing(url=site.url, names=[show_name(name) for name in names])
        self.is_busy = False
        self.failures = 0
        self.free_at_s = 0.0  # monotonic


class Gatherer:
    """The log's side of the witness protocol for one workspace. `step` is called by one thread."""

    def __init__(self, workspace: Workspace, policy: Policy, *, timeout_s: float = TIMEOUT_S) -> None:
        self._workspace, self._policy, self._timeout_s = workspace, policy, timeout_s
        self._root = workspace.ledger
        self._mine = anchor_keys(workspace)
        self._verifiers: list[Verifier] = verifiers_of(self._mine.all_vkeys())
        self.asked = [Asked(site, names) for site, names in sites_of(policy)]
        self._answers: queue.SimpleQueue[tuple[Asked, str, str | JuratError]] = queue.SimpleQueue()
        self._note = ""  # of this round
        self._lines: dict[str, str] = {}  # by url, of this round
        self._began_s = self._refreshed_s = 0.0
        self._has_quorum = False
        self._size = 0  # with a quorum

    def step(self, wait_s: float = _TICK_S) -> bool:
        """Ask who can be asked, take in what has come; return whether every witness has cosigned the newest checkpoint.

        Raises:
            Tampered: a witness has seen another tree of this log, or our own checkpoint does not hold.
        """
        self._begin_round()
        for asked in self.asked:
            is_open = self._note and not asked.is_busy and asked.site.url not in self._lines
            if is_open and time.monotonic() >= asked.free_at_s:
                asked.is_busy = True
                threading.Thread(target=self._ask, args=(asked, self._note), daemon=True, name="witness").start()
        with contextlib.suppress(queue.Empty):
            self._take(*self._answers.get(timeout=wait_s))
            while True:
                self._take(*self._answers.get_nowait())
        self._mark_current()
        return bool(self._note) and len(self._lines) == len(self.asked)

    @property
    def has_quorum(self) -> bool:
        """Whether the checkpoint of this round is published with a quorum."""
        return self._has_quorum

    @property
    def size(self) -> int:
        """The size of the newest checkpoint with a quorum."""
        return self._size

    def _begin_round(self) -> None:
        is_over = self._has_quorum or not any(asked.is_busy for asked in self.asked) or time.monotonic() - self._began_s > _ROUND_S
        if not is_over:
            return
        try:
            note = checkpoint_file(self._root, ANCHOR).read_text("utf-8")
        except OSError as error:
            raise Unavailable(f"the anchor log has no checkpoint: {(error.strerror or str(error)).lower()}") from error
        if note == self._note:
            return
        if (mine := anchor_keys(self._workspace)) != self._mine:  # it has changed its keys
            self._mine, self._verifiers = mine, verifiers_of(mine.all_vkeys())
        if not open_checkpoint(note, self._mine).size:
            return
        self._note, self._lines, self._has_quorum, self._began_s = note, {}, False, time.monotonic()

    def _ask(self, asked: Asked, note: str) -> None:
        reader = ArrayReader(ANCHOR.directory(self._root), ANCHOR.entry_size)
        answer: str | JuratError
        try:
            answer = ask_witness(asked.site, note, self._verifiers, reader.node, asked.standing.size, self._newest_size, self._timeout_s)
        except JuratError as error:
            answer = error
        except Exception as error:  # a fault of ours must not look like a witness that hangs
            answer = Unavailable(f"asking `{asked.site.url}` failed: {type(error).__name__}: {str(error)[:200]}")
        finally:
            reader.close()
        self._answers.put((asked, note, answer))

    def _newest_size(self) -> int:
        try:
            return unverified_checkpoint(checkpoint_file(self._root, ANCHOR).read_bytes()).size
        except OSError as error:
            raise Unavailable("the anchor log has no checkpoint") from error

    def _take(self, asked: Asked, note: str, answer: str | JuratError) -> None:
        asked.is_busy = False
        standing, now_s = asked.standing, int(time.time())
        if isinstance(answer, JuratError):
            if answer.code != "overtaken":
                standing.error, standing.failed_s = answer.detail, now_s
            if isinstance(answer, Tampered):
                self._write_standings()
                keep_fork(self._workspace, answer)
                raise answer
            if answer.code == "overtaken":
                asked.free_at_s = time.monotonic() + _TICK_S
                return
            pause_s = min(_PAUSE_S[0] * 2**asked.failures, _PAUSE_S[1])
            asked.failures, asked.free_at_s = asked.failures + 1, time.monotonic() + pause_s
            if asked.failures == 1:
                say(f"{answer.family}: {answer.detail}; asking again" + (f" ({answer.hint})" if answer.hint else ""))
        else:
            asked.failures = 0
            standing.error, standing.cosigned_s = "", now_s
            standing.size = max(standing.size, unverified_checkpoint(note).size)
            if note == self._note:
                self._lines[asked.site.url] = answer
                self._publish()
        self._write_standings()

    def _publish(self) -> None:
        cosigned = self._note + "".join(self._lines[asked.site.url] for asked in self.asked if asked.site.url in self._lines)
        try:
            verify_quorum(self._policy, cosigned)
        except Tampered as error:
            if error.code != "quorum_missing":
                raise
            return
        write_witnessed(self._root, cosigned)
        self._has_quorum, self._size = True, unverified_checkpoint(self._note).size
        self._refreshed_s = time.monotonic()

    def _mark_current(self) -> None:
        """While nothing is newer than what the quorum cosigned, say so by the file's time: readers measure from there."""
        if not self._has_quorum or time.monotonic() - self._refreshed_s < _REFRESH_S:
            return
        self._refreshed_s = time.monotonic()
        with contextlib.suppress(OSError):
            newest = checkpoint_file(self._root, ANCHOR).read_text("utf-8")
            if read_unverified_text(newest) == read_unverified_text(self._note):
                os.utime(witnessed_file(self._root))

    def _write_standings(self) -> None:
        standings = Standings(
            quorum=show_name(self._policy.quorum), size=self._size, witnesses=[asked.standing for asked in self.asked]
        )  # fmt: skip
        with contextlib.suppress(Unavailable):  # it is for people; the disk's trouble is told elsewhere
            write_standings(self._root, standings)


def sites_of(policy: Policy) -> list[tuple[Site, list[str]]]:
    """Return whom to ask, and under which names the policy knows them: keys with one URL are one witness."""
    by_url: dict[str, list[str]] = {}
    for name, witness in policy.witnesses.items():
        if witness.url:
            by_url.setdefault(witness.url.rstrip("/"), []).append(name)
    return [(Site(url, tuple(policy.witnesses[name].verifier for name in names)), names) for url, names in by_url.items()]


def keep_witnessed(workspace: Workspace, stopping: threading.Event) -> None:
    """Have every checkpoint of the anchor log cosigned, until `stopping`. A policy that is changed takes effect within a second.

    Raises:
        Tampered: a witness knows another tree: everything must stop.
        Malformed: the policy cannot be read as this begins; one that is spoiled later is named, and the last good one holds.
    """
    gatherer, written = _gatherer(workspace), _written_ns(workspace)
    while not stopping.is_set():
        if _written_ns(workspace) != written:
            written = _written_ns(workspace)
            try:
                gatherer = _gatherer(workspace)
                say("`witness-policy.txt` was changed: it holds from now on")
            except Malformed as error:
                say(f"{error.family}: {error.detail}; the policy before it holds on")
        try:
            if gatherer is None or not gatherer.asked:
                stopping.wait(_REFRESH_S)
            else:
                gatherer.step()
        except Unavailable as error:
            say(f"{error.family}: {error.detail}; trying again")
            stopping.wait(_REFRESH_S)


def _gatherer(workspace: Workspace) -> Gatherer | None:
    policy = load_policy(workspace.witness_policy)
    return None if policy is None else Gatherer(workspace, policy)


def _written_ns(workspace: Workspace) -> int:
    try:
        return workspace.witness_policy.stat().st_mtime_ns
    except OSError:
        return 0


def keep_fork(workspace: Workspace, error: Tampered) -> None:
    """Keep what a witness said against us, for whoever has to find out."""
    workspace.run.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(Unavailable):
        write_whole(workspace.run / "forked.json", dump_json({"detail": error.detail, "hint": error.hint, **error.fields}) + b"\n")
