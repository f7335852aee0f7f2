"""One state of a log continues another: the text, the proof, and every way in which it does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenes import attacks
from tests.scenes.sealed_ledger import INFERENCE, Scene, build

from jurat.core.errors import JuratError, Malformed, NotFound, Tampered
from jurat.ledger.consistency import Consistency, format_consistency, parse_consistency, prove_consistency, read_root, verify_continues
from jurat.merkle.checkpoint import Checkpoint
from jurat.merkle.tree import hash_leaves, root_of

SIZES = [1, 2, 255, 256, 257, 511, 512, 513, 600, 699, 700]
ORIGIN = "jurat.local/main/inference"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("consistency") / "ws")


def at(scene: Scene, size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, root_of(hash_leaves(attacks.entries_of(scene, INFERENCE)[:size])))


@pytest.mark.parametrize("old", SIZES)
@pytest.mark.parametrize("new", SIZES)
def test_every_state_continues_every_earlier_one(scene: Scene, old: int, new: int) -> None:
    if old > new:
        with pytest.raises(Malformed):
            prove_consistency(scene.root, INFERENCE, old, new)
        return
    path = prove_consistency(scene.root, INFERENCE, old, new)
    first, second = at(scene, old), at(scene, new)
    assert read_root(scene.root, INFERENCE, old) == first.root
    verify_continues(first, second, path)
    if path:
        with pytest.raises(Tampered) as caught:
            verify_continues(first, second, [*path[:-1], bytes(32)])
        assert caught.value.code == "forked"
    with pytest.raises(JuratError):
        verify_continues(first._replace(root=bytes(32)), second, path)
    with pytest.raises(JuratError):
        verify_continues(first, second, [*path, bytes(32)])


def test_two_logs_are_no_states_of_one(scene: Scene) -> None:
    with pytest.raises(Tampered, match="two logs"):
        verify_continues(at(scene, 5)._replace(origin="elsewhere"), at(scene, 5), [])


def test_a_log_that_is_shorter_says_so(scene: Scene) -> None:
    with pytest.raises(NotFound, match="700"):
        prove_consistency(scene.root, INFERENCE, 5, 701)
    with pytest.raises(NotFound):
        read_root(scene.root, INFERENCE, 701)
    with pytest.raises(Malformed):
        prove_consistency(scene.root, INFERENCE, 0, 5)


def test_the_text_is_what_a_witness_is_sent_and_reads_back(scene: Scene) -> None:
    proof = Consistency(255, prove_consistency(scene.root, INFERENCE, 255, 700), scene.checkpoint(INFERENCE))
    text = format_consistency(proof)
    head, _, note = text.partition("\n\n")
    assert head.split("\n")[0] == "old 255"
    assert note == scene.checkpoint(INFERENCE)
    assert parse_consistency(text) == proof
    same = Consistency(700, [], scene.checkpoint(INFERENCE))
    assert parse_consistency(format_consistency(same)) == same


@pytest.mark.parametrize(
    "text",
    [
        "", "old 1\n", "old x\n\n", "new 1\n\n", "old 1\n\n", "old 01\n\nnote", "old 1\nAAAA\n\n", "x" * 10**6,
        "old 1\n" + ("A" * 43 + "=\n") * 64 + "\n",
    ],
)  # fmt: skip
def test_noise_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_consistency(text)


def test_damaged_arrays_prove_nothing_wrong(scene: Scene, tmp_path: Path) -> None:
    damaged = scene.copy_to(tmp_path / "ws")
    attacks.flip_byte(INFERENCE.directory(damaged.root) / "L0", 32 * 600)
    path = prove_consistency(damaged.root, INFERENCE, 600, 700)
    with pytest.raises(Tampered):
        verify_continues(at(scene, 600), at(scene, 700), path)
