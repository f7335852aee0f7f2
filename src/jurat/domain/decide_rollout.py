"""The law on traffic: it comes to a new version in steps, each judged by what the ledger says, and goes back at once.

While a rollout runs, the endpoint's own setting stays as it was: to take it back is to end it. A step goes on only when it was
held long enough, seen by enough requests, and every criterion passes; one criterion that fails ends the rollout, paused or not.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from jurat.core.clock import parse_at, to_ns
from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.domain import commands_rollout as commands
from jurat.domain import facts_rollout as facts
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.decide_models import known_version
from jurat.domain.events import Event
from jurat.domain.facts import EndpointConfigured
from jurat.domain.gate_measured import check_metrics, show_metric
from jurat.domain.rows_rollout import PAUSED, RUNNING
from jurat.domain.stages import Stage
from jurat.domain.state import State
from jurat.domain.traffic import declared_rollout
from jurat.domain.upstreams import parse_upstream
from jurat.domain.values import Clause, Metric
from jurat.policy.conditions import Verdict, combine, parse_condition

ENOUGH_TO_FAIL: Final = 20  # requests after which a criterion that fails is believed, if the step does not ask for fewer


class Standing(NamedTuple):
    """How a step stands. `failed`: criteria that fail, on enough requests to believe it."""

    row: rows.Rollout
    clauses: list[Clause]
    seen: int
    held_s: float
    failed: list[Clause]
    is_gone: bool  # the version is no longer in service
    is_ready: bool  # for the next step

    @property
    def moves(self) -> bool:
        """Whether judging it now changes anything. A clock asks first: what waits is no refusal, and on nobody's record."""
        return bool(self.failed) or self.is_gone or self.is_ready


def start(state: State, command: commands.StartRollout, context: Context) -> list[Event]:
    endpoint, version = _endpoint(state, command.endpoint), known_version(state, command.version)
    _needs_reason(command.reason)
    parse_upstream(command.upstream)
    allowed = (Stage.STAGING, Stage.PRODUCTION) if command.shadow else (Stage.PRODUCTION,)
    if version.stage not in allowed:
        raise Conflict(
            f"version `{version.version}` is in `{version.stage}`; traffic comes in `production`, copies of it in `staging` too",
            hint="promote it first",
            code="stage_too_low",
        )
    _refuse_held(version)
    if endpoint.stage != Stage.PRODUCTION:
        raise Conflict(f"endpoint `{endpoint.endpoint}` is for `{endpoint.stage}`; point it at the version directly", code="stage_too_low")
    if version.version == endpoint.version:
        raise Conflict(f"endpoint `{endpoint.endpoint}` serves `{version.version}` already", code="unchanged")
    serving = known_version(state, endpoint.version)
    if (version.model, version.system) != (serving.model, serving.system):
        raise Conflict(
            f"`{version.version}` is not another version of what endpoint `{endpoint.endpoint}` serves, `{serving.version}`",
            hint="give another model an endpoint of its own",
            code="other_model",
        )
    running = state.get(rows.Rollout, endpoint.endpoint)
    if running is not None and running.is_live:
        raise Conflict(f"a rollout of `{running.version}` runs there already", hint="end it first", code="rollout_running")
    gate, digest = declared_rollout(state)
    if gate is None:
        raise Conflict(
            "the gate file declares no `rollout` before `production`",
            hint="add one: steps, hold, requests, success_criteria",
            code="no_gates",
        )
    data = facts.RolloutStarted(
        rollout=context.fresh("rol"), endpoint=endpoint.endpoint, version=version.version, version_digest=version.digest,
        from_version=serving.version, from_digest=serving.digest, upstream=command.upstream,
        steps_bp=[0] if command.shadow else gate.basis_points, hold_s=gate.hold_s, requests=gate.requests,
        criteria=[c.text for c in gate.success_criteria], gate_file=digest, shadow=command.shadow, reason=command.reason,
    )  # fmt: skip
    return [context.event(data, because=[version.as_of, endpoint.as_of])]


def steer(state: State, command: commands.SteerRollout, context: Context) -> list[Event]:
    """A person pauses a rollout, lets it go on, or ends it."""
    row = _live(state, command.endpoint)
    _needs_reason(command.reason)
    if command.act == "abort":
        return [context.event(_ended(row, "aborted", command.reason, automatic=False), because=[row.as_of])]
    wanted = {"pause": (RUNNING, "paused"), "resume": (PAUSED, "resumed")}.get(command.act)
    if wanted is None:
        raise Malformed(f"a rollout cannot be told to `{command.act[:40]}`", hint="one of pause, resume, abort")
    if row.status != wanted[0]:
        raise Conflict(f"the rollout on `{row.endpoint}` is {row.status} already", code="unchanged")
    data = facts.RolloutMoved(
        rollout=row.rollout, endpoint=row.endpoint, act=wanted[1], step=row.step, share_bp=row.share_bp, reason=command.reason, clauses=[]
    )
    return [context.event(data, because=[row.as_of])]


def judge(state: State, command: commands.JudgeRollout, context: Context) -> list[Event]:
    """By its criteria a step goes on, is waited for, or ends the rollout."""
    stands = stand(state, command, context.now_ns)
    row, clauses = stands.row, stands.clauses
    if stands.failed:
        reason = "; ".join(f"{c.condition}: {c.reason}" for c in stands.failed)
        outcome = "aborted" if row.shadow else "rolled_back"
        return [context.event(_ended(row, outcome, reason, automatic=True, clauses=clauses), because=[row.as_of])]
    version, endpoint = known_version(state, row.version), _endpoint(state, row.endpoint)
    if stands.is_gone:
        reason = f"`{version.version}` is no longer in service"
        return [context.event(_ended(row, "rolled_back", reason, automatic=True, clauses=clauses), because=[row.as_of, version.as_of])]
    if not stands.is_ready:
        raise Conflict(f"the rollout on `{row.endpoint}` stays at step {row.step + 1}", code="unchanged")
    why = f"held {stands.held_s:.0f} s, {stands.seen} requests, every criterion passed"
    if row.step + 1 < len(row.steps_bp):
        data = facts.RolloutMoved(
            rollout=row.rollout, endpoint=row.endpoint, act="advanced", step=row.step + 1, share_bp=row.steps_bp[row.step + 1],
            reason=why, clauses=clauses,
        )  # fmt: skip
        return [context.event(data, because=[row.as_of])]
    ended = context.event(_ended(row, "completed", why, automatic=True, clauses=clauses), because=[row.as_of])
    if row.shadow:
        return [ended]
    return [ended, context.event(_points_at(endpoint, version, row.upstream), because=[ended.id])]


def stand(state: State, command: commands.JudgeRollout, now_ns: int) -> Standing:
    """Return how a step stands by what was measured of it.

    Raises:
        Conflict: no rollout runs there, or it has moved since.
    """
    row = _live(state, command.endpoint)
    if (row.rollout, row.step, row.step_since) != (command.rollout, command.step, command.step_since):
        raise Conflict("the rollout has moved since this was measured", code="unchanged")
    clauses = [_clause(text, command.metrics) for text in row.criteria]
    seen = next((int(m.value) for m in command.metrics if m.name == "request_count" and m.value is not None), 0)
    believed = seen >= min(row.requests, ENOUGH_TO_FAIL)
    version = known_version(state, row.version)
    held_s = (now_ns - to_ns(parse_at(row.step_since))) / 1e9
    passed = combine(Verdict(c.verdict) for c in clauses) is Verdict.PASS
    return Standing(
        row, clauses, seen, held_s,
        failed=[c for c in clauses if c.verdict == Verdict.FAIL] if believed else [],
        is_gone=version.digest != row.version_digest or version.stage == Stage.RETIRED or bool(version.held),
        is_ready=row.status == RUNNING and passed and seen >= row.requests and held_s >= row.hold_s,
    )  # fmt: skip


def roll_back(state: State, command: commands.RollBack, context: Context) -> list[Event]:
    """The endpoint serves, from now on and as it did then, a version that it served before."""
    endpoint, version = _endpoint(state, command.endpoint), known_version(state, command.version)
    _needs_reason(command.reason)
    before = state.get(rows.Served, f"{endpoint.endpoint}/{version.version}")
    if before is None or before.version_digest != version.digest:
        earlier = sorted(s.version for s in state.find(rows.Served, endpoint=endpoint.endpoint) if s.version != endpoint.version)
        raise Conflict(
            f"endpoint `{endpoint.endpoint}` never served `{version.version}`",
            hint=f"it served {', '.join(f'`{v}`' for v in earlier) or 'nothing else'}; a version that is new there comes by a rollout",
            code="never_served",
        )
    if version.stage != endpoint.stage:
        raise Conflict(f"version `{version.version}` is in `{version.stage}`, the endpoint is for `{endpoint.stage}`", code="stage_gate")
    _refuse_held(version)
    running = state.get(rows.Rollout, endpoint.endpoint)
    live = running if running is not None and running.is_live else None
    if live is None and endpoint.version == version.version:
        raise Conflict(f"endpoint `{endpoint.endpoint}` serves `{version.version}` already", code="unchanged")
    events: list[Event] = []
    if live is not None:
        events.append(context.event(_ended(live, "rolled_back", command.reason, automatic=False), because=[live.as_of]))
    if endpoint.version != version.version:
        setting = EndpointConfigured(
            endpoint=endpoint.endpoint, version=version.version, version_digest=version.digest, stage=version.stage,
            upstream=before.upstream, confidence_floor=before.confidence_floor, requests_per_minute=before.requests_per_minute,
            blocked_patterns=before.blocked_patterns, previous_version=endpoint.version,
        )  # fmt: skip
        events.append(context.event(setting, because=[before.as_of]))
    data = facts.EndpointRolledBack(
        endpoint=endpoint.endpoint, version=version.version, version_digest=version.digest,
        from_version=live.version if live else endpoint.version, rollout=live.rollout if live else "", reason=command.reason,
    )  # fmt: skip
    return [*events, context.event(data, because=[e.id for e in events])]


def _points_at(endpoint: rows.Endpoint, version: rows.Version, upstream: str) -> EndpointConfigured:
    return EndpointConfigured(
        endpoint=endpoint.endpoint, version=version.version, version_digest=version.digest, stage=version.stage, upstream=upstream,
        confidence_floor=endpoint.confidence_floor, requests_per_minute=endpoint.requests_per_minute,
        blocked_patterns=endpoint.blocked_patterns, previous_version=endpoint.version,
    )  # fmt: skip


def _ended(row: rows.Rollout, outcome: str, reason: str, *, automatic: bool, clauses: list[Clause] | None = None) -> facts.RolloutEnded:
    return facts.RolloutEnded(
        rollout=row.rollout, endpoint=row.endpoint, version=row.version, outcome=outcome, automatic=automatic,
        share_bp=row.share_bp, reason=reason, clauses=clauses or [],
    )  # fmt: skip


def _clause(text: str, metrics: list[Metric]) -> Clause:
    condition = parse_condition(text)
    ours = [m for m in metrics if m.name == condition.metric]
    answers = check_metrics(condition, ours, "")
    whys = [m.reason for m in ours] or [""]
    bad = [why or a.reason for why, a in zip(whys, answers, strict=True) if a.verdict is not Verdict.PASS]
    shown = "; ".join(show_metric(m) for m in ours) or "not measured"
    return Clause(gate="rollout", condition=text, verdict=combine(a.verdict for a in answers).value, found=shown, reason="; ".join(bad))


def _endpoint(state: State, name: str) -> rows.Endpoint:
    found = state.get(rows.Endpoint, name)
    if found is None:
        raise NotFound(f"endpoint `{name[:80]}` does not exist", hint="`jurat endpoint list` shows what does")
    return found


def _live(state: State, endpoint: str) -> rows.Rollout:
    row = state.get(rows.Rollout, endpoint)
    if row is None or not row.is_live:
        raise Conflict(f"no rollout runs on endpoint `{endpoint[:80]}`", hint="`jurat rollout list` shows them", code="no_rollout")
    return row


def _refuse_held(version: rows.Version) -> None:
    """Traffic to what is held would be answered by nobody."""
    if version.held:
        raise Conflict(
            f"version `{version.version}` is held: something that it rests on changed (`{version.held}`)",
            hint=f"take another one, or have it approved again: `jurat model reaffirm {version.version}`",
            code="version_held",
        )


def _needs_reason(reason: str) -> None:
    if not reason.strip():
        raise Malformed("an act on traffic needs a reason", hint="in words that somebody will understand in a year")
