"""Evidence files: what is made is believed, by our verifier and by a foreign one; what is changed is not."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

import msgspec
import pytest
from tests.scenes import attacks
from tests.scenes.sealed_ledger import DEPLOYMENT, INFERENCE, START_NS, Scene, build, event_id

from jurat.core.clock import FixedClock
from jurat.core.errors import JuratError, Malformed, NotFound, Tampered, Unavailable
from jurat.ledger.create import load_signers
from jurat.ledger.data import verify_log as alone
from jurat.ledger.evidence import EvidenceReport
from jurat.ledger.layout import ANCHOR, checkpoint_file, log_keys_file
from jurat.ledger.prove import prove_event, verify_evidence
from jurat.ledger.query import Events
from jurat.ledger.receipt import describe_batch, sign_receipt
from jurat.ledger.stored import StoredEvent
from jurat.ledger.tiles import read_public
from jurat.merkle.tree import hash_leaf


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("prove") / "ws")


def stored(scene: Scene, index: int, log: object = INFERENCE) -> StoredEvent:
    return Events(scene.root, "main").at(str(log), index)


def receipt_for(scene: Scene, first: int, count: int) -> str:
    signer = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE]
    entries = attacks.entries_of(scene, INFERENCE)[first : first + count]
    return sign_receipt(describe_batch(signer.public.origin, first, entries, 10_000), signer.receipt)


@pytest.fixture(scope="module")
def evidence(scene: Scene) -> bytes:
    return prove_event(scene.root, stored(scene, 300), scene.keys, receipt_for(scene, 256, 200))


def believed_alone(scene: Scene, raw: bytes) -> bool:
    keys = json.loads(log_keys_file(scene.workspace.keys).read_bytes())
    try:
        alone.check_evidence(json.loads(raw), keys)
    except (alone.Refused, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("index", [0, 255, 256, 511, 512, 599, 600, 699])
def test_every_event_is_proved_to_both_verifiers(scene: Scene, index: int) -> None:
    raw = prove_event(scene.root, stored(scene, index), scene.keys, None)
    report = verify_evidence(raw, scene.keys)
    assert isinstance(report, EvidenceReport)
    assert (report.log, report.index, report.size, report.event_id) == ("main/inference", index, 700, event_id(index))
    assert (report.kind, report.producer, report.epoch, report.seq) == ("prediction.made.v1", 2, 1, index + 1)
    assert report.event["data"]["prediction"] == f"prd_{index:026d}"
    assert report.sealed_s == START_NS // 1_000_000_000 + 5
    assert [(step.number, step.is_checked) for step in report.steps] == [*((n, True) for n in range(6)), (6, False), (7, True)]
    assert str(report.steps[6]).startswith("not in this file, so not checked: ")
    assert str(report.steps[0]) == "the file can be read"
    assert believed_alone(scene, raw)


def test_a_receipt_is_checked(scene: Scene, evidence: bytes) -> None:
    assert all(step.is_checked for step in verify_evidence(evidence, scene.keys).steps)
    assert believed_alone(scene, evidence)


def test_the_same_event_gives_the_same_file(scene: Scene, evidence: bytes) -> None:
    assert prove_event(scene.root, stored(scene, 300), scene.keys, receipt_for(scene, 256, 200)) == evidence


def test_a_bare_proof_is_evidence_too(scene: Scene, evidence: bytes) -> None:
    report = verify_evidence(json.loads(evidence)["proof"].encode(), scene.keys)
    assert (report.index, report.event_id) == (300, event_id(300))
    assert [step.number for step in report.steps if not step.is_checked] == [6, 7]


def with_proof(document: dict[str, object], change: dict[bytes, bytes]) -> None:
    """Change the bytes in `extra` of the proof."""
    lines = str(document["proof"]).split("\n")
    extra = base64.b64decode(lines[1].removeprefix("extra "))
    for old, new in change.items():
        assert old in extra
        extra = extra.replace(old, new)
    lines[1] = "extra " + base64.b64encode(extra).decode()
    document["proof"] = "\n".join(lines)


def change_shown(document: dict[str, object]) -> None:
    document["event"]["data"]["outcome"] = "withheld"  # type: ignore[index]


def change_bytes(document: dict[str, object]) -> None:
    with_proof(document, {b"released": b"withheld"})
    change_shown(document)


def change_bytes_and_commitment(document: dict[str, object]) -> None:
    extra = base64.b64decode(str(document["proof"]).split("\n")[1].removeprefix("extra "))
    entry, salt, raw = extra[1:60], extra[60:76], extra[76:]
    with_proof(document, {entry: attacks.entry_with(entry, salt, raw.replace(b"released", b"withheld")), b"released": b"withheld"})
    change_shown(document)


def change_type(document: dict[str, object]) -> None:
    assert document["event"]["data"]["output"] is True  # type: ignore[index]
    document["event"]["data"]["output"] = 1  # type: ignore[index]


def swap_origin(document: dict[str, object]) -> None:
    document["log"], document["origin"] = "main/access", "jurat.local/main/access"


def take(name: str, value: object) -> object:
    return lambda document: document.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (change_shown, "event_altered"),
        (change_type, "event_altered"),
        (change_bytes, "event_altered"),
        (change_bytes_and_commitment, "proof_bad"),
        (swap_origin, "signature_missing"),
        (take("index", 301), "evidence_altered"),
        (take("log", "main/error"), "evidence_altered"),
        (take("origin", "elsewhere.example/main/inference"), "log_unknown"),
        (take("format", "jurat-evidence/v2"), "malformed"),
        (take("extra field", 1), "malformed"),
        (take("receipt", "no receipt"), "malformed"),
        (take("anchor_proof", "no proof"), "malformed"),
        (take("proof", 3), "malformed"),
    ],
)
def test_changed_evidence_is_refused_by_both_verifiers(scene: Scene, evidence: bytes, change: object, code: str) -> None:
    document = json.loads(evidence)
    change(document)  # type: ignore[operator]
    raw = json.dumps(document).encode()
    with pytest.raises((Tampered, Malformed)) as caught:
        verify_evidence(raw, scene.keys)
    assert caught.value.code == code
    assert not believed_alone(scene, raw)


@pytest.mark.parametrize(
    "lie", [b'{"event":{"id":"evt_other"},', b'{"\\u0065vent":null,', b'{"index":0,', b'{"receipt":{"index":1,"index":2},']
)  # fmt: skip
def test_what_stands_twice_in_a_file_is_refused_by_both_verifiers(scene: Scene, evidence: bytes, lie: bytes, tmp_path: Path) -> None:
    """A reader of the first and a program that takes the last would not see the same."""
    file = tmp_path / "evidence.json"
    file.write_bytes(lie + evidence[1:])
    with pytest.raises(Malformed, match="twice"):
        verify_evidence(file.read_bytes(), scene.keys)
    keys = json.loads(log_keys_file(scene.workspace.keys).read_bytes())
    with pytest.raises((alone.Refused, ValueError), match="twice"):
        alone.verify(file, keys, [])
    file.write_bytes(evidence)
    assert alone.verify(file, keys, [])


def test_a_receipt_for_other_events_is_refused(scene: Scene) -> None:
    event = stored(scene, 300)
    for first, count in ((301, 50), (200, 100), (0, 100)):
        with pytest.raises(Tampered, match="other events") as caught:
            prove_event(scene.root, event, scene.keys, receipt_for(scene, first, count))
        assert caught.value.code == "receipt_wrong"
    assert prove_event(scene.root, event, scene.keys, receipt_for(scene, 300, 1))


def test_a_broken_promise_is_evidence_against_the_operator(scene: Scene) -> None:
    signer = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE]
    entry = attacks.entries_of(scene, INFERENCE)[300]
    promised = msgspec.structs.replace(describe_batch(signer.public.origin, 300, [entry], 10_000), root=hash_leaf(b"something else"))
    with pytest.raises(Tampered) as caught:
        prove_event(scene.root, stored(scene, 300), scene.keys, sign_receipt(promised, signer.receipt))
    assert caught.value.code == "receipt_broken"


def test_an_anchor_of_another_checkpoint_is_refused(scene: Scene, evidence: bytes) -> None:
    other = json.loads(prove_event(scene.root, stored(scene, 0, DEPLOYMENT), scene.keys, None))
    document = json.loads(evidence) | {"anchor_proof": other["anchor_proof"]}
    with pytest.raises(Tampered) as caught:
        verify_evidence(json.dumps(document).encode(), scene.keys)
    assert caught.value.code == "anchor_wrong"
    assert not believed_alone(scene, json.dumps(document).encode())


def test_only_the_given_keys_count(scene: Scene, evidence: bytes, tmp_path: Path) -> None:
    stranger = build(tmp_path / "ws", (2,))
    for keys in (stranger.keys, [], [key for key in scene.keys if key.log != "main/inference"]):
        with pytest.raises(Tampered):
            verify_evidence(evidence, keys)
    halves = [msgspec.structs.replace(key, vkeys=key.vkeys[:1]) for key in scene.keys]
    mine = next(key for key in halves if key.log == "main/inference")
    assert verify_evidence(evidence, halves).signed_by == ["+".join(mine.vkeys[0].split("+", 2)[:2])]
    none = [msgspec.structs.replace(key, vkeys=[]) for key in scene.keys]
    with pytest.raises(JuratError):
        verify_evidence(evidence, none)


def test_no_flipped_bit_is_believed_to_say_something_else(scene: Scene, evidence: bytes) -> None:
    chance = random.Random(7)
    proved = verify_evidence(evidence, scene.keys)
    for _ in range(400):
        at = chance.randrange(len(evidence))
        raw = evidence[:at] + bytes([evidence[at] ^ 1 << chance.randrange(8)]) + evidence[at + 1 :]
        try:
            report = verify_evidence(raw, scene.keys)
        except JuratError:
            continue
        assert (report.raw, report.index, report.root) == (proved.raw, proved.index, proved.root), at


def test_noise_is_malformed(scene: Scene) -> None:
    for noise in (b"", b"{}", b"[]", b"\xff" * 100, b"c2sp.org/tlog-proof@v1\n", b"x" * 9_000_000):
        with pytest.raises(Malformed):
            verify_evidence(noise, scene.keys)


def test_what_is_not_sealed_or_not_ours_is_not_proved(scene: Scene) -> None:
    event = stored(scene, 300)
    with pytest.raises(Unavailable) as caught:
        prove_event(scene.root, msgspec.structs.replace(event, index=700), scene.keys, None)
    assert caught.value.code == "not_sealed"
    with pytest.raises(Tampered):
        prove_event(scene.root, msgspec.structs.replace(event, raw=event.raw + b" "), scene.keys, None)
    with pytest.raises(Tampered):
        prove_event(scene.root, msgspec.structs.replace(event, index=301), scene.keys, None)
    with pytest.raises(NotFound):
        prove_event(scene.root, event, [key for key in scene.keys if key.log != "main/inference"], None)


def test_a_damaged_ledger_proves_nothing(scene: Scene, tmp_path: Path) -> None:
    damaged = scene.copy_to(tmp_path / "ws")
    event = stored(damaged, 300)
    attacks.flip_byte(INFERENCE.directory(damaged.root) / "L0", 32 * 301)
    with pytest.raises(Tampered):
        prove_event(damaged.root, event, damaged.keys, None)
    checkpoint_file(damaged.root, INFERENCE).unlink()
    with pytest.raises(Tampered):
        prove_event(damaged.root, event, damaged.keys, None)


def test_tiles_are_stretches_of_the_published_arrays(scene: Scene) -> None:
    def read(path: str) -> bytes:
        return read_public(scene.root, INFERENCE, path)

    leaves = [hash_leaf(entry) for entry in attacks.entries_of(scene, INFERENCE)]
    assert read("checkpoint") == checkpoint_file(scene.root, INFERENCE).read_bytes()
    assert read("tile/0/001") == b"".join(leaves[256:512])
    assert read("tile/0/002.p/188") == b"".join(leaves[512:])
    assert read("tile/0/002.p/3") == b"".join(leaves[512:515])
    assert read("tile/1/000.p/2") == (INFERENCE.directory(scene.root) / "L1").read_bytes()
    bundle = read("tile/entries/002.p/188")
    assert bundle == b"".join(b"\x00\x3b" + entry for entry in attacks.entries_of(scene, INFERENCE)[512:])
    assert len(read_public(scene.root, ANCHOR, "tile/entries/000.p/12")) == 12 * 91


BEYOND = ["tile/0/002", "tile/0/002.p/189", "tile/0/003.p/1", "tile/1/000.p/3", "tile/2/000.p/1", "tile/entries/002.p/189"]


@pytest.mark.parametrize("path", BEYOND)
def test_nothing_beyond_the_checkpoint_is_served(scene: Scene, path: str) -> None:
    with pytest.raises(NotFound):
        read_public(scene.root, INFERENCE, path)


def test_what_lies_on_disk_beyond_the_checkpoint_is_not_served(scene: Scene, tmp_path: Path) -> None:
    longer = scene.copy_to(tmp_path / "ws")
    with (INFERENCE.directory(longer.root) / "L0").open("ab") as file:
        file.write(bytes(32))
    with pytest.raises(NotFound):
        read_public(longer.root, INFERENCE, "tile/0/002.p/189")


@pytest.mark.parametrize("path", ["", "entries", "L0", "../anchor/checkpoint", "tile/0/../../checkpoint", "checkpoint/", "state.json"])
def test_other_paths_are_refused(scene: Scene, path: str) -> None:
    with pytest.raises(Malformed):
        read_public(scene.root, INFERENCE, path)


def test_a_log_without_checkpoint_serves_nothing(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        read_public(tmp_path, INFERENCE, "checkpoint")
