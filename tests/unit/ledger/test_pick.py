"""Finding a subject's events: however a producer spelt the text in JSON, and in what was asked about it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger_workspace import ACCESS, INFERENCE, PREDICTION_MADE
from tests.scenes.archive import Bench

from jurat.domain.kinds import BY_NAME
from jurat.ledger.pick import _spellings, is_said, pick_by_text

NAME = "zoë/\U0001f600@example.org"
SPELT = [
    json.dumps(NAME),
    json.dumps(NAME, ensure_ascii=False),
    json.dumps(NAME).replace("\\u00eb", "\\u00EB").replace("\\ud83d", "\\uD83D"),
    json.dumps(NAME).replace("@", "\\u0040"),
    json.dumps(NAME).replace("/", "\\/").replace("z", "\\u007A"),
    json.dumps(unicodedata.normalize("NFD", NAME)),
]
DATABASE = duckdb.connect(":memory:")
OTHERS = [json.dumps("zoe/\U0001f600@example.org"), json.dumps(NAME + "x"), json.dumps("dear " + NAME), json.dumps("\\u007a" + NAME[1:])]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.mark.parametrize("archived", [True, False])
def test_a_subject_is_found_however_its_name_is_spelt_and_nobody_else_is(bench: Bench, archived: bool) -> None:
    raws = [b'{"customer":%s}' % spelt.encode() for spelt in [*SPELT, *OTHERS]]
    bench.ledger.append(INFERENCE, 1, raws, kind=PREDICTION_MADE)
    bench.archive() if archived else bench.seal()
    assert [event.index for event in pick_by_text(bench.root, "main", NAME)] == list(range(len(SPELT)))


def test_a_question_that_named_the_subject_is_found_too(bench: Bench) -> None:
    asked = [
        {
            "kind": "records.read.v1",
            "data": {"question": "sql", "subject": f"SELECT * FROM events WHERE event LIKE '%{NAME}%'", "as_of": {}},
        },
        {"kind": "records.read.v1", "data": {"question": "events", "subject": "everything", "as_of": {}}},
    ]
    bench.ledger.append(ACCESS, 1, [json.dumps(each).encode() for each in asked], kind=BY_NAME["records.read.v1"].code)
    bench.seal()
    assert [(event.log, event.index) for event in pick_by_text(bench.root, "main", NAME)] == [(str(ACCESS), 0)]


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=20), st.randoms(use_true_random=False))
def test_no_spelling_slips_through_the_first_sieve(text: str, random: object) -> None:
    choose = random.choice  # type: ignore[attr-defined]
    escapes = [
        "".join(f"\\u{unit:{choose('xX')}}".replace("u", "u" + "0" * (4 - len(f"{unit:x}")), 1) for unit in _units(char)) for char in text
    ]
    raw = "".join(
        choose([escaped, json.dumps(char, ensure_ascii=choose([True, False]))[1:-1]]) for char, escaped in zip(text, escapes, strict=True)
    )
    document = f'{{"customer":"{raw}"}}'
    assert json.loads(document) == {"customer": text}
    assert DATABASE.execute("SELECT regexp_matches(?, ?)", [document, _spellings(text)]).fetchall() == [(True,)]
    assert is_said(text, document.encode())


def _units(char: str) -> list[int]:
    raw = char.encode("utf-16-be")
    return [int.from_bytes(raw[at : at + 2]) for at in range(0, len(raw), 2)]
