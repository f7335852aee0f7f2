"""Signing in at an identity provider: authorization code with PKCE for browsers, the device flow for terminals.

An account is a person by (issuer, `sub`), never by an address: addresses change hands. The first time, it takes an invitation, or a
directory that is that provider's own and has said whose account this is. A sign-in comes back once, to the browser that began it.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final, NamedTuple
from urllib.parse import quote

from jurat.app.admit import suspended
from jurat.app.issuers import keys_of, metadata_of
from jurat.app.keep_identity import hash_secret
from jurat.app.outgoing import ask_json
from jurat.app.sessions import open_session
from jurat.app.walk import Done
from jurat.app.wiring import App
from jurat.core.clock import from_ns
from jurat.core.errors import Denied, Malformed, NotFound, Unauthenticated, Unavailable
from jurat.core.files import write_secret
from jurat.domain import rows
from jurat.domain.credentials import spoken_by
from jurat.domain.events import Actor
from jurat.domain.roles import why_suspended
from jurat.domain.values import PrincipalType
from jurat.identity import keys, oidc
from jurat.identity.oidc import Account
from jurat.store.proofs import KnownAccount, Login
from jurat.store.store import Tx

LOGIN_S: Final = 600  # to sign in at the provider and come back
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"


class Begun(NamedTuple):
    """A sign-in that begins: where the browser goes, and what it keeps until it comes back."""

    url: str
    browser: str


class Device(NamedTuple):
    """A sign-in by a code that a person types elsewhere."""

    code: str
    shown: str
    url: str
    interval_s: float
    ends_in_s: float


def begin(app: App, provider: str, redirect_uri: str, invitation: str = "") -> Begun:
    """Return where to sign in.

    Raises:
        NotFound: no such provider.
        Unavailable: it does not answer.
    """
    row = _provider(app, provider)
    now_ns = app.clock.now_ns()
    metadata = metadata_of(row.issuer, now_ns / 1e9)
    state, nonce, browser = (secrets.token_urlsafe(32) for _ in range(3))
    verifier, challenge = oidc.new_verifier()
    url = oidc.authorization_url(
        metadata, client_id=row.client_id, redirect_uri=redirect_uri, scopes=row.scopes, state=state, nonce=nonce, challenge=challenge
    )
    login = Login(
        row.provider, nonce, verifier, redirect_uri, hash_secret(invitation) if invitation else None, hash_secret(browser),
        from_ns(now_ns + LOGIN_S * 10**9),
    )  # fmt: skip
    with app.store.vaulting() as vault:
        vault.proofs.put_login(hash_secret(state), login)
    return Begun(url, browser)


def finish(app: App, *, state: str, code: str, issuer: str | None, browser: str, refused: str = "") -> Done:
    """Return the session of whoever comes back from a provider; `reply["token"]` is for their browser's cookie.

    Args:
        issuer: `iss` in the answer (RFC 9207).
        browser: what the browser kept.
        refused: `error` in the answer, in place of a code.
    Raises:
        Unauthenticated: this sign-in is not under way, or another browser's, or the provider does not vouch for anybody.
        Denied: a policy forbids the session; recorded.
    """
    with app.store.vaulting() as vault:
        login = vault.proofs.take_login(hash_secret(state))
    now_ns = app.clock.now_ns()
    if login is None or from_ns(now_ns) >= login.expires_at:
        raise Unauthenticated("this sign-in is not under way, or took too long", hint="sign in again", code="login_over")
    if not hmac.compare_digest(hash_secret(browser), login.browser_hash):
        raise Unauthenticated("this sign-in was begun in another browser", hint="sign in again, here", code="login_browser")
    row = _provider(app, login.provider)
    metadata = metadata_of(row.issuer, now_ns / 1e9)
    oidc.check_answer_issuer(metadata, issuer)
    if refused or not code:
        raise Unauthenticated(f"the provider let nobody in: `{refused[:60]}`", hint="sign in again", code="login_refused")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": login.redirect_uri, "code_verifier": login.verifier}
    account = _account(app, row, metadata, form, nonce=login.nonce)
    return _let_in(app, row, account, login.invitation_hash, form="opaque")


def begin_device(app: App, provider: str) -> Device:
    """Return what a person must type, and where.

    Raises:
        NotFound, Unavailable: no such provider; it does not answer.
        Malformed: it has no device flow.
    """
    row = _provider(app, provider)
    metadata = metadata_of(row.issuer, app.clock.now_ns() / 1e9)
    if not metadata.device_authorization_endpoint:
        raise Malformed(f"provider `{row.provider}` has no device flow", hint="sign in with a browser: `/login/…`", code="no_device_flow")
    fields, headers = _as_client(app, row, {"scope": " ".join(row.scopes)})
    said = ask_json(metadata.device_authorization_endpoint, form=fields, headers=headers)
    try:
        url = str(said.get("verification_uri_complete") or said["verification_uri"])
        return Device(
            str(said["device_code"]), str(said["user_code"]), url, max(0.2, float(said.get("interval", 5))), float(said["expires_in"])
        )
    except (KeyError, ValueError, TypeError) as error:
        raise Unavailable(f"provider `{row.provider}` gave no device code", code="provider_away") from error


def poll_device(app: App, provider: str, device_code: str, invitation: str = "") -> Done | float:
    """Return the session once the person has signed in; until then, seconds to wait more than before each time.

    Raises:
        Unauthenticated: the code is over, or the person said no.
    """
    row = _provider(app, provider)
    metadata = metadata_of(row.issuer, app.clock.now_ns() / 1e9)
    try:
        account = _account(app, row, metadata, {"grant_type": _DEVICE, "device_code": device_code}, nonce="")
    except _Waiting as waiting:
        return waiting.slower_s
    return _let_in(app, row, account, hash_secret(invitation) if invitation else None, form="jwt")


def secret_file_name(provider: str) -> str:
    """Return under which name in `keys/` a provider's client secret lies; without one we are a public client."""
    return f"provider-{provider}.secret"


def key_file_name(provider: str) -> str:
    """Return under which name in `keys/` the private key lies that proves us to a provider, if it knows our public one."""
    return f"provider-{provider}.jwk"


def make_client_key(app: App, provider: str) -> dict[str, object]:
    """Keep a fresh private key that proves us to a provider; return the public one, which is registered there."""
    private = keys.new_key()
    write_secret(app.workspace.keys / key_file_name(provider), private)
    return keys.public_half(private)


def keep_client_secret(app: App, provider: str, secret: str) -> None:
    """Keep what proves us to a provider, readable by its owner only."""
    write_secret(app.workspace.keys / secret_file_name(provider), secret.encode() + b"\n")


def forget_client_secret(app: App, provider: str) -> None:
    """Forget it, and the key in its place."""
    (app.workspace.keys / key_file_name(provider)).unlink(missing_ok=True)
    (app.workspace.keys / secret_file_name(provider)).unlink(missing_ok=True)


class _Waiting(Exception):
    """The person has not signed in yet."""

    def __init__(self, slower_s: float) -> None:
        super().__init__()
        self.slower_s = slower_s


def _account(app: App, row: rows.Provider, metadata: oidc.Metadata, form: dict[str, str], *, nonce: str) -> Account:
    fields, headers = _as_client(app, row, form)
    said = ask_json(metadata.token_endpoint, form=fields, headers=headers, refusals=True)
    if "error" in said:
        if said["error"] in ("authorization_pending", "slow_down"):
            raise _Waiting(5.0 if said["error"] == "slow_down" else 0.0)
        raise Unauthenticated(f"the provider let nobody in: `{str(said['error'])[:60]}`", hint="sign in again", code="login_refused")
    token = said.get("id_token")
    if not isinstance(token, str):
        raise Unauthenticated(
            "the provider says nothing about who that is (no `id_token`)", hint="ask for scope `openid`", code="login_refused"
        )
    for fresh in (False, True):
        now_s = app.clock.now_ns() / 1e9
        keys = keys_of(row.issuer, now_s, fresh=fresh)
        try:
            return oidc.check_id_token(
                token, keys, issuer=row.issuer, client_id=row.client_id, nonce=nonce, now_s=now_s,
                access_token=str(said.get("access_token", "")),
            )  # fmt: skip
        except Unauthenticated as error:
            if error.code not in ("token_key", "token_signature") or fresh:  # the issuer may have new keys: look once more
                raise
    raise AssertionError("the loop returns or raises")


def _let_in(app: App, row: rows.Provider, account: Account, invitation_hash: bytes | None, *, form: str) -> Done:
    """Open a session of the person whose account that is; the first time, link it."""
    with app.store.reading() as state:
        known = state.vault.proofs.find_identity(account.issuer, account.subject)
        provisioned = state.vault.proofs.provisioned(row.directory, account.subject) if row.directory and not known else None
    by = "" if known else "directory" if provisioned else "invitation"

    def who(tx: Tx, now_ns: int) -> Actor:
        found_by = tx.vault.proofs.find_identity(account.issuer, account.subject) if known else None
        if by == "directory" and provisioned:
            found_by = KnownAccount(provisioned, "", [row.directory])  # whoever has its token may have said so
        if by == "invitation":
            found_by = tx.vault.proofs.take_invitation(invitation_hash, from_ns(now_ns)) if invitation_hash else None
        if found_by is None:
            raise Unauthenticated(
                f"this account at `{row.provider}` is nobody's here" + (", and the invitation is used or over" if invitation_hash else ""),
                hint="ask an operator for an invitation: `jurat identity invite`",
                code="account_unknown",
            )
        person = found_by.principal
        if why := why_suspended(tx.state, person, [person]):
            raise suspended(person, [person], why)
        found = tx.state.get(rows.Principal, person)
        if found is None or found.type is not PrincipalType.PERSON:
            raise Denied(f"`{person}` is no person", code="person_required")
        spoken = spoken_by(tx.state, found_by.identity, found_by.hands)
        return Actor(principal=person, type=PrincipalType.PERSON, chain=[person], **spoken)

    return open_session(
        app, who, f"oidc:{row.provider}", form=form, link=row.provider if by else "", linked_by=by, issuer=account.issuer,
        subject=account.subject,
    )  # fmt: skip


def _provider(app: App, name: str) -> rows.Provider:
    with app.store.reading() as state:
        row = state.get(rows.Provider, name)
    if row is None:
        raise NotFound(f"provider `{name[:60]}` is not known", hint="an operator adds it: `jurat identity add-provider`")
    return row


def _as_client(app: App, row: rows.Provider, form: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    key = app.workspace.keys / key_file_name(row.provider)
    if key.exists():
        assertion = oidc.client_assertion(
            key.read_bytes(), client_id=row.client_id, issuer=row.issuer, jti=secrets.token_urlsafe(16), now_s=app.clock.now_ns() / 1e9
        )
        return {**form, "client_id": row.client_id, "client_assertion_type": _ASSERTION, "client_assertion": assertion}, {}
    path = app.workspace.keys / secret_file_name(row.provider)
    if not path.exists():
        return {**form, "client_id": row.client_id}, {}
    pair = f"{quote(row.client_id, safe='')}:{quote(path.read_text().strip(), safe='')}"
    return form, {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
