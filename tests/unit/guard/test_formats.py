"""Files of Keras, PyTorch, ONNX and safetensors: what would run in them is refused by its reason; real, plain ones are clean."""

from __future__ import annotations

import json
import pickle
import zipfile
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jurat.guard.artefacts import scan_bytes
from jurat.guard.onnx import is_onnx, scan_onnx


def archive(**members):
    raw = BytesIO()
    with zipfile.ZipFile(raw, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/").replace("_json", ".json").replace("_pkl", ".pkl"), content)
    return raw.getvalue()


# --- Keras


def layer(name, module="keras.layers", **more):
    return {"class_name": name, "module": module, "config": {"name": name.lower()}, "registered_name": None, **more}


def keras(*layers, **members):
    config = {"class_name": "Sequential", "module": "keras", "config": {"layers": list(layers)}}
    return archive(config_json=json.dumps(config), metadata_json="{}", **members)


def test_a_keras_architecture_of_its_own_layers_is_clean():
    found = scan_bytes(keras(layer("Dense"), layer("Dropout")))
    assert (found.format, found.verdict) == ("keras", "clean")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (layer("Lambda"), "a Keras `Lambda` layer"),
        (layer("Dense", config={"activation": {"class_name": "__lambda__", "config": {"code": "4wEAAAA"}}}), "a Keras `Lambda` layer"),
        (
            layer("Dense", config={"activation": {"class_name": "function", "module": "os", "config": "system"}}),
            "`os.system`, which is not",
        ),
        (layer("Popen", module="subprocess"), "`subprocess.Popen`, which is not Keras's own"),
        (layer("Mine", module="keras_evil"), "`keras_evil.Mine`"),
        (layer("Dense", registered_name="mine>Dense"), "`mine>Dense`, a class that its author registered"),
    ],
)
def test_what_runs_in_a_keras_file_is_refused(bad, reason):
    found = scan_bytes(keras(layer("Dense"), bad))
    assert found.verdict == "refused"
    assert reason in found.reasons[0]


def test_hdf5_is_refused_and_its_lambda_named():
    raw = b"\x89HDF\r\n\x1a\n" + b"\0" * 90
    assert scan_bytes(raw).reasons[0].startswith("HDF5 is not looked into")
    assert "Lambda" in scan_bytes(raw + b'{"class_name": "Lambda", "config": {}}').reasons[0]
    assert "HDF5 is not looked into" in scan_bytes(keras(layer("Dense"), **{"model.weights.h5": raw})).reasons[0]


def test_a_bottomless_keras_config_ends():
    assert scan_bytes(keras(json.loads('{"a":' * 300 + "1" + "}" * 300))).verdict == "refused"
    assert scan_bytes(archive(config_json="[" * 200_000, metadata_json="{}")).verdict == "refused"


# --- PyTorch: the bytes that `torch.save({"w": tensor})` writes, without torch

TENSOR = (
    b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storageq\x03ctorch\nFloatStorage\n"
    b"q\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06K\x02tq\x07QK\x00K\x02\x85q\x08K\x01\x85q\t\x89ccollections\nOrderedDict\nq\n)R"
    b"q\x0btq\x0cRq\rs."
)


def torch(raw, **more):
    return archive(model__data_pkl=raw, model__version="3\n", model__byteorder="little", model__data__0=b"\0" * 8, **more)


def test_tensors_of_torch_are_clean():
    found = scan_bytes(torch(TENSOR))
    assert (found.format, found.verdict, found.reasons) == ("torch", "clean", [])
    assert "torch._utils._rebuild_tensor_v2" in found.globals


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.", "`posix.system` is not what a tensor is rebuilt from"),
        (TENSOR.replace(b"ctorch\nFloatStorage\n", b"ctorch.hub\nload\n"), "`torch.hub.load` is not"),
        (pickle.dumps({"a": 1}, protocol=4), "pickle protocol `4`, expected 2"),
        (b"\x80\x02(X\x04\x00\x00\x00trueios\nsystem\n.", "opcode `INST`"),
        (TENSOR + b"x", "bytes follow the end"),
        (TENSOR[:40], "not a readable pickle"),
    ],
)
def test_what_else_a_torch_file_would_do_is_refused(raw, reason):
    found = scan_bytes(torch(raw))
    assert found.verdict == "refused"
    assert any(reason in each for each in found.reasons)


def test_a_second_pickle_beside_the_tensors_is_refused():
    found = scan_bytes(torch(TENSOR, model__code="import os"))
    assert found.verdict == "refused"


# --- ONNX, written by hand: a field is a key, a length and bytes


def varint(n):
    raw = b""
    while n > 0x7F:
        raw, n = raw + bytes([n & 0x7F | 0x80]), n >> 7
    return raw + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def node(operator="Gemm", domain="", *attributes):
    return field(1, field(1, "x") + field(2, "y") + field(4, operator) + (field(7, domain) if domain else b"") + b"".join(attributes))


def onnx(*graph, more=b""):
    return field(1, 9) + field(2, "made by hand") + field(8, field(1, "") + field(2, 21)) + field(7, b"".join(graph)) + more


def test_a_plain_onnx_model_is_clean():
    raw = onnx(node(), node("LinearClassifier", "ai.onnx.ml"), field(5, field(1, 2) + field(9, b"\0" * 8)))
    found = scan_bytes(raw)
    assert (found.format, found.verdict, found.reasons) == ("onnx", "clean", [])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (onnx(node("Shell", "evil.ops")), "operator `Shell` is of domain `evil.ops`"),
        (onnx(node("If", "", field(5, field(6, node("Shell", "evil.ops"))))), "operator `Shell` is of domain `evil.ops`"),
        (onnx(node("Scan", "", field(5, field(11, node("Shell", "evil.ops"))))), "operator `Shell`"),
        (onnx(node(), more=field(25, field(1, "f") + field(7, field(4, "Shell") + field(7, "evil.ops")))), "operator `Shell`"),
        (onnx(node(), more=field(8, field(1, "evil.ops") + field(2, 1))), "an operator set is of domain `evil.ops`"),
        (onnx(field(5, field(14, 1) + field(13, field(1, "location") + field(2, "../../etc/passwd")))), "lies in another file"),
        (onnx(node("Constant", "", field(5, field(5, field(14, 1))))), "lies in another file"),
        (onnx(node("Bell\x1b`", "evil\x07")), "operator `Bell??` is of domain `evil?`"),
    ],
)
def test_what_onnx_does_not_define_is_refused_wherever_it_hides(raw, reason):
    found = scan_bytes(raw)
    assert (found.format, found.verdict) == ("onnx", "refused")
    assert reason in found.reasons[0]


def test_graphs_deep_in_each_other_end():
    raw = node()
    for _ in range(40):
        raw = node("If", "", field(5, field(6, raw)))
    assert "deep in each other" in scan_onnx(onnx(raw))[1][-1]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 200), st.binary(max_size=6))
def test_a_damaged_onnx_model_is_never_an_exception(at, damage):
    raw = onnx(node("Shell", "evil.ops"), field(5, field(9, b"\0" * 40)))
    raw = raw[:at] + damage + raw[at + len(damage) :]
    is_onnx(raw)
    scan_onnx(raw)
    scan_bytes(raw)


# --- safetensors


def safetensors(header, data):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


GOOD = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"format": "pt"}}


def test_safetensors_are_clean_when_they_are_exactly_that():
    found = scan_bytes(safetensors(GOOD, np.zeros(2, "f4").tobytes()))
    assert (found.format, found.verdict) == ("safetensors", "clean")


@pytest.mark.parametrize(
    "raw",
    [
        safetensors(GOOD, b"\0" * 9), safetensors(GOOD, b"\0" * 7), safetensors({**GOOD, "v": GOOD["w"]}, b"\0" * 8),
        safetensors({"w": {**GOOD["w"], "shape": [3]}}, b"\0" * 8), safetensors({"w": {**GOOD["w"], "shape": [-2]}}, b"\0" * 8),
        safetensors({"w": {**GOOD["w"], "dtype": "PICKLE"}}, b"\0" * 8), safetensors(b"{" * 50_000, b""),
        (2**30).to_bytes(8, "little") + b"{}",
    ],
)  # fmt: skip
def test_safetensors_with_holes_overlaps_or_lies_are_refused(raw):
    assert scan_bytes(raw).verdict == "refused"
