"""What is acted on, by path: `models/prod/churn@2.3.1`, `data/training/loans`, `endpoints/credit`, `workspace`.

Paths form one tree; a policy sees a path as an entity of a type, inside a folder. Knows the shapes of paths only: whether
the thing exists is not this module's business.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from jurat.core.errors import Malformed


class Resource(NamedTuple):
    """A path, taken apart.

    Attributes:
        path: as written.
        entity_type: what policies call it: `Model`, `Dataset`, …
        folder: (type, name) of the folder it lies in, such as (`Models`, `prod`), or None.
        name, version: the last part of the path; `version` is empty where there is none.
    """

    path: str
    entity_type: str
    folder: tuple[str, str] | None
    name: str
    version: str


class _Shape(NamedTuple):
    entity_type: str
    folder_type: str | None
    has_version: bool
    example: str


_SHAPES: Final = {
    "models": _Shape("Model", "Models", True, "models/prod/churn@2.3.1"),
    "data": _Shape("Dataset", "Data", True, "data/training/loans@v5"),
    "infrastructure": _Shape("Machine", "Infrastructure", False, "infrastructure/dev/notebooks"),
    "endpoints": _Shape("Endpoint", None, False, "endpoints/credit"),
    "requests": _Shape("ApprovalRequest", None, False, "requests/req_01k9"),
    "principals": _Shape("Account", None, False, "principals/prn_01k9"),
    "ledger": _Shape("Log", None, False, "ledger/inference"),
    "systems": _Shape("System", None, False, "systems/credit-decisions"),
}
_WORKSPACE: Final = "workspace"
# One place in each folder of each kind, to ask about where no real thing is meant.
SAMPLES: Final = {
    "Model": ("models/dev/sample@1.0.0", "models/staging/sample@1.0.0", "models/prod/sample@1.0.0"),
    "Dataset": ("data/training/sample@v1", "data/production/sample@v1", "data/features/sample@v1", "data/aggregated/sample@v1"),
    "Machine": ("infrastructure/dev/sample", "infrastructure/staging/sample", "infrastructure/prod/sample", "infrastructure/data/sample"),
    "Endpoint": ("endpoints/sample",),
    "ApprovalRequest": ("requests/sample",),
    "Account": ("principals/sample",),
    "Log": ("ledger/inference",),
    "System": ("systems/sample",),
    "Workspace": (_WORKSPACE,),
}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:_-]{0,127}\Z")


@lru_cache(maxsize=32_768)
def parse_resource(path: str) -> Resource:
    """Return the parts of a path.

    Raises:
        Malformed: not a path of the tree. Folders are checked by the policies' schema, not here.

    Example:
        >>> parse_resource("models/prod/churn@2.3.1").folder
        ('Models', 'prod')
    """
    if path == _WORKSPACE:
        return Resource(path, "Workspace", None, _WORKSPACE, "")
    root, *rest = path.split("/")
    shape = _SHAPES.get(root)
    if shape is None:
        raise Malformed(
            f"`{path[:80]}` is not a resource: `{root[:40]}` is no root of the tree",
            hint=f"roots: {', '.join([*_SHAPES, _WORKSPACE])}; for example `models/prod/churn@2.3.1`",
        )
    wrong = Malformed(f"`{path[:80]}` is not a resource under `{root}`", hint=f"write it like `{shape.example}`")
    folder: tuple[str, str] | None = None
    if shape.folder_type is not None:
        if len(rest) != 2 or not _NAME.match(rest[0]):
            raise wrong
        folder, rest = (shape.folder_type, rest[0]), rest[1:]
    if len(rest) != 1:
        raise wrong
    name, at, version = rest[0].partition("@")
    if not _NAME.match(name) or (at and not (shape.has_version and _VERSION.match(version))):
        raise wrong
    return Resource(path, shape.entity_type, folder, name, version)


def format_resource(resource: Resource) -> str:
    """Return the path. The inverse of `parse_resource`."""
    return resource.path
