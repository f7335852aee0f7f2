"""The manifest: the highest holds, and a damaged one is never read around."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from jurat.core.errors import Tampered
from jurat.core.jsonio import dump_json
from jurat.ledger.manifest import Manifest, Part, Retired, high_water, manifest_path, read_manifest, write_manifest

PART = Part(
    "class=access/kind=act.denied.v1/date=2026-01-31/part-3-9.parquet",
    "main/access",
    "act.denied.v1",
    "2026-01-31",
    3,
    9,
    2,
    10,
    "sha256:" + "0" * 64,
)
ONE = Manifest(number=1, high_water={"main/access": 10}, parts=(PART,), retired=(Retired("class=access/old.parquet", 5),))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    sealed = write_manifest(tmp_path, ONE)
    assert read_manifest(tmp_path) == sealed
    assert msgspec.structs.replace(sealed, digest="") == ONE
    assert high_water(tmp_path) == {"main/access": 10}


def test_nothing_archived_is_number_zero(tmp_path: Path) -> None:
    assert read_manifest(tmp_path / "absent") == read_manifest(tmp_path) == Manifest()


def test_the_highest_number_holds_and_old_ones_go(tmp_path: Path) -> None:
    for number in range(1, 13):
        write_manifest(tmp_path, Manifest(number=number, high_water={"main/access": number}))
    assert high_water(tmp_path) == {"main/access": 12}
    assert {path.name for path in tmp_path.iterdir()} == {"manifest-10.json", "manifest-11.json", "manifest-12.json"}


def test_any_flipped_bit_stops_the_reader(tmp_path: Path) -> None:
    write_manifest(tmp_path, ONE)
    path = manifest_path(tmp_path, 1)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(Tampered) as caught:
            read_manifest(tmp_path)
        assert caught.value.fields["file"] == "manifest-1.json"
    path.write_bytes(whole)
    assert high_water(tmp_path) == {"main/access": 10}


def test_a_damaged_newest_is_not_replaced_by_an_older_one(tmp_path: Path) -> None:
    write_manifest(tmp_path, ONE)
    write_manifest(tmp_path, msgspec.structs.replace(ONE, number=2))
    manifest_path(tmp_path, 2).write_bytes(b"")
    with pytest.raises(Tampered, match=r"manifest-2\.json"):
        read_manifest(tmp_path)


def test_a_renamed_manifest_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, ONE)
    manifest_path(tmp_path, 1).rename(manifest_path(tmp_path, 9))
    with pytest.raises(Tampered, match="calls itself number `1`, expected 9"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "../../../../etc/passwd"},
        {"path": "class=access/kind=x/date=2026-01-31/../../part-3-9.parquet"},
        {"path": "class=error/kind=act.denied.v1/date=2026-01-31/part-3-9.parquet"},
        {"first": 9, "last": 3},
        {"last": 10},  # at the high-water mark: it would be told twice
        {"rows": 0},
        {"rows": 8},
    ],
)
def test_a_part_that_cannot_be_is_refused_even_with_a_right_digest(tmp_path: Path, changes: dict[str, object]) -> None:
    forged = msgspec.structs.replace(ONE, parts=(msgspec.structs.replace(PART, **changes),))
    write_manifest(tmp_path, forged)
    with pytest.raises(Tampered):
        read_manifest(tmp_path)


def test_a_change_in_place_is_seen_although_files_are_remembered(tmp_path: Path) -> None:
    write_manifest(tmp_path, ONE)
    read_manifest(tmp_path)
    other = write_manifest(tmp_path / ".", msgspec.structs.replace(ONE, high_water={"main/access": 11}))
    assert read_manifest(tmp_path) == other
    manifest_path(tmp_path, 1).write_bytes(dump_json(ONE))
    with pytest.raises(Tampered):
        read_manifest(tmp_path)
