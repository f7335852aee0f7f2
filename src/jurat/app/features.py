"""What goes into a model: its columns, in order, with their types. One of the six versioned parts of a model version.

Knows the JSON file and how rows of text become the array that a model is given. Knows no model and no data set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from jurat.core.errors import Malformed
from jurat.core.jsonio import dump_json, load_json


class Datatype(StrEnum):
    """The Open Inference Protocol's names of the types that we use."""

    FP64 = "FP64"
    INT64 = "INT64"
    BYTES = "BYTES"  # a text


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column of a model's input."""

    name: str
    datatype: Datatype


class FeatureSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of a model's input, in the order that it was trained with."""

    version: str  # features-schema:<version>
    features: list[Feature]

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]


def parse_features(raw: bytes) -> FeatureSchema:
    """Return the schema in a JSON file. The inverse of `format_features`.

    Raises:
        Malformed: not such a file, no columns, or one name twice.
    """
    schema = load_json(raw, FeatureSchema, what="feature definitions")
    if not schema.features or len(set(schema.names)) != len(schema.names):
        raise Malformed("feature definitions need at least one column, and each name once")
    return schema


def format_features(schema: FeatureSchema) -> bytes:
    """Return the JSON file of a schema; the same schema always gives the same bytes."""
    return dump_json(schema) + b"\n"


def to_array(schema: FeatureSchema, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.object_]:
    """Return shape (rows, columns), dtype object, a float where the column is a number and a text where it is not.

    Raises:
        Malformed: a column is missing, or a value is not of its type. The message names row and column, never the value.
    """
    array = np.empty((len(rows), len(schema.features)), dtype=object)
    for column, feature in enumerate(schema.features):
        for number, row in enumerate(rows):
            if feature.name not in row:
                raise Malformed(f"row {number + 1} has no column `{feature.name}`", hint="every feature of the model needs a column")
            array[number, column] = _convert(row[feature.name], feature, number)
    return array


def _convert(value: Any, feature: Feature, number: int) -> str | float:
    if feature.datatype is Datatype.BYTES:
        if isinstance(value, str):
            return value
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            found = float(value)
        except (ValueError, OverflowError):
            found = math.nan
        if math.isfinite(found) and (feature.datatype is Datatype.FP64 or found.is_integer()):
            return found
    raise Malformed(f"`{feature.name}` of row {number + 1} is not a `{feature.datatype}`")
