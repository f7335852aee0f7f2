"""What a process of ours writes into its log when an error ends it, and how its parent reads it there.

    malformed (key_corrupt): the signing key `…` is corrupt
      hint: restore it from its backup

So that whoever typed `jurat serve` meets the child's own error: its family, its exit code, its hint.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Final

from jurat.core.errors import Conflict, Denied, JuratError, Malformed, NotFound, Tampered, Unauthenticated, Unavailable

_FAMILIES: Final = {kind.family: kind for kind in (Malformed, Unauthenticated, Denied, NotFound, Conflict, Unavailable, Tampered)}
_HINT: Final = "  hint: "
_FIRST_LINE: Final = re.compile(rf"({'|'.join(_FAMILIES)})(?: \((\w+)\))?: (.+)")
_READ_BYTES: Final = 4000
_FULL_BYTES: Final = 64 * 1024


def format_last_words(error: JuratError) -> str:
    """Return the lines for the log, without the last line's end."""
    first = f"{error.family} ({error.code}): {_on_one_line(error.detail)}"
    return f"{first}\n{_HINT}{_on_one_line(error.hint)}" if error.hint else first


def say(text: str) -> None:
    """Write a line into this process's log, its stderr. A log that cannot be written, as on a full disk, stops nobody's work."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def parse_last_words(text: str) -> JuratError | None:
    """Return the error that the text ends with; None if it ends with something else."""
    lines = text.rstrip().splitlines()
    hint = lines.pop().removeprefix(_HINT) if len(lines) > 1 and lines[-1].startswith(_HINT) else ""
    found = _FIRST_LINE.fullmatch(lines[-1]) if lines else None
    if found is None:
        return None
    family, code, detail = found.groups()
    return _FAMILIES[family](detail, hint=hint, code=code or "")


def read_last_words(log: Path, *, since: int, who: str) -> JuratError:
    """Return why `who` ended, from what it has written into its log behind byte `since`."""
    try:
        with log.open("rb") as file:
            file.seek(max(since, log.stat().st_size - _READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        text = ""
    see_log = f"its whole log is `{log}`"
    error = parse_last_words(text)
    if not text.strip() and _is_full(log.parent):  # so it could not say so
        hint = "free some space, and start again: nothing that was acknowledged is lost"
        return Unavailable(f"{who}: the disk under `{log.parent}` is full", hint=hint, code="storage_failed")
    if error is None:  # a signal, or a fault of ours
        said = text.rstrip().rpartition("\n")[2].strip()[:300] or "it said nothing"
        return Unavailable(f"{who}: {said}", hint=see_log, code="child_failed")
    return type(error)(f"{who}: {error.detail}", hint=error.hint or see_log, code=error.code)


def _is_full(directory: Path) -> bool:
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _FULL_BYTES


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
