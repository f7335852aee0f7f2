"""What holds now of traffic: the rollout of an endpoint, and which versions an endpoint ever served, and how."""

from __future__ import annotations

from typing import Final

from jurat.domain.row import Row
from jurat.domain.values import Clause

RUNNING, PAUSED = "running", "paused"


class Rollout(Row, frozen=True, kw_only=True):
    """Key: the endpoint. The newest one; earlier ones are in the ledger."""

    rollout: str
    endpoint: str
    version: str
    version_digest: str
    from_version: str
    upstream: str
    steps_bp: list[int]
    hold_s: float
    requests: int
    criteria: list[str]
    shadow: bool
    started_by: str
    step: int
    step_since: str
    status: str  # running | paused | completed | rolled_back | aborted
    reason: str = ""
    clauses: list[Clause] = []  # noqa: RUF012 - what it was last judged by

    @property
    def share_bp(self) -> int:
        return self.steps_bp[self.step]

    @property
    def is_live(self) -> bool:
        """Whether the new version gets requests."""
        return self.status in (RUNNING, PAUSED)


class Served(Row, frozen=True, kw_only=True):
    """Key `<endpoint>/<version>`: how the endpoint served that version when it last did."""

    endpoint: str
    version: str
    version_digest: str
    stage: str
    upstream: str
    confidence_floor: float
    requests_per_minute: int
    blocked_patterns: list[str]
    since: str = ""  # RFC 3339: it was put to work there then, and was not put anywhere else since


ROLLOUT_ROWS: Final[dict[str, type[Row]]] = {"rollouts": Rollout, "served": Served}
