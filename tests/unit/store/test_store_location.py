"""Where the embedded database lies, when the workspace itself was moved or copied."""

from __future__ import annotations

import shutil
from pathlib import Path

from jurat.core.jsonio import dump_json
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.store.cluster import Cluster, Location, cluster_elsewhere


def made(root: Path, directory: Path) -> Workspace:
    """Return a workspace whose database was made in `directory`, and is not running."""
    directory.joinpath("data").mkdir(parents=True)
    (root / "postgres").mkdir(parents=True, exist_ok=True)
    location = Location(directory=str(directory), binaries="/nowhere", port=1, ready=True)
    (root / "postgres" / "location.json").write_bytes(dump_json(location))
    return Workspace(root)


def test_a_copied_workspace_has_its_own_data_and_lets_the_first_ones_be(tmp_path: Path) -> None:
    first = made(tmp_path / "first", tmp_path / "first" / "postgres" / "cluster")
    shutil.copytree(first.root, tmp_path / "second")
    second = Workspace(tmp_path / "second")
    assert cluster_elsewhere(second) is None
    Cluster(second, Settings()).remove()
    assert not second.postgres.exists()
    assert (first.postgres / "cluster" / "data").is_dir()


def test_data_outside_the_workspace_is_where_the_file_says(tmp_path: Path) -> None:
    outside = tmp_path / "var" / "w-1" / "cluster"
    assert cluster_elsewhere(made(tmp_path / "w", outside)) == outside
    assert cluster_elsewhere(Workspace(tmp_path / "empty")) is None
