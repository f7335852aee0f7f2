"""Feature definitions: round trip, strictness, and rows of text becoming the model's array."""

from __future__ import annotations

import pytest

from jurat.app.features import Datatype, Feature, FeatureSchema, format_features, parse_features, to_array
from jurat.core.errors import Malformed

SCHEMA = FeatureSchema(
    version="1.0.0",
    features=[Feature("months", Datatype.FP64), Feature("purpose", Datatype.BYTES), Feature("count", Datatype.INT64)],
)


def test_definitions_survive_the_file():
    assert parse_features(format_features(SCHEMA)) == SCHEMA
    assert format_features(SCHEMA) == format_features(parse_features(format_features(SCHEMA)))


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"{", b'{"version":"1","features":[]}', b'{"version":"1","features":[{"name":"a","datatype":"FP64"}],"more":1}',
        b'{"version":"1","features":[{"name":"a","datatype":"OBJECT"}]}',
        b'{"version":"1","features":[{"name":"a","datatype":"FP64"},{"name":"a","datatype":"BYTES"}]}',
    ],
)  # fmt: skip
def test_other_files_are_malformed(raw):
    with pytest.raises(Malformed):
        parse_features(raw)


def test_rows_become_floats_and_texts_in_the_schema_s_order():
    array = to_array(SCHEMA, [{"purpose": "car", "months": "12", "count": "2", "ignored": "x"}, {"count": 3, "months": 1.5, "purpose": ""}])
    assert array.tolist() == [[12.0, "car", 2.0], [1.5, "", 3.0]]
    assert [type(value) for value in array[0]] == [float, str, float]


@pytest.mark.parametrize(
    ("column", "value"),
    [("months", "secret"), ("months", "nan"), ("months", "inf"), ("months", None), ("months", True), ("months", 10**400),
     ("count", 1.5), ("count", "1.5"), ("purpose", 3), ("purpose", None), ("purpose", ["a"])],
)  # fmt: skip
def test_a_value_of_another_type_is_malformed_and_is_not_repeated(column, value):
    row = {"months": 1, "purpose": "car", "count": 1} | {column: value}
    with pytest.raises(Malformed) as caught:
        to_array(SCHEMA, [row])
    datatype = next(feature.datatype for feature in SCHEMA.features if feature.name == column)
    assert caught.value.detail == f"`{column}` of row 1 is not a `{datatype}`"


def test_a_missing_column_is_named():
    with pytest.raises(Malformed, match="row 2 has no column `count`"):
        to_array(SCHEMA, [{"months": 1, "purpose": "car", "count": 1}, {"months": 1, "purpose": "car"}])
