"""When a clock ran and how it went, as `jurat status` says it: `run/<clock>.json`. Written by the worker, believed by nobody."""

from __future__ import annotations

from pathlib import Path

import msgspec

from jurat.core.errors import Malformed
from jurat.core.files import write_whole
from jurat.core.jsonio import dump_json, load_json
from jurat.core.workspace import Workspace

RETENTION, COMPARING = "retention", "comparing"


class Clockwork(msgspec.Struct, frozen=True, kw_only=True):
    """One clock. `every_s` 0: it is off. Times are Unix ns, 0 for never."""

    every_s: float
    ran_ns: int = 0
    next_ns: int = 0
    said: str = ""  # of the last run, or why it failed
    is_well: bool = True


def read_clockwork(workspace: Workspace, name: str = RETENTION) -> Clockwork | None:
    """Return what was written last; None if nothing was, or nothing that can be read."""
    try:
        return load_json(_file(workspace, name).read_bytes(), Clockwork, what=f"`{name}.json`")
    except (OSError, Malformed):
        return None


def write_clockwork(workspace: Workspace, clockwork: Clockwork, name: str = RETENTION) -> None:
    """Say this from now on."""
    write_whole(_file(workspace, name), dump_json(clockwork), mode=0o600)


def _file(workspace: Workspace, name: str) -> Path:
    return workspace.run / f"{name}.json"
