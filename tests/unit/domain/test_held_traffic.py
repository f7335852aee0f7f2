"""What is held answers nobody, so no traffic goes to it: by no rollout, by no way back, and from the moment that it is held."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.domain import test_rollout_law as scene
from tests.unit.domain.law import GATES, Law

from jurat.domain import commands_registry as registry
from jurat.domain import commands_rollout as asked
from jurat.domain import rows
from jurat.gateway import arms


@pytest.fixture
def law() -> Law:
    found = Law()
    found.apply_gates(scene.WITH_ROLLOUT)
    scene.to_production(found, "1.0.0", "1")
    scene.to_production(found, "1.1.0", "2")
    scene.configure(found, "churn@1.0.0", scene.OLD)
    return found


def hold(law: Law, name: str) -> rows.Version:
    version = law.state.get(rows.Version, name)
    assert version is not None
    law.state.tables["versions"][name] = msgspec.structs.replace(version, held="chg_1")
    return msgspec.structs.replace(version, held="chg_1")


def test_no_rollout_begins_with_it(law: Law) -> None:
    hold(law, "churn@1.1.0")
    assert scene.refused(lambda: scene.start(law)).code == "version_held"


def test_a_rollout_of_it_is_taken_back_and_gets_no_request_until_then(law: Law) -> None:
    row, endpoint, serving = scene.start(law), scene.endpoint(law), law.state.get(rows.Version, "churn@1.0.0")
    everybody = msgspec.structs.replace(row, step=2)
    assert arms.choose(everybody, endpoint, serving, law.state.get(rows.Version, "churn@1.1.0"), b"s").endpoint.version == "churn@1.1.0"
    held = hold(law, "churn@1.1.0")
    assert arms.choose(everybody, endpoint, serving, held, b"s").endpoint.version == "churn@1.0.0"
    assert arms.shadow_of(msgspec.structs.replace(row, shadow=True), endpoint, held) is None
    scene.judge(law)
    assert scene.rollout(law).status == "rolled_back"


def test_there_is_no_way_back_to_it(law: Law) -> None:
    scene.configure(law, "churn@1.0.0", scene.NEW)
    law.apply_gates(GATES)
    scene.configure(law, "churn@1.1.0", scene.NEW)
    hold(law, "churn@1.0.0")
    back = asked.RollBack(endpoint="churn", version="churn@1.0.0", reason="wrong")
    assert scene.refused(lambda: law.do("ben", back)).code == "version_held"
    assert scene.endpoint(law).version == "churn@1.1.0"


def test_no_protected_alias_and_no_stage_production_names_it(law: Law) -> None:
    version = law.state.get(rows.Version, "churn@1.0.0")
    assert version is not None
    law.do("ada", registry.CreateRegistryModel(name="churn"))
    law.do("ada", registry.CreateRegistryVersion(name="churn", source="s3://b/1"))
    bind = registry.BindRegistryVersion(
        registry="", name="churn", number=1, version=version.version, weights_digest=version.artefacts.weights.digest
    )
    law.do("ada", bind)
    champion = registry.MoveRegistryAlias(name="churn", alias="champion", number=1)
    stage = registry.MoveRegistryStage(name="churn", number=1, stage="Production")
    law.do("ben", champion)
    law.do("ben", msgspec.structs.replace(champion, number=None))
    hold(law, version.version)
    for move in (champion, stage):
        assert scene.refused(lambda move=move: law.do("ben", move)).code == "version_held"
