"""The law on sessions, tokens and whom else we believe. That a proof holds was checked before; here is what may follow from it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.domain import commands_identity as commands
from jurat.domain import facts, rows
from jurat.domain import facts_identity as identity
from jurat.domain.context import Context
from jurat.domain.credentials import hands_for
from jurat.domain.decide_duties import told_of_another
from jurat.domain.events import Event
from jurat.domain.roles import expiry, person_behind
from jurat.domain.state import State
from jurat.domain.values import PrincipalType

DOORS = ("api", "gateway")  # whom a token can be for
LONGEST_TOKEN_S = 3_600
LONGEST_SESSION_S = 7 * 86_400
LONGEST_INVITATION_S = 7 * 86_400
_MOST_SESSIONS = 50
_MOST_KEYS = 3
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def open_session(state: State, command: commands.OpenSession, context: Context) -> list[Event]:
    """A session is of one person, and ends by itself; what ended before leaves."""
    if not 0 < command.lifetime_s <= LONGEST_SESSION_S:
        raise Malformed(f"a session lives up to {LONGEST_SESSION_S // 86_400} days, `{command.lifetime_s:g}` seconds is outside that")
    person = context.actor.principal
    identity_id = context.fresh("idn") if command.link else ""
    root = (identity_id or context.actor.credential) if context.actor.hands else ""
    had = state.find(rows.Session, principal=person)
    over = [s for s in had if to_ns(parse_at(s.expires_at)) <= context.now_ns]
    if len(had) - len(over) >= _MOST_SESSIONS:
        raise Conflict(f"`{person}` has {_MOST_SESSIONS} sessions already", hint="end some: `jurat session list`", code="too_many_sessions")
    opened = identity.SessionOpened(
        session=context.fresh("ses"), principal=person, chain=context.actor.chain, method=command.method,
        expires_at=expiry(context.now_ns, command.lifetime_s), jkt=command.jkt, hands=context.actor.hands,
        root=root,
    )  # fmt: skip
    lifetime_s = command.lifetime_s if command.form == "opaque" else min(command.token_lifetime_s, command.lifetime_s)
    events = [
        context.event(opened),
        _issued(context, lifetime_s, command.audience, command.jkt, opened.session, command.form, command.method, root, command.idle_s),
        *[context.event(identity.SessionEnded(session=s.session, principal=person, reason="expired"), because=[s.as_of]) for s in over],
    ]
    if command.link:
        linked = identity.IdentityLinked(
            principal=person, provider=command.link, issuer=command.issuer, by=command.linked_by,
            identity=identity_id, hands=context.actor.hands,
        )  # fmt: skip
        events.insert(0, context.event(linked, resource=f"principals/{person}"))
    return events


def end_session(state: State, command: commands.EndSession, context: Context) -> list[Event]:
    session = state.get(rows.Session, command.session)
    if session is None:
        raise NotFound(f"session `{command.session[:60]}` does not exist, or ended already", hint="`jurat session list` shows what lives")
    if not command.reason.strip():
        raise Malformed("ending a session needs a reason", hint="`--reason 'laptop lost'`")
    data = identity.SessionEnded(session=session.session, principal=session.principal, reason=command.reason)
    return [context.event(data, because=[session.as_of])]


def mint_token(state: State, command: commands.MintToken, context: Context) -> list[Event]:
    """A token never outlives its session."""
    lifetime_s = command.lifetime_s
    if not 0 < lifetime_s <= LONGEST_TOKEN_S:
        raise Malformed(f"an access token lives up to {LONGEST_TOKEN_S} s, `{lifetime_s:g}` is outside that")
    if command.session:
        session = state.get(rows.Session, command.session)
        left_s = (to_ns(parse_at(session.expires_at)) - context.now_ns) / 1e9 if session else 0.0
        if left_s <= 0:
            raise Conflict(f"session `{command.session}` has ended", hint="sign in again", code="session_ended")
        lifetime_s = min(lifetime_s, left_s)
    return [_issued(context, lifetime_s, command.audience, command.jkt, command.session, "jwt", command.how, context.actor.credential)]


def rotate_token_keys(state: State, command: commands.RotateTokenKeys, context: Context) -> list[Event]:
    """The newest key signs; a few before it are known, so that what they signed ends by itself."""
    if not command.reason.strip():
        raise Malformed("new token keys need a reason")
    if command.key.get("kty") != "EC" or not command.key.get("kid") or "d" in command.key:
        raise Malformed("a token key is a public EC key with a `kid`")
    current = state.get(rows.TokenKeys, "current")
    kept = [] if command.forget or current is None else current.keys[: _MOST_KEYS - 1]
    data = identity.TokenKeysRotated(issuer=command.issuer, keys=[command.key, *kept], reason=command.reason)
    return [context.event(data, because=[current.as_of] if current else [])]


def register_provider(state: State, command: commands.RegisterProvider, context: Context) -> list[Event]:
    """A provider is known by its issuer, once."""
    if not _NAME.match(command.provider):
        raise Malformed(f"`{command.provider[:60]}` is no name of a provider", hint="lower case letters, digits and `-`: `corporate`")
    check_address(command.issuer, "issuer")
    if not command.client_id:
        raise Malformed("a provider needs the client id that it knows us by")
    for known in state.find(rows.Provider):
        if known.provider == command.provider or known.issuer == command.issuer:
            raise Conflict(
                f"provider `{known.provider}` of `{known.issuer}` is known already",
                hint=f"remove it first: `jurat identity remove-provider {known.provider} --reason '…'`",
                code="provider_known",
            )
    directory = state.get(rows.Principal, command.directory) if command.directory else None
    if command.directory and (directory is None or directory.type is PrincipalType.PERSON):
        raise NotFound(f"`{command.directory[:60]}` is no service that provisions people", hint="`jurat principal list`")
    data = identity.ProviderRegistered(
        directory=command.directory,
        provider=command.provider,
        issuer=command.issuer,
        client_id=command.client_id,
        reason=command.reason,
        scopes=["openid", *(scope for scope in command.scopes if scope != "openid")],
    )
    return [context.event(data)]


def remove_provider(state: State, command: commands.RemoveProvider, context: Context) -> list[Event]:
    """Nobody signs in by it any more; sessions that it opened end with it."""
    provider = state.get(rows.Provider, command.provider)
    if provider is None:
        raise NotFound(f"provider `{command.provider[:60]}` is not known", hint="`jurat identity list` shows which are")
    over = state.find(rows.Session, method=f"oidc:{provider.provider}")
    return [
        context.event(identity.ProviderRemoved(provider=provider.provider, reason=command.reason), because=[provider.as_of]),
        *[context.event(identity.SessionEnded(session=s.session, principal=s.principal, reason=command.reason)) for s in over],
    ]


def declare_trust(state: State, command: commands.DeclareTrust, context: Context) -> list[Event]:
    """A workload's word is believed for one principal that is no person, by conditions that say something."""
    principal = state.get(rows.Principal, command.principal)
    if principal is None or person_behind(state, command.principal) is None:
        raise NotFound(f"principal `{command.principal[:60]}` is not known here, or nobody answers for it")
    if principal.type is PrincipalType.PERSON:
        raise Conflict("a workload is no person", hint="register a process or a service, and name its owner", code="not_a_workload")
    if command.form not in ("oidc", "spiffe"):
        raise Malformed(f"form `{command.form[:20]}` is unknown, expected `oidc` or `spiffe`")
    if command.form == "oidc":
        check_address(command.issuer, "issuer")
    elif not re.fullmatch(r"spiffe://[a-z0-9._-]{1,255}", command.issuer) or not command.keys:
        raise Malformed(
            f"`{command.issuer[:80]}` is no SPIFFE trust domain with a bundle", hint="write `spiffe://example.org`, and give its JWT keys"
        )
    if not command.audience:
        raise Malformed("a trust rule names the audience that tokens must be for", hint="`--audience https://jurat.example.org`")
    subject = command.claims.get("sub", "")
    if not command.claims or any(not value or value == "*" or "*" in value[:-1] for value in command.claims.values()):
        raise Malformed(
            "a trust rule needs claims with values: one that everybody's token meets would believe everybody",
            hint="`--claim repository=our/repo --claim environment=production`; a value may end in `*`, and be no more than that never",
        )
    if command.form == "spiffe" and not subject.startswith(f"{command.issuer}/"):
        raise Malformed(f"`sub` must lie in the trust domain `{command.issuer}`", hint=f"`--claim sub={command.issuer}/ns/prod/sa/scorer`")
    data = identity.TrustDeclared(
        trust=context.fresh("trs"), form=command.form, issuer=command.issuer, audience=command.audience, claims=command.claims,
        principal=command.principal, keys=command.keys, reason=command.reason,
    )  # fmt: skip
    return [context.event(data, because=[principal.as_of])]


def end_trust(state: State, command: commands.EndTrust, context: Context) -> list[Event]:
    trust = state.get(rows.Trust, command.trust)
    if trust is None:
        raise NotFound(f"trust rule `{command.trust[:60]}` does not exist, or ended already", hint="`jurat identity list` shows them")
    return [context.event(identity.TrustEnded(trust=trust.trust, principal=trust.principal, reason=command.reason), because=[trust.as_of])]


def invite_identity(state: State, command: commands.InviteIdentity, context: Context) -> list[Event]:
    """Only a person signs in at a provider."""
    person = state.get(rows.Principal, command.principal)
    if person is None or not person.active:
        raise NotFound(f"principal `{command.principal[:60]}` is not known here", hint="`jurat principal list` shows who is")
    if person.type is not PrincipalType.PERSON:
        raise Conflict(
            f"`{command.principal}` is a {person.type}",
            hint="workloads sign in by a trust rule: `jurat identity trust`",
            code="person_required",
        )
    if not 0 < command.lifetime_s <= LONGEST_INVITATION_S:
        raise Malformed(
            f"an invitation lives up to {LONGEST_INVITATION_S // 86_400} days, `{command.lifetime_s:g}` seconds is outside that"
        )
    data = identity.IdentityInvited(
        principal=person.principal, expires_at=expiry(context.now_ns, command.lifetime_s),
        hands=hands_for(state, person.principal, context),
    )  # fmt: skip
    invited = context.event(data, because=[person.as_of])
    what = "handed out an invitation to link an account at a provider to you"
    return [invited, *told_of_another(state, context, person.principal, what, invited)]


def check_address(url: str, what: str) -> None:
    """Pass if that is an address which may be asked for keys: `https`, or `http` on this very machine.

    Raises:
        Malformed: another scheme, a name and password in it, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise Malformed(f"the {what} `{url[:120]}` is no address") from None
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or local) or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise Malformed(
            f"the {what} `{url[:120]}` is not taken",
            hint="write `https://…` without query; `http` is for loopback only",
            code="issuer_address",
        )


def _issued(
    context: Context,
    lifetime_s: float,
    audience: list[str],
    jkt: str,
    session: str,
    form: str,
    how: str,
    root: str,
    idle_s: float = 0.0,
) -> Event:
    if unknown := [door for door in audience if door not in DOORS]:
        raise Malformed(f"`{unknown[0][:60]}` is no audience of ours", hint=f"there are {' and '.join(DOORS)}", code="invalid_target")
    if form == "opaque" and jkt:
        raise Malformed("a cookie cannot be bound to a key")
    data = facts.TokenIssued(
        token=context.fresh("tok"), principal=context.actor.principal, chain=context.actor.chain,
        expires_at=format_at(context.now_ns + round(lifetime_s * 1e9)), audience=audience or list(DOORS), jkt=jkt, session=session,
        form=form, how=how, idle_s=idle_s if form == "opaque" else 0.0, hands=context.actor.hands,
        root=root,
    )  # fmt: skip
    return context.event(data)
