from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.gateway_world import REQUEST, answer, body

from jurat.core.errors import Malformed, Unavailable
from jurat.gateway import v2

SALT = bytes(range(16))


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [1], "datatype": "INT64", "data": [1], **changes}


def test_a_request_is_written_as_it_was_read() -> None:
    request = v2.parse_request(body(id="7", parameters={"mode": "fast"}, outputs=[{"name": "approved"}]))
    assert v2.parse_request(v2.format_request(request)) == request


def test_nested_data_is_the_same_as_flat_data() -> None:
    nested = v2.parse_request(body({"inputs": [tensor(shape=[1, 2, 2], data=[[[1, 2], [3, 4]]])]}))
    flat = v2.parse_request(body({"inputs": [tensor(shape=[1, 2, 2], data=[1, 2, 3, 4])]}))
    assert nested == flat
    assert v2.hash_inputs(SALT, nested) == v2.hash_inputs(SALT, flat)


def test_the_hash_is_what_its_docstring_says() -> None:
    canonical = (
        b'{"inputs":[{"data":[41],"datatype":"INT64","name":"age","shape":[1]},'
        b'{"data":["a car"],"datatype":"BYTES","name":"purpose","shape":[1]}],"parameters":{}}'
    )
    assert v2.hash_inputs(SALT, v2.parse_request(body())) == "sha256:" + hashlib.sha256(SALT + canonical).hexdigest()


def test_the_hash_knows_no_order_of_tensors_no_id_and_no_wish_for_outputs() -> None:
    one = v2.parse_request(body())
    other = v2.parse_request(body({"inputs": REQUEST["inputs"][::-1]}, id="9", outputs=[{"name": "approved"}]))
    assert v2.hash_inputs(SALT, one) == v2.hash_inputs(SALT, other)


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"temperature": 1}},
        {"inputs": [{**REQUEST["inputs"][0], "data": [42]}, REQUEST["inputs"][1]]},
        {"inputs": [{**REQUEST["inputs"][0], "name": "Age"}, REQUEST["inputs"][1]]},
        {"inputs": [{**REQUEST["inputs"][0], "datatype": "INT32"}, REQUEST["inputs"][1]]},
        {"inputs": [{**REQUEST["inputs"][0], "parameters": {"p": True}}, REQUEST["inputs"][1]]},
        {"inputs": REQUEST["inputs"][:1]},
    ],
)
def test_whatever_may_move_the_answer_moves_the_hash(change: dict[str, Any]) -> None:
    assert v2.hash_inputs(SALT, v2.parse_request(body(**change))) != v2.hash_inputs(SALT, v2.parse_request(body()))


def test_the_salt_moves_the_hash_and_must_be_whole() -> None:
    request = v2.parse_request(body())
    assert v2.hash_inputs(SALT, request) != v2.hash_inputs(bytes(16), request)
    with pytest.raises(Malformed):
        v2.hash_inputs(b"", request)


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [tensor(name="")],
        [tensor(), tensor()],
        [tensor(shape=[])],
        [tensor(shape=[-1])],
        [tensor(shape=[1] * 9)],
        [tensor(shape=[1, 2], data=[1])],
        [tensor(shape=[1, 2], data=[[1], [2]])],
        [tensor(shape=[1], data=[[1]])],
        [tensor(shape=[2], data=[1, 2])],
        [tensor(shape=[0], data=[])],
        [tensor(datatype="INT8", data=[128])],
        [tensor(datatype="UINT8", data=[-1])],
        [tensor(datatype="INT64", data=[1.0])],
        [tensor(datatype="INT64", data=[True])],
        [tensor(datatype="FP64", data=["1"])],
        [tensor(datatype="FP64", data=[10**400])],
        [tensor(datatype="BOOL", data=[1])],
        [tensor(datatype="BYTES", data=[1])],
        [tensor(datatype="int64")],
        [tensor(datatype="STRING", data=["x"])],
        [tensor(data=[None])],
        [tensor(data=[{}])],
        [tensor(extra=1)],
        [tensor(parameters={"p": [1]})],
        [tensor(name=f"x{n}") for n in range(v2.MAX_TENSORS + 1)],
    ],
)
def test_what_is_not_one_whole_row_is_refused(inputs: list[dict[str, Any]]) -> None:
    with pytest.raises(Malformed):
        v2.parse_request(body({"inputs": inputs}))


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b'{"inputs":1}', b"[" * 100_000, b'{"inputs":[],"surprise":1}'])
def test_what_is_not_such_a_body_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        v2.parse_request(raw)


def test_more_rows_are_refused_by_name() -> None:
    with pytest.raises(Malformed) as refused:
        v2.parse_request(body({"inputs": [tensor(shape=[3], data=[1, 2, 3])]}))
    assert refused.value.code == "one_row_only"
    assert "3 rows" in refused.value.detail


def test_all_the_datatypes_of_the_protocol_are_read() -> None:
    values: dict[str, Any] = {"BOOL": True, "BYTES": "text", "FP16": 0.5, "FP32": 1, "FP64": 1.5}
    values |= {f"{sign}INT{bits}": 1 for sign in ("", "U") for bits in (8, 16, 32, 64)}
    assert len(values) == 13
    v2.parse_request(body({"inputs": [tensor(name=name, datatype=name, data=[value]) for name, value in values.items()]}))
    v2.parse_request(body({"inputs": [tensor(datatype="UINT64", data=[2**64 - 1])]}))


def test_an_answer_is_read_past_what_the_protocol_does_not_name() -> None:
    response = v2.parse_response(msgspec.json.encode({**answer(), "surprise": 1}))
    assert v2.single_number(response, "confidence") == 0.9
    assert v2.answer_of(response, without="confidence") is True


def test_confidence_is_one_floating_number_or_nothing() -> None:
    for changes in ({"data": [1, 2], "shape": [2]}, {"datatype": "INT64", "data": [1]}, {"datatype": "BYTES", "data": ["0.9"]}):
        response = v2.parse_response(msgspec.json.encode({"outputs": [{**tensor(name="confidence", datatype="FP64"), **changes}]}))
        assert v2.single_number(response, "confidence") is None


def test_what_the_model_said_is_one_value_or_names_and_values() -> None:
    def said(*outputs: dict[str, Any]) -> Any:
        return v2.answer_of(v2.parse_response(msgspec.json.encode({"outputs": outputs})), without="confidence")

    assert said(tensor(name="approved"), tensor(name="confidence")) == 1
    assert said(tensor(name="a"), tensor(name="b", shape=[1, 2], data=[1, 2])) == {"a": 1, "b": [1, 2]}
    assert said(tensor(name="a", shape=[1, 2], data=[1, 2])) == {"a": [1, 2]}


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"outputs":[]}', b'{"outputs":[{"name":"a"}]}', b"null"])
def test_an_answer_that_answers_nothing_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        v2.parse_response(raw)


def test_metadata_that_cannot_be_read_is_the_servers_fault() -> None:
    with pytest.raises(Unavailable):
        v2.parse_metadata(b"{}")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data", "inputs", "x"]), inner)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=60) | _json.map(lambda value: msgspec.json.encode(value)) | _json.map(lambda v: body({"inputs": [v]})))
def test_no_bytes_make_the_reader_raise_anything_but_malformed(raw: bytes) -> None:
    for parse in (v2.parse_request, v2.parse_response):
        with contextlib.suppress(Malformed):
            parse(raw)
