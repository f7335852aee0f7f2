"""Named places in the write path where a test lets the process die, as `kill -9` would. Nothing happens in production.

`JURAT_CRASH_AT=<point>` or `<point>:<n>` (the n-th time), read once at import. The points, in the order of the path:
"""

from __future__ import annotations

import os
import signal
from typing import Final

POINTS: Final = (
    "before_journal_write",
    "after_write_before_sync",
    "after_sync_before_ack",
    "after_ack_before_arrays",
    "mid_arrays",
    "after_sign_before_cas",
    "after_cas_before_public",
)
WITNESS_POINTS: Final = ("witness_before_commit", "witness_before_answer")  # of `jurat witness serve`
INGEST_POINTS: Final = ("ingest_before_append", "ingest_after_append")  # of a batch with an `Idempotency-Key`
APPROVE_POINTS: Final = ("approve_before_mask",)  # of `jurat erase approve`
ERASE_POINTS: Final = (  # of `jurat erase run`
    "erase_after_part",
    "erase_before_manifest",
    "erase_after_manifest",
    "erase_before_segments",
    "erase_before_search",
    "erase_before_record",
)
PRUNE_POINTS: Final = ("prune_after_record", "prune_after_refusal", "prune_before_punch", "prune_after_punch")  # of `jurat retention run`
_NAME, _, _TIMES = os.environ.get("JURAT_CRASH_AT", "").partition(":")
_ALL: Final = (*POINTS, *WITNESS_POINTS, *INGEST_POINTS, *APPROVE_POINTS, *ERASE_POINTS, *PRUNE_POINTS)
_left = {_NAME: int(_TIMES or 1)} if _NAME in _ALL else {}


def reach(point: str) -> None:
    """Die here, if this is the point and the time to die."""
    if point in _left:
        _left[point] -= 1
        if _left[point] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
