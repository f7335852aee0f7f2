"""The catalogue of metrics that a gate may name: what each counts, which way is better, what is believable.

A gate that names anything else is refused when it is declared. Knows nothing of how a metric is measured (`stats`)
and nothing of the thresholds that an organisation chooses (`gatefile`).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from jurat.core.units import Dimension


class Scale(StrEnum):
    """What a metric's values are."""

    RATIO = "ratio"  # 0.85 or 85%
    DURATION = "duration"  # seconds; written 100ms
    SIZE = "size"  # bytes; written 2GB
    COUNT = "count"  # whole things; no unit, no percent
    FLAG = "flag"  # true or false; written by its bare name, and true is what passes


class Better(StrEnum):
    """Which way is better. A gate may only bound a metric on its bad side."""

    HIGHER = "higher"
    LOWER = "lower"


class GateType(StrEnum):
    """The kinds of gate of a gate file, as the file writes them."""

    AUTOMATED_TESTS = "automated_tests"  # measured on a held-out data set, before staging
    BIAS_CHECK = "bias_check"  # measured per protected group, before staging
    STAGING_SOAK = "staging_soak"  # observed while the version runs in staging
    HUMAN_APPROVAL = "human_approval"  # people say yes; measures nothing
    SECURITY_SCAN = "security_scan"  # what scanners found in the artefacts and their dependencies
    DOCUMENTATION = "documentation"  # cards and data sheets, generated from evidence
    ROLLOUT = "rollout"  # observed while the version gets a share of the traffic
    CUSTOM = "custom"  # the organisation's own: expressions over any metric, CEL, and policies written in Python


class Metric(NamedTuple):
    """One thing that can be measured on a version.

    `lower` and `upper` bound what is believable, in the base unit of the scale; a value outside is a fault of the
    measurement and never passes. `two_sided`: the sign only says which group is ahead, so gates compare `|x|`.
    """

    name: str
    dimension: Scale
    direction: Better
    two_sided: bool
    lower: Decimal
    upper: Decimal
    gates: frozenset[GateType]  # those that can measure it
    meaning: str


_TESTS, _BIAS, _SOAK = GateType.AUTOMATED_TESTS, GateType.BIAS_CHECK, GateType.STAGING_SOAK
_SCAN, _DOCS, _ROLLOUT = GateType.SECURITY_SCAN, GateType.DOCUMENTATION, GateType.ROLLOUT
_YEAR_S, _EXBIBYTE = 366 * 86_400, 2**60


def _ratio(name: str, direction: Better, gates: set[GateType], meaning: str, *, two_sided: bool = False) -> Metric:
    return Metric(name, Scale.RATIO, direction, two_sided, Decimal(-1 if two_sided else 0), Decimal(1), frozenset(gates), meaning)


def _duration(name: str, meaning: str) -> Metric:
    return Metric(name, Scale.DURATION, Better.LOWER, False, Decimal(0), Decimal(_YEAR_S), frozenset({_TESTS, _SOAK, _ROLLOUT}), meaning)


def _flag(name: str, gates: set[GateType], meaning: str) -> Metric:
    return Metric(name, Scale.FLAG, Better.HIGHER, False, Decimal(0), Decimal(1), frozenset(gates), meaning)


_ALL: Final = (
    _ratio("accuracy", Better.HIGHER, {_TESTS}, "share of answers that match the known outcome"),
    _ratio("precision", Better.HIGHER, {_TESTS}, "share of favourable answers that were right"),
    _ratio("recall", Better.HIGHER, {_TESTS}, "share of favourable outcomes that were found"),
    _ratio("roc_auc", Better.HIGHER, {_TESTS}, "chance that a favourable case scores above an unfavourable one"),
    _ratio("test_coverage", Better.HIGHER, {_TESTS}, "share of the training code's lines that its tests run"),
    _duration("latency_p50", "half of all answers took no longer"),
    _duration("latency_p95", "95 % of all answers took no longer"),
    _duration("latency_p99", "99 % of all answers took no longer"),
    Metric(
        "memory_usage", Scale.SIZE, Better.LOWER, False, Decimal(0), Decimal(_EXBIBYTE), frozenset({_TESTS, _SOAK}),
        "largest resident memory of the process that runs the model",
    ),
    _ratio(
        "demographic_parity_difference", Better.LOWER, {_BIAS, _ROLLOUT}, "largest gap in favourable answers between two groups",
        two_sided=True,
    ),
    _ratio(
        "equalized_odds_difference", Better.LOWER, {_BIAS}, "larger of the gaps in true and false positive rates between two groups",
        two_sided=True,
    ),
    _ratio("calibration_error_per_group", Better.LOWER, {_BIAS}, "largest gap, in any group, between predicted and actual probability"),
    *(
        _ratio(f"intersectional_{name}", Better.LOWER, {_BIAS}, f"`{name}` between people who share two attributes", two_sided=both)
        for name, both in (
            ("demographic_parity_difference", True), ("equalized_odds_difference", True), ("calibration_error_per_group", False),
        )
    ),
    _ratio("noise_agreement", Better.HIGHER, {_TESTS}, "share of answers that stay when every number moves by 5 % of its spread"),
    _ratio("missing_agreement", Better.HIGHER, {_TESTS}, "share of answers that stay, of those still given, when one value is missing"),
    _ratio("order_agreement", Better.HIGHER, {_TESTS}, "share of answers that stay when the rows come in another order"),
    _ratio("out_of_range_valid", Better.HIGHER, {_TESTS}, "share of rows far outside the data that are refused, or validly answered"),
    _duration("latency_p99_under_load", "99 % of answers took no longer while four callers asked at once"),
    _ratio("consistency_score", Better.HIGHER, {_BIAS}, "share of similar individuals who get the same answer"),
    _ratio("error_rate", Better.LOWER, {_TESTS, _SOAK, _ROLLOUT}, "share of requests that got no answer"),
    Metric(
        "request_count", Scale.COUNT, Better.HIGHER, False, Decimal(0), Decimal(10**18), frozenset({_TESTS, _SOAK, _ROLLOUT}),
        "requests behind the other figures",
    ),
    _flag("no_critical_alerts", {_SOAK, _ROLLOUT}, "nothing critical was raised while it ran"),
    _flag("no_critical_findings", {_TESTS, _SCAN}, "the scans of its artefacts found nothing critical"),
    _flag("signature_verified", {_SCAN}, "a signature by a signer whom this workspace trusts covers its weights"),
    Metric(
        "known_flaws", Scale.COUNT, Better.LOWER, False, Decimal(0), Decimal(10**6), frozenset({_SCAN}),
        "flaws that are known of the packages in its lock",
    ),
    Metric(
        "worst_known_severity", Scale.RATIO, Better.LOWER, False, Decimal(0), Decimal(10), frozenset({_SCAN}),
        "highest CVSS score, 0 to 10, of a flaw that is known of a package in its lock; one without a score counts as 10",
    ),
    _flag("model_card_complete", {_DOCS}, "the model card says something under every heading, from evidence"),
    _flag("data_sheet_complete", {_DOCS}, "the data sheet of its training data leaves nothing out"),
    _ratio("mean_confidence", Better.HIGHER, {_ROLLOUT}, "mean confidence of its answers"),
    _ratio("abstention_rate", Better.LOWER, {_ROLLOUT}, "share of answers withheld because the model was not sure enough"),
    Metric(
        "confidence_drift", Scale.RATIO, Better.LOWER, False, Decimal(0), Decimal(1_000), frozenset({_ROLLOUT}),
        "population stability index of its confidence, against the last day of the version that it replaces",
    ),
    _ratio("output_drift", Better.LOWER, {_ROLLOUT}, "total variation distance of its answers from the last day of the one it replaces"),
)  # fmt: skip
METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in _ALL}

# Spellings that people reach for. They are refused with the canonical name, so that one thing has one name in the log.
OTHER_SPELLINGS: Final = {
    "equalised_odds_difference": "equalized_odds_difference",
    "statistical_parity_difference": "demographic_parity_difference",
    "calibration_error": "calibration_error_per_group",
    "individual_fairness": "consistency_score",
    "individual_consistency": "consistency_score",
    "auc": "roc_auc",
    "latency": "latency_p99",
    "memory": "memory_usage",
    "p99_latency": "latency_p99",
}

DIMENSIONS: Final = {
    Scale.RATIO: Dimension.RATIO,
    Scale.COUNT: Dimension.RATIO,
    Scale.DURATION: Dimension.DURATION,
    Scale.SIZE: Dimension.SIZE,
}
EXAMPLES: Final = {Scale.RATIO: "0.85 or 85%", Scale.COUNT: "300", Scale.DURATION: "100ms", Scale.SIZE: "2GB"}
