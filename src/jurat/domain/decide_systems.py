"""The law on changes of AI systems, on assets, and on artefacts that lie elsewhere."""

from __future__ import annotations

from typing import Final

from jurat.core.digests import check_digest, short
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands_lineage as asked
from jurat.domain import facts_lineage as said
from jurat.domain import lineage, rows
from jurat.domain.context import Context
from jurat.domain.decide_models import known_version
from jurat.domain.descriptions import check_environments, check_name, check_version, few
from jurat.domain.events import Event
from jurat.domain.roles import people_behind
from jurat.domain.state import State
from jurat.domain.values import PrincipalType, RiskTier

ASSET_KINDS: Final = ("prompt", "agent", "guardrails", "feature_schema")
_TIERS: Final = list(RiskTier)
_MOST_TEXT: Final = 2_000


def change_system(state: State, command: asked.ChangeSystem, context: Context) -> list[Event]:
    """A system has another owner, tier, purpose or place from now on; nobody makes their own system less risky."""
    system = state.get(rows.System, command.system)
    if system is None:
        raise NotFound(f"system `{command.system[:80]}` is not registered", hint="`jurat system list` shows what is")
    if not command.reason.strip():
        raise Malformed("a change of a system needs a reason")
    environments = system.environments if command.environments is None else check_environments(command.environments)
    tier = command.risk_tier or system.risk_tier
    wanted = {
        "purpose": command.purpose, "owner": command.owner, "risk_tier": tier, "affected_persons": command.affected_persons,
        "environments": environments,
    }  # fmt: skip
    changed = [name for name, value in wanted.items() if value is not None and value != getattr(system, name)]
    if not changed:
        raise Conflict(f"system `{system.system}` is so already", hint="say what changes: --owner, --risk, --purpose …", code="unchanged")
    after = {name: getattr(system, name) if value is None else value for name, value in wanted.items()}
    if not str(after["purpose"]).strip() or len(str(after["purpose"])) > _MOST_TEXT:
        raise Malformed(f"a system needs a purpose, of up to {_MOST_TEXT} characters")
    check_owner(state, str(after["owner"]))
    owners = {system.owner, str(after["owner"]), *system.earlier_owners}  # to hand it on first is no way around
    if _TIERS.index(tier) < _TIERS.index(system.risk_tier) and (own := owners & people_behind(state, context.actor)):
        raise Denied(
            f"`{min(own)}` owns, or owned, system `{system.system}` and may not lower its risk tier",
            hint="ask somebody else who may register systems", code="owner_lowers_tier",
        )  # fmt: skip
    fact = said.SystemChanged(
        system=system.system, purpose=str(after["purpose"]), owner=str(after["owner"]), risk_tier=tier, environments=environments,
        affected_persons=str(after["affected_persons"]), changed=changed, previous_owner=system.owner, previous_tier=system.risk_tier,
        reason=command.reason,
    )  # fmt: skip
    return [context.event(fact, because=[system.as_of])]


def register_asset(state: State, command: asked.RegisterAsset, context: Context) -> list[Event]:
    """A version of a prompt, an agent, guardrail settings or a feature schema is its bytes, as a model's version is."""
    if command.kind not in ASSET_KINDS:
        raise Malformed(
            f"`{command.kind[:40]}` is no kind of asset", hint=f"one of {', '.join(ASSET_KINDS)}; models: `jurat model register`"
        )
    check_name(command.name, what=command.kind)
    check_version(command.version)
    check_digest(command.digest, what=f"digest of `{command.asset}`")
    if command.size_bytes < 0 or len(command.description) > _MOST_TEXT:
        raise Malformed(f"an asset has a size of 0 or more, and a description of up to {_MOST_TEXT} characters")
    system = state.get(rows.System, command.system)
    if system is None:
        raise NotFound(f"system `{command.system[:80]}` is not registered", hint="register it first: `jurat system register`")
    earlier = state.get(rows.Asset, command.asset)
    if earlier is not None:
        if earlier.digest == command.digest:
            raise Conflict(
                f"`{command.asset}` is registered already, with these very bytes", hint="nothing to do", code="already_registered"
            )
        raise Conflict(
            f"`{command.asset}` is registered with digest `{short(earlier.digest)}`, these bytes have `{short(command.digest)}`",
            hint="a version never changes: give the new bytes a new version", code="version_is_immutable",
        )  # fmt: skip
    causes = [_used(state, each) for each in few(command.uses, "things that it uses")]
    fact = said.AssetRegistered(
        asset=command.asset, kind=command.kind, system=command.system, digest=command.digest, size_bytes=command.size_bytes,
        description=command.description, uses=sorted(set(command.uses)), author=context.actor.principal,
    )  # fmt: skip
    return [context.event(fact, because=[system.as_of, *causes])]


def record_verification(state: State, command: asked.RecordVerification, context: Context) -> list[Event]:
    """What lies elsewhere is known to be what was registered, from the moment that Jurat has read it."""
    version = known_version(state, command.version)
    if command.artefact not in version.references:
        raise Conflict(f"artefact `{command.artefact[:40]}` of `{version.version}` is not a reference", code="not_a_reference")
    registered = getattr(version.artefacts, command.artefact).digest
    if (command.source, command.digest) != (version.references[command.artefact], registered):
        raise Conflict(
            f"`{command.source[:120]}` has digest `{short(command.digest)}`, `{version.version}` is registered with `{short(registered)}`",
            hint="restore the bytes there, or register what is there as a new version", code="digest_mismatch",
        )  # fmt: skip
    fact = said.ArtefactVerified(
        version=version.version, version_digest=version.digest, artefact=command.artefact, digest=command.digest, source=command.source,
        size_bytes=command.size_bytes,
    )  # fmt: skip
    return [context.event(fact, because=[version.registered])]


def check_owner(state: State, owner: str) -> None:
    """Pass if that is a person who can answer for a system."""
    found = state.get(rows.Principal, owner)
    if found is None or found.type is not PrincipalType.PERSON or not found.active:
        raise Conflict(f"a system is owned by an active person, `{owner[:60]}` is none", code="owner_required")


def _used(state: State, text: str) -> str:
    """Return the event that made what an asset uses."""
    sort, _, name = lineage.check_node(text).partition(":")
    known: dict[str, type[rows.Row]] = {lineage.DATA: rows.Dataset, lineage.VERSION: rows.Version, lineage.ASSET: rows.Asset}
    row = known.get(sort)
    if row is None:
        raise Malformed(
            f"an asset does not use a `{sort}`", hint="write `version:<model>@<v>`, `asset:<kind>/<name>@<v>` or `data:<name>@<v>`"
        )
    found: rows.Row | None = state.get(row, name)
    if found is None:
        raise NotFound(f"`{text[:80]}` is not registered", hint="register what it uses first")
    return found.as_of
