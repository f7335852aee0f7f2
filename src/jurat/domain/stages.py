"""experiment → development → staging → production → retired, and where each stage's models live in the resource tree."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from jurat.core.errors import Malformed


class Stage(StrEnum):
    """Where a version is in its life."""

    EXPERIMENT = "experiment"
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"
    RETIRED = "retired"


_ORDER: Final = list(Stage)
_ENVIRONMENT: Final = {
    Stage.EXPERIMENT: "dev",
    Stage.DEVELOPMENT: "dev",
    Stage.STAGING: "staging",
    Stage.PRODUCTION: "prod",
    Stage.RETIRED: "prod",
}


def parse_stage(text: str) -> Stage:
    """Return the stage of that name.

    Raises:
        Malformed: there is none.
    """
    try:
        return Stage(text)
    except ValueError:
        raise Malformed(f"stage `{text[:40]}` is unknown", hint=f"stages: {', '.join(_ORDER)}") from None


def next_stage(stage: Stage) -> Stage | None:
    """Return the one stage that a version may be promoted to, or None at the end."""
    return None if stage in (Stage.PRODUCTION, Stage.RETIRED) else _ORDER[_ORDER.index(stage) + 1]


def stages_up_to(stage: Stage) -> list[Stage]:
    """Return the stages from the first one to `stage`, in order."""
    return _ORDER[: _ORDER.index(stage) + 1]


def environment_of(stage: Stage) -> str:
    """Return `dev`, `staging` or `prod`."""
    return _ENVIRONMENT[stage]


def model_resource(stage: Stage, version: str) -> str:
    """Return a version's place in the resource tree, such as `models/prod/credit@1.1.0`."""
    return f"models/{environment_of(stage)}/{version}"
