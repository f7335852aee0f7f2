"""Command → events. Pure: a law reads the state and the context, and answers with facts or with a refusal.

The table at the end is the table of contents of everything that can be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jurat.domain import (
    commands,
    commands_credentials,
    commands_identity,
    commands_keeping,
    commands_people,
    commands_policy,
    decide_access,
    decide_artefacts,
    decide_breakglass,
    decide_credentials,
    decide_directory,
    decide_duties,
    decide_grants,
    decide_identity,
    decide_keeping,
    decide_models,
    decide_people,
    decide_policy,
    decide_registry,
    decide_registry_moves,
    decide_requests,
    decide_review,
    decide_rollout,
    decide_shortening,
    decide_shown,
    decide_signature,
    decide_systems,
    decide_upstream,
)
from jurat.domain import commands_access as access
from jurat.domain import commands_lineage as lineage
from jurat.domain import commands_registry as registry
from jurat.domain import commands_rollout as rollout
from jurat.domain import commands_signature as signature
from jurat.domain.commands import Command
from jurat.domain.context import Context
from jurat.domain.credentials import refuse_credential_of_another
from jurat.domain.decide_breakglass import refuse_beyond_window, refuse_in_drill
from jurat.domain.duties import refuse_conflicting_act
from jurat.domain.events import Event
from jurat.domain.state import State


def decide(state: State, command: Command, context: Context) -> list[Event]:
    """Return the events that an allowed command causes, at least one.

    Raises:
        Malformed, NotFound: the command cannot be understood here.
        Denied, Conflict: a rule stands in the way; `code` names the rule. The walk records these.
    """
    refuse_credential_of_another(state, command, context)
    refuse_in_drill(state, command, context)
    events = DECIDERS[type(command)](state, command, context)
    refuse_beyond_window(state, command, context)
    refuse_conflicting_act(state, command, context)  # last, so that a rule with a better reason speaks first
    return events


DECIDERS: Final[dict[type[Command], Callable[[State, Any, Context], list[Event]]]] = {
    commands.RegisterPrincipal: decide_access.register_principal,
    commands.GrantRole: decide_access.grant_role,
    commands.RevokeRole: decide_access.revoke_role,
    commands.IssueToken: decide_access.issue_token,
    commands.RevokeToken: decide_access.revoke_token,
    commands_policy.RequestPolicyChange: decide_policy.request_change,
    commands_policy.ApprovePolicyChange: decide_policy.approve_change,
    commands_policy.RejectPolicyChange: decide_policy.reject_change,
    commands_policy.SetPolicyShadow: decide_policy.set_shadow,
    commands_policy.ReplayDecisions: decide_access.read_records,
    commands_policy.AskWhy: decide_access.read_records,
    commands_policy.AskAboutSelf: decide_access.read_records,
    commands.ApplyGates: decide_access.apply_gates,
    commands.RegisterProducer: decide_access.register_producer,
    commands.ReadData: decide_access.read_data,
    commands.ReadRecords: decide_access.read_records,
    commands.RegisterDataset: decide_models.register_dataset,
    commands.RegisterSystem: decide_models.register_system,
    commands.RegisterVersion: decide_models.register_version,
    commands.RecordScan: decide_models.record_scan,
    commands.RecordEvidence: decide_models.record_evidence,
    commands.CheckGate: decide_models.check_gate,
    commands.Promote: decide_models.promote,
    commands.RetireVersion: decide_models.retire_version,
    commands.ConfigureEndpoint: decide_models.configure_endpoint,
    commands.OverridePrediction: decide_models.override_prediction,
    commands.RequestPromotion: decide_requests.request_promotion,
    commands.Approve: decide_requests.approve,
    commands.Reject: decide_requests.reject,
    commands_keeping.ApplyRetention: decide_keeping.apply_retention,
    commands_keeping.RotateLogKey: decide_keeping.rotate_log_key,
    commands_keeping.RequestShortening: decide_shortening.request_shortening,
    commands_keeping.ApproveShortening: decide_shortening.approve_shortening,
    commands_keeping.RejectShortening: decide_shortening.reject_shortening,
    commands_keeping.PlaceHold: decide_keeping.place_hold,
    commands_keeping.ReleaseHold: decide_keeping.release_hold,
    commands_keeping.RequestErasure: decide_keeping.request_erasure,
    commands_keeping.ApproveErasure: decide_keeping.approve_erasure,
    commands_keeping.RejectErasure: decide_keeping.reject_erasure,
    commands_keeping.StartErasure: decide_keeping.start_erasure,
    commands_keeping.FinishErasure: decide_keeping.finish_erasure,
    commands_keeping.RecordExpiry: decide_keeping.record_expiry,
    commands_keeping.RecordPruning: decide_keeping.record_pruning,
    commands_keeping.CleanArtefacts: decide_artefacts.clean_artefacts,
    commands_identity.OpenSession: decide_identity.open_session,
    commands_identity.EndSession: decide_identity.end_session,
    commands_identity.MintToken: decide_identity.mint_token,
    commands_identity.RotateTokenKeys: decide_identity.rotate_token_keys,
    commands_identity.RegisterProvider: decide_identity.register_provider,
    commands_identity.RemoveProvider: decide_identity.remove_provider,
    commands_identity.DeclareTrust: decide_identity.declare_trust,
    commands_identity.EndTrust: decide_identity.end_trust,
    commands_identity.InviteIdentity: decide_identity.invite_identity,
    commands_people.Deactivate: decide_people.deactivate,
    commands_people.Reactivate: decide_people.reactivate,
    commands_people.TransferOwnership: decide_people.transfer_ownership,
    commands_people.IssueLink: decide_people.issue_link,
    commands_people.AddPasskey: decide_people.add_passkey,
    commands_people.RemovePasskey: decide_people.remove_passkey,
    commands_people.DescribePerson: decide_directory.describe_person,
    commands_people.RemovePerson: decide_directory.remove_person,
    commands_people.DefineGroup: decide_directory.define_group,
    commands_people.RemoveGroup: decide_directory.remove_group,
    commands_people.ApplyGroupRoles: decide_directory.apply_group_roles,
    registry.CreateRegistryModel: decide_registry.create_model,
    registry.ChangeRegistryModel: decide_registry.change_model,
    registry.RenameRegistryModel: decide_registry.rename_model,
    registry.DeleteRegistryModel: decide_registry.delete_model,
    registry.CreateRegistryVersion: decide_registry.create_version,
    registry.ChangeRegistryVersion: decide_registry.change_version,
    registry.DeleteRegistryVersion: decide_registry.delete_version,
    registry.MoveRegistryAlias: decide_registry_moves.move_alias,
    registry.MoveRegistryStage: decide_registry_moves.move_stage,
    registry.BindRegistryVersion: decide_registry_moves.bind_version,
    registry.ProtectRegistryAliases: decide_registry_moves.protect_aliases,
    registry.HoldRegistryAct: decide_registry_moves.hold_act,
    registry.ReportRegistryAct: decide_registry_moves.report_act,
    registry.ImportRun: decide_registry_moves.import_run,
    lineage.ChangeSystem: decide_systems.change_system,
    lineage.RegisterAsset: decide_systems.register_asset,
    lineage.RecordVerification: decide_systems.record_verification,
    lineage.RecordLineage: decide_upstream.record_lineage,
    lineage.RecallDataset: decide_upstream.recall_dataset,
    lineage.ChangeLicence: decide_upstream.change_licence,
    lineage.AddAdvisory: decide_upstream.add_advisory,
    lineage.ImportAdvisories: decide_upstream.import_advisories,
    lineage.ClearChange: decide_upstream.clear_change,
    lineage.ApplyReopeningRules: decide_upstream.apply_rules,
    lineage.Reaffirm: decide_upstream.reaffirm,
    signature.TrustSigner: decide_signature.trust_signer,
    signature.DistrustSigner: decide_signature.distrust_signer,
    signature.RecordSignature: decide_signature.record_signature,
    rollout.StartRollout: decide_rollout.start,
    rollout.SteerRollout: decide_rollout.steer,
    rollout.JudgeRollout: decide_rollout.judge,
    rollout.RollBack: decide_rollout.roll_back,
    rollout.ShowRequest: decide_shown.show_request,
    rollout.ReadRequestStats: decide_access.read_records,
    rollout.ReleaseArtefact: decide_shown.release_artefact,
    rollout.AuthorizeDeployment: decide_shown.authorize_deployment,
    access.ApplyAccessRules: decide_duties.apply_rules,
    access.RequestAccess: decide_grants.request_access,
    access.ApproveAccess: decide_grants.approve_access,
    access.RejectAccess: decide_grants.reject_access,
    access.EndExpired: decide_grants.end_expired,
    access.BreakGlass: decide_breakglass.break_glass,
    access.CloseGlass: decide_breakglass.close_glass,
    access.ReviewGlass: decide_breakglass.review_glass,
    access.ReportDrill: decide_breakglass.report_drill,
    access.SeeNotice: decide_breakglass.see_notice,
    access.OpenReview: decide_review.open_review,
    access.AnswerReview: decide_review.answer_review,
    access.RunReviews: decide_review.run_reviews,
    commands_credentials.ActivateToken: decide_credentials.activate_token,
    commands_credentials.VouchCredential: decide_credentials.vouch,
    commands_credentials.ConfirmGrant: decide_credentials.confirm_grant,
}
