"""Bodies of the Open Inference Protocol, version 2: read strictly, written from what was read.

What a model is sent is written again from the parsed request, never passed through: so what is hashed for the record,
what is checked and what the model sees are the same values. Knows bytes; knows no socket, caller or policy.
Source: Open Inference Protocol (KServe V2), HTTP/REST, "Inference Request/Response JSON Object", "Tensor Data".
"""

from __future__ import annotations

import hashlib
import math
import sys
from typing import Any, Final

import msgspec

from jurat.core.errors import Malformed, Unavailable
from jurat.core.jsonio import dump_json, load_json

MAX_TENSORS: Final = 1_000
_MAX_DIMENSIONS: Final = 8
_HINT: Final = "the body follows the Open Inference Protocol V2: `inputs` with name, shape, datatype and data"
_FLOATS: Final = ("FP16", "FP32", "FP64")
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "BYTES": (str,),
    "BOOL": (bool,),
    **dict.fromkeys(_FLOATS, (float, int)),
    **{f"{sign}INT{bits}": (int,) for bits in (8, 16, 32, 64) for sign in ("", "U")},
}
_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    **dict.fromkeys(_FLOATS, (-sys.float_info.max, sys.float_info.max)),
    **{f"INT{bits}": (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
}

Parameters = dict[str, str | int | float | bool]


class Tensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A named tensor; `data` is flat, in row-major order, once it came through `parse_*`."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: Parameters = {}

    @property
    def rows(self) -> int:
        return self.shape[0]


class RequestedOutput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str


class InferRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    inputs: list[Tensor]
    id: str = ""
    parameters: Parameters = {}
    outputs: list[RequestedOutput] = []


class InferResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model answered. Fields that the protocol does not name are read past, and go no further."""

    outputs: list[Tensor]
    model_name: str = ""
    model_version: str = ""
    id: str = ""
    parameters: dict[str, Any] = {}


class MetadataTensor(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    datatype: str
    shape: list[int]


class _Metadata(msgspec.Struct, frozen=True, kw_only=True):
    platform: str
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]


def parse_request(body: bytes) -> InferRequest:
    """Return the request in a body: one row, every tensor whole and of its type.

    Raises:
        Malformed: not such a body, or more or less than one row.
    """
    request = load_json(body, InferRequest, what="inference request")
    tensors = _checked(request.inputs, "input")
    if not tensors:
        raise Malformed("an inference request without inputs asks for nothing", hint=_HINT)
    for tensor in tensors:
        if tensor.rows != 1:
            raise Malformed(
                f"input `{tensor.name[:60]}` has {tensor.rows} rows, expected 1",
                hint="send one request per case: each prediction has its own record, floor and id",
                code="one_row_only",
            )
    return msgspec.structs.replace(request, inputs=tensors)


def parse_response(body: bytes) -> InferResponse:
    """Return the answer in a body.

    Raises:
        Malformed: not such a body, a tensor that is not whole or not of its type, or no output at all.
    """
    response = load_json(body, InferResponse, what="inference response")
    outputs = _checked(response.outputs, "output")
    if not outputs:
        raise Malformed("an inference response without outputs answers nothing")
    return msgspec.structs.replace(response, outputs=outputs)


def parse_metadata(body: bytes) -> dict[str, Any]:
    """Return `platform`, `inputs` and `outputs` of a model's metadata.

    Raises:
        Unavailable: the server's answer is not such a body.
    """
    try:
        said = load_json(body, _Metadata, what="model metadata")
    except Malformed as error:
        raise Unavailable(f"the model server's answer cannot be read: {error.detail}", code="upstream_failed") from error
    return {"platform": said.platform, "inputs": said.inputs, "outputs": said.outputs}


def format_request(request: InferRequest) -> bytes:
    """Return the body for the model. The inverse of `parse_request`, for requests that came from there."""
    return dump_json(request)


def for_model(request: InferRequest, prediction: str) -> InferRequest:
    """Return the request as a model gets it: under our id, and every output is wanted, since the guardrails see them all."""
    return msgspec.structs.replace(request, outputs=[], id=prediction)


def requested_outputs(request: InferRequest, response: InferResponse) -> list[Tensor]:
    """Return the outputs that the caller asked for, or all."""
    wanted = {output.name for output in request.outputs}
    return [tensor for tensor in response.outputs if not wanted or tensor.name in wanted]


def hash_inputs(salt: bytes, request: InferRequest) -> str:
    """Return the digest that stands for the inputs in the record: `sha256:` of salt[16] ‖ canonical bytes.

    Canonical: the deterministic JSON of everything that may move the answer: the input tensors, sorted by name, data
    flat, and the request's parameters. Whoever has the input and the salt (it lies in the event, and is erased with it)
    computes it again; without the salt, guessing finds nothing.
    """
    if len(salt) != 16:
        raise Malformed(f"an input salt has 16 bytes, got {len(salt)}")
    inputs = sorted(request.inputs, key=lambda tensor: tensor.name)
    return "sha256:" + hashlib.sha256(salt + dump_json({"inputs": inputs, "parameters": request.parameters})).hexdigest()


def single_number(response: InferResponse, name: str) -> float | None:
    """Return the one number of the floating-point output of that name, or None if there is no such thing."""
    for tensor in response.outputs:
        if tensor.name == name and tensor.datatype in _FLOATS and len(tensor.data) == 1:
            return float(tensor.data[0])
    return None


def answer_of(response: InferResponse, *, without: str) -> Any:
    """Return what the model said, for the record: all outputs but one.

    A lone output with a lone value is that value; otherwise name → value or list of values.
    """
    said = {t.name: t.data[0] if len(t.data) == 1 else t.data for t in response.outputs if t.name != without}
    if len(said) == 1:
        (only,) = said.values()
        return only if not isinstance(only, list) else said
    return said


def texts_of(response: InferResponse) -> str:
    """Return everything in the outputs that a reader would see, one value a line, for the output filter."""
    lines: list[str] = []
    for tensor in response.outputs:
        lines.append(tensor.name)
        lines.extend(value if isinstance(value, str) else str(value) for value in tensor.data)
    return "\n".join(lines)


def _checked(tensors: list[Tensor], what: str) -> list[Tensor]:
    if len(tensors) > MAX_TENSORS:
        raise Malformed(f"{len(tensors)} {what} tensors, expected at most {MAX_TENSORS}")
    seen: set[str] = set()
    for tensor in tensors:
        if not tensor.name or tensor.name in seen:
            raise Malformed(f"{what} name `{tensor.name[:60]}` is empty or comes twice", hint=_HINT)
        seen.add(tensor.name)
    return [_whole(tensor, what) for tensor in tensors]


def _whole(tensor: Tensor, what: str) -> Tensor:
    shape, flat = tensor.shape, tensor.data
    if not 1 <= len(shape) <= _MAX_DIMENSIONS or min(shape) < 0:
        raise _torn(tensor, what, f"has shape `{str(shape)[:60]}`, expected 1 to {_MAX_DIMENSIONS} sizes of 0 or more")
    for size in shape[1:]:  # nested lists are allowed; flat is canonical
        if flat and all(isinstance(item, list) and len(item) == size for item in flat):
            flat = [value for item in flat for value in item]
    if len(flat) != math.prod(shape):
        raise _torn(tensor, what, f"has {len(flat)} values, its shape says {math.prod(shape)}")
    if not _fits(flat, tensor.datatype):
        raise _torn(tensor, what, f"holds a value that is not of datatype `{tensor.datatype[:20]}`")
    return tensor if flat is tensor.data else msgspec.structs.replace(tensor, data=flat)


def _fits(values: list[Any], datatype: str) -> bool:
    types = _TYPES.get(datatype, ())
    for value in values:
        if type(value) not in types:  # exactly: True is no integer here
            return False
    if datatype not in _BOUNDS:
        return datatype in _TYPES
    low, high = _BOUNDS[datatype]
    return not values or (low <= min(values) and max(values) <= high)


def _torn(tensor: Tensor, what: str, why: str) -> Malformed:
    return Malformed(f"{what} `{tensor.name[:60]}` {why}", hint=_HINT)
