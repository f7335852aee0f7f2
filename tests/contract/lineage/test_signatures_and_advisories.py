"""Signatures on models and advisories on packages, over a real workspace and the command line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.contract.lineage.conftest import Site, register, told

from jurat.domain import commands, rows

SCAN_GATE = """
deployment_gates:
  staging:
    - type: security_scan
      required: true
      checks: [signature_verified, known_flaws <= 5, worst_known_severity < 7]
  production:
    - type: human_approval
      required: true
      approvers: [{role: ml_lead}]
"""


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, Path]:
    """A signer's private and public key, in files."""
    made = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "signing.pem", tmp_path / "signer.pem"
    pkcs8 = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(pkcs8)
    public.write_bytes(made.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


def clauses(site: Site, version: str) -> dict[str, tuple[str, str]]:
    fact = site.act("ml_engineer", commands.CheckGate(version=version, stage="staging"))[0].data
    return {clause.condition: (clause.verdict, clause.reason) for clause in fact.clauses}


def test_a_version_is_signed_verified_and_the_gate_sees_it(
    site: Site, credit: str, key: tuple[Path, Path], tmp_path: Path, jurat: Any
) -> None:
    site.act("operator", commands.ApplyGates(source=SCAN_GATE, reason="test"))
    private, public = key
    signature = tmp_path / "credit.sig"
    said = told(jurat("--as", "ml_engineer", "model", "sign", credit, "--key", str(private), "-o", str(signature), "--json"))
    assert {"weights", "feature_definitions", "serving_configuration"} <= set(said["files"])
    again = jurat("--as", "ml_engineer", "model", "sign", credit, "--key", str(private), "-o", str(signature))
    assert (again.code, "exists already" in again.err) == (4, True)
    # it holds, and nobody said yet that it counts
    found = jurat("--as", "ml_engineer", "model", "verify-signature", credit, "--signature", str(signature), "--key", str(public))
    assert (found.code, "nobody's that this workspace trusts" in found.err) == (3, True)
    assert clauses(site, credit)["signature_verified"][0] == "fail"
    assert jurat("--as", "ml_engineer", "model", "trust-signer", "platform", "--key", str(public), "--reason", "x").code == 3
    assert jurat("--as", "operator", "model", "trust-signer", "platform", "--key", str(public), "--reason", "key ceremony").code == 0
    assert told(jurat("--as", "operator", "model", "signers", "--json"))[0]["signer"] == "platform"
    held = jurat("--as", "ml_engineer", "model", "verify-signature", credit, "--signature", str(signature))
    assert held.code == 0, held.err
    assert "platform" in held.out
    assert clauses(site, credit)["signature_verified"] == ("pass", "")
    # a changed signature is on record, and undoes the yes
    broken = tmp_path / "broken.sig"
    bundle = json.loads(signature.read_bytes())
    bundle["dsseEnvelope"]["payload"] = bundle["dsseEnvelope"]["payload"].replace("A", "B", 1)
    broken.write_text(json.dumps(bundle))
    bad = jurat("--as", "ml_engineer", "model", "verify-signature", credit, "--signature", str(broken), "--key", str(public), "--json")
    assert (bad.code, "does not hold" in bad.err) == (3, True)
    assert clauses(site, credit)["signature_verified"][0] == "fail"
    assert jurat("--as", "ml_engineer", "model", "verify-signature", credit, "--signature", str(signature)).code == 0
    assert jurat("--as", "operator", "model", "distrust-signer", "platform", "--reason", "the key leaked").code == 0
    assert clauses(site, credit)["signature_verified"] == ("fail", "signer `platform` is trusted no more: the key leaked")
    rebuilt = jurat("--as", "operator", "rebuild", "--compare")
    assert rebuilt.code == 0, rebuilt.err


def test_a_signature_over_another_model_is_no_evidence(site: Site, credit: str, key: tuple[Path, Path], tmp_path: Path, jurat: Any) -> None:
    private, public = key
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "model.json").write_text("other weights")
    assert jurat("model", "sign", str(folder), "--key", str(private), "-o", str(tmp_path / "o.sig")).code == 0
    said = jurat("--as", "ml_engineer", "model", "verify-signature", credit, "--signature", str(tmp_path / "o.sig"), "--key", str(public))
    assert (said.code, "the weights are not among the files" in said.err) == (3, True)
    with site.app.store.reading() as state:
        row = state.get(rows.Signature, credit)
    assert row is not None
    assert row.verdict == "refused"


def test_a_publishers_signature_over_a_folder_covers_the_same_bytes(
    site: Site, repository: Path, credit: str, key: tuple[Path, Path], tmp_path: Path, jurat: Any
) -> None:
    private, public = key
    folder = tmp_path / "published"
    (folder / "nested").mkdir(parents=True)
    (folder / "nested" / "renamed.bin").write_bytes((repository / "model.json").read_bytes())
    (folder / "README.md").write_text("of a publisher")
    signature = folder / "model.sig"
    assert jurat("model", "sign", str(folder), "--key", str(private), "-o", str(signature)).code == 0
    checked = told(jurat("model", "verify-signature", str(folder), "--signature", str(signature), "--key", str(public), "--json"))
    assert (checked["files"], checked["ignored"]) == (2, ["model.sig"])
    site.act("operator", commands.ApplyGates(source=SCAN_GATE.replace("known_flaws <= 5", "known_flaws <= 4"), reason="test"))
    assert jurat("--as", "operator", "model", "trust-signer", "publisher", "--key", str(public), "--reason", "their web site").code == 0
    found = told(jurat("--as", "ml_engineer", "model", "verify-signature", credit, "--signature", str(signature), "--json"))
    with site.app.store.reading() as state:
        row = state.get(rows.Signature, credit)
    assert row is not None
    assert (row.verdict, row.signer, row.covered["weights"]) == ("trusted", "publisher", "nested/renamed.bin")
    assert found
    (folder / "README.md").write_text("changed")
    said = jurat("model", "verify-signature", str(folder), "--signature", str(signature), "--key", str(public))
    assert (said.code, "`README.md` is not the file that was signed" in said.err) == (3, True)
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("/etc/passwd")
    said = jurat("model", "verify-signature", str(folder), "--signature", str(signature), "--key", str(public))
    assert (said.code, "link" in said.err) == (2, True)
    assert jurat("model", "verify-signature", str(folder), "--signature", str(signature)).code == 2, "a folder is checked by a key"
    assert jurat("--as", "operator", "model", "distrust-signer", "publisher", "--reason", "test is over").code == 0


# --- advisories


def osv(name: str, package: str, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    affected = [{"package": {"ecosystem": "PyPI", "name": package}, "ranges": ranges}]
    return {"id": name, "modified": "2026-01-01T00:00:00Z", "affected": affected, "summary": f"a flaw of {package}", **more}


CRITICAL = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]
LOW = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:N/A:N"}]


def zipped(path: Path, *documents: dict[str, Any] | bytes) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for number, each in enumerate(documents):
            archive.writestr(f"{number}.json", each if isinstance(each, bytes) else json.dumps(each))
    return str(path)


def test_advisories_are_imported_whole_reopen_approvals_and_fail_the_gate(
    site: Site, repository: Path, credit: str, tmp_path: Path, jurat: Any
) -> None:
    site.act("operator", commands.ApplyGates(source=SCAN_GATE.replace("known_flaws <= 5", "known_flaws <= 3"), reason="test"))
    start, fixed = {"introduced": "0"}, {"fixed": "1.5.1"}
    good = [
        osv("GHSA-jw8x-6495-233v", "scikit-learn", start, fixed, severity=LOW, aliases=["CVE-2024-5206"]),
        osv("PYSEC-2024-110", "scikit-learn", start, fixed, aliases=["CVE-2024-5206"]),
        osv("GHSA-free-free-free", "numpy", start, {"fixed": "1.20"}, severity=CRITICAL),
        osv("GHSA-gone-gone-gone", "click", start, severity=CRITICAL, withdrawn="2026-02-01T00:00:00Z"),
        {**osv("GHSA-else-else-else", "left-pad", start), "affected": [{"package": {"ecosystem": "npm", "name": "left-pad"}}]},
    ]
    command = ("--as", "ml_lead", "advisory", "import")
    broken = jurat(*command, zipped(tmp_path / "broken.zip", *good, b'{"id": 7}'), "--reason", "test")
    assert (broken.code, "5.json" in broken.err) == (2, True)
    assert jurat("--as", "ml_lead", "advisory", "check").code == 4, "nothing of it was imported"
    done = told(jurat(*command, zipped(tmp_path / "all.zip", *good), "--reason", "export of osv.dev", "--json"))
    assert [done[name] for name in ("advisories", "added", "changed", "withdrawn", "other")] == [4, 4, 0, 1, 1]
    assert len(done["changes"]) == 1, "two names of one flaw are one change upstream"
    mine = next(each for each in done["checked"] if each["version"] == credit)
    assert (mine["packages"], [flaw["names"] for flaw in mine["flaws"]]) == (
        3,
        [["GHSA-jw8x-6495-233v", "PYSEC-2024-110", "CVE-2024-5206"]],
    )
    assert mine["flaws"][0]["severity"] == 4.7
    now = clauses(site, credit)
    assert (now["known_flaws <= 3"][0], now["worst_known_severity < 7"][0]) == ("pass", "pass")
    assert any(done["changes"][0] in text for text in now), "and its approvals wait to be given again"
    # the same again is nothing new; a worse word on it is
    again = told(jurat(*command, zipped(tmp_path / "again.zip", *good), "--reason", "the same", "--json"))
    assert (again["is_new"], again["changes"]) == (False, [])
    worse = {**good[0], "modified": "2026-03-01T00:00:00Z", "severity": CRITICAL}
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "one.json").write_text(json.dumps(worse))
    (tmp_path / "docs" / "old.json").write_text(
        json.dumps({**good[2], "modified": "2020-01-01T00:00:00Z", "withdrawn": "2020-01-01T00:00:00Z"})
    )
    later = told(jurat(*command, str(tmp_path / "docs"), "--reason", "mailed", "--json"))
    assert (later["advisories"], later["changed"], later["withdrawn"]) == (4, 1, 1), "an older copy takes nothing back"
    verdict, reason = clauses(site, credit)["worst_known_severity < 7"]
    assert (verdict, "9.8" in reason) == ("fail", True), reason
    # a version that comes later is held against the same
    assert register(jurat, repository, "credit@2.7.0").code == 0
    assert clauses(site, "credit@2.7.0")["known_flaws <= 3"][0] == "not_enough_data"
    checked = told(jurat("--as", "ml_lead", "advisory", "check", "credit@2.7.0", "--json"))
    assert checked[0]["flaws"][0]["pinned"] == "1.5.0"
    assert clauses(site, "credit@2.7.0")["worst_known_severity < 7"][0] == "fail"
    # withdrawn by its publisher: a person takes it back
    gone = {**worse, "modified": "2026-04-01T00:00:00Z", "withdrawn": "2026-04-01T00:00:00Z"}
    (tmp_path / "gone.json").write_text(json.dumps(gone))
    last = told(jurat(*command, str(tmp_path / "gone.json"), "--reason", "withdrawn", "--json"))
    assert last["withdrawn_changes"] == done["changes"]
    assert jurat("--as", "ml_lead", "advisory", "clear", done["changes"][0], "--reason", "withdrawn").code == 0
    rebuilt = jurat("--as", "operator", "rebuild", "--compare")
    assert rebuilt.code == 0, rebuilt.err


def test_whoever_may_not_add_advisories_imports_none(site: Site, credit: str, tmp_path: Path, jurat: Any) -> None:
    path = zipped(tmp_path / "x.zip", osv("GHSA-nope-nope-nope", "numpy", {"introduced": "0"}))
    assert jurat("--as", "product_owner", "advisory", "import", path, "--reason", "x").code == 3
    for odd, code in ((tmp_path / "none.zip", 4), (tmp_path, 2)):
        assert jurat("--as", "ml_lead", "advisory", "import", str(odd), "--reason", "x").code == code


def test_a_collection_that_was_changed_is_not_believed(site: Site, credit: str, tmp_path: Path, jurat: Any) -> None:
    path = zipped(tmp_path / "y.zip", osv("GHSA-some-some-some", "numpy", {"introduced": "99"}))
    assert jurat("--as", "ml_lead", "advisory", "import", path, "--reason", "x").code == 0
    (kept,) = (site.root / "advisories").glob("*.jsonl")
    kept.write_bytes(kept.read_bytes().replace(b"numpy", b"nunpy"))
    said = jurat("--as", "ml_lead", "advisory", "check", credit)
    assert (said.code, "not the one on record" in said.err) == (6, True)
    assert jurat("--as", "ml_lead", "advisory", "import", path, "--reason", "x").code == 6, "nothing is built on it either"
    kept.unlink()
    assert jurat("--as", "ml_lead", "advisory", "check", credit).code == 4
    assert jurat("--as", "ml_lead", "advisory", "import", path, "--reason", "from anew", "--replace").code == 0
    assert jurat("--as", "ml_lead", "advisory", "check", credit).code == 0
