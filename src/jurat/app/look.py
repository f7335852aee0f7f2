"""What holds now, for those who may see it: each row is asked for by its own resource, and what one may not see is not there.

A refusal (rows are there and none may be seen) is recorded like any other. Reads of the *ledger* are not these: they are
commands (`ReadRecords`) and walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from jurat.app.admit import admit
from jurat.app.attributes import surroundings_of
from jurat.app.authorize import authorize, question, whose_rights
from jurat.app.turned_away import on_record
from jurat.app.wiring import App
from jurat.core.errors import NotFound
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.commands_lineage import asset_place
from jurat.domain.context import Context
from jurat.domain.events import Actor
from jurat.domain.facts import ActDenied
from jurat.domain.rows import TABLE_OF, R, Row
from jurat.domain.stages import Stage, model_resource, parse_stage
from jurat.domain.state import State
from jurat.store.store import Snapshot


class See(Command, frozen=True, kw_only=True):
    """A look at one resource. Never recorded when allowed; its refusal names it."""

    place: str

    def resource(self, state: State) -> str:
        return self.place


class SeeMetadata(See, frozen=True, kw_only=True):
    permission = "metadata:read"


class SeeEvidence(See, frozen=True, kw_only=True):
    permission = "evidence:read"


class SeeLineage(See, frozen=True, kw_only=True):
    permission = "lineage:read"


class SeePrincipals(See, frozen=True, kw_only=True):
    permission = "principal:read"


class SeeDirectory(See, frozen=True, kw_only=True):
    permission = "directory:see"


class SeeSessions(See, frozen=True, kw_only=True):
    permission = "session:read"


class SeeEndpoints(See, frozen=True, kw_only=True):
    permission = "endpoint:read"


class SeePolicies(See, frozen=True, kw_only=True):
    permission = "policy:read"


class SeeGates(See, frozen=True, kw_only=True):
    permission = "gates:read"


class SeeRetention(See, frozen=True, kw_only=True):
    permission = "retention:read"


class SeeErasures(See, frozen=True, kw_only=True):
    permission = "erasure:read"


class SeeAccess(See, frozen=True, kw_only=True):
    permission = "access:read"


class SeeAccessRules(See, frozen=True, kw_only=True):
    permission = "access_rules:read"


class SeeReviews(See, frozen=True, kw_only=True):
    permission = "review:read"


class SeeInbox(See, frozen=True, kw_only=True):
    permission = "inbox:read"


class CheckLedger(See, frozen=True, kw_only=True):
    permission = "ledger:verify"


class SeeCases(See, frozen=True, kw_only=True):
    """A look at the predictions of an endpoint that wait for a person: for those who may decide them."""

    permission = "prediction:override"
    reason: str = "to see what waits"


class View(NamedTuple):
    """What seeing a row needs: the permission, where the row lies in the resource tree, and its key."""

    see: type[See]
    place: Callable[[State, Any], str]
    key: Callable[[Any], str]


def _model(state: State, version: str) -> str:
    found = state.get(rows.Version, version)
    return model_resource(parse_stage(found.stage) if found else Stage.DEVELOPMENT, version)


VIEWS: Final[dict[type[Row], View]] = {
    rows.Principal: View(SeePrincipals, lambda _, r: f"principals/{r.principal}", lambda r: str(r.principal)),
    rows.Grant: View(SeePrincipals, lambda _, r: f"principals/{r.principal}", lambda r: str(r.grant)),
    rows.Group: View(SeeDirectory, lambda *_: "workspace", lambda r: str(r.group)),
    rows.GroupRolesInForce: View(SeeDirectory, lambda *_: "workspace", lambda r: str(r.digest)),
    rows.Dataset: View(SeeMetadata, lambda _, r: f"data/{r.collection}/{r.dataset}", lambda r: str(r.dataset)),
    rows.System: View(SeeMetadata, lambda _, r: f"systems/{r.system}", lambda r: str(r.system)),
    rows.Version: View(SeeMetadata, lambda state, r: _model(state, r.version), lambda r: str(r.version)),
    rows.Asset: View(SeeMetadata, lambda _, r: asset_place(r.asset), lambda r: str(r.asset)),
    rows.UpstreamChange: View(SeeLineage, lambda *_: "workspace", lambda r: str(r.change)),
    rows.AdvisoriesInForce: View(SeeLineage, lambda *_: "workspace", lambda _: "current"),
    rows.ReopeningRules: View(SeeLineage, lambda *_: "workspace", lambda _: "current"),
    rows.Signer: View(SeeGates, lambda *_: "workspace", lambda r: str(r.signer)),
    rows.Signature: View(SeeEvidence, lambda state, r: _model(state, r.version), lambda r: str(r.version)),
    rows.RegistryProtection: View(SeeGates, lambda *_: "workspace", lambda r: str(r.model)),
    rows.Evidence: View(SeeEvidence, lambda state, r: _model(state, r.version), lambda r: f"{r.version}/{r.type}"),
    rows.Request: View(SeeMetadata, lambda state, r: _model(state, r.version), lambda r: str(r.request)),
    rows.Endpoint: View(SeeEndpoints, lambda _, r: f"endpoints/{r.endpoint}", lambda r: str(r.endpoint)),
    rows.Rollout: View(SeeEndpoints, lambda _, r: f"endpoints/{r.endpoint}", lambda r: str(r.endpoint)),
    rows.Served: View(SeeEndpoints, lambda _, r: f"endpoints/{r.endpoint}", lambda r: f"{r.endpoint}/{r.version}"),
    rows.Session: View(SeeSessions, lambda _, r: f"principals/{r.principal}", lambda r: str(r.session)),
    rows.Provider: View(SeeMetadata, lambda *_: "workspace", lambda r: str(r.provider)),
    rows.Trust: View(SeeMetadata, lambda *_: "workspace", lambda r: str(r.trust)),
    rows.TokenKeys: View(SeeMetadata, lambda *_: "workspace", lambda r: r.since),
    rows.Producer: View(SeeMetadata, lambda *_: "workspace", lambda r: str(r.producer)),
    rows.PolicySetInForce: View(SeePolicies, lambda *_: "workspace", lambda r: str(r.digest)),
    rows.PolicyChange: View(SeePolicies, lambda *_: "workspace", lambda r: str(r.request)),
    rows.GatesInForce: View(SeeGates, lambda *_: "workspace", lambda r: str(r.digest)),
    rows.Shortening: View(SeeRetention, lambda *_: "workspace", lambda r: str(r.request)),
    rows.RetentionInForce: View(SeeRetention, lambda *_: "workspace", lambda r: str(r.digest)),
    rows.Hold: View(SeeRetention, lambda *_: "workspace", lambda r: str(r.hold)),
    rows.AccessRulesInForce: View(SeeAccessRules, lambda *_: "workspace", lambda r: str(r.digest)),
    rows.AccessRequest: View(SeeAccess, lambda _, r: f"principals/{r.principal}", lambda r: str(r.request)),
    rows.Glass: View(SeeAccess, lambda _, r: f"principals/{r.person}", lambda r: str(r.glass)),
    rows.Notice: View(SeeInbox, lambda _, r: f"principals/{r.to}", lambda r: str(r.notice)),
    rows.Delivery: View(SeeInbox, lambda _, r: f"principals/{r.to}", lambda r: f"{r.notice}/{r.way}"),
    rows.Review: View(SeeReviews, lambda *_: "workspace", lambda r: str(r.review)),
    rows.Answer: View(SeeAccess, lambda _, r: f"principals/{r.item.principal}", lambda r: f"{r.review}/{r.grant}"),
    rows.Erasure: View(SeeErasures, lambda *_: "workspace", lambda r: str(r.request)),
}


def look(
    app: App, token: str, row: type[R], equals: Mapping[str, str] | None = None, *, after: str = "", limit: int | None = None
) -> list[R]:
    """Return the rows that the caller may see, ordered by key.

    Args:
        equals: text fields that must be equal.
        after: the key of the last row of an earlier answer.
        limit: rows at most.
    Raises:
        Unauthenticated: the token proves nobody.
        Denied: there are rows, and the caller may see none of them. Recorded.
    """
    what = VIEWS[row]
    with _asking(app, token, what.see(place="workspace")) as (state, caller, now_ns):
        found = {what.key(each): each for each in state.find(row, **(equals or {}))}
        seen: list[R] = []
        hidden: See | None = None
        for key in sorted(key for key in found if key > after):
            if limit is not None and len(seen) >= limit:
                break
            see = what.see(place=what.place(state, found[key]))
            if _may(app, state, caller, see, now_ns):
                seen.append(found[key])
            else:
                hidden = hidden or see
    if hidden and not seen and not after:
        refuse(app, token, hidden)
    return seen


def look_at(app: App, token: str, row: type[R], key: str) -> R:
    """Return one row.

    Raises:
        NotFound: there is no such row, or none that the caller may see.
    """
    what = VIEWS[row]
    with _asking(app, token, what.see(place="workspace")) as (state, caller, now_ns):
        found: R | None = state.get(row, key)
        if found is not None and _may(app, state, caller, what.see(place=what.place(state, found)), now_ns):
            return found
    raise NotFound(f"there is no `{key[:80]}` in `{TABLE_OF[row]}`, or you may not see it")


def names_of(app: App, token: str) -> dict[str, str]:
    """Return the names of the principals whom the caller may see; a person's from the vault."""
    with _asking(app, token) as (state, caller, now_ns):
        names = {p.principal: p.name for p in state.vault.people()}
        names |= {r.principal: r.name for r in state.find(rows.Principal) if r.name}
        return {p: name for p, name in names.items() if p in caller.chain or _may(app, state, caller, _account(p), now_ns)}


def check(app: App, token: str, see: See) -> None:
    """Pass if the caller may do what `see` stands for.

    Raises:
        Denied: recorded.
    """
    with _asking(app, token, see) as (state, caller, now_ns):
        allowed = _may(app, state, caller, see, now_ns)
    if not allowed:
        refuse(app, token, see)


def allowed_places(app: App, token: str, sees: Sequence[See]) -> list[str]:
    """Return the places that the caller may look at, of those asked for.

    Raises:
        Denied: none of them; recorded for the first.
    """
    with _asking(app, token, sees[0] if sees else None) as (state, caller, now_ns):
        found = [see.place for see in sees if _may(app, state, caller, see, now_ns)]
    if not found and sees:
        refuse(app, token, sees[0])
    return found


def known(app: App, token: str) -> Actor:
    """Return who holds the token.

    Raises:
        Unauthenticated: it proves nobody.
    """
    with _asking(app, token) as (_state, caller, _now_ns):
        return caller


def refuse(app: App, token: str, see: See) -> None:
    """Record that this look was refused, and raise the refusal; return if it is allowed by now."""
    with on_record(app, see), app.store.transaction() as tx:
        now_ns = app.clock.now_ns()
        caller = admit(tx.state, tx.vault, token, now_ns)
        answer = authorize(app, tx.state, caller, see, now_ns)
        if answer.refusal is None:
            return
        context = Context(caller, now_ns, answer.decision, answer.resource)
        reasons = answer.refusal.fields.get("reasons", [])
        event = context.event(
            ActDenied(
                command=type(see).__name__, permission=see.permission, by="policy", rule=answer.refusal.code,
                detail=answer.refusal.detail, hint=answer.refusal.hint, reasons=reasons if isinstance(reasons, list) else [],
            )
        )  # fmt: skip
        tx.record([event])
    answer.refusal.fields["event"] = event.id
    raise answer.refusal


@contextmanager
def _asking(app: App, token: str, see: See | None = None) -> Iterator[tuple[Snapshot, Actor, int]]:
    """Read the state for whoever holds the token; yields it with who that is, and when."""
    with on_record(app, see), app.store.reading() as state:
        now_ns = app.clock.now_ns()
        yield state, admit(state, state.vault, token, now_ns), now_ns


def _account(principal: str) -> See:
    return SeePrincipals(place=f"principals/{principal}")


def _may(app: App, state: State, caller: Actor, see: See, now_ns: int) -> bool:
    engine = app.engine(state)
    if engine is None:
        return False
    surroundings = surroundings_of(see, engine.policy_set, app.settings.environment, now_ns)
    requests = [question(state, who, see.permission, see.place, now_ns, surroundings) for who in whose_rights(state, caller)]
    return engine.decide_chain(requests).is_allowed
