"""What the demo registers: data sets with their sheets, and versions with all six artefacts and their whole lineage.

Nothing here is made up: the code is committed to a real git repository, the dependencies are those installed, the
training was measured while it ran.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import io
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jurat.app.artefacts import put_artefact
from jurat.core.digests import digest_bytes, short
from jurat.core.errors import Unavailable
from jurat.core.jsonio import dump_json
from jurat.demo.dataset import FAVOURABLE, LABEL, PROTECTED, Row, format_csv
from jurat.demo.train import Trained
from jurat.domain import commands
from jurat.domain.packages import read_lock
from jurat.domain.values import Artefact, Artefacts, DataSheet, TrainingCode, TrainingConfig, TrainingData

MODEL: Final = "credit"
SYSTEM: Final = "credit-decisions"
DATA_VERSION: Final = "v1-2026-11-25"
_REPOSITORY: Final = "example.org/bank/credit-model"
_SOURCES: Final = ("train.py", "dataset.py")
_SHEET: Final = DataSheet(
    purpose="to learn and to check which applicants repay a consumer credit",
    source="Hans Hofmann, Statlog (German Credit Data), UCI Machine Learning Repository, doi 10.24432/C5NC77",
    collection_method="1,000 applications to a German bank, 1973-75; bad risks oversampled",
    licence="CC BY 4.0",
    known_biases=[
        "rates are not those of the bank: bad risks were oversampled",
        "sex is derived from a code that may mix single men and women who are not single (Groemping 2019)",
        "nobody who was refused a credit is in it",
    ],
    sensitive_columns=list(PROTECTED),
    label=LABEL,
    favourable_outcome=FAVOURABLE,
)


@dataclass(frozen=True)
class Data:
    """One part of the data, as a file that is kept under its digest."""

    name: str
    path: Path
    digest: str
    rows: list[Row]

    def register(self) -> commands.RegisterDataset:
        """Return the command that makes it known."""
        return commands.RegisterDataset(
            dataset=self.name, collection="training", digest=self.digest, rows=len(self.rows), columns=list(self.rows[0]), sheet=_SHEET
        )


def lay_out(part: str, rows: list[Row], folder: Path, artefacts: Path) -> Data:
    """Write a part of the data to `folder`, and keep its bytes."""
    raw = format_csv(rows)
    path = folder / f"german-credit-{part}.csv"
    path.write_bytes(raw)
    return Data(f"german-credit-{part}@{DATA_VERSION}", path, put_artefact(artefacts, io.BytesIO(raw)), rows)


@dataclass(frozen=True)
class Code:
    """The training code, committed."""

    commit: str
    branch: str
    archive: bytes  # git's own tar of the commit: the same commit gives the same bytes


def commit_code(folder: Path) -> Code:
    """Commit the demo's training code to a git repository in `folder`, as its author would have.

    Raises:
        Unavailable: there is no git.
    """
    if shutil.which("git") is None:
        raise Unavailable(
            "the demo needs `git`, to register a model with the commit that it was trained by", hint="install git, then try again"
        )
    folder.mkdir(parents=True)
    for name in _SOURCES:
        (folder / name).write_bytes((importlib.resources.files("jurat.demo") / name).read_bytes())
    identity = {"NAME": "Ada Byron", "EMAIL": "ada@example.org", "DATE": "2026-11-20T09:00:00+0000"}
    environment = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(folder)}
    environment |= {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in identity.items()}

    def git(*words: str) -> bytes:
        return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, env=environment).stdout  # noqa: S607

    git("-c", "init.defaultBranch=main", "init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "Train the credit scorecard")
    return Code(git("rev-parse", "HEAD").decode().strip(), "main", git("archive", "--format=tar", "HEAD"))


def installed_dependencies(*roots: str) -> bytes:
    """Return the lock of what is installed: `name==version` of the roots and all they need, one a line."""
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # needed on another platform only
        found[name] = distribution.version
        waiting += [re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0] for need in distribution.requires or [] if "extra ==" not in need]
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items())).encode()


def register_version(trained: Trained, training: Data, evaluation: Data, code: Code, artefacts: Path) -> commands.RegisterVersion:
    """Keep the six artefacts of a trained candidate, and return the command that registers it."""
    serving = dump_json({"protocol": "open-inference-protocol-v2", "model": MODEL, "workers": 1, "outputs": ["approved", "confidence"]})
    lock = installed_dependencies("scikit-learn", "jurat")  # the training reads its columns by our own types

    def keep(raw: bytes, version: str) -> Artefact:
        return Artefact(version=version, digest=put_artefact(artefacts, io.BytesIO(raw)), size_bytes=len(raw))

    weights = trained.artefact.read_bytes()
    parts = Artefacts(
        weights=keep(weights, f"{trained.version}-{short(trained.artefact_digest)}"),
        training_code=keep(code.archive, f"{_REPOSITORY}@{code.commit}"),
        training_data=Artefact(version=training.name, digest=training.digest, size_bytes=training.path.stat().st_size),
        feature_definitions=keep(trained.features.read_bytes(), f"features-schema:{trained.schema.version}"),
        serving_configuration=keep(serving, "serve-config:1.0.0"),
        dependencies=keep(lock, f"requirements-lock:{digest_bytes(lock)}"),
    )
    return commands.RegisterVersion(
        model=MODEL,
        version=trained.version,
        system=SYSTEM,
        artefacts=parts,
        training_data=TrainingData(
            dataset=training.name, dataset_digest=training.digest, row_count=trained.row_count, feature_columns=trained.schema.names
        ),
        training_code=TrainingCode(git_repo=_REPOSITORY, git_commit=code.commit, git_branch=code.branch),
        training_config=TrainingConfig(
            hyperparameters=trained.hyperparameters, training_duration_s=trained.training_duration_s, hardware=trained.hardware
        ),
        claimed_metrics=trained.claimed_metrics,
        validation_dataset=evaluation.name,
        packages=read_lock(lock.decode()).packages,
        training_command=["python3", "train.py", trained.version],
        output=trained.artefact.name,
    )
