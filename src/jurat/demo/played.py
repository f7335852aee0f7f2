"""What the story leaves behind, and to whom it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from jurat.app import ask
from jurat.core.workspace import Workspace
from jurat.demo import cheat
from jurat.demo.cast import Player
from jurat.demo.lineage import MODEL
from jurat.demo.traffic import Answer
from jurat.domain import facts
from jurat.domain.values import Clause
from jurat.ledger.evidence import EvidenceReport
from jurat.store.rebuild import Difference

FIRST: Final = f"{MODEL}@1.0.0"  # fails its gates
SECOND: Final = f"{MODEL}@1.1.0"  # passes them


@dataclass(frozen=True)
class Refusal:
    """A no, with its rule, its reason and what would have made it pass."""

    name: str
    code: str
    detail: str
    hint: str
    event: str


class Teller(Protocol):
    """Who tells the story. The CLI prints it; a test keeps it. `names` says who a `prn_…` is, in the story only."""

    names: dict[str, str]

    def chapter(self, title: str) -> None: ...

    def say(self, text: str) -> None: ...

    def fact(self, label: str, value: str) -> None: ...

    def clauses(self, title: str, clauses: list[Clause]) -> None: ...

    def refused(self, who: str, what: str, refusal: Refusal) -> None: ...

    def story(self, story: ask.Story) -> None: ...

    def attack(self, name: str, done: str, found: list[str]) -> None: ...


@dataclass
class Played:
    """What the story left behind."""

    workspace: Workspace
    players: dict[str, Player] = field(default_factory=dict)
    gates: dict[str, facts.GateChecked] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    overridden: str = ""
    refused_applicant: str = ""
    story: ask.Story | None = None
    evidence_file: Path | None = None
    evidence: EvidenceReport | None = None
    attacks: list[cheat.Attack] = field(default_factory=list)
    target: cheat.Target | None = None
    edited_rows: list[Difference] = field(default_factory=list)
    faults_after: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
