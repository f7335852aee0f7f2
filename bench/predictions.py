"""Predictions as a busy credit desk makes them: no two alike, and as hard to compress as real ones. Not a benchmark itself.

Each has its own person, applicant, features, amounts, hashes, times and ids (as random as ours are); what repeats in
reality repeats here: keys, models, endpoints, policies, guardrails. One in fifty failed. About 600 bytes, on average.
Deterministic by seed, and quick: a benchmark must not spend its time on making its load.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

MADE: Final = 51  # prediction.made.v1
FAILED: Final = 70  # prediction.failed.v1, in the log of errors
CHANGES: Final = {"endpoint.configured.v1": 5, "policy_set.applied.v1": 3, "gates.applied.v1": 4}
START_NS: Final = 1_785_542_400_000_000_000  # 2026-08-01
STEP_NS: Final = 86_400_000  # between two: a million a day
FAILED_EVERY: Final = 50  # predictions between two failures
CHANGED_EVERY: Final = 5_000  # predictions between two changes

_MODELS: Final = [
    (f"{name}@{major}.{minor}.{patch}", name, random.Random(f"{name}{major}{minor}{patch}").randbytes(32).hex())
    for name, majors in (("credit", 2), ("churn", 1), ("fraud", 3), ("limit", 1), ("pricing", 2))
    for major in range(1, majors + 1)
    for minor in range(3)
    for patch in range(2)
]
_PURPOSES: Final = (
    "new_car",
    "used_car",
    "furniture",
    "radio_tv",
    "education",
    "repairs",
    "business",
    "vacation",
    "retraining",
    "appliances",
)
_REASONS: Final = ("upstream_timeout", "upstream_refused", "schema_mismatch", "answer_malformed", "guardrail_failed")
_POLICY_SET: Final = "sha256:" + random.Random("policies").randbytes(32).hex()
_PEOPLE: Final = 5_000
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LETTERS: Final = bytes(ord(_ALPHABET[byte & 31]) for byte in range(256))


class Prediction(NamedTuple):
    """One event: where it belongs, and its bytes."""

    kind: int
    raw: bytes


def event_id(seed: int, number: int) -> str:
    """Return the id of event `number`: its time, and eighty bits that only the seed foretells."""
    return _id("evt", number, hashlib.blake2b(b"%d-%d" % (seed, number), digest_size=16).digest())


@lru_cache
def people() -> list[str]:
    """Return the ids of everybody who asks."""
    chance = random.Random("people")
    return [_id("prn", -chance.getrandbits(28), chance.randbytes(16)) for _ in range(_PEOPLE)]


def make_predictions(first: int, count: int, *, seed: int = 0) -> Iterator[bytes]:
    """Yield the bytes of the predictions numbered from `first` on. Their ids are `event_id(seed, number)`."""
    chance, who = random.Random(seed << 40 | first | 1 << 80), people()
    bits, more, uniform = chance.getrandbits, chance.randbytes, chance.random
    for number in range(first, first + count):
        version, endpoint, digest = _MODELS[int(uniform() * uniform() * len(_MODELS))]  # some are asked far more often
        person = who[int(uniform() * uniform() * _PEOPLE)]
        score, amount = uniform(), int(250 * 2.0 ** (6 * uniform()))
        yield (
            f'{{"id":"{event_id(seed, number)}","kind":"prediction.made.v1","at":"{at(number)}","actor":{{"principal":"{person}",'
            f'"type":"person","chain":["{person}"]}},"resource":"endpoints/{endpoint}",'
            f'"data":{{"prediction":"{_id("prd", number, more(16))}","endpoint":"{endpoint}","version":"{version}",'
            f'"version_digest":"sha256:{digest}","input_hash":"{bits(256):064x}",'
            f'"output":{{"score":{score:.6f},"amount":{amount},"months":{6 + int(66 * uniform())},"purpose":"{_PURPOSES[bits(3)]}"}},'
            f'"confidence":{max(score, 1 - score):.6f},"outcome":"{"abstained" if 0.45 < score < 0.5 else "released"}",'
            f'"latency_ms":{2 + 9 * uniform() ** 3:.3f},"guardrails":[]}}}}'
        ).encode()


def make_failures(first: int, count: int, *, seed: int = 1) -> Iterator[bytes]:
    """Yield the bytes of predictions that got no answer."""
    chance, who = random.Random(seed << 40 | first | 1 << 80), people()
    for number in range(first, first + count):
        version, endpoint, digest = _MODELS[int(chance.random() * len(_MODELS))]
        person, reason = who[int(chance.random() * _PEOPLE)], _REASONS[int(chance.random() ** 2 * len(_REASONS))]
        yield (
            f'{{"id":"{event_id(seed, number)}","kind":"prediction.failed.v1","at":"{at(FAILED_EVERY * number)}",'
            f'"actor":{{"principal":"{person}","type":"person","chain":["{person}"]}},"resource":"endpoints/{endpoint}",'
            f'"data":{{"prediction":"{_id("prd", FAILED_EVERY * number, chance.randbytes(16))}","endpoint":"{endpoint}",'
            f'"version":"{version}","version_digest":"sha256:{digest}","reason":"{reason}","guardrails":[]}}}}'
        ).encode()


def make_changes(first: int, count: int, *, seed: int = 2) -> Iterator[Prediction]:
    """Yield changes of what is in force: configuration, by some person, of some endpoint."""
    chance, who, kinds = random.Random(seed << 40 | first | 1 << 80), people(), list(CHANGES.items())
    for number in range(first, first + count):
        kind, code = kinds[number % len(kinds)]
        person, model = who[int(chance.random() * 40)], _MODELS[int(chance.random() * len(_MODELS))]
        raw = (
            f'{{"id":"{event_id(seed, number)}","kind":"{kind}","at":"{at(CHANGED_EVERY * number)}","actor":{{"principal":"{person}",'
            f'"type":"person","chain":["{person}"]}},"resource":"endpoints/{model[1]}","data":{{"version":"{model[0]}",'
            f'"digest":"sha256:{chance.getrandbits(256):064x}"}},'
            f'"decision":{{"effect":"allow","policies":["operator-configures"],"policy_set":"{_POLICY_SET}"}},"because":[]}}'
        )
        yield Prediction(code, raw.encode())


def at(number: int) -> str:
    """Return when prediction `number` was made, with microseconds."""
    seconds, rest_ns = divmod(number * STEP_NS, 1_000_000_000)
    return f"{_day(seconds // 86_400)}T{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest_ns // 1000:06}Z"


@lru_cache
def _day(number: int) -> str:
    return (datetime.fromtimestamp(START_NS // 1_000_000_000, UTC) + timedelta(days=number)).date().isoformat()


def _id(prefix: str, number: int, chance: bytes) -> str:
    """Return an id as `core.ids` makes them, but quickly: ten characters of time, sixteen of chance."""
    return f"{prefix}_{_time((START_NS + number * STEP_NS) // 1_000_000)}{chance.translate(_LETTERS).decode()}"


@lru_cache(maxsize=64)
def _time(milliseconds: int) -> str:
    return "".join([_ALPHABET[milliseconds >> shift & 31] for shift in range(45, -1, -5)])
