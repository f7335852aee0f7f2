"""Whose signatures count is said by people, which hold is said by Jurat, and a gate wants both."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.domain.law import Law, digest

from jurat.core.errors import Conflict, JuratError, Malformed, NotFound
from jurat.domain import commands, rows
from jurat.domain.commands_signature import DistrustSigner, RecordSignature, TrustSigner
from jurat.domain.facts_signature import SignatureChecked, SignerDistrusted
from jurat.guard.signers import anchor_of

GATES = """
deployment_gates:
  staging:
    - type: security_scan
      required: true
      checks:
        - signature_verified
  production:
    - type: human_approval
      required: true
      approvers:
        - role: ml_lead
"""


def new_pem() -> str:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="module")
def pem() -> str:
    return new_pem()


@pytest.fixture
def law() -> Law:
    law = Law()
    law.apply_gates(GATES)
    law.register()
    return law


def held(law: Law, pem: str, **changes: Any) -> SignatureChecked:
    version = law.state.get(rows.Version, "churn@1.0.0")
    assert version is not None
    method, anchor = anchor_of(pem.encode())
    command = RecordSignature(
        version=version.version, version_digest=version.digest, bundle_digest=digest("9"), holds=True, reason="", method=method,
        anchor=anchor, key_id=anchor, manifest_digest=digest("8"), files=3, covered={"weights": "model.bin"}, as_of="2026-11-26T00:00:00Z",
    )  # fmt: skip
    fact = law.do("ben", msgspec.structs.replace(command, **changes))[0].data
    assert isinstance(fact, SignatureChecked)
    return fact


def gate(law: Law) -> tuple[str, str]:
    fact: Any = law.do("ben", commands.CheckGate(version="churn@1.0.0", stage="staging"))[0].data
    return fact.verdict, fact.clauses[0].reason


def trust(law: Law, name: str, pem: str, **more: str) -> None:
    law.do("olga", TrustSigner(signer=name, pem=pem, reason="key ceremony", **more))


def test_a_signature_that_holds_and_counts_passes_the_gate(law: Law, pem: str) -> None:
    assert gate(law)[0] == "not_enough_data"
    assert held(law, pem).verdict == "untrusted"
    verdict, reason = gate(law)
    assert (verdict, "nobody's that this workspace trusts" in reason) == ("fail", True)
    trust(law, "platform", pem)
    assert gate(law)[0] == "fail", "trust does not reach back: it is checked again"
    fact = held(law, pem)
    assert (fact.verdict, fact.signer, fact.reason) == ("trusted", "platform", "")
    assert gate(law) == ("pass", "")


def test_a_signature_that_does_not_hold_takes_the_place_of_one_that_did(law: Law, pem: str) -> None:
    trust(law, "platform", pem)
    held(law, pem)
    fact = held(law, pem, holds=False, reason="the signature does not hold: changed")
    assert (fact.verdict, fact.signer) == ("refused", "")
    assert gate(law) == ("fail", "the signature does not hold: changed")


def test_a_signature_over_other_files_says_nothing_of_the_weights(law: Law, pem: str) -> None:
    trust(law, "platform", pem)
    fact = held(law, pem, covered={"dependencies": "requirements.txt"})
    assert (fact.verdict, fact.signer) == ("refused", "")
    assert gate(law) == ("fail", "the weights are not among the files that were signed")


def test_whose_trust_ends_proves_nothing_any_more(law: Law, pem: str) -> None:
    trust(law, "platform", pem)
    held(law, pem)
    events = law.do("olga", DistrustSigner(signer="platform", reason="the key leaked"))
    assert isinstance(events[0].data, SignerDistrusted)
    assert events[0].data.versions == ["churn@1.0.0"]
    verdict, reason = gate(law)
    assert (verdict, reason) == ("fail", "signer `platform` is trusted no more: the key leaked")
    row = law.state.get(rows.Signature, "churn@1.0.0")
    assert row is not None
    assert (row.verdict, law.state.find(rows.Signer)) == ("distrusted", [])
    assert held(law, pem).verdict == "untrusted"


def test_what_another_signer_proved_stays(law: Law, pem: str) -> None:
    other = new_pem()
    trust(law, "platform", pem)
    trust(law, "vendor", other)
    held(law, pem)
    law.do("olga", DistrustSigner(signer="vendor", reason="no contract any more"))
    assert gate(law)[0] == "pass"


def test_one_name_of_a_certificate_counts_if_one_was_named(law: Law, pem: str) -> None:
    with pytest.raises(Malformed, match="a bare key has no identity"):
        trust(law, "platform", pem, identity_digest=digest("7"))
    row = rows.Signer(as_of="evt", signer="ci", method="certificate", anchor=digest("6"), pem="", identity_digest=digest("7"), reason="r")
    law.state.tables["signers"]["ci"] = row
    by_certificate = {"method": "certificate", "anchor": digest("6")}
    assert held(law, pem, **by_certificate, identity_digests=[digest("5")]).verdict == "untrusted"
    assert held(law, pem, **by_certificate, identity_digests=[digest("5"), digest("7")]).signer == "ci"
    assert held(law, pem, method="key", anchor=digest("6"), identity_digests=[digest("7")]).verdict == "untrusted", "another sort of anchor"


@pytest.mark.parametrize(
    ("command", "family"),
    [
        (TrustSigner(signer="Big", pem="", reason="r"), Malformed), (TrustSigner(signer="a", pem="no key", reason="r"), Malformed),
        (TrustSigner(signer="a", pem="x" * 300_000, reason="r"), Malformed), (DistrustSigner(signer="nobody", reason="r"), NotFound),
    ],
)  # fmt: skip
def test_what_cannot_be_trusted(law: Law, command: commands.Command, family: type[JuratError]) -> None:
    with pytest.raises(family):
        law.do("olga", command)


def test_a_key_has_one_name_and_a_reason(law: Law, pem: str) -> None:
    with pytest.raises(Malformed, match="needs a reason"):
        law.do("olga", TrustSigner(signer="platform", pem=pem, reason=" "))
    trust(law, "platform", pem)
    with pytest.raises(Conflict, match="`platform` is trusted already"):
        trust(law, "other", pem)
    with pytest.raises(Conflict, match="`platform` is trusted already"):
        trust(law, "platform", new_pem())
    with pytest.raises(Conflict, match="other bytes"):
        held(law, pem, version_digest=digest("1"))
