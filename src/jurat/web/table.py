"""Every route of the API. Routing and `/openapi.json` are both made of this table, so neither can say what the other does not.

A route either walks with a command (its path names some of the command's fields, its body the rest) or looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from jurat.app import lineage, versions, zombies
from jurat.app.ask import Story
from jurat.app.cases import OpenCase
from jurat.app.records import Page
from jurat.app.status import Status
from jurat.domain import (
    commands,
    commands_access,
    commands_credentials,
    commands_identity,
    commands_keeping,
    commands_lineage,
    commands_people,
    commands_policy,
    commands_registry,
    commands_rollout,
    commands_signature,
    rows,
)
from jurat.domain.commands import Command
from jurat.web import queries, queries_access, queries_lineage, queries_requests
from jurat.web.queries import EventQuery, NoQuery, Override, PageQuery, Query

_SHA = "sha256:" + "3f" * 32


class ActedEvent(msgspec.Struct, frozen=True):
    """An event that an act left."""

    id: str
    kind: str
    at: str
    resource: str
    because: list[str]
    data: Any


class Acted(msgspec.Struct, frozen=True):
    """What an act left: its events, and what is shown only this once (a fresh token)."""

    events: list[ActedEvent]
    reply: dict[str, str]


@dataclass(frozen=True)
class Route:
    """One line of the API."""

    method: str
    path: str
    summary: str
    tag: str
    gives: Any  # the type of `data`
    command: type[Command] | None = None
    look: Callable[..., Any] | None = None
    body: type[msgspec.Struct] | None = None  # of a POST
    query: type[msgspec.Struct] = NoQuery  # of a GET
    example: dict[str, Any] = field(default_factory=dict)  # of the body

    @property
    def path_names(self) -> list[str]:
        """The names in braces."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def name(self) -> str:
        """A stable name for generated clients: `post_models_version_promote`."""
        return re.sub(r"\W+", "_", f"{self.method.lower()}{self.path.removeprefix('/api/v1')}").strip("_")


def _acts(path: str, command: type[Command], tag: str, summary: str, example: dict[str, Any]) -> Route:
    named = set(re.findall(r"{(\w+)}", path))
    fields = [_field(each) for each in msgspec.structs.fields(command) if each.name not in named]
    body = msgspec.defstruct(f"{command.__name__}Body", fields, kw_only=True, frozen=True, forbid_unknown_fields=True)
    return Route("POST", f"/api/v1{path}", summary, tag, Acted, command=command, body=body, example=example)


def _field(info: msgspec.structs.FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    if info.default is not msgspec.NODEFAULT:
        return info.name, info.type, info.default
    if info.default_factory is not msgspec.NODEFAULT:
        return info.name, info.type, msgspec.field(default_factory=info.default_factory)
    return info.name, info.type


def _looks(path: str, look: Query, gives: Any, tag: str, summary: str, query: type[msgspec.Struct] = NoQuery) -> Route:
    return Route("GET", f"/api/v1{path}", summary, tag, gives, look=look, query=query)


def _lists(path: str, row: type[rows.Row], tag: str, summary: str, **equals: str) -> Route:
    return _looks(path, queries.rows_of(row, **equals), list[row], tag, summary, PageQuery)  # type: ignore[valid-type]


_DATASET: Final = {
    "dataset": "loans@v1", "collection": "training", "digest": _SHA, "rows": 1000, "columns": ["age", "amount", "good"],
    "sheet": {
        "purpose": "decide on loans", "source": "our own records", "collection_method": "applications of 2024", "licence": "internal",
        "known_biases": ["few applicants under 25"], "sensitive_columns": ["age"], "label": "good", "favourable_outcome": "yes",
    },
}  # fmt: skip
_VERSION: Final = {
    "model": "credit", "version": "1.1.0", "system": "credit-decisions",
    "artefacts": {
        name: {"version": "1.1.0", "digest": _SHA, "size_bytes": 4096}
        for name in ("weights", "training_code", "training_data", "feature_definitions", "serving_configuration", "dependencies")
    },
    "training_data": {"dataset": "loans@v1", "dataset_digest": _SHA, "row_count": 1000, "feature_columns": ["age", "amount"]},
    "training_code": {"git_repo": "https://example.org/credit", "git_commit": "0123456789abcdef" * 2 + "01234567", "git_branch": "main"},
    "training_config": {"hyperparameters": {"C": 1.0}, "training_duration_s": 12.5, "hardware": "2 cores"},
    "claimed_metrics": {"accuracy": 0.9}, "validation_dataset": "loans-holdout@v1",
}  # fmt: skip

ROUTES: Final[tuple[Route, ...]] = (
    _lists("/models", rows.Version, "models", "The versions that the caller may see"),
    _acts("/models", commands.RegisterVersion, "models", "Register an immutable version with its lineage", _VERSION),
    _looks("/models/{version}", queries.row_of(rows.Version), rows.Version, "models", "One version"),
    _looks("/models/{version}/evidence", queries.evidence_on, list[rows.Evidence], "models", "What was measured on a version"),
    _acts("/models/{version}/gates/{stage}", commands.CheckGate, "models", "Check a version against the gates before a stage", {}),
    _acts("/models/{version}/promote", commands.Promote, "models", "Move a version to its next stage, if every gate passes now",
          {"to_stage": "staging"}),
    _acts("/models/{version}/retire", commands.RetireVersion, "models", "Take a version out of service", {"reason": "replaced by 1.2.0"}),
    _acts("/models/{version}/requests", commands.RequestPromotion, "requests", "Ask for approval of exactly this version",
          {"to_stage": "production", "lifetime_s": 604800.0}),
    _lists("/requests", rows.Request, "requests", "Requests on models that the caller may see"),
    _looks("/requests/{request}", queries_requests.shown, rows.Request, "requests", "Exactly what an approver signs; a look is on record"),
    Route("GET", "/api/v1/request-stats", "How people answer requests: how often yes, how fast after they were shown them", "requests",
          list[queries_requests.Answered], look=queries_requests.stats, query=queries_requests.StatsQuery),
    _acts("/requests/{request}/approve", commands.Approve, "requests", "Say yes to exactly what was shown", {"shown_digest": _SHA}),
    _acts("/requests/{request}/reject", commands.Reject, "requests", "Say no, with what would have to change",
          {"shown_digest": _SHA, "comment": "the gap by age is too wide"}),
    _lists("/data", rows.Dataset, "data", "Data sets whose metadata the caller may see"),
    _acts("/data", commands.RegisterDataset, "data", "Make a version of a data set known by its digest", _DATASET),
    _acts("/data/{dataset}/read", commands.ReadData, "data", "Ask to read a data set, for a purpose", {"purpose": "retrain the model"}),
    _lists("/systems", rows.System, "systems", "AI systems that the caller may see"),
    _acts("/systems", commands.RegisterSystem, "systems", "Make an AI system known",
          {"system": "credit-decisions", "purpose": "decide on loans", "owner": "prn_" + "0" * 26, "risk_tier": "high",
           "affected_persons": "applicants"}),
    _acts("/systems/{system}/change", commands_lineage.ChangeSystem, "models", "Change owner, tier, purpose or environments of a system",
          {"reason": "sold to another team", "risk_tier": "high"}),
    _lists("/assets", rows.Asset, "models", "Prompts, agents, guardrail settings and feature schemas that the caller may see"),
    _acts("/assets", commands_lineage.RegisterAsset, "models", "Register an immutable version of one",
          {"kind": "prompt", "name": "greeting", "version": "1.0.0", "system": "credit-decisions", "digest": _SHA}),
    _acts("/datasets/{dataset}/recall", commands_lineage.RecallDataset, "lineage", "Say that a data set must not be built on",
          {"reason": "consent was withdrawn"}),
    _acts("/datasets/{dataset}/licence", commands_lineage.ChangeLicence, "lineage", "Say under which licence it stands from now on",
          {"licence": "CC BY-NC 4.0", "reason": "the publisher changed it"}),
    _looks("/lineage-graph", queries_lineage.walk, lineage.Graph, "lineage", "What a node rests on, or what rests on it",
           queries_lineage.WalkQuery),
    _looks("/datasets/{dataset}/predictions", queries_lineage.predictions, lineage.PredictionsByData, "lineage",
           "Predictions by versions that were trained on it, at any remove", queries_lineage.PredictionsQuery),
    _looks("/models/{version}/diff/{other}", queries_lineage.difference, versions.Difference, "models", "What differs in two versions"),
    _looks("/zombies", queries_lineage.unused, zombies.Report, "models", "In production, and unused or unreviewed for so many days",
           queries_lineage.ZombieQuery),
    _lists("/upstream-changes", rows.UpstreamChange, "lineage", "Recalls, licences and advisories that are open"),
    _acts("/advisories", commands_lineage.AddAdvisory, "lineage", "Say that versions of a package have a known flaw",
          {"package": "scikit-learn", "affected_range": "<1.5.1", "advisory": "CVE-2024-5206", "reason": "leaks training data"}),
    _acts("/upstream-changes/{change}/clear", commands_lineage.ClearChange, "lineage", "Take one back", {"reason": "a mistake"}),
    _looks("/reopening-rules", queries.in_force(rows.ReopeningRules), rows.ReopeningRules, "lineage", "What happens in production then"),
    _acts("/reopening-rules", commands_lineage.ApplyReopeningRules, "lineage", "Say what happens in production when something changes",
          {"rules": {"recalled": "hold"}, "reason": "nothing is served by recalled data"}),
    _acts("/models/{version}/reaffirm", commands_lineage.Reaffirm, "models", "Let approvals count again that know what changed",
          {"request": "req_" + "0" * 26}),
    _lists("/endpoints", rows.Endpoint, "endpoints", "Endpoints that the caller may see"),
    _acts("/endpoints", commands.ConfigureEndpoint, "endpoints", "Point an endpoint at a server, with its guardrails",
          {"endpoint": "credit", "version": "credit@1.1.0", "upstream": "http://127.0.0.1:9000", "confidence_floor": 0.6}),
    _looks("/cases", queries.cases, list[OpenCase], "cases", "Predictions that wait for a person", PageQuery),
    Route("POST", "/api/v1/cases/{prediction}/override", "Decide one case in place of the model", "cases", Acted,
          look=queries.override_case, body=Override, example={"output": "good", "reason": "income was confirmed"}),
    _looks("/events", queries.events, Page, "records", "Events, newest first; the question itself is recorded", EventQuery),
    _looks("/events/{event}/proof", queries.proof, Any, "records", "One event's evidence, verified offline with `jurat verify`"),
    _looks("/predictions/{prediction}/why", queries.story, Story, "records", "What happened, why, and who was responsible"),
    _lists("/principals", rows.Principal, "access", "Principals that the caller may see; names stay in the vault"),
    _acts("/principals", commands.RegisterPrincipal, "access", "Make someone or something known",
          {"type": "person", "name": "Ada Lovelace", "email": "ada@example.org"}),
    _acts("/principals/{principal}/deactivate", commands_people.Deactivate, "access", "End everything that a principal has, at once",
          {"reason": "left the company", "transfer_to": "prn_" + "0" * 26}),
    _acts("/principals/{principal}/reactivate", commands_people.Reactivate, "access", "Let a principal act again; what died stays dead",
          {"reason": "back from leave"}),
    _acts("/principals/{from_owner}/transfer", commands_people.TransferOwnership, "access", "Let another person answer for their services",
          {"to_owner": "prn_" + "0" * 26, "reason": "changed teams"}),
    _acts("/principals/{principal}/links", commands_people.IssueLink, "access", "Hand out a link that works once, to register a passkey",
          {"lifetime_s": 3600.0}),
    _acts("/principals/{principal}/passkeys/{passkey}/remove", commands_people.RemovePasskey, "access", "Take a passkey away",
          {"reason": "phone lost"}),
    _lists("/groups", rows.Group, "access", "Groups that identity providers defined"),
    _looks("/group-roles", queries.in_force(rows.GroupRolesInForce), rows.GroupRolesInForce, "access", "Which groups give which roles"),
    _acts("/group-roles", commands_people.ApplyGroupRoles, "access", "Put a table from groups to roles into force",
          {"source": "lifetime: 180d …", "reason": "first table"}),
    _acts("/principals/{principal}/roles", commands.GrantRole, "access", "Grant a role, for a reason, until a time",
          {"role": "data_scientist", "reason": "joined the credit team", "expires_at": "2030-01-01T00:00:00Z"}),
    _lists("/roles", rows.Grant, "access", "Grants that the caller may see"),
    _acts("/roles/{grant}/revoke", commands.RevokeRole, "access", "End a grant before its time", {"reason": "left the team"}),
    _acts("/principals/{principal}/tokens", commands.IssueToken, "access", "Issue an access token; it is shown this once",
          {"lifetime_s": 900.0}),
    _acts("/principals/{principal}/tokens/{token}/revoke", commands.RevokeToken, "access", "End a token before its time",
          {"reason": "laptop lost"}),
    _acts("/principals/{principal}/tokens/{token}/activate", commands_credentials.ActivateToken, "access",
          "Change a token that somebody handed to you for one that nobody else has seen; it is shown this once", {}),
    _acts("/principals/{principal}/credentials/{credential}/vouch", commands_credentials.VouchCredential, "access",
          "Say that a person has a credential themselves, and nobody else", {"reason": "she read me its id from her own screen"}),
    _acts("/roles/{grant}/confirm", commands_credentials.ConfirmGrant, "access", "Say yes to a grant that somebody gave alone",
          {"comment": "joined the credit team on Monday"}),
    _lists("/sessions", rows.Session, "identity", "Sessions that live: the caller's own, or everybody's for an operator"),
    _acts("/sessions/{session}/end", commands_identity.EndSession, "identity", "End a session and everything that lives by it",
          {"reason": "laptop lost"}),
    _lists("/providers", rows.Provider, "identity", "Identity providers at which people may sign in"),
    _acts("/providers", commands_identity.RegisterProvider, "identity", "Let people sign in at an identity provider",
          {"provider": "corporate", "issuer": "https://id.example.org", "client_id": "jurat", "reason": "single sign-on"}),
    _acts("/providers/{provider}/remove", commands_identity.RemoveProvider, "identity", "Nobody signs in there any more",
          {"reason": "replaced"}),
    _acts("/principals/{principal}/invitations", commands_identity.InviteIdentity, "identity",
          "Let a person link an account at a provider, once; the invitation is shown this once", {"lifetime_s": 86400.0}),
    _lists("/trusts", rows.Trust, "identity", "Whose workloads' tokens are believed"),
    _acts("/trusts", commands_identity.DeclareTrust, "identity", "Believe tokens of an issuer, with these claims, for one principal",
          {"issuer": "https://ci.example.org", "audience": "https://jurat.example.org", "claims": {"repository": "our/credit"},
           "principal": "prn_" + "0" * 26, "reason": "the release pipeline registers versions"}),
    _acts("/trusts/{trust}/end", commands_identity.EndTrust, "identity", "Believe them no more", {"reason": "pipeline moved"}),
    _lists("/producers", rows.Producer, "producers", "Outside producers and the classes that they record in"),
    _acts("/producers", commands.RegisterProducer, "producers", "Give a service a number, under which it may record events",
          {"principal": "prn_" + "0" * 26, "name": "scorer", "classes": ["inference"], "reason": "the model server reports its own calls"}),
    _looks("/policies", queries.in_force(rows.PolicySetInForce), rows.PolicySetInForce, "rules", "The policies that are in force"),
    _acts("/policies", commands_policy.RequestPolicyChange, "rules", "Ask another person to put a set of policies into force",
          {"files": {"house.cedar": "…"}, "schema": "…", "reason": "auditors may take proofs"}),
    _acts("/policies/shadow", commands_policy.SetPolicyShadow, "rules", "Let a candidate answer beside the set in force, or end that",
          {"reason": "see whom it would refuse", "files": {"house.cedar": "…"}, "schema": "…"}),
    _lists("/policy-changes", rows.PolicyChange, "rules", "Changes of the policies, waiting and decided"),
    _looks("/policy-changes/{request}", queries.row_of(rows.PolicyChange), rows.PolicyChange, "rules", "Exactly what an approver signs"),
    _acts("/policy-changes/{request}/approve", commands_policy.ApprovePolicyChange, "rules", "Say yes; the set is in force at once",
          {"shown_digest": _SHA}),
    _acts("/policy-changes/{request}/reject", commands_policy.RejectPolicyChange, "rules", "Say no, with the reason",
          {"shown_digest": _SHA, "comment": "it opens production data to everyone"}),
    _looks("/gates", queries.in_force(rows.GatesInForce), rows.GatesInForce, "rules", "The gate file that is in force"),
    _acts("/gates", commands.ApplyGates, "rules", "Put a gate file into force", {"source": "deployment_gates: …", "reason": "first gates"}),
    _looks("/retention", queries.in_force(rows.RetentionInForce), rows.RetentionInForce, "retention", "How long events are kept"),
    _acts("/retention", commands_keeping.ApplyRetention, "retention", "Put a retention table into force",
          {"source": "jurisdictions: [EU] …", "reason": "predictions are kept for a year"}),
    _lists("/shortenings", rows.Shortening, "retention", "Requests to keep something for a shorter time"),
    _looks("/shortenings/{request}", queries.row_of(rows.Shortening), rows.Shortening, "retention", "Exactly what an approver signs"),
    _acts("/shortenings", commands_keeping.RequestShortening, "retention", "Ask that something is kept for a shorter time, from now on",
          {"source": "jurisdictions: [EU] …", "reason": "predictions are kept for 90 days only", "lifetime_s": 604800.0}),
    _acts("/shortenings/{request}/approve", commands_keeping.ApproveShortening, "retention", "Say yes; the table is in force at once",
          {"shown_digest": _SHA}),
    _acts("/shortenings/{request}/reject", commands_keeping.RejectShortening, "retention", "Say no, with the reason",
          {"shown_digest": _SHA, "comment": "the works council has not agreed"}),
    _lists("/holds", rows.Hold, "retention", "Legal holds that are live"),
    _acts("/holds", commands_keeping.PlaceHold, "retention", "Keep what a predicate meets, whatever else says that it goes",
          {"reason": "claim 7 of 2026", "legal_basis": "GDPR Article 17(3)(e)", "systems": ["credit-decisions"]}),
    _acts("/holds/{hold}/release", commands_keeping.ReleaseHold, "retention", "End a hold", {"reason": "the claim was settled"}),
    _lists("/erasures", rows.Erasure, "retention", "Erasures, and how far each has come"),
    Route("POST", "/api/v1/erasures", "Ask that the content of events goes", "retention", Acted, look=queries.request_erasure,
          body=queries.ErasureWish, example={"selector": "prediction", "reference": "prd_" + "0" * 26, "reason": "the applicant objects",
                                             "legal_basis": "GDPR Article 17(1)(c)"}),
    _looks("/erasures/{request}", queries.row_of(rows.Erasure), rows.Erasure, "retention", "Exactly what an approver signs"),
    Route("POST", "/api/v1/erasures/{request}/approve", "Say yes to exactly what was shown; the events are masked at once", "retention",
          Acted, look=queries.approve_erasure, body=queries.ErasureWord, example={"shown_digest": _SHA}),
    _acts("/erasures/{request}/reject", commands_keeping.RejectErasure, "retention", "Say no, with the reason",
          {"shown_digest": _SHA, "comment": "the events are evidence in a dispute"}),
    _looks("/access-rules", queries.in_force(rows.AccessRulesInForce), rows.AccessRulesInForce, "access",
           "The access file in force: duties, approvals, break-glass, reviews"),
    _acts("/access-rules", commands_access.ApplyAccessRules, "access", "Put an access file into force",
          {"source": "duties: …", "reason": "production needs two ML leads"}),
    _lists("/access-requests", rows.AccessRequest, "access", "Requests for access that the caller made or may answer"),
    _looks("/access-requests/{request}", queries.row_of(rows.AccessRequest), rows.AccessRequest, "access",
           "Exactly what an approver signs"),
    _acts("/principals/{principal}/access-requests", commands_access.RequestAccess, "access", "Ask for a role for a while, for oneself",
          {"role": "ml_engineer", "scope": "models/prod/", "lifetime_s": 7200.0, "reason": "roll back credit"}),
    _acts("/access-requests/{request}/approve", commands_access.ApproveAccess, "access", "Say yes to exactly what was shown",
          {"shown_digest": _SHA}),
    _acts("/access-requests/{request}/reject", commands_access.RejectAccess, "access", "Say no, or take one's own request back",
          {"shown_digest": _SHA, "comment": "staging is enough"}),
    _acts("/principals/{principal}/break-glass", commands_access.BreakGlass, "access", "Take a role in an emergency, for oneself",
          {"role": "ml_engineer", "scope": "models/prod/", "reason": "wrong answers", "ticket": "INC-12"}),
    _lists("/glass", rows.Glass, "access", "Break-glass windows that the caller opened or may review"),
    _looks("/glass/{glass}", queries_access.window, queries_access.Window, "access", "Every recorded act in a window"),
    _acts("/glass/{glass}/close", commands_access.CloseGlass, "access", "End one's own window before its time", {}),
    Route("POST", "/api/v1/glass/{glass}/review", "Say whether what was done in a window was right", "access", Acted,
          look=queries_access.review_window, body=queries_access.WindowWord,
          example={"verdict": "justified", "comment": "read all five acts", "shown_digest": _SHA}),
    _lists("/inbox", rows.Notice, "access", "What the caller was told"),
    _acts("/inbox/{notice}/seen", commands_access.SeeNotice, "access", "Take note of a notice", {}),
    _lists("/reviews", rows.Review, "access", "Access reviews"),
    Route("POST", "/api/v1/reviews", "Put every live grant before somebody who answers for it", "access", Acted,
          look=queries_access.open_review, body=queries_access.ReviewWish, example={"reason": "the review of November"}),
    _looks("/reviews/{review}", queries_access.report, queries_access.Report, "access", "A review with its answers and what proves them"),
    _acts("/reviews/{review}/grants/{grant}", commands_access.AnswerReview, "access", "Say whether a grant stays",
          {"answer": "remove", "reason": "moved to another team"}),
    _lists("/registry-protections", rows.RegistryProtection, "models", "Which aliases of which registered models are protected"),
    _acts("/registry-protections", commands_registry.ProtectRegistryAliases, "models",
          "Say which aliases may name only what passed the gates of production",
          {"model": "*", "aliases": ["champion", "live*"], "reason": "what the branches load"}),
    _lists("/rollouts", rows.Rollout, "models", "The newest rollout of each endpoint that the caller may see"),
    _looks("/rollouts/{endpoint}", queries.row_of(rows.Rollout), rows.Rollout, "models", "The newest rollout of an endpoint"),
    _acts("/rollouts/{endpoint}", commands_rollout.StartRollout, "models", "Give a version traffic in the steps of the gate file",
          {"version": "credit@1.1.0", "upstream": "http://127.0.0.1:9001", "reason": "fairer"}),
    _acts("/rollouts/{endpoint}/{act}", commands_rollout.SteerRollout, "models", "Pause, resume or abort a rollout", {"reason": "a look"}),
    _acts("/endpoints/{endpoint}/rollback", commands_rollout.RollBack, "models", "Serve an earlier version again, at once",
          {"version": "credit@1.0.0", "reason": "wrong answers"}),
    _acts("/models/{version}/deployments", commands_rollout.AuthorizeDeployment, "models", "Put on record that a version may be deployed",
          {"stage": "production", "target": "cluster-eu-1", "lifetime_s": 600.0}),
    _lists("/signers", rows.Signer, "models", "Whose model signatures count"),
    _acts("/signers", commands_signature.TrustSigner, "models", "Let model signatures by a key or by certificates count",
          {"signer": "ml-platform", "pem": "-----BEGIN PUBLIC KEY-----…", "reason": "key ceremony of 2026-11-20", "identity_digest": ""}),
    _acts("/signers/{signer}/distrust", commands_signature.DistrustSigner, "models", "Let a signer's signatures count no more",
          {"reason": "the key leaked"}),
    _looks("/status", queries.status, Status, "workspace", "What runs, and how far each log is sealed"),
)  # fmt: skip

# Commands that have no route, and why.
NOT_ROUTED: Final[dict[type[Command], str]] = {
    commands_signature.RecordSignature: "a signature is checked on the workspace's own machine: `jurat model verify-signature`",
    commands_rollout.JudgeRollout: "a step is measured and judged by Jurat itself",
    commands_rollout.ShowRequest: "looking at a request walks with it: /requests/{request}",
    commands_rollout.ReadRequestStats: "the question walks with it: /request-stats",
    commands_rollout.ReleaseArtefact: "bytes are handed out on the workspace's own machine: `jurat model fetch`",
    commands_lineage.ImportAdvisories: "advisories are read on the workspace's own machine: `jurat advisory import`",
    commands_lineage.RecordLineage: "pipelines speak OpenLineage: /api/v1/lineage",
    commands_lineage.RecordVerification: "what was read is recorded by the process that read it: `jurat model verify`",
    **dict.fromkeys(commands_registry.BY_MLFLOW, "MLflow's own REST interface carries it: /api/2.0/mlflow"),
    commands_registry.BindRegistryVersion: "the bytes are measured on the workspace's own machine: `jurat mlflow bind`",
    commands_registry.HoldRegistryAct: "the guard asks: `jurat mlflow guard`",
    commands_registry.ReportRegistryAct: "the guard tells: `jurat mlflow guard`",
    commands_registry.ImportRun: "another server is asked from the workspace's own machine: `jurat mlflow import-run`",
    commands_identity.OpenSession: "a session is opened on a proof: /login, /oauth/token",
    commands_identity.MintToken: "tokens are handed out on a proof: /oauth/token",
    commands_identity.RotateTokenKeys: "a key is made on the workspace's own machine: `jurat identity rotate-keys`",
    commands_policy.ReplayDecisions: "it reads the whole ledger: `jurat policy diff --against 30d` on the workspace's own machine",
    commands_policy.AskWhy: "each question has its own route, which walks with it",
    commands_policy.AskAboutSelf: "each question has its own route, which walks with it",
    commands_access.ReviewGlass: "the acts in a window are read by Jurat itself: /glass/{glass}/review",
    commands_access.ReportDrill: "a drill is measured on the workspace's own machine: `jurat break-glass --drill`",
    commands_access.OpenReview: "the use of grants is read by Jurat itself: /reviews",
    commands_access.EndExpired: "the workspace's own clock writes it down",
    commands_access.RunReviews: "the workspace's own clock does it",
    commands.ReadRecords: "each question about the ledger has its own route, which walks with it",
    commands_keeping.RequestErasure: "which events are meant is found by Jurat itself: /erasures",
    commands_keeping.ApproveErasure: "approving also masks: /erasures/{request}/approve",
    commands_keeping.StartErasure: "an erasure is carried out on the workspace's own machine: `jurat erase run`",
    commands_keeping.FinishErasure: "an erasure is carried out on the workspace's own machine: `jurat erase run`",
    commands_keeping.CleanArtefacts: "bytes are found and taken away on the workspace's own machine: `jurat artefact clean`",
    commands_keeping.RecordPruning: "logs are pruned on the workspace's own machine: `jurat retention run`",
    commands_keeping.RotateLogKey: "keys are made on the workspace's own machine: `jurat log rotate-key`",
    commands_keeping.RecordExpiry: "what is due is judged and taken away on the workspace's own machine: `jurat retention run`",
    commands_people.DescribePerson: "identity providers speak SCIM: /scim/v2/Users",
    commands_people.RemovePerson: "identity providers speak SCIM: /scim/v2/Users",
    commands_people.DefineGroup: "identity providers speak SCIM: /scim/v2/Groups",
    commands_people.RemoveGroup: "identity providers speak SCIM: /scim/v2/Groups",
    commands_people.AddPasskey: "a passkey is proved by a browser: /auth/enrol, /auth/passkeys",
    commands.RecordScan: "what is measured is recorded by the process that measured it",
    commands.RecordEvidence: "what is measured is recorded by the process that measured it",
    commands.OverridePrediction: "what the model said is read from the ledger: /cases/{prediction}/override",
}
