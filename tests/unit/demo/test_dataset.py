"""The demo's data: complete, attributed, and split once and for all."""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib.resources import files

from jurat.core.digests import digest_bytes
from jurat.demo.dataset import FAVOURABLE, LABEL, PROTECTED, attributes, format_csv, load_rows, read_csv, split_rows


def test_the_file_is_the_one_that_is_attributed():
    assert hashlib.sha256(read_csv()).hexdigest() == "8bb85d4a0ba2e7a07fe82e2db34c05091b9d83657c5a5a80c46ee4e8e66cf252"
    readme = (files("jurat.demo") / "data" / "README.md").read_text()
    assert "10.24432/C5NC77" in readme
    assert "CC BY 4.0" in readme


def test_the_published_counts_hold():
    rows = load_rows()
    assert len(rows) == 1000
    assert Counter(row[LABEL] for row in rows) == {FAVOURABLE: 700, "bad": 300}
    assert Counter(row["sex"] for row in rows)["female"] == 310
    assert len(attributes(rows[0])) == 20
    assert not set(attributes(rows[0])) & {"row", LABEL, *PROTECTED}


def test_no_row_is_lost_or_in_two_parts():
    rows, parts = load_rows(), split_rows(load_rows())
    assert {name: len(part) for name, part in parts.items()} == {"training": 300, "evaluation": 400, "applicants": 300}
    assert sorted(int(row["row"]) for part in parts.values() for row in part) == list(range(1, 1001))
    assert [row for row in rows if row in parts["evaluation"]] == parts["evaluation"]


def test_the_split_is_the_same_for_ever():
    parts = split_rows(load_rows())
    assert {name: digest_bytes(format_csv(part))[7:19] for name, part in parts.items()} == {
        "training": "06fa8bf4d250",
        "evaluation": "3ee65913a338",
        "applicants": "864741cbf568",
    }


def test_the_split_does_not_depend_on_the_order_of_the_file():
    rows = load_rows()
    assert split_rows(list(reversed(rows))) == split_rows(rows)


def test_the_smallest_cell_of_an_equalized_odds_figure_has_thirty_people():
    cells = Counter((column, row[column], row[LABEL]) for row in split_rows(load_rows())["evaluation"] for column in PROTECTED)
    assert min(cells.values()) == 32
