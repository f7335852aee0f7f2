"""Carries notices out of the house, by every way that the settings name: each way by a thread of its own, so that none waits for another.

A way that fails is left alone for a while that grows to a minute; which letter is tried when is `app.delivery`'s business. What
was sent and could not be recorded, since the process was killed or the database away, is sent again under the same id.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from jurat.app.delivery import MAIL, Letter, Outbound, Outcome, Tried
from jurat.app.wiring import App
from jurat.core.clock import SystemClock
from jurat.core.errors import Unavailable
from jurat.core.last_words import say
from jurat.core.settings import Settings, load_settings
from jurat.core.workspace import Workspace
from jurat.worker.mail import Mail
from jurat.worker.rounds import keep_rounds
from jurat.worker.webhook import Webhook, way_of

_EVERY_S: Final = 0.5
_AGAIN_AFTER_S: Final = 10.0
_AT_ONCE: Final = 20  # letters, before a thread reports
_LONGEST_PAUSE_S: Final = 60.0


class Carrier(Protocol):
    """One way out."""

    def prepare(self) -> None:
        """Pass if letters can go; raise `Unavailable` if something of ours is missing."""

    def send(self, letter: Letter) -> Tried:
        """Try once, within its time, and return how it went."""


def keep_delivered(workspace: Workspace, stopping: threading.Event) -> None:
    """Send what is due, twice a second, until told to stop. Nothing to do where the settings name no way.

    Raises:
        Malformed: the settings cannot be read.
        Tampered: something that should be there is not; it is for a person to look.
    """
    carriers = carriers_of(workspace, load_settings(workspace))
    if not carriers:
        return
    post = PostOffice(workspace, carriers)
    keep_rounds(
        workspace, stopping, lambda app: lambda: post.go_round(app),
        application="delivery", every_s=_EVERY_S, again_after_s=_AGAIN_AFTER_S,
    )  # fmt: skip


def carriers_of(workspace: Workspace, settings: Settings) -> dict[str, Carrier]:
    """Return the ways out that the settings name, by name."""
    plain = settings.webhooks_plain == "on"
    carriers: dict[str, Carrier] = {way_of(url): Webhook(workspace, url, SystemClock(), plain=plain) for url in settings.webhooks}
    if settings.mail_server:
        carriers[MAIL] = Mail(workspace, settings)
    return carriers


class PostOffice:
    """What is under way, over all rounds and all attachments to the workspace."""

    def __init__(self, workspace: Workspace, carriers: Mapping[str, Carrier]) -> None:
        self._carriers = carriers
        self._outbound = Outbound(workspace, list(carriers))
        self._returned: queue.Queue[tuple[str, list[Tried]]] = queue.Queue()
        self._unrecorded: list[Tried] = []
        self._busy: set[str] = set()
        self._failures = dict.fromkeys(carriers, 0)
        self._free_at_s = dict.fromkeys(carriers, 0.0)

    def go_round(self, app: App) -> None:
        """Record what came back since the last round, and send what is due. Waits for no one outside."""
        while not self._returned.empty():
            way, tried = self._returned.get()
            self._busy.discard(way)
            self._unrecorded += tried
            if tried:
                self._pause(way, tried[-1])
        if self._unrecorded:
            for end in self._outbound.take(app, self._unrecorded):
                if end.outcome != "delivered":
                    say(f"notice {end.notice} was given up by {end.way} after {end.tries} tries: {end.why}")
            self._unrecorded = []
        for way, letters in self._outbound.due(app).items():
            if letters and way not in self._busy and time.monotonic() >= self._free_at_s[way] and self._is_ready(way):
                self._busy.add(way)
                threading.Thread(target=self._carry, args=(way, letters[:_AT_ONCE]), daemon=True, name="delivery").start()

    def _carry(self, way: str, letters: Sequence[Letter]) -> None:
        tried: list[Tried] = []
        try:
            for letter in letters:
                tried.append(self._try(self._carriers[way].send, letter))
                if tried[-1].outcome is Outcome.AWAY:
                    break
        finally:
            self._returned.put((way, tried))

    def _try(self, send: Callable[[Letter], Tried], letter: Letter) -> Tried:
        try:
            return send(letter)
        except Exception as error:  # a fault of ours must not look like a letter that is for ever under way
            return Tried(letter, Outcome.AWAY, f"sending failed: {type(error).__name__}")

    def _is_ready(self, way: str) -> bool:
        try:
            self._carriers[way].prepare()
        except Unavailable as error:
            self._fail(way, f"{error.detail}" + (f" ({error.hint})" if error.hint else ""))
            self._outbound.say(way, error.detail)
            return False
        return True

    def _pause(self, way: str, last: Tried) -> None:
        if last.outcome is Outcome.AWAY:
            self._fail(way, last.why)
        else:
            self._failures[way], self._free_at_s[way] = 0, 0.0

    def _fail(self, way: str, why: str) -> None:
        self._free_at_s[way] = time.monotonic() + min(2.0 ** self._failures[way], _LONGEST_PAUSE_S)
        self._failures[way] += 1
        if self._failures[way] == 1:
            say(f"notices do not go out by {way}: {why}; trying again")
