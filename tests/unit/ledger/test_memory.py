"""What the process frees stays its own, where the C library is glibc; elsewhere nothing happens, and nothing fails."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from jurat.ledger import memory

_CODE = """
import ctypes
from jurat.ledger.memory import keep_freed_memory

class Told(ctypes.Structure):  # struct mallinfo, <malloc.h>
    _fields_ = [(name, ctypes.c_int) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo.restype = Told
if KEEP:
    keep_freed_memory()
before = libc.mallinfo()
batch = bytes(1_000_000)
mapped = libc.mallinfo().hblks - before.hblks
del batch
print(mapped, libc.mallinfo().arena - before.arena >= 1_000_000)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library is not glibc")
@pytest.mark.parametrize(("keep", "said"), [(False, "1 False"), (True, "0 True")])
def test_a_batch_is_mapped_by_itself_unless_freed_memory_is_kept(keep: bool, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", _CODE.replace("KEEP", str(keep))], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _name: object())
    memory.keep_freed_memory()
