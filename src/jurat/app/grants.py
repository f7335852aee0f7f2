"""`/oauth/token`: who may have which token. One function a grant; each proves somebody first, and then walks like everybody else.

    refresh_token        a session's secret, for a fresh token and a fresh secret; used twice, it ends the session
    client_credentials   a service, agent or process by a local token of its own (`jrt_…`): for access tokens of minutes
    token-exchange       (RFC 8693) a person's token and an agent's: the agent's acts are for that person, and the chain says so
    jwt-bearer           (RFC 7523) a workload's token of another issuer, by a trust rule (`workloads`)

An agent's rights are the intersection with those of everybody before it in its chain: `authorize` asks for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jurat.app.admit import Presented, admit, suspended
from jurat.app.keep_identity import hash_secret, new_refresh
from jurat.app.walk import Done, act_as, act_by
from jurat.app.wiring import App
from jurat.app.workloads import workload_of
from jurat.core.clock import from_ns
from jurat.core.errors import Malformed, Unauthenticated
from jurat.core.units import parse_duration_s
from jurat.domain import rows
from jurat.domain.commands_identity import EndSession, MintToken
from jurat.domain.credentials import spoken_by
from jurat.domain.events import Actor
from jurat.domain.roles import why_suspended
from jurat.domain.state import State
from jurat.domain.values import PrincipalType
from jurat.store.store import Tx

ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
LONGEST_CHAIN: Final = 4


@dataclass(frozen=True)
class Wish:
    """What every grant may say besides: for which doors, bound to which key."""

    audience: tuple[str, ...] = ()
    jkt: str = ""


def refresh(app: App, secret: str, wish: Wish) -> Done:
    """Return a fresh token of a session, and the secret that renews it next.

    Raises:
        Unauthenticated: an unknown secret, or of a session that has ended, or bound to another key; or it was used before,
            so somebody else has it too, and the session has ended now.
    """
    secret_hash = hash_secret(secret)
    fresh, fresh_hash = new_refresh()
    with app.store.reading() as state:
        known = state.vault.proofs.find_session(secret_hash)
        session = state.get(rows.Session, known.session_id) if known else None
    if known is None or session is None or from_ns(app.clock.now_ns()) >= known.expires_at:
        raise Unauthenticated("this session has ended, or there never was one", hint="sign in again: `jurat login`", code="session_ended")
    if known.reused:
        person = Actor(principal=session.principal, type=PrincipalType.PERSON, chain=session.chain)
        act_as(app, person, EndSession(session=session.session, reason="its refresh token was used twice: somebody else has it"))
        raise Unauthenticated(
            "this refresh token was used before: somebody else may have it, so the session was ended",
            hint="sign in again",
            code="token_reused",
        )
    if session.jkt and session.jkt != wish.jkt:
        raise Unauthenticated("this session is bound to a key", hint="send a DPoP proof of that key", code="token_bound")

    def who(tx: Tx, _now_ns: int) -> Actor:
        if not tx.vault.proofs.rotate_session(session.session, secret_hash, fresh_hash):
            raise Unauthenticated("this refresh token was used a moment ago", hint="use the one that came of it", code="token_reused")
        return _living(tx.state, session.principal, session.chain, root=session.root, hands=session.hands)

    done = act_by(app, who, _mint(app, "refresh", wish, session=session.session, jkt=session.jkt or wish.jkt))
    done.reply["refresh_token"] = fresh
    return done


def client_credentials(app: App, client: str, secret: str, wish: Wish) -> Done:
    """Return a token for a service, an agent or a process that shows a local token of its own.

    Raises:
        Unauthenticated: the secret is not a living token of that client.
        Malformed: a person signs in instead.
    """

    def who(tx: Tx, now_ns: int) -> Actor:
        caller = admit(tx.state, tx.vault, secret, now_ns)
        if caller.principal != client or "." in secret:
            raise Unauthenticated(
                "that is no credential of this client", hint="the client id is the principal's `prn_…`", code="client_unknown"
            )
        if caller.type is PrincipalType.PERSON:
            raise Malformed("a person has no client credentials", hint="sign in: `jurat login`", code="unauthorized_client")
        return caller

    return act_by(app, who, _mint(app, "client_credentials", wish, jkt=wish.jkt))


def exchange(app: App, subject: str, actor: str, wish: Wish) -> Done:
    """Return a token by which the actor acts for the subject: the subject's chain, and the actor after it.

    It ends with the subject's session, and is never wider than the subject's token: not in doors, not in time.

    Args:
        subject: the access token of a person, or of an agent that acts for one.
        actor: the access token of the agent, service or process itself.
    Raises:
        Unauthenticated: one of them proves nobody here.
        Malformed: that one cannot act for this one.
        Denied: a policy says no; recorded.
    """

    def who(tx: Tx, now_ns: int) -> Actor:
        first = admit(tx.state, tx.vault, _as_subject(tx, subject, wish), now_ns)
        second = admit(tx.state, tx.vault, _as_subject(tx, actor, wish), now_ns)
        return _chained(tx.state, first, second)

    with app.store.reading() as state:
        known = state.vault.find_token(hash_secret(subject))
    if known is None:
        raise Unauthenticated("the subject token is not valid", hint="get a fresh one", code="token_unknown")
    doors = tuple(known.audience.split())
    if wish.audience and doors and set(wish.audience) - set(doors):
        raise Malformed(f"the subject token is for {' and '.join(doors)}, and cannot be made wider", code="invalid_target")
    left_s = (known.expires_at - from_ns(app.clock.now_ns())).total_seconds()
    command = _mint(app, "exchange", Wish(wish.audience or doors, wish.jkt), session=known.session, jkt=wish.jkt, at_most_s=left_s)
    return act_by(app, who, command)


def workload(app: App, assertion: str, wish: Wish) -> Done:
    """Return a token for the principal whose word a workload's token is, by a trust rule.

    Raises:
        Unauthenticated: nobody's word, or not signed, not for us, over, or used before.
        Unavailable: its issuer's keys cannot be read now.
    """
    known = workload_of(app, assertion)

    def who(tx: Tx, now_ns: int) -> Actor:
        if tx.state.get(rows.Trust, known.trust) is None:
            raise Unauthenticated("the rule that believes this token has ended", code="token_untrusted")
        if known.replay_key and not tx.vault.proofs.see_proof(known.replay_key, issued_at=from_ns(now_ns), expires_at=known.expires_at):
            raise Unauthenticated("this token was exchanged before", hint="get a fresh one of its issuer", code="token_replayed")
        row = tx.state.get(rows.Principal, known.principal)
        if row is None or row.owner is None:
            raise suspended(known.principal, [known.principal], "nobody answers for it")
        return _living(tx.state, known.principal, [row.owner, known.principal])

    return act_by(app, who, _mint(app, "workload", wish, jkt=wish.jkt))


def _mint(app: App, how: str, wish: Wish, *, jkt: str, session: str = "", at_most_s: float = float("inf")) -> MintToken:
    lifetime_s = min(parse_duration_s(app.settings.token_lifetime), at_most_s)
    if lifetime_s < 1:
        raise Unauthenticated("the subject token is over", hint="get a fresh one", code="token_expired")
    return MintToken(lifetime_s=lifetime_s, how=how, audience=list(wish.audience), jkt=jkt, session=session)


def _as_subject(tx: Tx, token: str, wish: Wish) -> str:
    """Present a token that came in a body. One that is bound to a key is taken only from whoever proves that very key now."""
    known = tx.vault.find_token(hash_secret(token))
    door = known.audience.split()[0] if known is not None and known.audience else "api"
    return Presented(token, door=door, jkt=wish.jkt if known is not None and known.jkt else "")


def _chained(state: State, first: Actor, second: Actor) -> Actor:
    """Return the actor after the subject. The actor's own chain is its owner and itself; only itself is added."""
    if second.type is PrincipalType.PERSON:
        raise Malformed("a person acts for nobody but themselves", hint="grant them the role", code="person_acts_alone")
    row = state.get(rows.Principal, second.principal)
    if row is None or second.chain != [row.owner, second.principal]:
        raise Malformed(
            "the actor token says that it acts for somebody already", hint="show its own: of `client_credentials`", code="actor_chain"
        )
    if second.principal in first.chain:
        raise Malformed(f"`{second.principal}` is in this chain already", hint="a chain has no circles", code="chain_circle")
    chain = [*first.chain, second.principal]
    if len(chain) > LONGEST_CHAIN:
        raise Malformed(f"a chain has at most {LONGEST_CHAIN} in it, this would have {len(chain)}", code="chain_too_long")
    hands = sorted({*first.hands, *second.hands})
    root = first.credential if not second.hands else second.credential if not first.hands else ""  # of two, nobody can vouch for both
    return Actor(principal=second.principal, type=second.type, chain=chain, credential=root, hands=hands)


def _living(state: State, principal: str, chain: list[str], *, root: str = "", hands: Sequence[str] = ()) -> Actor:
    row = state.get(rows.Principal, principal)
    if row is None or (why := why_suspended(state, principal, chain)):
        raise suspended(principal, chain, why if row else "it is not known")
    return Actor(principal=principal, type=row.type, chain=chain, **spoken_by(state, root, hands))
