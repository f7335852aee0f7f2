"""What becomes of approvals when something upstream changes; systems that change; references that nobody read; ranges of versions."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version as Pep440
from tests.unit.domain.law import Law, digest

from jurat.core.errors import Conflict, Denied, Malformed
from jurat.domain import commands, facts_lineage, lineage, rows
from jurat.domain import commands_lineage as asked
from jurat.domain.facts_access import NoticeGiven
from jurat.domain.facts_lineage import ApprovalsReopened, UpstreamChanged
from jurat.domain.gates import check_gates, shown_for
from jurat.domain.packages import is_in_range, read_lock
from jurat.domain.retention import tiers_of
from jurat.domain.stages import Stage
from jurat.domain.values import RiskTier

HUMAN = """
deployment_gates:
  staging:
    - type: automated_tests
      required: true
      checks:
        - accuracy >= 0.85
  production:
    - type: human_approval
      required: true
      approvers:
        - role: ml_lead
        - role: product_owner
"""


@pytest.fixture
def law() -> Law:
    found = Law()
    found.apply_gates(HUMAN)
    found.register()
    return found


def version(law: Law) -> rows.Version:
    row = law.state.get(rows.Version, "churn@1.0.0")
    assert row is not None
    return row


def recall(law: Law, **more: str) -> list:
    return law.do("olga", asked.RecallDataset(dataset="loans@v1", reason="consent was withdrawn", **more))


def approved(law: Law) -> str:
    opened = law.do("ben", commands.RequestPromotion(version="churn@1.0.0", to_stage="production", lifetime_s=3600.0))[0].data
    for who in ("cleo", "dan"):
        law.do(who, commands.Approve(request=opened.request, shown_digest=opened.shown_digest))
    return opened.request


def unmet(law: Law, stage: Stage) -> list[str]:
    return [
        c.reason for c in check_gates(law.state, version(law), stage, law.now_ns).clauses if c.gate == "upstream" and c.verdict != "pass"
    ]


def test_a_recall_lists_and_reopens_what_rested_on_it_and_tells_the_owner(law: Law) -> None:
    request = approved(law)
    events = recall(law)
    change, reopened, notice = (e.data for e in events)
    assert isinstance(change, UpstreamChanged)
    assert isinstance(reopened, ApprovalsReopened)
    assert (reopened.affected.version, reopened.affected.requests, len(reopened.affected.approvals)) == ("churn@1.0.0", [request], 2)
    assert not reopened.held
    assert isinstance(notice, NoticeGiven)
    assert notice.to == "prn_dan"
    assert len(unmet(law, Stage.STAGING)) == 1
    with pytest.raises(Conflict) as caught:
        recall(law)
    assert caught.value.code == "unchanged"


def test_old_approvals_are_void_and_new_ones_know_of_the_change(law: Law) -> None:
    approved(law)
    recall(law)
    result = check_gates(law.state, version(law), Stage.PRODUCTION, law.now_ns)
    assert result.request is None
    assert "has changed since" in next(c.reason for c in result.clauses if c.gate == "human_approval")
    request = approved(law)
    assert "upstream_changes" in shown_for(law.state, version(law), Stage.PRODUCTION)
    assert unmet(law, Stage.PRODUCTION) == []
    assert len(unmet(law, Stage.STAGING)) == 1, "for staging nobody was asked"
    law.do("ben", asked.Reaffirm(version="churn@1.0.0", request=request))
    assert unmet(law, Stage.STAGING) == []
    assert "upstream_changes" not in shown_for(law.state, version(law), Stage.PRODUCTION)


def test_who_promotes_or_nobody_cannot_reaffirm(law: Law) -> None:
    recall(law)
    opened = law.do("ben", commands.RequestPromotion(version="churn@1.0.0", to_stage="production", lifetime_s=3600.0))[0].data
    with pytest.raises(Conflict) as caught:
        law.do("ben", asked.Reaffirm(version="churn@1.0.0", request=opened.request))
    assert caught.value.code == "not_reaffirmed"


def test_in_production_it_is_held_where_the_rules_say_so_and_free_when_taken_back(law: Law) -> None:
    law.do("olga", asked.ApplyReopeningRules(rules={"recalled": "hold"}, reason="nothing is served by recalled data"))
    moved = rows.Version(**{f: getattr(version(law), f) for f in version(law).__struct_fields__} | {"stage": "production"})
    law.state.tables["versions"]["churn@1.0.0"] = moved
    reopened = recall(law)[1].data
    assert reopened.held
    assert version(law).held == reopened.change
    law.do("olga", asked.ClearChange(change=reopened.change, reason="the consent was found"))
    assert version(law).held == ""
    assert unmet(law, Stage.STAGING) == []


def test_what_is_learnt_later_counts_too(law: Law) -> None:
    """The recall comes first; that the version rests on that data, by way of a pipeline, is told afterwards."""
    data = {"dataset": "raw@v1", "collection": "training", "digest": digest("9"), "rows": 5, "columns": ["a"]}
    sheet = law.state.get(rows.Dataset, "loans@v1").sheet
    law.do("ada", commands.RegisterDataset(**data, sheet=sheet))
    law.do("olga", asked.RecallDataset(dataset="raw@v1", reason="wrong"))
    assert unmet(law, Stage.STAGING) == []
    loans = law.state.get(rows.Dataset, "loans@v1")
    law.do(
        "ada",
        asked.RecordLineage(
            run_id="r1", job="etl/clean", state="COMPLETE", at="2026-11-25T10:00:00Z", producer="p", body_digest=digest("1"),
            inputs=[{"namespace": "n", "name": "x", "digest": digest("9")}],
            outputs=[{"namespace": "m", "name": "y", "digest": loans.digest}],
        ),
    )  # fmt: skip
    assert len(unmet(law, Stage.STAGING)) == 1


def test_another_licence_reopens_and_is_the_licence_from_now_on(law: Law) -> None:
    events = law.do("olga", asked.ChangeLicence(dataset="loans@v1", licence="CC BY-NC 4.0", reason="the publisher changed it"))
    assert isinstance(events[1].data, ApprovalsReopened)
    assert law.state.get(rows.Dataset, "loans@v1").sheet.licence == "CC BY-NC 4.0"


def test_an_advisory_meets_what_was_built_with_a_flawed_version_and_names_what_it_cannot_tell(law: Law) -> None:
    base = next(e.data for e in law.events if type(e.data).__name__ == "VersionRegistered")
    for number, pins in (("2.0.0", ["numpy==1.26.4"]), ("3.0.0", ["numpy==2.1.0"])):
        fields = {f: getattr(base, f) for f in commands.RegisterVersion.__struct_fields__ if hasattr(base, f)}
        law.do("ada", commands.RegisterVersion(**fields | {"version": number, "packages": pins}))
    events = law.do("olga", asked.AddAdvisory(package="NumPy", affected_range="<2", advisory="CVE-2026-1", reason="overflow"))
    assert [e.data.affected.version for e in events if isinstance(e.data, ApprovalsReopened)] == ["churn@2.0.0"]
    assert events[0].data.unreadable == ["churn@1.0.0"]
    for wrong in ("", "2", "<", "<2;rm", "~=2"):
        with pytest.raises(Malformed):
            law.do("olga", asked.AddAdvisory(package="numpy", affected_range=wrong, advisory="CVE-2026-2", reason="x"))


def test_a_reference_that_nobody_read_passes_no_gate(law: Law) -> None:
    base = next(e.data for e in law.events if type(e.data).__name__ == "VersionRegistered")
    fields = {f: getattr(base, f) for f in commands.RegisterVersion.__struct_fields__ if hasattr(base, f)}
    source = "s3://models/credit.bin"
    law.do("ada", commands.RegisterVersion(**fields | {"version": "4.0.0", "references": {"weights": source}}))
    row = law.state.get(rows.Version, "churn@4.0.0")
    clause = check_gates(law.state, row, Stage.STAGING, law.now_ns).clauses[-1]
    assert (clause.gate, clause.verdict) == ("upstream", "not_enough_data")
    wrong = asked.RecordVerification(version="churn@4.0.0", artefact="weights", digest=digest("0"), source=source, size_bytes=1)
    with pytest.raises(Conflict):
        law.do("ada", wrong)
    law.do(
        "ada",
        asked.RecordVerification(
            version="churn@4.0.0", artefact="weights", digest=row.artefacts.weights.digest, source=source, size_bytes=1
        ),
    )
    assert law.state.get(rows.Version, "churn@4.0.0").unverified == []
    for bad in ("https://x/y", "s3://user:pw@b/k", "file:///a/../etc/shadow", "s3://b/"):
        with pytest.raises(Malformed):
            law.do("ada", commands.RegisterVersion(**fields | {"version": "5.0.0", "references": {"weights": bad}}))


def test_a_system_changes_as_an_event_and_nobody_lowers_their_own_tier(law: Law) -> None:
    with pytest.raises(Denied) as caught:
        law.do("dan", asked.ChangeSystem(system="credit", reason="it is harmless", risk_tier=RiskTier.MINIMAL))
    assert caught.value.code == "owner_lowers_tier"
    wish = asked.ChangeSystem(system="credit", reason="sold", risk_tier=RiskTier.LIMITED, owner="prn_cleo", environments=["eu"])
    said = law.do("olga", wish)[0].data
    assert isinstance(said, facts_lineage.SystemChanged)
    assert said.changed == ["owner", "risk_tier", "environments"]
    row = law.state.get(rows.System, "credit")
    assert (row.owner, row.risk_tier, row.environments, row.affected_persons) == ("prn_cleo", RiskTier.LIMITED, ["eu"], "applicants")
    assert tiers_of(law.state) == {"credit": "high"}, "what was recorded under a high tier is kept as long"
    with pytest.raises(Conflict):
        law.do("olga", asked.ChangeSystem(system="credit", reason="again", owner="prn_cleo"))


def test_handing_a_system_on_is_no_way_to_lower_its_tier(law: Law) -> None:
    lower = asked.ChangeSystem(system="credit", reason="it is harmless", risk_tier=RiskTier.MINIMAL)
    for wish in (msgspec.structs.replace(lower, owner="prn_cleo"), msgspec.structs.replace(lower, owner="prn_dan")):
        with pytest.raises(Denied):
            law.do("dan", wish)
    law.do("dan", asked.ChangeSystem(system="credit", reason="sold", owner="prn_cleo"))
    with pytest.raises(Denied):
        law.do("dan", lower)
    with pytest.raises(Denied):
        law.do("olga", msgspec.structs.replace(lower, owner="prn_olga"))
    law.do("olga", lower)


@pytest.mark.parametrize("name", ["", "x" * 10_000, "a\u202eb", "e\u0301", "a\x00b"])
def test_a_node_shows_what_it_is(name: str) -> None:
    with pytest.raises(Malformed):
        lineage.check_node(f"data:{name}")


_PART = st.integers(0, 30)
VERSIONS = st.builds(
    lambda release, pre, post, dev: ".".join(map(str, release)) + pre + post + dev,
    st.lists(_PART, min_size=1, max_size=4),
    st.sampled_from(["", "", "a1", "b2", "rc1", ".rc3", "-alpha4"]),
    st.sampled_from(["", "", ".post1", "-2"]),
    st.sampled_from(["", "", ".dev3"]),
)


@given(VERSIONS, VERSIONS, st.sampled_from(["<=", ">=", "==", "!="]))
def test_versions_are_ordered_as_pep_440_orders_them(one: str, other: str, operator: str) -> None:
    expected = {"<=": Pep440(one) <= Pep440(other), ">=": Pep440(one) >= Pep440(other)}
    equal = Pep440(one) == Pep440(other)
    assert is_in_range(one, f"{operator}{other}") is {**expected, "==": equal, "!=": not equal}[operator]
    assert is_in_range(one, f"<{other}") is (Pep440(one) < Pep440(other))


def test_a_range_means_what_packaging_says() -> None:
    for text in ("1.0", "1.5.0", "1.5.1", "2.0"):
        assert is_in_range(text, ">=1.0,<1.5.1") is SpecifierSet(">=1.0,<1.5.1").contains(text)
    assert is_in_range("what-is-this", "<1"), "what cannot be read is never taken for safe"


def test_a_lock_is_read_with_hashes_markers_and_extras() -> None:
    text = "# a lock\nA_b.C[x]==1.0 ; python_version >= '3' \\\n    --hash=sha256:00\n-i https://x\nd @ git+https://x\ne==2 # why\n"
    assert read_lock(text) == (["a-b-c==1.0", "e==2"], 1)
