"""How long the whole story takes, as a share of the minute that it may take. Set-up is not in it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from jurat.app.bootstrap import remove_workspace

LIMIT_S: Final = 60.0


def run(quick: bool) -> list[dict[str, Any]]:
    """Play the story once, in a process of its own; `quick` changes nothing, the story is what it is."""
    with tempfile.TemporaryDirectory(prefix="jurat-bench-") as directory:
        root = Path(directory) / "demo"
        command = [sys.executable, "-m", "jurat.cli.main", "--json", "demo", str(root)]
        played = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        remove_workspace(root)
    seconds = round(played["seconds"]["story"], 1)
    return [{"name": "story.seconds", "value": seconds, "unit": "s", "against": "the 60 s that it may take", "ratio": seconds / LIMIT_S}]
