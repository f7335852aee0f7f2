"""One witness in its directory: answers `add-checkpoint`, and shows what it cosigned last. No HTTP here.

    witness.key      0600: the seed that both of its keys are derived of
    witness.json     public: its name and its vkeys, Ed25519 and ML-DSA-44
    witness.sqlite   what it remembers (witness_store), unless that lies in PostgreSQL

compare ── cosign ── store, durable ── answer. A witness killed in between has cosigned something that nobody saw, or
stored something that nobody was told: both are harmless, for the log asks again and learns the size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jurat.core.clock import Clock, SystemClock
from jurat.core.errors import Malformed, NotFound, Unavailable
from jurat.core.files import write_whole
from jurat.core.jsonio import load_json
from jurat.ledger.crash_points import reach
from jurat.ledger.keys import KeyPeriod, LogKeys, create_signing_key, load_signing_key
from jurat.ledger.witness import TEXT_TYPE, Refusal, judge, open_submission, parse_request
from jurat.ledger.witness_store import Evidence, Known, Memory, SqliteMemory, WitnessStore, create_witness_store
from jurat.merkle.cosign import CosignatureSigner
from jurat.merkle.note import MlDsaSigner, Verifier, check_key_name, format_signatures, verifiers_of

_INFO: Final = b"jurat/witness-key/v1\x00"


class PublicWitness(msgspec.Struct, frozen=True):
    """What everybody may know of a witness, and what goes into a policy file."""

    name: str
    vkeys: list[str]


class Answer(NamedTuple):
    """What goes back over HTTP."""

    status: int
    body: bytes
    content_type: str = TEXT_TYPE


class KeysAt:
    """The keys of one log by size, parsed once."""

    def __init__(self, keys: LogKeys) -> None:
        self.keys = keys
        self._parsed = dict(zip(keys.all_vkeys(), verifiers_of(keys.all_vkeys()), strict=True))

    def __call__(self, size: int) -> list[Verifier]:
        return [self._parsed[vkey] for vkey in self.keys.vkeys_at(size)]


class Witness:
    """An existing witness, ready to answer. Safe to be called from several threads.

    Raises (on construction):
        NotFound, Malformed: something in its directory is missing or corrupt.
    """

    def __init__(self, directory: Path, clock: Clock | None = None, *, memory: Callable[[Sequence[str]], Memory] | None = None) -> None:
        self._clock = clock or SystemClock()
        self.public = load_public_witness(directory)
        self._now_s = 0  # set within the transaction: both signatures carry it
        self._signers = _signers(load_signing_key(directory / "witness.key"), self.public.name, self)
        if [signer.vkey for signer in self._signers] != self.public.vkeys:
            raise Malformed(f"`{directory}` has a key that is not the one in `witness.json`", code="key_corrupt")
        self._store = WitnessStore(memory(self.public.vkeys) if memory else SqliteMemory(directory / "witness.sqlite"))
        self._one_at_a_time = threading.Lock()
        self._logs: dict[str, KeysAt] = {}

    def answer(self, body: bytes) -> Answer:
        """Return the answer to `add-checkpoint`; if that is 200, the checkpoint is on disk.

        Raises:
            Unavailable: the disk refused; nothing was cosigned.
        """
        try:
            request = parse_request(body)
            with self._one_at_a_time:
                submission = open_submission(request, self._verifiers())
                if isinstance(submission, Refusal):
                    return _refuse(submission)
                with self._store.alone():
                    known = self._store.known(submission.origin)
                    if known is None:  # taken out meanwhile
                        return Answer(404, b"unknown log\n")
                    refusal = judge(request, submission, known.last)
                    if refusal is not None:
                        if refusal.is_evidence:
                            self._store.keep_evidence(known.origin, self._clock.now_ns(), refusal.body.strip(), body, known.note)
                        return _refuse(refusal)
                    assert submission.checkpoint is not None
                    self._now_s = max(self._clock.now_ns() // 1_000_000_000, known.cosigned_s, 1)
                    lines = format_signatures(submission.text, self._signers)
                    self._store.put(submission.checkpoint, submission.note + lines, self._now_s)
                    reach("witness_before_commit")
                reach("witness_before_answer")
                return Answer(200, lines.encode())
        except Malformed as error:
            return Answer(400, f"{error.detail}\n".encode())

    def last_note(self, origin_hash: str) -> str | None:
        """Return the last cosigned checkpoint of a log, with the log's signatures and ours; None if there is none."""
        with self._one_at_a_time:
            return self._store.note_of(origin_hash)

    def add_log(self, origin: str, vkeys: list[str], periods: Sequence[KeyPeriod] = ()) -> None:
        """From now on, cosign this log. Each of its checkpoints must be signed by all keys that are for its size.

        Args:
            vkeys: its keys of now.
            periods: of a log that has changed its keys, each set with its sizes; one that is known already may so add keys.

        Raises:
            Malformed: not vkeys, or not of this origin.
            Conflict: it is known with other keys.
        """
        keys = LogKeys("", origin, vkeys, "", [*periods])
        for verifier in verifiers_of(keys.all_vkeys()):
            if verifier.name != keys.origin:
                raise Malformed(f"key `{verifier.name[:120]}` is not of log `{keys.origin[:120]}`: a log's key has its origin's name")
        if not keys.all_vkeys():
            raise Malformed("a log without a key")
        with self._one_at_a_time:
            self._store.add_log(keys)
            self._logs.clear()

    def logs(self) -> list[Known]:
        """Return every log that this witness knows."""
        with self._one_at_a_time:
            return self._store.all()

    def evidence(self) -> list[Evidence]:
        """Return the requests that contradict what was cosigned."""
        with self._one_at_a_time:
            return self._store.evidence()

    def close(self) -> None:
        self._store.close()

    def now_s(self) -> int:
        return self._now_s

    def _verifiers(self) -> dict[str, KeysAt]:
        """Return the keys by origin; made anew whenever a log or its keys changed, for `add-log` is another process."""
        known = {each.origin: each.keys for each in self._store.all()}
        if known != {origin: each.keys for origin, each in self._logs.items()}:
            self._logs = {origin: KeysAt(keys) for origin, keys in known.items()}
        return self._logs


def create_witness(directory: Path, name: str, *, make_memory: Callable[[Sequence[str]], None] | None = None) -> PublicWitness:
    """Make a witness: its keys and an empty memory, in its directory or by `make_memory` for these keys.

    Raises:
        Malformed: a name that no key can have.
        Conflict: there is one already.
    """
    check_key_name(name)
    if len(name.encode()) > 255:
        raise Malformed("a witness's name has at most 255 bytes")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    seed = create_signing_key(directory / "witness.key")
    public = PublicWitness(name, [signer.vkey for signer in _signers(seed, name, None)])
    if make_memory is None:
        create_witness_store(directory / "witness.sqlite")
    else:
        try:
            make_memory(public.vkeys)
        except BaseException:  # a key without a memory is of no use, and stands in the way of the next try
            (directory / "witness.key").unlink()
            raise
    write_whole(directory / "witness.json", msgspec.json.format(msgspec.json.encode(public), indent=2) + b"\n")
    return public


def load_public_witness(directory: Path) -> PublicWitness:
    """Return a witness's name and vkeys.

    Raises:
        NotFound, Malformed: there is none, or it cannot be read.
    """
    path = directory / "witness.json"
    try:
        return load_json(path.read_bytes(), PublicWitness, what=f"`{path}`")
    except FileNotFoundError:
        raise NotFound(f"there is no witness in `{directory}`", hint=f"`jurat witness init {directory} --name NAME` makes one") from None
    except OSError as error:
        raise Unavailable(f"`{path}` cannot be read: {(error.strerror or str(error)).lower()}") from error


def _signers(seed: bytes, name: str, witness: Witness | None) -> tuple[CosignatureSigner, MlDsaSigner]:
    def now_s() -> int:
        return witness.now_s() if witness else 0

    def derive(purpose: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO + purpose + b"\x00" + name.encode()).derive(seed)

    return CosignatureSigner(name, derive(b"ed25519"), now_s), MlDsaSigner(name, derive(b"ml-dsa-44"), now_s)


def _refuse(refusal: Refusal) -> Answer:
    return Answer(refusal.status, refusal.body.encode("utf-8", "replace"), refusal.content_type)
