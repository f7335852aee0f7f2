"""What the reference implementation of OpenSSF model signing wrote is read, and held against files: by key, certificate, shards."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.vectors.model_signing.files import FILES, model

from jurat.app.signatures import check_folder, manifest_of
from jurat.core.errors import Denied
from jurat.guard.model_signature import read_bundle, read_manifest

HERE = Path(__file__).parent / "model_signing"
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = ("p256", "p384", "p521", "shards", "blake2", "certificate")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_signed_is_what_lies_there(tmp_path: Path, name: str) -> None:
    path, raw, anchor = model(tmp_path), (HERE / f"{name}.sig").read_bytes(), (HERE / f"{name}.pem").read_bytes()
    found = check_folder(path, raw, anchor, AS_OF)
    assert found.method == ("certificate" if name == "certificate" else "key")
    assert found.files == (len(FILES) - 1 if name == "shards" else len(FILES)), "an empty file has no shards"
    if name == "certificate":
        assert found.identities == ["CN=Test signer", "https://ci.example.org/train"]
    (path / "weights.bin").write_bytes(FILES["weights.bin"][:-1] + b"!")
    (path / "sub" / "more.txt").write_text("not signed")
    (path / "sub-a.txt").unlink()
    with pytest.raises(Denied) as caught:
        check_folder(path, raw, anchor, AS_OF)
    reasons = " ".join(map(str, caught.value.fields["reasons"]))  # type: ignore[call-overload]
    assert caught.value.code == "signature_refused"
    assert all(name in reasons for name in ("weights.bin", "sub-a.txt", "sub/more.txt"))


@pytest.mark.parametrize("name", NAMES)
def test_nobody_elses_key_will_do(tmp_path: Path, name: str) -> None:
    raw = (HERE / f"{name}.sig").read_bytes()
    for other in NAMES:
        if other != name:
            with pytest.raises(Denied):
                check_folder(model(tmp_path), raw, (HERE / f"{other}.pem").read_bytes(), AS_OF)


@pytest.mark.parametrize("name", ["p256", "shards", "blake2"])
def test_our_manifest_is_theirs(tmp_path: Path, name: str) -> None:
    theirs = read_manifest(read_bundle((HERE / f"{name}.sig").read_bytes()).payload)
    ours = manifest_of(model(tmp_path), like=theirs)
    assert list(ours.items.items()) == list(theirs.items.items()), "the same files, in the same order"
    assert ours.root == theirs.root


@pytest.mark.parametrize("as_of", [datetime(2025, 12, 31, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC)])
def test_a_certificate_counts_while_it_is_valid(tmp_path: Path, as_of: datetime) -> None:
    with pytest.raises(Denied, match="leads to none of these roots"):
        check_folder(model(tmp_path), (HERE / "certificate.sig").read_bytes(), (HERE / "certificate.pem").read_bytes(), as_of)
