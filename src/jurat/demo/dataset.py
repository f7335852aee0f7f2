"""The demo's data: German credit, and the one split of it that everything in the demo stands on.

Three parts that share no row: the models learn from `training`, Jurat measures them on `evaluation`, and the
`applicants` come to the running endpoint. The split keeps the share of each sex, age group and outcome, and follows
from the SHA-256 of the row numbers: it was not drawn, and so cannot be drawn again until it looks good.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from importlib.resources import files
from io import StringIO
from typing import Final

from jurat.app.features import Datatype, Feature

LABEL: Final = "credit_risk"
FAVOURABLE: Final = "good"
PROTECTED: Final = ("sex", "age_over_25")  # measured by; derived from `personal_status` and `age`
_STRATA: Final = (*PROTECTED, LABEL)
_NUMBERS: Final = frozenset(
    ["duration_months", "credit_amount", "installment_rate", "residence_since", "age", "existing_credits", "dependants"]
)

Row = dict[str, str]


def load_rows() -> list[Row]:
    """Return the 1,000 applicants, in the file's order, each column as text."""
    return list(csv.DictReader(StringIO(read_csv().decode())))


def read_csv() -> bytes:
    """Return the file that the package carries, with its attribution beside it."""
    return (files("jurat.demo") / "data" / "german_credit.csv").read_bytes()


def split_rows(rows: list[Row]) -> dict[str, list[Row]]:
    """Return 300 rows for `training`, 400 for `evaluation` and 300 `applicants`, always the same, each in the file's order.

    400 rows to measure on is the least that leaves 30 people in the smallest cell of an equalized-odds figure.
    """
    strata: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        strata[tuple(row[column] for column in _STRATA)].append(row)
    parts: dict[str, list[Row]] = {"training": [], "evaluation": [], "applicants": []}
    for stratum in strata.values():
        stratum.sort(key=lambda row: hashlib.sha256(f"german-credit/{row['row']}".encode()).digest())
        first, second = round(0.3 * len(stratum)), round(0.7 * len(stratum))
        parts["training"] += stratum[:first]
        parts["evaluation"] += stratum[first:second]
        parts["applicants"] += stratum[second:]
    for part in parts.values():
        part.sort(key=lambda row: int(row["row"]))
    return parts


def format_csv(rows: list[Row]) -> bytes:
    """Return rows as a CSV file with a header; the same rows always give the same bytes."""
    out = StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def features_of(columns: list[str]) -> list[Feature]:
    """Return the typed columns of that name."""
    return [Feature(name, Datatype.FP64 if name in _NUMBERS else Datatype.BYTES) for name in columns]


def attributes(row: Row) -> list[str]:
    """Return the bank's own twenty columns: all but the row number, the label, and the two that we derived."""
    return [column for column in row if column not in ("row", LABEL, *PROTECTED)]
