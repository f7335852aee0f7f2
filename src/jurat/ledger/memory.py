"""How a process that moves a journal's bytes keeps its memory: what it frees, it keeps for the next batch.

glibc gives large blocks back to the system at once and asks again a millisecond later: half a megabyte per batch, page by page,
a fifth of the journal's CPU time. Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1  # <malloc.h>
_MMAP_THRESHOLD: Final = -3
_KEPT: Final = 128 * 1024 * 1024  # bytes of free memory at the heap's end
_MAPPED: Final = 32 * 1024 * 1024  # larger blocks still come and go by themselves; the most that glibc takes


def keep_freed_memory() -> None:
    """Let the C library keep up to 128 MiB that were freed. Where it is not glibc, nothing changes."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, _MAPPED)
    mallopt(_TRIM_THRESHOLD, _KEPT)
