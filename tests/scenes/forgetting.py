"""A ledger some of whose events are to be forgotten: the words of its configuration log, and what a verifier says of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.scenes.archive import Bench

from jurat.core.settings import Settings, lock_file
from jurat.domain.events import Actor, Event, encode_event
from jurat.domain.facts import KIND_OF, Fact
from jurat.domain.facts_keeping import ErasureApproved, ErasureRequested, EventsErased, Places, Search
from jurat.domain.kinds import BY_NAME
from jurat.domain.places import to_places
from jurat.domain.values import PrincipalType
from jurat.ledger.erase import Word, erase_rows
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import LogName, log_keys_file
from jurat.ledger.verify import verify_workspace

CONFIGURATION = LogName("main", "configuration")
NOW = datetime(2026, 11, 26, tzinfo=UTC)


class Forgetting(Bench):
    """A ledger of 40 predictions, archived, whose configuration log may say that some of them are gone."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.recorded[CONFIGURATION] = []
        self.append(40)
        self.archive()

    def say(self, fact: Fact, who: str) -> int:
        """Record what somebody said; return its index."""
        actor = Actor(principal=who, type=PrincipalType.PERSON, chain=[who])
        done = self.recorded[CONFIGURATION]
        done.append(encode_event(Event(id=f"evt_{len(done)}", at="2026-11-26T00:00:00Z", actor=actor, resource="workspace", data=fact)))
        self.ledger.append(CONFIGURATION, len(done), done[-1:], kind=BY_NAME[KIND_OF[type(fact)]].code)
        self.archive()
        return len(done) - 1

    def ask(self, events: Places, who: str = "prn_asker") -> None:
        self.say(
            ErasureRequested(
                request="req_1", selector="event", reference="", person="", events=events, count=1, kept={}, reason="", legal_basis="",
                retention="", shown_digest="", expires_at="",
            ), who,
        )  # fmt: skip

    def approve(self, events: Places, who: str = "prn_officer") -> int:
        return self.say(ErasureApproved(request="req_1", shown_digest="", comment="", events=events), who)

    def finish(self, events: Places) -> int:
        nothing = Search(files=1, size_bytes=1, archive_rows=1, needles=1, left_over=[])
        return self.say(
            EventsErased(request="req_1", events=events, count=1, reason="", legal_basis="", files=[], removed=[], search=nothing), "prn_op"
        )

    def empty(self, events: Places, tombstone: int) -> None:
        with self.follower() as follower:
            erase_rows(follower, events, Word(tombstone, NOW, "erasure req_1"))

    def leave_journal(self) -> None:
        """Let everything so far lie in the archive only, as a run does."""
        self.ledger.engine.journal.rotate()
        self.ask(to_places({"main/error": [0]}))
        assert self.shorten_journal() == 1

    def faults(self) -> set[tuple[str, int | None]]:
        keys = load_log_keys(log_keys_file(self.workspace.keys))
        report = verify_workspace(self.root, keys, lock_file(self.workspace, Settings()))
        return {(fault.what, fault.index) for fault in report.faults}
