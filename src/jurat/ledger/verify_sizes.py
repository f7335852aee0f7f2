"""Files that are larger than any of their kind can be: they were put there to hold a verifier up, and none is opened.

Arrays may be of any length (what lies beyond the signed size is not read), and archive files are measured against their manifest.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final

_GIB: Final = 1024**3
LARGEST_SEGMENT: Final = _GIB  # 64 MiB, or as large as one group
LARGEST_LIST: Final = _GIB // 4  # manifests, checkpoints, masks: a few kilobytes to a few megabytes
PART_SLACK: Final = 64 * 1024**2  # an archive file that is so much larger than its manifest says is not read
_ANY_SIZE: Final = re.compile(r"(entries|L[0-9]+|.+\.parquet|\..+\.tmp)\Z")


def find_oversized(ledger_root: Path) -> list[tuple[str, int]]:
    """Return what is too large, with its size in bytes, by its path relative to the ledger."""
    found = []
    for directory, _, names in os.walk(ledger_root):
        for path in (Path(directory, name) for name in names if not _ANY_SIZE.match(name)):
            with contextlib.suppress(OSError):  # gone meanwhile
                size = path.stat().st_size
                if size > (LARGEST_SEGMENT if path.suffix == ".wal" else LARGEST_LIST):
                    found.append((path.relative_to(ledger_root).as_posix(), size))
    return sorted(found)
