"""The example of `jurat model register --example` is a whole version: filled in with real digests it can be registered as it stands."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from jurat.app.artefact_store import ArtefactStore
from jurat.app.intake import read_as
from jurat.cli.files import read_document
from jurat.cli.model_register import _keep_files
from jurat.core.errors import NotFound
from jurat.domain.commands import RegisterVersion


def test_the_example_says_all_that_a_version_needs(tmp_path: Path) -> None:
    example = tmp_path / "model.yaml"
    example.write_bytes((files("jurat.cli") / "model-example.yaml").read_bytes())
    found = read_document(example)
    for artefact in found["artefacts"].values():
        if "file" in artefact:
            (tmp_path / artefact["file"]).write_bytes(artefact["file"].encode())
    _keep_files(ArtefactStore(tmp_path / "artefacts"), tmp_path, found)
    command = read_as(RegisterVersion, found, what="the example")
    assert command.name == "credit@1.1.0"
    assert command.artefacts.weights.digest.startswith("sha256:")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    example = tmp_path / "model.yaml"
    example.write_bytes((files("jurat.cli") / "model-example.yaml").read_bytes())
    with pytest.raises(NotFound, match=r"credit-1\.1\.0\.pkl"):
        _keep_files(ArtefactStore(tmp_path / "artefacts"), tmp_path, read_document(example))
