"""One seed, many keys; a corrupt seed is said to be corrupt and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.ledger.keys import LogSigners, create_signing_key, load_log_keys, load_signing_key, write_log_keys
from jurat.ledger.layout import ANCHOR, LogName

LOG = LogName("main", "inference")


def make_signers(seed: bytes, log: LogName = LOG) -> LogSigners:
    return LogSigners(seed, log, "jurat.local", lambda: 1)


def test_seed_comes_back_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    seed = create_signing_key(tmp_path / "signing.key")
    assert load_signing_key(tmp_path / "signing.key") == seed
    assert (tmp_path / "signing.key").stat().st_mode & 0o777 == 0o600


def test_seed_is_never_replaced(tmp_path: Path) -> None:
    seed = create_signing_key(tmp_path / "signing.key")
    with pytest.raises(Conflict):
        create_signing_key(tmp_path / "signing.key")
    assert load_signing_key(tmp_path / "signing.key") == seed


def test_missing_seed_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_signing_key(tmp_path / "signing.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_seed_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing.key"
    create_signing_key(path)
    path.chmod(mode)
    with pytest.raises(Malformed) as caught:
        load_signing_key(path)
    assert caught.value.code == "key_exposed"
    path.chmod(0o400)
    load_signing_key(path)


def test_every_altered_or_cut_byte_is_corrupt_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    seed = create_signing_key(path)
    good = path.read_bytes()
    bad = (
        [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
        + [good[:at] for at in range(len(good))]
        + [good + b"\n"]
    )
    for raw in bad:
        path.write_bytes(raw)
        with pytest.raises(Malformed) as caught:
            load_signing_key(path)
        assert caught.value.code == "key_corrupt"
        assert seed.hex()[:16] not in caught.value.detail + caught.value.hint


def test_keys_are_derived_and_all_different() -> None:
    seed = bytes(range(32))
    logs = [LOG, LogName("main", "access"), LogName("other", "inference"), ANCHOR]
    public = [make_signers(seed, log).public for log in logs]
    assert public == [make_signers(seed, log).public for log in logs]
    keys = [vkey.rsplit("+", 1)[1] for each in public for vkey in [*each.vkeys, each.receipt_vkey]]
    assert len(set(keys)) == 12
    assert public[0].origin == "jurat.local/main/inference"
    assert public[0].vkeys[0].startswith("jurat.local/main/inference+")
    assert public[0].receipt_vkey.startswith("jurat.local/main/inference/receipt+")
    assert make_signers(bytes(32)).public.vkeys[0] != public[0].vkeys[0]


def test_derivation_never_changes() -> None:
    """Golden: a log's key must come out of its seed in every later version, or the log ends."""
    public = make_signers(bytes(range(32))).public
    assert public.vkeys[0] == GOLDEN_VKEY
    assert public.receipt_vkey == GOLDEN_RECEIPT_VKEY


GOLDEN_VKEY = "jurat.local/main/inference+415968fa+AWBmiFw+GsNfv/aOqp1E2zFDKOhZtSUR0Nq1F8W1zbIC"
GOLDEN_RECEIPT_VKEY = "jurat.local/main/inference/receipt+611fdc95+Ack4Vht7R93Zj8zrBFYgTfhaslKqKTljo2robyKhwebK"


def test_public_keys_come_back(tmp_path: Path) -> None:
    keys = [make_signers(bytes(32), log).public for log in (LOG, ANCHOR)]
    write_log_keys(tmp_path / "log-keys.json", keys)
    assert load_log_keys(tmp_path / "log-keys.json") == keys


@pytest.mark.parametrize("raw", [b"[]", b"{}", b"not json", b'[{"log":"x"}]'])
def test_other_files_hold_no_public_keys(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "log-keys.json").write_bytes(raw)
    with pytest.raises(Malformed):
        load_log_keys(tmp_path / "log-keys.json")
