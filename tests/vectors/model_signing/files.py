"""The model that the vectors sign."""

from __future__ import annotations

from pathlib import Path

FILES = {"weights.bin": bytes(range(256)) * 10, "sub/b.txt": b"x\n", "sub-a.txt": b"y\n", "empty": b""}


def model(folder: Path) -> Path:
    for name, raw in FILES.items():
        path = folder / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return folder / "model"
