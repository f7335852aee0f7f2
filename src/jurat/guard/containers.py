"""Model files of other libraries: Keras, PyTorch, safetensors. Says what in them would run; loads and extracts nothing.

- Keras (`.keras`): the architecture in `config.json` is a program in disguise. A `Lambda` layer, a pickled function and a class that
  is not Keras's own are refused. HDF5 (weights, and the old `.h5` files) is not looked into, so it is refused, with the reason.
- PyTorch (`torch.save`): a zip with a pickle of protocol 2 and raw tensors. Only names that tensors are rebuilt from are let through,
  which is what `torch.load(weights_only=True)` does; whole pickled modules are refused.
- safetensors: a JSON header and bytes; checked for being exactly that.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
# Where Keras keeps what models are made of. Not all of Keras: `keras.utils.get_file` in an architecture fetches and unpacks files.
_KERAS_OWN: Final = re.compile(
    r"(tf_)?keras(\.src)?(\.(layers|activations|initializers|regularizers|constraints|optimizers|losses|metrics|models|dtype_policies)"
    r"(\.[a-z0-9_]+)*)?\Z"
)
_MAX_JSON_BYTES: Final = 64 * 2**20
_MAX_DEPTH: Final = 200
_MAX_REASONS: Final = 20
_TORCH_NAMES: Final = frozenset(
    {
        "collections OrderedDict", "torch Size", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter",
        "torch FloatStorage", "torch DoubleStorage", "torch HalfStorage", "torch BFloat16Storage", "torch LongStorage", "torch IntStorage",
        "torch ShortStorage", "torch CharStorage", "torch ByteStorage", "torch BoolStorage",
    }
)  # fmt: skip
_TORCH_OPCODES: Final = frozenset(
    """
    PROTO STOP GLOBAL REDUCE BUILD MARK TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_TUPLE EMPTY_LIST EMPTY_DICT APPEND APPENDS SETITEM SETITEMS
    BINUNICODE BININT BININT1 BININT2 LONG1 BINFLOAT NEWTRUE NEWFALSE NONE BINPUT LONG_BINPUT BINGET LONG_BINGET BINPERSID
    """.split()  # noqa: SIM905 - read as a list of words
)
_TORCH_TEXTS: Final = frozenset({"byteorder", "version", ".format_version", ".storage_alignment", "serialization_id"})
_DTYPE_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip


def is_hdf5(raw: bytes) -> bool:
    return raw.startswith(_HDF5)


def scan_hdf5(raw: bytes) -> list[str]:
    """Return why it is refused: always something, and the worst first."""
    reasons = ["HDF5 is not looked into: save the weights as safetensors or .npy, and the architecture as `config.json`"]
    if re.search(rb'"class_name"\s*:\s*"(Lambda|__lambda__)"', raw):
        reasons.insert(0, "it holds a Keras `Lambda` layer, which is code of its author")
    return reasons


def is_keras(names: list[str]) -> bool:
    """Whether these members make a `.keras` archive."""
    return "config.json" in names and "metadata.json" in names


def scan_keras_config(raw: bytes) -> list[str]:
    """Return why a Keras architecture is refused; nothing if it is made of Keras's own layers only."""
    if len(raw) > _MAX_JSON_BYTES:
        return ["`config.json` is larger than can be meant"]
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [f"`config.json` is not readable: {type(error).__name__}"]
    reasons = list(dict.fromkeys(_keras_faults(found, 0)))
    return reasons[:_MAX_REASONS]


def _keras_faults(value: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        yield "`config.json` is nested deeper than can be meant"
    elif isinstance(value, list):
        for item in value:
            yield from _keras_faults(item, depth + 1)
    elif isinstance(value, dict):
        name, module = value.get("class_name"), value.get("module")
        if name in ("Lambda", "__lambda__"):
            yield "it holds a Keras `Lambda` layer, which is code of its author"
        elif module is not None and not (module == "builtins" if name == "function" else _KERAS_OWN.match(str(module))):
            yield f"it names `{_plain(module)}.{_plain(value.get('config') if name == 'function' else name)}`, which is not Keras's own"
        if value.get("registered_name") and ">" in str(value["registered_name"]):
            yield f"it names `{_plain(value['registered_name'])}`, a class that its author registered"
        for item in value.values():
            yield from _keras_faults(item, depth + 1)


def torch_root(names: list[str]) -> str | None:
    """Return the folder of a `torch.save` archive, if these members are one."""
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    return roots[0] if len(roots) == 1 and all(name.startswith(roots[0]) for name in names) else None


def is_torch_data(name: str, root: str) -> bool:
    """Whether a member is raw tensor bytes or one of the small texts, which nothing interprets as code."""
    rest = name.removeprefix(root)
    folder, _, last = rest.partition("/")
    return (folder == "data" and last.isdigit()) or rest in _TORCH_TEXTS or rest == ".data/serialization_id"


def scan_torch_pickle(raw: bytes) -> tuple[list[str], list[str]]:
    """Return the names that the pickle refers to, and why it is refused; never raises."""
    names: set[str] = set()
    reasons: list[str] = []
    try:
        for opcode, argument, at in pickletools.genops(raw):
            if opcode.name not in _TORCH_OPCODES:
                reasons.append(f"opcode `{opcode.name}`, which a file of tensors does not need (byte {at})")
            elif opcode.name == "PROTO" and argument != 2:
                reasons.append(f"pickle protocol `{argument}`, expected 2, as `torch.save` writes it")
            elif opcode.name == "GLOBAL":
                names.add(str(argument).replace(" ", "."))
                if argument not in _TORCH_NAMES:
                    reasons.append(f"`{_plain(str(argument).replace(' ', '.'))}` is not what a tensor is rebuilt from (byte {at})")
            elif opcode.name == "STOP" and at is not None and at + 1 != len(raw):
                reasons.append(f"{len(raw) - at - 1} bytes follow the end of the pickle")
    except Exception as error:  # genops raises many kinds on a hostile file
        reasons.append(f"not a readable pickle: {type(error).__name__}")
    return sorted(names), reasons[:_MAX_REASONS]


def is_safetensors(raw: bytes) -> bool:
    return len(raw) > 9 and raw[8:9] == b"{" and 2 <= int.from_bytes(raw[:8], "little") <= 100 * 2**20


def scan_safetensors(raw: bytes) -> list[str]:
    """Return why the file is not exactly a header and the tensors that it names, without holes or overlaps."""
    size = int.from_bytes(raw[:8], "little")
    if size > len(raw) - 8:
        return ["the header is longer than the file"]
    try:
        header = msgspec.json.decode(raw[8 : 8 + size], type=dict[str, dict[str, Any]])
        spans = sorted(_span(name, entry) for name, entry in header.items() if name != "__metadata__")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError) as error:
        return [f"the header is not readable: {type(error).__name__}"]
    at = 0
    for begin, end, expected in spans:
        if begin != at or end - begin != expected:
            return ["the tensors overlap, leave holes, or are not as long as they say"]
        at = end
    return [] if at == len(raw) - 8 - size else ["bytes follow the last tensor, or it is cut short"]


def _span(name: str, entry: dict[str, Any]) -> tuple[int, int, int]:
    begin, end = entry["data_offsets"]
    bits = _DTYPE_BITS[entry["dtype"]]
    for side in entry["shape"]:
        if type(side) is not int or side < 0:
            raise ValueError(name)
        bits *= side
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end:
        raise ValueError(name)
    return begin, end, bits // 8


def _plain(text: object) -> str:
    return "".join(c if c.isascii() and c.isprintable() and c != "`" else "?" for c in str(text)[:100])
