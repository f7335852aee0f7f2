"""Signing in without a password: a link that works once makes a passkey, a passkey makes a session.

A challenge is taken away before its answer is looked at, so nobody answers twice; it is bound to what the browser holds
besides: the link, the session, or a cookie made for this.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from jurat.app.admit import hash_token, suspended
from jurat.app.keep_people import hash_link
from jurat.app.look import SeePrincipals, check, known
from jurat.app.sessions import open_session
from jurat.app.tree import running_tree
from jurat.app.walk import Done, act, act_as
from jurat.app.wiring import App
from jurat.core.clock import format_at, from_ns, to_ns
from jurat.core.errors import Denied, JuratError, Unauthenticated
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.domain.commands_people import AddPasskey, IssueLink, RemovePasskey
from jurat.domain.credentials import spoken_by
from jurat.domain.decide_people import need_fresh_sign_in
from jurat.domain.events import Actor
from jurat.domain.values import PrincipalType
from jurat.identity import passkeys as proof
from jurat.identity.passkeys import Site
from jurat.store.passkeys import Passkey
from jurat.store.store import Snapshot, Tx

FIRST_LINK_S: Final = 900.0
_MOST_LABEL: Final = 60


class ShownPasskey(msgspec.Struct, frozen=True):
    """A passkey as its owner sees it."""

    passkey: str
    label: str
    synced: bool
    created_at: str
    used_at: str


def site_of(settings: Settings, port: int) -> Site:
    """Return where our pages are, never by what a request says of its host: `public_url`, or this machine by name.

    Passkeys are bound to names, not to numbers: on loopback the pages are at `localhost`.
    """
    origin = settings.public_url.rstrip("/") or f"http://localhost:{port}"
    return Site(origin, urlsplit(origin).hostname or "localhost")


def link_url(workspace: Workspace, settings: Settings, secret: str) -> str:
    """Return the address to open. The secret stands behind `#`: browsers send that to nobody."""
    tree = running_tree(workspace)
    return f"{site_of(settings, (tree.ports if tree else {}).get('web', settings.api_port)).origin}/enrol#{secret}"


def first_link(app: App, token: str) -> str:
    """Return the address where the first operator makes the first passkey; empty once anybody has one, or if it may not be asked for."""
    try:
        with app.store.reading() as state:
            if state.vault.passkeys.any():
                return ""
        person = known(app, token).principal
        secret = act(app, token, IssueLink(principal=person, lifetime_s=FIRST_LINK_S)).reply["link"]
    except JuratError:
        return ""
    return link_url(app.workspace, app.settings, secret)


# --- a link makes a passkey ------------------------------------------------------------------------------------------


def begin_enrolment(app: App, site: Site, secret: str) -> dict[str, Any]:
    """Return what the browser is asked, for whom the link is.

    Raises:
        Denied: the link is unknown, used or too old.
    """
    link_hash = hash_link(secret)
    principal = _whose_link(app, link_hash)
    return {**_ask_to_register(app, site, principal, link_hash), "name": _name(app, principal)}


def finish_enrolment(app: App, site: Site, secret: str, credential: dict[str, Any], label: str) -> Done:
    """Keep the passkey, use the link up, and open the first session: `reply["token"]` is for a cookie.

    Raises:
        Denied: the link was used meanwhile. Recorded.
    """
    link_hash = hash_link(secret)
    principal = _whose_link(app, link_hash)
    _add(app, site, _person(principal), link_hash, credential, label, link_hash)
    with app.store.reading() as state:
        made = state.vault.passkeys.find(proof.credential_id_in(credential))
    assert made is not None, "it was added a moment ago"
    return open_session(app, lambda tx, _now: _by_passkey(tx, made), "passkey", form="opaque")


# --- a passkey makes a session ---------------------------------------------------------------------------------------


def begin_sign_in(app: App, site: Site) -> tuple[dict[str, Any], str]:
    """Return what the browser is asked, and a secret for its cookie, without which the answer is worth nothing."""
    browser = secrets.token_urlsafe(32)
    asked = proof.ask_to_sign_in(site)
    _keep_challenge(app, asked.challenge, _hash(browser.encode()))
    return asked.options, browser


def finish_sign_in(app: App, site: Site, credential: dict[str, Any], browser: str) -> Done:
    """Open a session for whoever the passkey proves: `reply["token"]` is for a cookie.

    Raises:
        Unauthenticated: the passkey is unknown or does not hold, or its counter went back: then somebody may have a copy, and it is
            taken away.
    """
    challenge = _take_challenge(app, credential, _hash(browser.encode()))
    with app.store.reading() as state:
        found = state.vault.passkeys.find(proof.credential_id_in(credential))
    if found is None:
        raise Unauthenticated("this passkey is not known here", hint="ask an operator for a link: `jurat passkey invite`")
    counter = proof.check_signed(site, credential, challenge, found.public_key)
    went_on = True

    def prove(tx: Tx, now_ns: int) -> Actor:
        nonlocal went_on
        row = tx.state.get(rows.Principal, found.principal)
        if row is None or not row.active:
            raise suspended(found.principal, [found.principal], "deactivated")
        went_on = tx.vault.passkeys.use(found.credential_id, sign_count=counter, at=from_ns(now_ns))
        if not went_on:
            raise Unauthenticated(
                "this passkey's counter went back: there may be a copy of it, and it was taken away",
                hint="use another one, or ask an operator for a link: `jurat passkey invite`",
                code="passkey_copied",
            )
        return _by_passkey(tx, found)

    try:
        return open_session(app, prove, "passkey", form="opaque")
    except Unauthenticated:
        if not went_on:
            reason = f"its counter went back, from {found.sign_count} to {counter}: there may be a copy"
            act_as(app, _person(found.principal), RemovePasskey(principal=found.principal, passkey=found.passkey_id, reason=reason))
        raise


# --- one's own passkeys ----------------------------------------------------------------------------------------------


def passkeys_of(app: App, token: str, principal: str) -> list[ShownPasskey]:
    """Return a person's passkeys: one's own, or anybody's for those who may see principals."""
    if known(app, token).principal != principal:
        check(app, token, SeePrincipals(place=f"principals/{principal}"))
    with app.store.reading() as state:
        return [_shown(each) for each in state.vault.passkeys.of(principal)]


def begin_adding(app: App, site: Site, token: str) -> dict[str, Any]:
    """Return what the browser of somebody who is signed in is asked, to make another passkey."""
    caller = _signed_in(app, token)
    with app.store.reading() as state:
        if state.vault.passkeys.of(caller.principal):
            need_fresh_sign_in(state, _session(state, token), app.clock.now_ns())
    return _ask_to_register(app, site, caller.principal, _hash(token.encode()))


def finish_adding(app: App, site: Site, token: str, credential: dict[str, Any], label: str) -> str:
    """Keep another passkey of whoever is signed in; return its id."""
    caller = _signed_in(app, token)
    with app.store.reading() as state:
        session = _session(state, token)
    return _add(app, site, caller, _hash(token.encode()), credential, label, b"", session)


def remove_own(app: App, token: str, passkey: str) -> None:
    """Take away one of one's own passkeys."""
    act(app, token, RemovePasskey(principal=_signed_in(app, token).principal, passkey=passkey, reason="removed by its owner"))


# --- parts -----------------------------------------------------------------------------------------------------------


def _ask_to_register(app: App, site: Site, principal: str, bound_to: bytes) -> dict[str, Any]:
    with app.store.reading() as state:
        have = [each.credential_id for each in state.vault.passkeys.of(principal)]
    asked = proof.ask_to_register(site, principal=principal, name=_name(app, principal), known=have)
    _keep_challenge(app, asked.challenge, bound_to)
    return {"options": asked.options}


def _add(
    app: App, site: Site, person: Actor, bound_to: bytes, credential: dict[str, Any], label: str, link_hash: bytes, session: str = ""
) -> str:  # fmt: skip
    made = proof.check_registered(site, credential, _take_challenge(app, credential, bound_to))
    command = AddPasskey(
        principal=person.principal, credential_id=made.credential_id, public_key=made.public_key, sign_count=made.sign_count,
        label=" ".join(label.split())[:_MOST_LABEL] or "passkey", synced=made.synced, link_hash=link_hash,
        session=session,
    )  # fmt: skip
    return act_as(app, person, command).reply["passkey"]


def _whose_link(app: App, link_hash: bytes) -> str:
    with app.store.reading() as state:
        link = state.vault.passkeys.find_link(link_hash)
        at = from_ns(app.clock.now_ns())
        row = state.get(rows.Principal, link.principal) if link else None
    if link is None or link.used_at is not None or link.expires_at <= at or row is None or not row.active:
        raise Denied(
            "this link does not work: it is unknown, was used, or is too old", hint="ask an operator for a new one", code="link_over"
        )
    return link.principal


def _keep_challenge(app: App, challenge: bytes, bound_to: bytes) -> None:
    ends = from_ns(app.clock.now_ns()) + timedelta(seconds=proof.CHALLENGE_S)
    with app.store.vaulting() as vault:
        vault.passkeys.put_challenge(_hash(challenge), bound_to=bound_to, expires_at=ends)


def _take_challenge(app: App, credential: dict[str, Any], bound_to: bytes) -> bytes:
    challenge = proof.challenge_in(credential)
    with app.store.vaulting() as vault:
        fresh = vault.passkeys.take_challenge(_hash(challenge), bound_to=bound_to, at=from_ns(app.clock.now_ns()))
    if not fresh:
        raise Unauthenticated(
            "this was not asked here, was answered already, or too long ago", hint="reload the page", code="challenge_over"
        )
    return challenge


def _signed_in(app: App, token: str) -> Actor:
    caller = known(app, token)
    if caller.type is not PrincipalType.PERSON:
        raise Denied(f"`{caller.principal}` is no person", hint="only people have passkeys", code="person_required")
    return caller


def _name(app: App, principal: str) -> str:
    with app.store.reading() as state:
        person = state.vault.find_person(principal)
    return person.name if person and person.name else principal


def _person(principal: str) -> Actor:
    return Actor(principal=principal, type=PrincipalType.PERSON, chain=[principal])


def _session(state: Snapshot, token: str) -> str:
    found = state.vault.find_token(hash_token(token))
    return found.session if found else ""


def _by_passkey(tx: Tx, key: Passkey) -> Actor:
    """Return whoever signs in by a passkey, with the hands that it came through."""
    spoken = spoken_by(tx.state, key.passkey_id, key.hands)
    return Actor(principal=key.principal, type=PrincipalType.PERSON, chain=[key.principal], **spoken)


def _shown(each: Passkey) -> ShownPasskey:
    used_at = format_at(to_ns(each.used_at)) if each.used_at else ""
    return ShownPasskey(each.passkey_id, each.label, each.synced, format_at(to_ns(each.created_at)), used_at)


def _hash(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()
