"""The law on lineage that others tell, and on what becomes of approvals when something upstream changes.

A change is held against what versions rest on each time somebody asks (`lineage.doubts`), so what is learnt later counts too;
`approvals.reopened` only says whom it met at the moment at which it became known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from jurat.core.clock import parse_at
from jurat.core.digests import check_digest
from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.domain import commands_lineage as asked
from jurat.domain import facts_lineage as said
from jurat.domain import lineage, rows
from jurat.domain.context import Context
from jurat.domain.decide_duties import notices
from jurat.domain.decide_models import known_version
from jurat.domain.events import Event
from jurat.domain.facts_advisories import AdvisoriesImported
from jurat.domain.gates import check_gates
from jurat.domain.packages import canonical, check_range, is_in_range
from jurat.domain.roles import people_behind
from jurat.domain.stages import Stage
from jurat.domain.state import State

CAUSES: Final = ("recalled", "licence", "advisory")
EFFECTS: Final = ("hold", "warn")
STATES: Final = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
_MOST_DATA: Final = 1_000
_ADVISORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{2,63}\Z")
_RUN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def record_lineage(state: State, command: asked.RecordLineage, context: Context) -> list[Event]:
    """What a pipeline says of a run is known as its word."""
    if not _RUN.match(command.run_id):
        raise Malformed(f"run `{command.run_id[:80]}` is not an id", hint="OpenLineage asks for a UUID")
    if command.state not in STATES:
        raise Malformed(f"state `{command.state[:40]}` of a run is unknown", hint=f"one of {', '.join(STATES)}")
    parse_at(command.at)
    lineage.check_foreign_name(command.job)
    lineage.check_foreign_name(command.producer)
    for name, found in (("inputs", command.inputs), ("outputs", command.outputs)):
        if len(found) > _MOST_DATA:
            raise Malformed(f"a run with {len(found)} {name}, expected at most {_MOST_DATA}")
    fact = said.LineageRecorded(
        run=lineage.node(lineage.RUN, f"openlineage:{command.run_id}"), job=command.job, state=command.state, at=command.at,
        producer=command.producer, inputs=_data(state, command.inputs), outputs=_data(state, command.outputs),
        body_digest=command.body_digest,
    )  # fmt: skip
    return [context.event(fact)]


def recall_dataset(state: State, command: asked.RecallDataset, context: Context) -> list[Event]:
    """A data set must not be built on; whatever rests on it is asked about again."""
    dataset = _known_data(state, command)
    node = lineage.node(lineage.DATA, dataset.dataset)
    if any(each.cause == "recalled" for each in state.find(rows.UpstreamChange, node=node)):
        raise Conflict(f"data set `{dataset.dataset}` is recalled already", code="unchanged")
    return _changed(state, context, cause="recalled", node=node, reason=command.reason, because=dataset.as_of)


def change_licence(state: State, command: asked.ChangeLicence, context: Context) -> list[Event]:
    """A data set stands under another licence; whoever approved what was trained on it did not know."""
    dataset = _known_data(state, command)
    if not command.licence.strip() or len(command.licence) > 200 or command.licence == dataset.sheet.licence:
        raise Malformed(f"licence `{command.licence[:60]}` is empty, too long, or the present one")
    node = lineage.node(lineage.DATA, dataset.dataset)
    more = {"licence": command.licence, "previous_licence": dataset.sheet.licence}
    return _changed(state, context, cause="licence", node=node, reason=command.reason, because=dataset.as_of, **more)


def add_advisory(state: State, command: asked.AddAdvisory, context: Context) -> list[Event]:
    """Some versions of a package have a known flaw; versions that were built with one of them are asked about again."""
    package, affected = canonical(command.package), check_range(command.affected_range)
    if not _ADVISORY.match(command.advisory):
        raise Malformed(f"advisory `{command.advisory[:60]}` is not an id", hint="write it like `CVE-2026-12345` or `GHSA-xxxx-xxxx-xxxx`")
    if not command.reason.strip():
        raise Malformed("an advisory needs a reason", hint="say what the flaw is")
    for each in state.find(rows.UpstreamChange, package=package):
        if (each.advisory, each.affected_range) == (command.advisory, affected):
            raise Conflict(f"advisory `{command.advisory}` on `{package}` is known already", code="unchanged")
    more = {"package": package, "affected_range": affected, "advisory": command.advisory}
    return _changed(
        state, context, cause="advisory", node=lineage.node(lineage.PACKAGE, package), reason=command.reason, because="", **more
    )


def import_advisories(state: State, command: asked.ImportAdvisories, context: Context) -> list[Event]:
    """A collection continues exactly the one that is in force, so that nothing that was known gets lost between two who import."""
    check_digest(command.digest, what="digest of the collection")
    check_digest(command.source_digest, what="digest of the source")
    current = state.get(rows.AdvisoriesInForce, "current")
    before = current.digest if current else ""
    if before == command.digest:
        raise Conflict("these advisories are known already", hint="nothing to do", code="unchanged")
    if before != command.previous:
        raise Conflict("other advisories were imported meanwhile", hint="import these again", code="previous_changed")
    if not command.reason.strip():
        raise Malformed("an import of advisories needs a reason", hint="say where they come from")
    fact = AdvisoriesImported(**{name: getattr(command, name) for name in AdvisoriesImported.__struct_fields__})
    return [context.event(fact, because=[current.as_of] if current else [])]


def clear_change(state: State, command: asked.ClearChange, context: Context) -> list[Event]:
    """A change upstream no longer stands in anybody's way."""
    change = state.get(rows.UpstreamChange, command.change)
    if change is None:
        raise NotFound(f"change `{command.change[:60]}` is not open", hint="`jurat advisory list` shows what is")
    if not command.reason.strip():
        raise Malformed("taking a change back needs a reason")
    return [context.event(said.UpstreamCleared(change=change.change, reason=command.reason), because=[change.as_of])]


def apply_rules(state: State, command: asked.ApplyReopeningRules, context: Context) -> list[Event]:
    """What happens in production is decided before it has to be."""
    unknown = [cause for cause in command.rules if cause not in CAUSES]
    odd = [effect for effect in command.rules.values() if effect not in EFFECTS]
    if unknown or odd or not command.rules or not command.reason.strip():
        raise Malformed(
            f"rules `{str(command.rules)[:120]}` cannot be meant",
            hint="a reason, and for each of recalled, licence, advisory: hold or warn",
        )
    current = state.get(rows.ReopeningRules, "current")
    rules = {**(current.rules if current else {}), **command.rules}
    return [context.event(said.ReopeningRulesApplied(rules=rules, reason=command.reason), because=[current.as_of] if current else [])]


def reaffirm(state: State, command: asked.Reaffirm, context: Context) -> list[Event]:
    """Approvals count again because other people gave them again, having been shown what changed."""
    version = known_version(state, command.version)
    open_doubts = lineage.doubts(state, version)
    if not open_doubts:
        raise Conflict(f"nothing upstream of `{version.version}` is in doubt", hint="nothing to do", code="unchanged")
    result = check_gates(
        state, version, Stage.PRODUCTION, context.now_ns, promoters=people_behind(state, context.actor), request=command.request
    )
    if result.request is None:
        human = [clause.reason for clause in result.clauses if clause.gate == "human_approval" and clause.reason]
        raise Conflict(
            f"version `{version.version}` has not been approved again: {'; '.join(human) or 'no gate asks for an approval'}",
            hint=f"`jurat request open {version.version} production`, then ask the people whom the gate names", code="not_reaffirmed",
        )  # fmt: skip
    fact = said.VersionReaffirmed(
        version=version.version, version_digest=version.digest, request=result.request, approvals=result.approvals,
        changes=[each.change for each in open_doubts],
    )  # fmt: skip
    return [context.event(fact, because=[*result.approvals, *[each.event for each in open_doubts]])]


def _changed(state: State, context: Context, *, cause: str, node: str, reason: str, because: str, **more: str) -> list[Event]:
    if not reason.strip():
        raise Malformed("a change of what others rest on needs a reason", hint="--reason says what those who answer for it must know")
    rules = state.get(rows.ReopeningRules, "current")
    effect = (rules.rules if rules else {}).get(cause, "warn")
    met = lineage.versions_on(state, _nodes(state, cause, node, more))
    unreadable = sorted(v.version for v in _live(state.find(rows.Version)) if not _has_packages(state, v)) if cause == "advisory" else []
    change = context.event(
        said.UpstreamChanged(
            change=context.fresh("chg"), cause=cause, node=node, reason=reason, in_production=effect, unreadable=unreadable, **more
        ),
        because=[because] if because else [],
    )
    events = [change]
    assert isinstance(change.data, said.UpstreamChanged)
    for version in _live(met):
        held = effect == "hold" and version.stage == Stage.PRODUCTION
        affected = _affected(state, version)
        events.append(
            context.event(
                said.ApprovalsReopened(change=change.data.change, affected=affected, held=held), because=[change.id, version.as_of]
            )
        )
        text = f"`{version.version}` ({version.stage}) rests on `{node}`, which changed ({cause}): {reason[:300]}"
        told = text + ("; it is held" if held else "") + ". Its approvals count no more until it is approved again"
        events += notices(
            context, [affected.owner] if affected.owner else [], about=change.data.change, subject="upstream", text=told, because=change.id
        )
    return events


def _nodes(state: State, cause: str, node: str, more: dict[str, str]) -> list[str]:
    """Return where to begin walking: the thing itself, or every flawed version of a package that somebody was built with."""
    if cause != "advisory":
        return [node]
    releases = [edge.target for edge in state.find(rows.Edge, source=node, relation="release")]
    return [each for each in releases if is_in_range(each.partition("==")[2], more["affected_range"])]


def _affected(state: State, version: rows.Version) -> said.Affected:
    system = state.get(rows.System, version.system)
    requests = [r for r in state.find(rows.Request, version=version.version) if r.approvals and r.status != "rejected"]
    return said.Affected(
        version=version.version, version_digest=version.digest, stage=version.stage, owner=system.owner if system else "",
        requests=[r.request for r in requests], approvals=[a.event for r in requests for a in r.approvals],
        endpoints=[e.endpoint for e in state.find(rows.Endpoint, version=version.version)],
    )  # fmt: skip


def _live(versions: Iterable[rows.Version]) -> list[rows.Version]:
    return [version for version in versions if version.stage != Stage.RETIRED]


def _has_packages(state: State, version: rows.Version) -> bool:
    return bool(state.find(rows.Edge, target=lineage.node(lineage.VERSION, version.version), relation="package"))


def _known_data(state: State, command: asked._OnDataset) -> rows.Dataset:
    found = state.get(rows.Dataset, command.dataset)
    if found is None:
        raise NotFound(f"data set `{command.dataset[:80]}` is not registered", hint="`jurat data list` shows what is")
    return found


def _data(state: State, found: list[dict[str, str]]) -> list[said.LineageData]:
    said_data = []
    for each in found:
        namespace, name, digest = (each.get(key, "") for key in ("namespace", "name", "digest"))
        if digest:
            check_digest(digest, what=f"digest of `{name[:60]}`")
        if not namespace or not name:
            raise Malformed("a data set of a run has no namespace or no name")
        node = lineage.data_node(state, namespace, name, digest)
        said_data.append(said.LineageData(namespace=namespace, name=name, node=node, digest=digest))
    return said_data
