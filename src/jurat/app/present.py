"""A token as a door received it: for which door, and with which key proved (RFC 9449). Every door presents before it asks `admit`.

A token that is bound to a key opens nothing without a proof of that key for this very request; a proof is taken once, whichever
worker sees it first.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Collection
from typing import Final

from jurat.app.admit import Presented
from jurat.app.wiring import App
from jurat.core.clock import from_ns
from jurat.core.errors import Unauthenticated
from jurat.core.files import write_secret
from jurat.core.workspace import Workspace
from jurat.identity import dpop

API, GATEWAY = "api", "gateway"
_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")


def present(app: App, *, scheme: str, token: str, proof: str, method: str, urls: Collection[str], door: str) -> Presented:
    """Return the token with what was proved about it.

    Args:
        scheme: `bearer` or `dpop`, as the request says.
        proof: the header `DPoP`; empty: none.
        urls: addresses of this very request (`addresses_of`).
    Raises:
        Unauthenticated: the scheme wants a proof and there is none, or it does not hold, or was seen before.
    """
    if scheme == "bearer":
        return Presented(token, door=door)
    if not proof:
        raise Unauthenticated("scheme `DPoP` comes with a proof in the header `DPoP`, got none", hint="see RFC 9449", code="token_proof")
    return Presented(token, door=door, jkt=prove(app, proof=proof, method=method, urls=urls, access_token=token))


def prove(app: App, *, proof: str, method: str, urls: Collection[str], access_token: str = "") -> str:
    """Return the thumbprint of the key that a proof proves, and use the proof up.

    Raises:
        Unauthenticated: it does not hold, or was seen before; `token_proof_nonce`: it wants a nonce of ours, in `dpop_nonce` of the fields.
    """
    now_s = app.clock.now_ns() / 1e9
    taken = dpop.nonces(_nonce_secret(app.workspace), now_s) if app.settings.dpop_nonce == "on" else []
    try:
        found = dpop.check(proof, method=method, urls=urls, now_s=now_s, access_token=access_token, taken=taken)
    except Unauthenticated as error:
        if error.code == "token_proof_nonce":
            error.fields["dpop_nonce"] = taken[0]
        raise
    issued_ns = int(found.issued_s) * 10**9
    with app.store.vaulting() as vault:
        fresh = vault.proofs.see_proof(
            found.replay_key, issued_at=from_ns(issued_ns), expires_at=from_ns(issued_ns + (dpop.LIFETIME_S + 2 * dpop.AHEAD_S) * 10**9)
        )
    if not fresh:
        raise Unauthenticated("the DPoP proof was seen before", hint="make a fresh proof for each request", code="token_replayed")
    return found.jkt


def _nonce_secret(workspace: Workspace) -> bytes:
    """Return what nonces are made with: one for all processes of a workspace, made by whoever asks first."""
    path = workspace.keys / "dpop-nonce.key"
    if not path.exists():
        fresh = path.with_suffix(f".{secrets.token_hex(8)}")
        write_secret(fresh, secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)  # the first wins, whole; the others read it
        fresh.unlink()
    return path.read_bytes()


def addresses_of(path: str, *, public_url: str, scheme: str, server: tuple[str, int | None] | None) -> frozenset[str]:
    """Return the addresses under which a request may have been sent to us, normalised: the public one, and those on this machine.

    What the request itself says of its host is not asked: then a proof for another server would do.
    """
    found = {f"{public_url.rstrip('/')}{path}"} if public_url else set()
    if server is not None:
        host, port = server
        names = {f"[{host}]" if ":" in host else host, *(_LOOPBACK_NAMES if host in ("127.0.0.1", "::1", "0.0.0.0", "localhost") else ())}  # noqa: S104
        found |= {f"{scheme}://{name}{f':{port}' if port else ''}{path}" for name in names}
    return frozenset(dpop.normal_url(url) for url in found)
