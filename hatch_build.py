"""Compile `jurat/merkle/many.c` where a compiler is found; without one the package is whole too, and hashes more slowly.

`CC=` (empty) asks for the wheel without it, which is of no platform. Run by every build: `make setup`, `make wheel`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Leaves `libmany.so` beside its source, or none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        source = Path(self.root, "src/jurat/merkle/many.c")
        library, neighbour = source.with_name("libmany.so"), source.with_name("libmany.so.new")
        library.unlink(missing_ok=True)
        compiler = shlex.split(os.environ.get("CC", shutil.which("cc") or shutil.which("gcc") or shutil.which("clang") or ""))
        if not compiler:
            self.app.display_warning("no C compiler: jurat will hash with hashlib alone")
            return
        done = subprocess.run([*compiler, "-O2", "-shared", "-fPIC", "-o", neighbour, source], capture_output=True, text=True, check=False)
        if done.returncode:
            self.app.display_warning(f"many.c could not be compiled, so jurat will hash with hashlib alone: {done.stderr.strip()}")
            return
        neighbour.rename(library)
        if version != "editable":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data |= {"pure_python": False, "tag": f"py3-none-{platform}"}
            build_data["artifacts"].append("/src/jurat/merkle/libmany.so")
