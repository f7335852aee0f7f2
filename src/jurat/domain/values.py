"""The values that facts, rows and commands are made of: small, frozen, with their units in their names.

LAW: as for facts (`facts.py`): fields are only added, last, with a default. They lie inside events.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False, omit_defaults=False):
    """Base of all facts: the `data` of an event."""


class PrincipalType(StrEnum):
    """Who can act."""

    PERSON = "person"
    SERVICE = "service"
    AGENT = "agent"  # an AI
    PROCESS = "process"  # a pipeline, a job


class RiskTier(StrEnum):
    """The AI Act's tiers, as far as they may be operated at all."""

    MINIMAL = "minimal"
    LIMITED = "limited"
    HIGH = "high"


class DataSheet(msgspec.Struct, frozen=True, kw_only=True):
    """Where data came from and what is known to be wrong with it."""

    purpose: str
    source: str
    collection_method: str
    licence: str
    known_biases: list[str]
    sensitive_columns: list[str]
    label: str
    favourable_outcome: str


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number in base units (seconds, bytes, ratio), with its 95 % interval where it has one."""

    name: str
    value: float | None  # None: not enough data, and `reason` says why
    low: float | None = None
    high: float | None = None
    n: int = 0
    group_by: str = ""  # the protected column that groups were made by
    reason: str = ""


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """One of the six versioned parts: its human version and its digest."""

    version: str
    digest: str
    size_bytes: int = 0


class Artefacts(msgspec.Struct, frozen=True, kw_only=True):
    """All six parts; a version's digest is the digest of this."""

    weights: Artefact  # 1.1.0-3f9a01b2c4d5
    training_code: Artefact  # example.org/credit@<commit>
    training_data: Artefact  # german-credit:v1-2026-11-25
    feature_definitions: Artefact  # features-schema:1.0.0
    serving_configuration: Artefact  # serve-config:1.0.0
    dependencies: Artefact  # requirements-lock:sha256:…


class TrainingData(msgspec.Struct, frozen=True, kw_only=True):
    dataset: str
    dataset_digest: str
    row_count: int
    feature_columns: list[str]


class TrainingCode(msgspec.Struct, frozen=True, kw_only=True):
    git_repo: str
    git_commit: str
    git_branch: str


class TrainingConfig(msgspec.Struct, frozen=True, kw_only=True):
    hyperparameters: dict[str, Any]
    training_duration_s: float
    hardware: str


class Clause(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a gate and how it stood."""

    gate: str  # `automated_tests`
    condition: str  # `accuracy >= 0.85`
    verdict: str  # pass, fail, not_enough_data
    found: str  # for people: `0.853 [0.81, 0.89]`
    reason: str
    evidence: list[str] = []  # event ids


class ClaimedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A number that another server tells of a run; never evidence."""

    key: str
    value: float | None  # None: `NaN` or an infinity, as `text` says
    step: int = 0
    at_ms: int = 0
    text: str = ""


class DatasetInput(msgspec.Struct, frozen=True, kw_only=True):
    """A data set that a run says it read: names and digests of another server, not ours."""

    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    context: str = ""  # training, evaluation


class Guardrail(msgspec.Struct, frozen=True, kw_only=True):
    """What one check on the path of a prediction did."""

    name: str
    status: str  # ran, skipped, failed_closed, failed_open
    reason: str = ""
