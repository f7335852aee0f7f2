"""Makes hostile and broken model files, each named by its fault. Nothing here is ever stored or loaded; tests only scan them.

`PICKLES` is name → bytes; every one of them must be refused. `plant` makes one that would leave a trace if anything loaded it.
"""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np


class _Calls:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def plant(trace: Path) -> bytes:
    """Return a pickle that creates `trace` when it is loaded."""
    return pickle.dumps(_Calls(os.system, f"touch {trace}"), protocol=5)


def _string(text: str) -> bytes:
    raw = text.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def program(*parts: bytes, protocol: int = 4) -> bytes:
    """Return a hand-written pickle: the parts between PROTO and STOP."""
    return b"\x80" + bytes([protocol]) + b"".join(parts) + b"."


SYSTEM = _string("posix") + _string("system") + b"\x93"  # STACK_GLOBAL
ESTIMATOR = _string("sklearn.pipeline") + _string("Pipeline") + b"\x93"
GOOD = pickle.dumps({"coef": np.arange(4.0), "name": "ok"}, protocol=5)

PICKLES: dict[str, bytes] = {
    "os_system": pickle.dumps(_Calls(os.system, "true"), protocol=5),
    "builtins_eval": pickle.dumps(_Calls(eval, "1"), protocol=5),
    "builtins_exec": pickle.dumps(_Calls(exec, "1"), protocol=4),
    "builtins_getattr": pickle.dumps(_Calls(getattr, 1, "real"), protocol=5),
    "nested_pickle_loads": pickle.dumps(_Calls(pickle.loads, pickle.dumps(_Calls(os.system, "true"))), protocol=5),
    "hidden_in_a_good_model": pickle.dumps({"coef": np.arange(4.0), "x": [1, {"y": _Calls(os.system, "true")}]}, protocol=5),
    "protocol_0": b"cposix\nsystem\n(S'true'\ntR.",
    "protocol_2_renamed_import": pickle.dumps(_Calls(os.system, "true"), protocol=2),
    "protocol_3": pickle.dumps({"a": 1}, protocol=3),
    "protocol_declared_twice": program(b"\x80\x02", b"N"),
    "protocol_declared_twice_alike": program(b"\x80\x04", b"N"),
    "protocol_not_declared": b"N.",
    "protocol_99": program(b"N", protocol=99),
    "old_global_opcode": program(b"cposix\nsystem\n", _string("true"), b"\x85R"),
    "inst_opcode": program(b"(S'true'\niposix\nsystem\n"),
    "obj_opcode": program(b"(", SYSTEM, _string("true"), b"o"),
    "extension_registry": program(b"\x82\x01"),
    "persistent_id": program(_string("id"), b"Q"),
    "out_of_band_buffer": program(b"\x97", protocol=5),
    "name_from_memo": program(
        _string("posix"), b"\x94", _string("system"), b"\x94", b"00", b"h\x00", b"h\x01", b"\x93", _string("true"), b"\x85R"
    ),
    "name_from_a_tuple": program(_string("posix"), b"\x85", _string("system"), b"\x93"),
    "name_from_bytes": program(b"C\x05posix", _string("system"), b"\x93"),
    "name_with_dots": program(_string("sklearn.pipeline"), _string("Pipeline.__init__.__globals__"), b"\x93"),
    "name_through_an_allowed_module": program(_string("numpy"), _string("load"), b"\x93"),
    "name_with_control_characters": program(_string("evil\x1b[2J`"), _string("x\ny"), b"\x93"),
    "calls_a_computed_value": program(_string("numpy"), _string("dtype"), b"\x93", _string("f8"), b"\x85R", _string("x"), b"\x85R"),
    "calls_a_string": program(_string("x"), b")R"),
    "changes_a_class": program(ESTIMATOR, b"N}", _string("predict"), SYSTEM, b"s\x86b"),
    "changes_an_allowed_class_with_allowed_things": program(ESTIMATOR, b"N}", _string("predict"), ESTIMATOR, b"s\x86b"),
    "fills_a_class": program(ESTIMATOR, _string("k"), b"Ns"),
    "memo_never_written": program(b"h\x07"),
    "stack_is_empty": program(b"0"),
    "stack_too_short": program(b"N\x86"),
    "takes_across_a_mark": program(b"N(N\x86"),
    "no_mark": program(b"Nt"),
    "values_left_over": program(b"NN"),
    "bytes_after_the_end": GOOD + b"X",
    "second_pickle_after_the_end": GOOD + pickle.dumps(_Calls(os.system, "true"), protocol=5),
    "truncated": GOOD[:-7],
    "truncated_to_its_header": GOOD[:2],
    "length_longer_than_the_file": program(b"B\xff\xff\xff\x7fabc"),
    "length_of_eight_bytes": program(b"\x8e" + struct.pack("<Q", 2**62)),
    "negative_length": program(b"\x8b" + struct.pack("<i", -5)),
    "bad_utf8": program(b"\x8c\x02\xff\xfe"),
    "unknown_opcode": program(b"\xff"),
}  # fmt: skip


def zip_of(members: dict[str, bytes], *, attributes: int = 0, compress: bool = True) -> bytes:
    """Return a zip archive; `attributes` are the Unix mode bits of each member."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, raw in members.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = archive.compression
            member.external_attr = attributes << 16
            archive.writestr(member, raw)
    return out.getvalue()


def npy_of(array: np.ndarray) -> bytes:
    """Return an .npy file."""
    out = BytesIO()
    np.save(out, array)
    return out.getvalue()


def zips() -> dict[str, bytes]:
    """Return name → archive; every one of them must be refused."""
    good = zip_of({"weights.npy": npy_of(np.arange(3.0)), "model.pkl": GOOD})
    bomb = zip_of({"zeros.npy": npy_of(np.zeros(4_000_000))})
    encrypted = bytearray(zip_of({"a.json": b"{}"}))
    encrypted[6] |= 1
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    lying = bytearray(zip_of({"a.json": b"[1]"}, compress=False))
    lying[lying.index(b"[1]")] = ord("{")
    return {
        "hostile_pickle_inside": zip_of({"model.pkl": PICKLES["os_system"]}),
        "hostile_pickle_under_a_harmless_name": zip_of({"readme.json": PICKLES["os_system"]}),
        "old_pickle_inside": zip_of({"data": PICKLES["protocol_0"]}),
        "objects_in_an_array": zip_of({"a.npy": npy_of(np.array([_Calls(os.system, "true")], dtype=object))}),
        "archive_inside": zip_of({"inner.zip": good}),
        "bomb": bomb,
        "path_outside": zip_of({"../../etc/cron.d/x": b"{}"}),
        "absolute_path": zip_of({"/etc/passwd": b"{}"}),
        "windows_path": zip_of({"C:\\x": b"{}"}),
        "symlink": zip_of({"link": b"/etc/passwd"}, attributes=0o120777),
        "encrypted": bytes(encrypted),
        "checksum_wrong": bytes(lying),
        "unknown_member": zip_of({"code.py": b"import os"}),
        "truncated": good[:-30],
        "empty": b"PK\x05\x06" + bytes(18),
        "too_many_members": zip_of({f"{n}.json": b"1" for n in range(1_001)}),
    }
