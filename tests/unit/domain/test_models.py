"""Data sets, versions and evidence: immutable, named by digest, and measured rather than claimed."""

from __future__ import annotations

import math

import pytest
from tests.unit.domain.law import Law, dataset, digest, version_command

from jurat.core.errors import Conflict, JuratError, Malformed, NotFound
from jurat.domain import commands, rows
from jurat.domain.values import Metric, TrainingData


@pytest.fixture
def law() -> Law:
    law = Law()
    law.apply_gates()
    return law


def refused(law: Law, who: str, command: commands.Command, family: type[JuratError], code: str) -> JuratError:
    before = len(law.events)
    with pytest.raises(family) as caught:
        law.do(who, command)
    assert caught.value.code == code
    assert len(law.events) == before
    return caught.value


def test_a_version_never_changes(law: Law) -> None:
    law.register()
    refused(law, "ada", version_command("1.0.0", weights="9"), Conflict, "version_is_immutable")
    refused(law, "ada", version_command("1.0.0", weights="a"), Conflict, "already_registered")
    law.register("1.0.1", weights="9")


def test_a_data_set_name_never_means_other_bytes(law: Law) -> None:
    law.do("ada", dataset())
    refused(law, "ada", dataset(letter="e"), Conflict, "version_is_immutable")


@pytest.mark.parametrize("name", ["a/b@v1", "../x@v1", "Loans@v1", "lоans@v1", "x" * 65 + "@v1", "@v1", "loans", "loans@", "loans@v 1"])
def test_names_that_could_be_mistaken_are_refused(law: Law, name: str) -> None:
    refused(law, "ada", dataset(name), Malformed, "malformed")


@pytest.mark.parametrize("version", ["1", "1.0", "1.0.0-rc", "v1.0.0", "01.0.0", "1.0.0\n", "1.0.9999999999"])
def test_a_version_is_three_numbers(law: Law, version: str) -> None:
    law.register()
    refused(law, "ada", version_command(version), Malformed, "malformed")


def test_training_data_must_be_the_registered_bytes(law: Law) -> None:
    law.register()
    other = TrainingData(dataset="loans@v1", dataset_digest=digest("e"), row_count=10, feature_columns=["x"])
    refused(law, "ada", version_command("2.0.0", training_data=other), Conflict, "digest_mismatch")
    unknown = TrainingData(dataset="loans@v9", dataset_digest=digest("e"), row_count=10, feature_columns=["x"])
    refused(law, "ada", version_command("2.0.0", training_data=unknown), NotFound, "not_found")


def test_a_claim_that_is_no_number_is_refused(law: Law) -> None:
    law.register()
    refused(law, "ada", version_command("2.0.0", claimed_metrics={"accuracy": math.nan}), Malformed, "malformed")


def test_evidence_on_other_bytes_is_refused(law: Law) -> None:
    version = law.register()
    with pytest.raises(Conflict) as caught:
        law.measure(version, version_digest=digest("c"), accuracy=0.9)
    assert caught.value.code == "digest_mismatch"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_evidence_that_is_no_number_is_refused(law: Law, value: float) -> None:
    version = law.register()
    with pytest.raises(Malformed):
        law.measure(version, accuracy=value)


def test_evidence_without_a_metric_is_refused(law: Law) -> None:
    version = law.register()
    with pytest.raises(Malformed):
        law.measure(version)


def test_a_metric_without_a_value_says_why(law: Law) -> None:
    version = law.register()
    command = commands.RecordEvidence(
        version=version.version, type="evaluation", version_digest=version.digest, dataset="loans@v1", dataset_digest=digest("d"),
        metrics=[Metric(name="accuracy", value=None)], method="m", environment={}, duration_s=0.0,
    )  # fmt: skip
    refused(law, "ben", command, Malformed, "malformed")


def test_claims_open_no_gate(law: Law) -> None:
    version = law.register()
    error = refused(law, "ben", commands.Promote(version=version.version, to_stage="staging"), Conflict, "gate_not_passed")
    assert "not measured" in error.detail


def test_only_the_next_stage_is_open(law: Law) -> None:
    version = law.register()
    law.good(version)
    refused(law, "ben", commands.Promote(version=version.version, to_stage="production"), Conflict, "stage_skipped")
    refused(law, "ben", commands.Promote(version=version.version, to_stage="development"), Conflict, "stage_skipped")
    refused(law, "ben", commands.Promote(version=version.version, to_stage="nowhere"), Malformed, "malformed")


def test_no_gate_file_is_not_a_pass() -> None:
    law = Law()
    version = law.register()
    refused(law, "ben", commands.Promote(version=version.version, to_stage="staging"), Conflict, "no_gates")


def test_an_endpoint_serves_what_has_passed_its_gates(law: Law) -> None:
    version = law.register()
    configure = commands.ConfigureEndpoint(endpoint="churn", version=version.version, upstream="http://127.0.0.1:1", confidence_floor=0.6)
    refused(law, "olga", configure, Conflict, "stage_too_low")
    law.to_staging(version)
    law.do("olga", configure)
    assert law.state.get(rows.Endpoint, "churn") is not None


@pytest.mark.parametrize("upstream", ["ftp://h", "http://", "file:///etc/passwd", "http://u:p@h", "http://h?x=1", "h:80", "https://h"])
def test_an_upstream_is_a_plain_base_url(law: Law, upstream: str) -> None:
    version = law.register()
    law.to_staging(version)
    command = commands.ConfigureEndpoint(endpoint="churn", version=version.version, upstream=upstream, confidence_floor=0.6)
    refused(law, "olga", command, Malformed, "malformed")


@pytest.mark.parametrize("pattern", ["", "(", "(?=x)", ".*"])
def test_a_pattern_that_cannot_be_meant_is_refused_when_the_endpoint_is_configured(law: Law, pattern: str) -> None:
    version = law.register()
    law.to_staging(version)
    command = commands.ConfigureEndpoint(
        endpoint="churn", version=version.version, upstream="http://127.0.0.1:1", confidence_floor=0.6, blocked_patterns=[pattern]
    )
    refused(law, "olga", command, Malformed, "malformed")


def test_a_retired_version_goes_nowhere(law: Law) -> None:
    version = law.register()
    law.to_staging(version)
    law.do("ben", commands.RetireVersion(version=version.version, reason="superseded"))
    refused(law, "ben", commands.Promote(version=version.version, to_stage="production"), Conflict, "stage_skipped")
    refused(law, "ben", commands.RetireVersion(version=version.version, reason="again"), Conflict, "unchanged")
