"""OpenSSF's own `model_signing` verifies what is signed here, and what it signs is verified here: by key, by certificate, on a version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.contract.lineage.conftest import Site
from tests.unit.guard.test_signers import Authority, pem, private, public
from tests.vectors.model_signing.files import model

pytest.importorskip("model_signing", reason="the interop lock is not installed")
pytestmark = pytest.mark.slow


def reference(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "model_signing", *map(str, arguments)], capture_output=True, text=True, timeout=100)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A key, its public half, a certificate of it, and the root that it leads to."""
    authority, key = Authority(), ec.generate_private_key(ec.SECP384R1())
    for name, raw in (
        ("key.pem", private(key)), ("public.pem", public(key)), ("own.pem", pem(authority.issue(key, "signer"))),
        ("root.pem", pem(authority.root)),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(raw)
    return tmp_path


def test_both_ways_by_key_and_by_certificate(keys: Path, jurat: Any) -> None:
    folder = model(keys)
    (folder / ".gitattributes").write_text("left out by both")
    ours, theirs = keys / "ours.sig", keys / "theirs.sig"
    assert jurat("model", "sign", str(folder), "--key", str(keys / "key.pem"), "-o", str(ours)).code == 0
    found = reference("verify", "key", folder, "--signature", ours, "--public_key", keys / "public.pem")
    assert found.returncode == 0, found.stdout + found.stderr
    assert reference("sign", "key", folder, "--private_key", keys / "key.pem", "--signature", theirs).returncode == 0
    verify = ("model", "verify-signature", str(folder), "--signature")
    assert jurat(*verify, str(theirs), "--key", str(keys / "public.pem")).code == 0
    by_certificate, by_theirs = keys / "c.sig", keys / "ct.sig"
    signed = jurat(
        "model", "sign", str(folder), "--key", str(keys / "key.pem"), "--certificate", str(keys / "own.pem"), "-o", str(by_certificate)
    )
    assert signed.code == 0
    found = reference("verify", "certificate", folder, "--signature", by_certificate, "--certificate_chain", keys / "root.pem")
    assert found.returncode == 0, found.stdout + found.stderr
    found = reference(
        "sign", "certificate", folder, "--private_key", keys / "key.pem", "--signing_certificate", keys / "own.pem",
        "--signature", by_theirs, "--certificate_chain", keys / "root.pem",
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    held = jurat(*verify, str(by_theirs), "--certificate-chain", str(keys / "root.pem"), "--as-of", "2026-06-01T00:00:00Z")
    assert held.code == 0, held.err
    (folder / "weights.bin").write_bytes(b"other")
    for signature in (ours, theirs):
        assert reference("verify", "key", folder, "--signature", signature, "--public_key", keys / "public.pem").returncode != 0
        assert jurat(*verify, str(signature), "--key", str(keys / "public.pem")).code == 3


def test_a_version_that_was_fetched_is_verified_by_it(site: Site, credit: str, keys: Path, jurat: Any) -> None:
    """The artefacts under their names are what was signed."""
    signature, folder = keys / "v.sig", keys / "fetched"
    folder.mkdir()
    assert jurat("--as", "ml_engineer", "model", "sign", credit, "--key", str(keys / "key.pem"), "-o", str(signature)).code == 0
    from jurat.app.signatures import manifest_of_version

    for name, digest in manifest_of_version(site.app, site.tokens["ml_engineer"], credit).items.items():
        (folder / name).write_bytes(site.app.artefacts.get(f"sha256:{digest}").read_bytes())
    found = reference("verify", "key", folder, "--signature", signature, "--public_key", keys / "public.pem")
    assert found.returncode == 0, found.stdout + found.stderr
