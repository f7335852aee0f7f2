"""What an ONNX file asks of whoever runs it: operators that are not ONNX's own, and files outside itself. Reads bytes only.

The walk knows protobuf's wire format and the few numbers of `onnx.proto` that matter here. Everything is bounded: depth, messages,
and no length is believed beyond the bytes that are there. Whatever cannot be read makes the file refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

OWN_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"})
_MAX_DEPTH: Final = 20  # graphs inside `If`, `Loop`, `Scan`
_MAX_MESSAGES: Final = 2_000_000
_MAX_REASONS: Final = 20
# field numbers of onnx.proto (Apache-2.0, opset 24): message → field
_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_FUNCTIONS = 7, 8, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_FUNCTION_NODE = 7
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2


class _Unreadable(Exception):
    """Not protobuf, or more of it than can be meant."""


class _Field(NamedTuple):
    number: int
    value: bytes | int  # bytes: a text or a message


def is_onnx(raw: bytes) -> bool:
    """Whether the bytes are laid out as an ONNX model: a version first, and a graph among its fields."""
    if raw[:1] != b"\x08":
        return False
    try:
        numbers = {field.number for field in _fields(raw, _Budget())}
    except _Unreadable:
        return False
    return _MODEL_GRAPH in numbers and numbers <= set(range(1, 33))


def scan_onnx(raw: bytes) -> tuple[list[str], list[str]]:
    """Return the operators outside ONNX's own domains, and why the file is refused; never raises."""
    walk = _Walk()
    try:
        for field in _fields(raw, walk.budget):
            if field.number == _MODEL_GRAPH:
                walk.graph(_message(field), 0)
            elif field.number == _MODEL_FUNCTIONS:
                for inner in _fields(_message(field), walk.budget):
                    if inner.number == _FUNCTION_NODE:
                        walk.node(_message(inner), 0)
            elif field.number == _MODEL_OPSETS:
                walk.domain(next((_text(f) for f in _fields(_message(field), walk.budget) if f.number == 1), ""), "an operator set")
    except _Unreadable as error:
        walk.reasons.append(f"not a readable ONNX model: {error}")
    return sorted(walk.foreign), list(dict.fromkeys(walk.reasons))[:_MAX_REASONS]


class _Budget:
    """Counts messages, so that no file makes the walk long."""

    def __init__(self) -> None:
        self.left = _MAX_MESSAGES

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _Unreadable("it has more fields than can be meant")


class _Walk:
    def __init__(self) -> None:
        self.budget = _Budget()
        self.foreign: set[str] = set()
        self.reasons: list[str] = []

    def domain(self, name: str, what: str) -> None:
        if name not in OWN_DOMAINS:
            self.foreign.add(f"{name}.{what}" if what != "an operator set" else name)
            self.reasons.append(f"{what} is of domain `{name}`, which is not ONNX's own: its code is whatever library the runner loads")

    def graph(self, raw: bytes, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise _Unreadable(f"graphs lie more than {_MAX_DEPTH} deep in each other")
        for field in _fields(raw, self.budget):
            if field.number == _GRAPH_NODE:
                self.node(_message(field), depth)
            elif field.number == _GRAPH_INITIALIZER:
                self.tensor(_message(field))
            elif field.number == _GRAPH_SPARSE:
                self._sparse(_message(field))

    def node(self, raw: bytes, depth: int) -> None:
        domain, operator = "", "?"
        for field in _fields(raw, self.budget):
            if field.number == _NODE_DOMAIN:
                domain = _text(field)
            elif field.number == _NODE_OP_TYPE:
                operator = _text(field)
            elif field.number == _NODE_ATTRIBUTE:
                self._attribute(_message(field), depth)
        self.domain(domain, f"operator `{operator}`")

    def tensor(self, raw: bytes) -> None:
        for field in _fields(raw, self.budget):
            if field.number == _TENSOR_EXTERNAL or (field.number == _TENSOR_LOCATION and field.value == 1):
                self.reasons.append("a tensor's data lies in another file, which was not scanned")

    def _attribute(self, raw: bytes, depth: int) -> None:
        for field in _fields(raw, self.budget):
            if field.number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                self.graph(_message(field), depth + 1)
            elif field.number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                self.tensor(_message(field))

    def _sparse(self, raw: bytes) -> None:
        for field in _fields(raw, self.budget):
            if field.number in (_SPARSE_VALUES, _SPARSE_INDICES):
                self.tensor(_message(field))


def _fields(raw: bytes, budget: _Budget) -> Iterator[_Field]:
    """Yield the fields of one message, in order. Source: protobuf's encoding; groups (wire types 3, 4) are refused."""
    at = 0
    while at < len(raw):
        budget.spend()
        key, at = _varint(raw, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise _Unreadable("a field has the number 0")
        if wire == 0:
            value, at = _varint(raw, at)
            yield _Field(number, value)
            continue
        if wire == 2:
            size, at = _varint(raw, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise _Unreadable(f"wire type {wire}")
        if size > len(raw) - at:
            raise _Unreadable("a field is longer than what is left")
        yield _Field(number, raw[at : at + size])
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise _Unreadable("it ends within a number")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Unreadable("a number is longer than 64 bits")


def _message(field: _Field) -> bytes:
    if isinstance(field.value, int):
        raise _Unreadable(f"field {field.number} is a number, expected a message")
    return field.value


def _text(field: _Field) -> str:
    shown = _message(field)[:100].decode("ascii", "replace")
    return "".join(c if c.isascii() and c.isprintable() and c != "`" else "?" for c in shown)
