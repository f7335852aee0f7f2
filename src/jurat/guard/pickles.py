"""What a pickle would do, found out by reading it. Nothing is ever unpickled, imported or called here.

A pickle is a program for a small stack machine. This walk runs the machine with values that mean nothing, except
strings and the names made of them, and so knows exactly which names the program refers to and what it does to them.

It accepts a strict subset, and refuses the rest:

1. Protocol 4 or 5, declared once, at the start: older ones rename what they import.
2. Only opcodes that CPython's own pickler writes in these protocols.
3. A name is made of two strings that stand in the file as they are, and is on the list (`allowed_globals`).
4. Only a name is called, never a computed value.
5. Nothing changes a name: state and items go to values, not to classes and functions.
6. The stack is never short, and the file ends where the program stops.

Rules 1 to 6 say what is called, not that the compiled code of numpy or scikit-learn withstands every argument: whoever
loads a stranger's model does it in a process of its own.
"""

from __future__ import annotations

import pickletools
from io import BytesIO
from typing import Final, NamedTuple, NoReturn

from jurat.guard.allowed_globals import ALLOWED

MAX_OPCODES: Final = 5_000_000  # some seconds of reading; a forest of 500 deep trees has about 100,000
_MAX_REASONS: Final = 20

_VALUES: Final = frozenset(
    """
    NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8
    EMPTY_LIST EMPTY_DICT EMPTY_TUPLE EMPTY_SET
    """.split()  # noqa: SIM905 - read as a list of words
)
_STRINGS: Final = frozenset(["SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"])
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_FILLS_ONE: Final = {"APPEND": 1, "SETITEM": 2}
_FILLS_MANY: Final = frozenset(["APPENDS", "SETITEMS", "ADDITEMS"])
_MARK: Final = object()
_VALUE: Final = object()


class Walk(NamedTuple):
    """What a pickle refers to, and why it is refused; no reasons: it is clean."""

    names: list[str]  # `module.name`, sorted
    reasons: list[str]


class _Name(NamedTuple):
    module: str
    name: str


class _Refused(Exception):
    """The walk cannot go on."""


def walk_pickle(raw: bytes) -> Walk:
    """Return what the pickle would refer to and every reason to refuse it; never raises, whatever the bytes are."""
    machine = _Machine()
    try:
        end = machine.run(raw)
        if end != len(raw):
            machine.refuse(f"{len(raw) - end} bytes follow the end of the pickle")
    except _Refused as refused:
        machine.refuse(str(refused))
    return Walk(sorted(f"{name.module}.{name.name}" for name in machine.names), machine.reasons)


class _Machine:
    def __init__(self) -> None:
        self.names: set[_Name] = set()
        self.reasons: list[str] = []
        self.stack: list[object] = []
        self.memo: list[object] = []
        self.position = 0

    def refuse(self, reason: str) -> None:
        if reason not in self.reasons and len(self.reasons) < _MAX_REASONS:
            self.reasons.append(reason)

    def run(self, raw: bytes) -> int:
        """Return where the pickle ends.

        Raises:
            _Refused: at the first thing that makes it pointless to read on.
        """
        count, stream = 0, BytesIO(raw)
        opcodes = pickletools.genops(stream)
        while True:
            try:
                opcode, argument, position = next(opcodes)
            except StopIteration:
                return stream.tell()
            except Exception as error:  # pickletools raises whatever its readers meet
                raise _Refused(f"not a readable pickle after byte {self.position}: {type(error).__name__}") from error
            self.position = position or 0
            if (count := count + 1) > MAX_OPCODES:
                raise _Refused(f"more than {MAX_OPCODES:,} opcodes")
            if (count == 1) != (opcode.name == "PROTO"):
                self.stop("the protocol is not declared once, at the start")
            self.step(opcode.name, argument)

    def step(self, opcode: str, argument: object) -> None:
        stack = self.stack
        if opcode in _STRINGS:
            stack.append(argument)
        elif opcode == "MEMOIZE":
            self.memo.append(self.top())
        elif opcode in ("BINGET", "LONG_BINGET"):
            if not isinstance(argument, int) or argument >= len(self.memo):
                self.stop("reads a memo that was never written")
            stack.append(self.memo[argument])
        elif opcode in _VALUES:
            stack.append(_VALUE)
        elif opcode == "MARK":
            stack.append(_MARK)
        elif opcode in _TUPLES:
            self.pop(_TUPLES[opcode])
            stack.append(_VALUE)
        elif opcode in ("TUPLE", "FROZENSET"):
            self.pop_to_mark()
            stack.append(_VALUE)
        elif opcode in _FILLS_ONE:
            self.pop(_FILLS_ONE[opcode])
            self.changes(self.top())
        elif opcode in _FILLS_MANY:
            self.pop_to_mark()
            self.changes(self.top())
        elif opcode == "STACK_GLOBAL":
            self.name()
        elif opcode in ("REDUCE", "NEWOBJ"):
            self.pop(1)
            self.call()
        elif opcode == "NEWOBJ_EX":
            self.pop(2)
            self.call()
        elif opcode == "BUILD":
            self.pop(1)
            self.changes(self.top())
        elif opcode == "POP":
            if not stack:
                self.stop("takes from an empty stack")
            stack.pop()  # a mark, too
        elif opcode == "POP_MARK":
            self.pop_to_mark()
        elif opcode == "STOP":
            self.pop(1)
            if stack:
                self.stop("ends with values left over")
        elif opcode == "PROTO":
            if argument not in (4, 5):
                self.stop(f"pickle protocol `{argument}`, expected 4 or 5")
        elif opcode != "FRAME":
            self.stop(f"opcode `{opcode}`, which no pickler writes in protocols 4 and 5")

    def stop(self, reason: str) -> NoReturn:
        raise _Refused(f"{reason} (byte {self.position})")

    def top(self) -> object:
        if not self.stack or self.stack[-1] is _MARK:
            self.stop("takes from an empty stack")
        return self.stack[-1]

    def pop(self, count: int) -> object:
        """Take `count` values and return the last one taken, which lay deepest."""
        value: object = None
        for _ in range(count):
            value = self.top()
            self.stack.pop()
        return value

    def pop_to_mark(self) -> None:
        while True:
            if not self.stack:
                self.stop("has no mark to go back to")
            if self.stack.pop() is _MARK:
                return

    def name(self) -> None:
        name, module = self.pop(1), self.pop(1)
        if not isinstance(module, str) or not isinstance(name, str):
            self.stop("a name is computed, not written")
        found = _Name(module, name)
        if found not in ALLOWED:
            self.refuse(f"`{_shown(found)}` is not on the list of what a model may be made of (byte {self.position})")
        self.names.add(found)
        self.stack.append(found)

    def call(self) -> None:
        if not isinstance(self.pop(1), _Name):
            self.stop("a computed value is called")
        self.stack.append(_VALUE)

    def changes(self, target: object) -> None:
        if isinstance(target, _Name):
            self.refuse(f"changes `{_shown(target)}` itself (byte {self.position})")


def _shown(name: _Name) -> str:
    """Return a hostile file's words in a form that no terminal and no log obeys."""
    text = f"{name.module}.{name.name}"[:100]
    return "".join(c if c.isascii() and c.isprintable() and c != "`" else "?" for c in text)
