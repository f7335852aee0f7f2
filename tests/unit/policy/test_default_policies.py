"""The shipped policies give each role exactly the access of the two tables: every cell, allowed and not allowed.

The first table is prose, role × (data, models, infrastructure). The second is code and covers two roles. Where both speak,
the narrower holds; where one is silent, the other holds (docs/decisions/0027).
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from jurat.policy.engine import Engine, Request
from jurat.policy.policyset import load_default_policies
from jurat.policy.values import Value

ENGINE = Engine(load_default_policies())
SET = ENGINE.policy_set
DEBUGGING = {"purpose": "debugging"}

# The second table, as it was written, with its own verbs.
CODE_TABLE: dict[str, dict[str, dict[str, list[str]]]] = {
    "data_scientist": {
        "models": {
            "dev/*": ["read", "write", "delete"],
            "staging/*": ["read", "deploy"],
            "prod/*": ["read"],
        },
        "data": {"training/*": ["read"], "production/*": []},
    },
    "ml_engineer": {
        "models": {
            "dev/*": ["read", "write", "delete"],
            "staging/*": ["read", "write", "deploy"],
            "prod/*": ["read", "deploy", "rollback"],
        },
        "data": {"training/*": ["read"], "production/*": ["read"]},
    },
}
VERBS = {"models": ["read", "write", "delete", "deploy", "rollback"], "data": ["read", "write", "delete"]}
CODE_CELLS = [
    (role, root, folder, verb, verb in allowed)
    for role, roots in CODE_TABLE.items()
    for root, folders in roots.items()
    for folder, allowed in folders.items()
    for verb in VERBS[root]
]

# The first table: role, cell, action, where, allowed? Each cell is asked what it grants and what lies beside it.
PROSE_CELLS = [
    # Data Scientists | Training datasets (read), Feature stores (read/write) | Development (full), Production (read) | Dev only
    ("data_scientist", "data", "data:read", "data/training/loans@v5", True),
    ("data_scientist", "data", "data:write", "data/training/loans@v5", False),
    ("data_scientist", "data", "features:read", "data/features/tenure", True),
    ("data_scientist", "data", "features:write", "data/features/tenure", True),
    ("data_scientist", "data", "data:read", "data/production/loans", False),
    ("data_scientist", "data", "output:read", "data/aggregated/loans", False),
    ("data_scientist", "models", "model:register", "models/dev/churn@2.3.1", True),
    ("data_scientist", "models", "model:delete", "models/dev/churn@2.3.1", True),
    ("data_scientist", "models", "model:read", "models/prod/churn@2.3.1", True),
    ("data_scientist", "models", "model:write", "models/prod/churn@2.3.1", False),
    ("data_scientist", "models", "model:promote", "models/prod/churn@2.3.1", False),
    ("data_scientist", "infrastructure", "infrastructure:use", "infrastructure/dev/notebooks", True),
    ("data_scientist", "infrastructure", "infrastructure:use", "infrastructure/staging/serving", False),
    ("data_scientist", "infrastructure", "infrastructure:use", "infrastructure/prod/serving", False),
    ("data_scientist", "infrastructure", "infrastructure:use", "infrastructure/data/warehouse", False),
    # ML Engineers | Training datasets (read), Production data (limited) | All models (full) | All environments
    ("ml_engineer", "data", "data:read", "data/training/loans@v5", True),
    ("ml_engineer", "data", "data:write", "data/training/loans@v5", False),
    ("ml_engineer", "data", "data:read", "data/production/loans", True),
    ("ml_engineer", "data", "data:write", "data/production/loans", False),
    ("ml_engineer", "data", "features:read", "data/features/tenure", False),
    ("ml_engineer", "models", "model:promote", "models/prod/churn@2.3.1", True),
    ("ml_engineer", "models", "model:rollback", "models/prod/churn@2.3.1", True),
    ("ml_engineer", "models", "model:retire", "models/prod/churn@2.3.1", True),
    ("ml_engineer", "infrastructure", "infrastructure:use", "infrastructure/dev/notebooks", True),
    ("ml_engineer", "infrastructure", "infrastructure:use", "infrastructure/staging/serving", True),
    ("ml_engineer", "infrastructure", "infrastructure:use", "infrastructure/prod/serving", True),
    ("ml_engineer", "infrastructure", "infrastructure:use", "infrastructure/data/warehouse", False),
    # Data Engineers | All data (full) | None | Data infrastructure only
    *[
        ("data_engineer", "data", f"data:{verb}", f"data/{folder}/loans", True)
        for verb in ("register", "read", "write", "delete")
        for folder in ("training", "production", "features", "aggregated")
    ],
    ("data_engineer", "models", "model:read", "models/dev/churn@2.3.1", False),
    ("data_engineer", "models", "model_card:read", "models/prod/churn@2.3.1", False),
    ("data_engineer", "infrastructure", "infrastructure:use", "infrastructure/data/warehouse", True),
    ("data_engineer", "infrastructure", "infrastructure:use", "infrastructure/dev/notebooks", False),
    ("data_engineer", "infrastructure", "infrastructure:use", "infrastructure/prod/serving", False),
    # Business Analysts | Aggregated outputs only | Inference endpoints (read) | None
    ("business_analyst", "data", "output:read", "data/aggregated/loans", True),
    ("business_analyst", "data", "output:read", "data/production/loans", False),
    ("business_analyst", "data", "data:read", "data/training/loans@v5", False),
    ("business_analyst", "data", "data:read", "data/aggregated/loans", False),
    ("business_analyst", "models", "endpoint:read", "endpoints/credit", True),
    ("business_analyst", "models", "endpoint:configure", "endpoints/credit", False),
    ("business_analyst", "models", "model:read", "models/prod/churn@2.3.1", False),
    ("business_analyst", "infrastructure", "infrastructure:use", "infrastructure/dev/notebooks", False),
    # Compliance Officers | Audit logs (read), Metadata (read) | Model cards (read) | None
    ("compliance_officer", "data", "records:read", "ledger/inference", True),
    ("compliance_officer", "data", "metadata:read", "data/training/loans@v5", True),
    ("compliance_officer", "data", "data:read", "data/training/loans@v5", False),
    ("compliance_officer", "data", "output:read", "data/aggregated/loans", False),
    ("compliance_officer", "models", "model_card:read", "models/prod/churn@2.3.1", True),
    ("compliance_officer", "models", "model:read", "models/prod/churn@2.3.1", False),
    ("compliance_officer", "infrastructure", "infrastructure:use", "infrastructure/dev/notebooks", False),
]

# Everything that is granted, to everyone, written out once more by hand. What is not here is denied.
MODELS = {"dev": "models/dev/m@1", "staging": "models/staging/m@1", "prod": "models/prod/m@1"}
DATA = {name: f"data/{name}/d@1" for name in ("training", "production", "features", "aggregated")}
MACHINES = {name: f"infrastructure/{name}/box" for name in ("dev", "staging", "prod", "data")}
OTHERS = ["endpoints/e", "requests/req_1", "principals/prn_1", "ledger/inference", "systems/s", "workspace"]
EVERYWHERE = [*MODELS.values(), *DATA.values(), *MACHINES.values(), *OTHERS]
FACTS = {"model_card:read": [*MODELS.values()], "evidence:read": [*MODELS.values()]}
HAVE_METADATA = [*MODELS.values(), *DATA.values(), "endpoints/e", "requests/req_1", "systems/s", "principals/prn_1", "workspace"]
RULES = {"policy:read": ["workspace"], "gates:read": ["workspace"]}
RECORDS = {action: ["ledger/inference", "workspace"] for action in ("records:read", "ledger:verify", "ledger:prove")}
ANSWERS = {f"request:{verb}": ["requests/req_1"] for verb in ("approve", "reject", "read")}
THIRD_PERSON = {action: ["principals/prn_1"] for action in ("credential:vouch", "role:confirm")}
EVERYONE = {action: ["workspace"] for action in ("session:open", "token:mint", "access_rules:read")}  # for whoever has proved who they are
GRANTED: dict[str, dict[str, list[str]]] = {
    "data_scientist": {
        "data:read": [DATA["training"]],
        "data:register": [DATA["training"]],
        "features:read": [DATA["features"]],
        "features:write": [DATA["features"]],
        "model:register": [MODELS["dev"]],
        "model:read": [*MODELS.values()],
        "model:write": [MODELS["dev"]],
        "model:delete": [MODELS["dev"]],
        "model:retire": [MODELS["dev"]],
        "model:deploy": [MODELS["staging"]],
        "model:promote": [MODELS["staging"]],
        "gate:check": [MODELS["staging"]],
        "request:open": [MODELS["staging"]],
        "infrastructure:use": [MACHINES["dev"]],
        "metadata:read": [*MODELS.values(), DATA["training"], DATA["features"]],
        **FACTS,
        **RULES,
    },
    "ml_engineer": {
        "data:read": [DATA["training"], DATA["production"]],
        "model:register": [MODELS["dev"]],
        "model:read": [*MODELS.values()],
        "model:write": [MODELS["dev"], MODELS["staging"]],
        "model:delete": [MODELS["dev"]],
        "model:retire": [*MODELS.values()],
        "model:deploy": [MODELS["staging"], MODELS["prod"]],
        "model:promote": [MODELS["staging"], MODELS["prod"]],
        "model:rollback": [MODELS["prod"]],
        "alias:move": [MODELS["staging"], MODELS["prod"]],
        "gate:check": [MODELS["staging"], MODELS["prod"]],
        "request:open": [MODELS["staging"], MODELS["prod"]],
        "endpoint:read": ["endpoints/e"],
        "infrastructure:use": [MACHINES["dev"], MACHINES["staging"], MACHINES["prod"]],
        "metadata:read": [*MODELS.values(), DATA["training"], DATA["production"], "endpoints/e"],
        **FACTS,
        **RULES,
    },
    "data_engineer": {
        **{f"data:{verb}": [*DATA.values()] for verb in ("register", "read", "write", "delete")},
        "features:read": [*DATA.values()],
        "features:write": [*DATA.values()],
        "output:read": [*DATA.values()],
        "metadata:read": [*DATA.values()],
        "infrastructure:use": [MACHINES["data"]],
        **RULES,
    },
    "business_analyst": {"output:read": [DATA["aggregated"]], "endpoint:read": ["endpoints/e"]},
    "compliance_officer": {
        **RECORDS,
        **THIRD_PERSON,
        "metadata:read": HAVE_METADATA,
        "evidence:read": [*MODELS.values()],
        "model_card:read": [*MODELS.values()],
        "request:read": ["requests/req_1"],
        "principal:read": ["principals/prn_1"],
        "policy:approve": ["workspace"],
        "policy:replay": ["workspace"],
        "access:explain": ["workspace"],
        **{f"retention:{verb}": ["workspace"] for verb in ("approve", "reject", "read")},
        **RULES,
    },
    "auditor": {**RECORDS, **RULES, "policy:replay": ["workspace"], "access:explain": ["workspace"]},
    "ml_lead": {**ANSWERS, **FACTS, "metadata:read": [*MODELS.values(), "requests/req_1"], **RULES},
    "product_owner": {
        **ANSWERS,
        **FACTS,
        "metadata:read": [*MODELS.values(), "requests/req_1", "systems/s"],
        "system:register": ["systems/s"],
        **RULES,
    },
    "operator": {
        **THIRD_PERSON,
        **{f"role:{verb}": ["principals/prn_1"] for verb in ("grant", "revoke")},
        **{f"token:{verb}": ["principals/prn_1"] for verb in ("issue", "revoke")},
        "policy:apply": ["workspace"],
        "policy:shadow": ["workspace"],
        "policy:replay": ["workspace"],
        "access:explain": ["workspace"],
        "gates:apply": ["workspace"],
        "endpoint:configure": ["endpoints/e"],
        "endpoint:read": ["endpoints/e"],
        "system:register": ["systems/s"],
        "producer:register": ["workspace"],
        "log:rotate": ["workspace"],
        **{f"retention:{verb}": ["workspace"] for verb in ("apply", "read", "run")},
        **{f"erasure:{verb}": ["workspace"] for verb in ("request", "read", "run")},
        **{f"principal:{verb}": ["principals/prn_1"] for verb in ("register", "read", "deactivate", "reactivate", "transfer")},
        **{f"session:{verb}": ["principals/prn_1"] for verb in ("end", "read")},
        **{action: ["principals/prn_1"] for action in ("link:issue", "identity:invite", "passkey:remove")},
        **{action: ["workspace"] for action in ("directory:map", "directory:see", "identity:configure")},
        "metadata:read": HAVE_METADATA,
        "ledger:verify": ["ledger/inference", "workspace"],
        **RULES,
    },
    "case_officer": {"prediction:override": ["endpoints/e"], "endpoint:read": ["endpoints/e"]},
    "privacy_officer": {
        **{f"erasure:{verb}": ["workspace"] for verb in ("request", "approve", "reject", "read")},
        **{f"hold:{verb}": ["workspace"] for verb in ("place", "release")},
        "retention:read": ["workspace"],
    },
    # The five of the database: who owns what, who grants it, who keeps models, who audits, who steps in.
    "data_owner": {
        **{f"data:{verb}": [*DATA.values()] for verb in ("register", "read", "write", "delete")},
        **{f"features:{verb}": [*DATA.values()] for verb in ("read", "write")},
        "output:read": [*DATA.values()],
        "metadata:read": [*DATA.values()],
        **{f"retention:{verb}": ["workspace"] for verb in ("apply", "read")},
        **{f"erasure:{verb}": ["workspace"] for verb in ("request", "read")},
        **RULES,
    },
    "access_controller": {
        **THIRD_PERSON,
        **{f"principal:{verb}": ["principals/prn_1"] for verb in ("register", "read")},
        **{f"role:{verb}": ["principals/prn_1"] for verb in ("grant", "revoke")},
        **{f"token:{verb}": ["principals/prn_1"] for verb in ("issue", "revoke")},
        "metadata:read": ["principals/prn_1"],
        **{f"policy:{verb}": ["workspace"] for verb in ("apply", "approve", "shadow", "replay")},
        "access:explain": ["workspace"],
        **RULES,
    },
    "model_maintainer": {
        **{f"model:{verb}": [MODELS["dev"], MODELS["staging"]] for verb in ("register", "write", "retire")},
        "gate:check": [MODELS["dev"], MODELS["staging"]],
        "model:read": [*MODELS.values()],
        "data:register": [DATA["training"]],
        "data:read": [DATA["training"]],
        "metadata:read": [*MODELS.values(), DATA["training"]],
        **FACTS,
        **RULES,
    },
    "compliance_auditor": {
        **RECORDS,
        "metadata:read": HAVE_METADATA,
        **FACTS,
        "request:read": ["requests/req_1"],
        "principal:read": ["principals/prn_1"],
        "endpoint:read": ["endpoints/e"],
        "policy:approve": ["workspace"],
        "policy:replay": ["workspace"],
        "access:explain": ["workspace"],
        "retention:read": ["workspace"],
        "erasure:read": ["workspace"],
        **RULES,
    },
    "incident_responder": {
        "role:revoke": ["principals/prn_1"],
        "token:revoke": ["principals/prn_1"],
        "model:retire": [MODELS["prod"]],
        "model:rollback": [MODELS["prod"]],
        "records:read": ["ledger/inference", "workspace"],
        "metadata:read": HAVE_METADATA,
        "principal:read": ["principals/prn_1"],
        "endpoint:read": ["endpoints/e"],
        "evidence:read": [*MODELS.values()],
        "hold:place": ["workspace"],
        "retention:read": ["workspace"],
        "access:explain": ["workspace"],
        **RULES,
    },
    "provisioner": {f"directory:{verb}": ["principals/prn_1"] for verb in ("provision", "read")},
    "enforcement_point": {"access:evaluate": ["workspace"], "access:search": ["workspace"]},
    "prediction_client": {"prediction:request": ["endpoints/e"]},
    "recorder": {"events:record": ["ledger/inference"]},
    "evaluator": {
        "evidence:record": [*MODELS.values()],
        "evidence:read": [*MODELS.values()],
        "model:read": [*MODELS.values()],
        "data:read": [DATA["training"]],
        "metadata:read": [*MODELS.values(), DATA["training"]],
    },
}
# Access beyond a grant: who may answer at all; whose answer counts stands in the access file.
for _role in (
    "operator", "access_controller", "ml_lead", "product_owner", "compliance_officer", "compliance_auditor", "auditor", "privacy_officer",
    "data_owner", "model_maintainer", "incident_responder",
):  # fmt: skip
    for _verb in ("access:read", "access:approve", "access:reject", "glass:review", "review:answer"):
        GRANTED[_role].setdefault(_verb, []).append("principals/prn_1")
for _role in ("operator", "access_controller", "compliance_officer", "compliance_auditor"):
    GRANTED[_role] |= {"review:open": ["workspace"], "review:read": ["workspace"]}
GRANTED["auditor"] |= {"review:read": ["workspace"]}
GRANTED["operator"] |= {"access_rules:apply": ["workspace"]}
for _role in (
    "data_scientist", "ml_engineer", "data_engineer", "ml_lead", "product_owner", "compliance_officer", "compliance_auditor", "auditor",
    "operator", "privacy_officer", "data_owner", "model_maintainer", "incident_responder",
):  # fmt: skip
    GRANTED[_role] |= {"lineage:read": ["workspace"]}
for _role in ("data_owner", "compliance_officer", "privacy_officer"):
    GRANTED[_role] |= {"data:recall": [*DATA.values()]}
for _role in ("incident_responder", "compliance_officer", "ml_lead", "recorder"):
    GRANTED[_role] |= {"advisory:add": ["workspace"]}
GRANTED["recorder"] |= {"lineage:record": ["workspace"]}
GRANTED["clock"] = {action: ["workspace"] for action in ("access:expire", "review:open", "retention:run", "retention:read")}
GRANTED["clock"] |= {"rollout:judge": [MODELS["prod"]]}


def is_allowed(role: str, action: str, resource: str, **context: str) -> bool:
    processes, services = {"evaluator", "recorder", "clock"}, {"enforcement_point", "provisioner"}
    kind = "process" if role in processes else "service" if role in services else "person"
    attributes: dict[str, Value] = {"gates_green": True} if action == "alias:move" and resource.startswith("models/") else {}
    return ENGINE.decide(Request("prn_7", kind, frozenset({role}), action, resource, attributes, context)).is_allowed


@pytest.mark.parametrize(("role", "root", "folder", "verb", "allowed"), CODE_CELLS)
def test_every_cell_of_the_code_table(role: str, root: str, folder: str, verb: str, allowed: bool) -> None:
    action = f"{'model' if root == 'models' else 'data'}:{verb}"
    assert is_allowed(role, action, f"{root}/{folder.replace('*', 'churn@2.3.1')}", **DEBUGGING) is allowed


@pytest.mark.parametrize(("role", "cell", "action", "resource", "allowed"), PROSE_CELLS)
def test_every_cell_of_the_prose_table(role: str, cell: str, action: str, resource: str, allowed: bool) -> None:
    assert cell in ("data", "models", "infrastructure")
    assert is_allowed(role, action, resource, **DEBUGGING) is allowed


def test_every_working_role_has_every_cell() -> None:
    working = {"data_scientist", "ml_engineer", "data_engineer", "business_analyst", "compliance_officer"}
    asked = {(role, cell) for role, cell, *_ in PROSE_CELLS}
    assert asked == set(itertools.product(working, ("data", "models", "infrastructure")))
    assert len(CODE_CELLS) == 2 * (3 * 5 + 2 * 3)


@pytest.mark.parametrize("role", sorted(SET.roles))
def test_a_role_is_granted_what_is_written_here_and_nothing_else(role: str) -> None:
    found: dict[str, list[str]] = {}
    for action, resource in itertools.product(sorted(SET.actions), EVERYWHERE):
        if is_allowed(role, action, resource, purpose="debugging", reason="the applicant's income was misread"):
            found.setdefault(action, []).append(resource)
    assert {action: sorted(places) for action, places in found.items()} == {
        action: sorted(places) for action, places in (GRANTED[role] | EVERYONE).items()
    }


def test_without_a_role_nothing_is_allowed_but_to_sign_in() -> None:
    for action, resource in itertools.product(sorted(SET.actions), EVERYWHERE):
        request = Request("prn_7", "person", frozenset(), action, resource, context={"purpose": "debugging", "reason": "because"})
        assert ENGINE.decide(request).is_allowed is (resource in EVERYONE.get(action, []))


def test_asking_only_the_policies_of_an_action_changes_no_answer() -> None:
    whole = Engine(replace(SET, by_action={}))
    for role, action, resource in itertools.product(("ml_engineer", "operator", "product_owner"), sorted(SET.actions), EVERYWHERE):
        request = Request("prn_7", "person", frozenset({role}), action, resource, context=DEBUGGING)
        assert whole.decide(request) == ENGINE.decide(request)


@pytest.mark.parametrize("purpose", [None, "", "curiosity", "Debugging", "debugging "])
def test_production_data_is_read_to_debug_only(purpose: str | None) -> None:
    assert not is_allowed("ml_engineer", "data:read", "data/production/loans", **({} if purpose is None else {"purpose": purpose}))


@pytest.mark.parametrize("kind", ["service", "agent", "process"])
@pytest.mark.parametrize(
    ("role", "action", "resource"),
    [
        ("ml_lead", "request:approve", "requests/req_1"),
        ("ml_lead", "request:reject", "requests/req_1"),
        ("case_officer", "prediction:override", "endpoints/e"),
    ],
)
def test_only_people_decide(kind: str, role: str, action: str, resource: str) -> None:
    def ask(principal_type: str) -> list[str]:
        return ENGINE.decide(Request("prn_7", principal_type, frozenset({role}), action, resource, context={"reason": "x"})).policies

    assert ask(kind) == ["house.only_people_decide"]
    assert ask("person") != ["house.only_people_decide"]


@pytest.mark.parametrize("attribute", ["requested_by", "authored_by"])
def test_nobody_approves_their_own(attribute: str) -> None:
    def ask(who: str) -> bool:
        roles = frozenset({"ml_lead", "product_owner"})
        return ENGINE.decide(Request(who, "person", roles, "request:approve", "requests/req_1", attributes={attribute: "prn_7"})).is_allowed

    assert not ask("prn_7")
    assert ask("prn_8")


@pytest.mark.parametrize("other", sorted(SET.roles - {"operator"}))
def test_an_operator_decides_nothing_and_sees_no_data_whatever_else_they_are(other: str) -> None:
    kept_out = [
        ("model:promote", MODELS["prod"]), ("model:deploy", MODELS["staging"]), ("request:open", MODELS["prod"]),
        ("request:approve", "requests/req_1"), ("request:reject", "requests/req_1"), ("data:read", DATA["training"]),
        ("data:write", DATA["training"]), ("features:read", DATA["features"]), ("output:read", DATA["aggregated"]),
        ("prediction:override", "endpoints/e"),
    ]  # fmt: skip
    for action, resource in kept_out:
        decision = ENGINE.decide(Request("prn_7", "person", frozenset({"operator", other}), action, resource, context={"reason": "x"}))
        assert not decision.is_allowed
        assert "house.operators_keep_out" in decision.policies


def test_two_roles_are_the_union_of_both() -> None:
    both = frozenset({"business_analyst", "data_engineer"})
    for action, resource in [("endpoint:read", "endpoints/e"), ("data:delete", DATA["training"])]:
        assert ENGINE.decide(Request("prn_7", "person", both, action, resource)).is_allowed


def test_every_shipped_policy_says_why_and_lies_in_the_file_of_its_role() -> None:
    for policy in SET.policies.values():
        assert policy.reason
        assert not policy.reason.endswith(".")
        stem = policy.file.removesuffix(".cedar")
        owners = {
            "approvers": {"ml_lead", "product_owner"},
            "services": {"prediction_client", "evaluator", "recorder", "enforcement_point", "clock"},
            "house_rules": {"house"},
            "people": {"operator", "provisioner", "person"},
        }
        assert policy.id.split(".")[0] in owners.get(stem, {stem})
