"""A kept receipt convicts the log that did not honour it; an honoured one is silent, in a workspace and in an export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.scenes import attacks
from tests.scenes.sealed_ledger import INFERENCE, START_NS, Scene, build

from jurat.core.clock import FixedClock
from jurat.ledger.create import load_signers
from jurat.ledger.export import export_log
from jurat.ledger.faults import Report
from jurat.ledger.receipt import Receipt, describe_batch, sign_receipt
from jurat.ledger.tile_source import DirectorySource
from jurat.ledger.verify import verify_workspace
from jurat.ledger.verify_public import verify_public


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("receipts") / "ws")


@pytest.fixture(scope="module")
def exported(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("receipts") / "x"
    export_log(scene.root, INFERENCE, scene.keys, directory)
    return directory


def receipt_of(scene: Scene, first: int, count: int) -> Receipt:
    signers = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE]
    return describe_batch(signers.public.origin, first, attacks.entries_of(scene, INFERENCE)[first : first + count], 10_000)


def sign(scene: Scene, receipt: Receipt) -> str:
    return sign_receipt(receipt, load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE].receipt)


def both(scene: Scene, exported: Path, note: str) -> list[Report]:
    key = next(key for key in scene.keys if key.log == "main/inference")
    return [
        verify_workspace(scene.root, scene.keys, scene.lock, receipts=[note]),
        verify_public([(key, DirectorySource(exported))], receipts=[note]),
    ]


@pytest.mark.parametrize(("first", "count"), [(0, 100), (100, 156), (256, 200), (699, 1), (0, 1)])
def test_an_honoured_receipt_is_silent(scene: Scene, exported: Path, first: int, count: int) -> None:
    for report in both(scene, exported, sign(scene, receipt_of(scene, first, count))):
        assert report.is_clean, report.faults


def moved(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, first_index=receipt.first_index + 1)


def other_events(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, root=bytes(32))


def longer(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, count=receipt.count + 1)


def other_number(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, first_seq=receipt.first_seq + 1)


def other_time(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, received_ns=receipt.received_ns + 1)


def never_sealed(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, first_index=690, count=11)


@pytest.mark.parametrize("change", [moved, other_events, longer, other_number, other_time, never_sealed])
def test_a_broken_promise_convicts_the_log(scene: Scene, exported: Path, change: Callable[[Receipt], Receipt]) -> None:
    promised = change(receipt_of(scene, 256, 200))
    for report in both(scene, exported, sign(scene, promised)):
        (fault,) = report.faults
        assert (fault.what, fault.log, fault.index) == ("receipt_broken", "main/inference", promised.first_index)
        assert fault.last_index == promised.first_index + promised.count - 1


def test_what_is_no_receipt_of_these_logs_is_said(scene: Scene, exported: Path, tmp_path: Path) -> None:
    stranger = build(tmp_path / "ws", (2,))
    good = sign(scene, receipt_of(scene, 0, 100))
    for note in ("", "noise", scene.checkpoint(INFERENCE), sign(stranger, receipt_of(stranger, 0, 1)), good.replace("\n0 100 ", "\n0 99 ")):
        for report in both(scene, exported, note):
            assert [fault.what for fault in report.faults] == ["receipt_bad"], note
