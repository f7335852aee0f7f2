"""The routes by which programs get tokens: forms in and OAuth's own shapes out, so they stand beside the table of `table`.

`POST /oauth/token`     RFC 6749, 7523, 8693, 9449: every grant of `app.grants`
`POST /oauth/revoke`    RFC 7009: end a session by its refresh token, or an access token by itself
`GET  /.well-known/jwks.json`                      the public keys of access tokens
`GET  /.well-known/oauth-authorization-server`     RFC 8414: what is spoken here
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jurat.app import grants, sessions
from jurat.app.grants import Wish
from jurat.app.present import prove
from jurat.app.token_keys import issuer_of
from jurat.app.walk import Done
from jurat.app.wiring import App
from jurat.core.clock import parse_at, to_ns
from jurat.core.errors import Denied, JuratError, Malformed, Unauthenticated, Unavailable
from jurat.core.jsonio import dump_json
from jurat.domain import rows
from jurat.domain.decide_identity import DOORS
from jurat.identity import dpop, jose
from jurat.web.requests import addresses

_MOST_BYTES: Final = 65_536
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GRANTS: Final = ("refresh_token", "client_credentials", _EXCHANGE, _JWT_BEARER)
_TOKEN_TYPES: Final = (grants.ACCESS_TOKEN, grants.JWT)
_HEADERS: Final = {"cache-control": "no-store", "pragma": "no-cache"}
# Codes that OAuth has a word of its own for; the rest follow from the family.
_WORDS: Final = {
    "invalid_target": "invalid_target", "unsupported_grant_type": "unsupported_grant_type", "invalid_scope": "invalid_scope",
    "token_proof_nonce": "use_dpop_nonce",
    "client_unknown": "invalid_client", "client_missing": "invalid_client", "unauthorized_client": "unauthorized_client",
}  # fmt: skip
_PROOF_CODES: Final = frozenset({"token_proof", "token_proof_method", "token_proof_url", "token_proof_time", "token_proof_token"})


def oauth_routes(app: App) -> list[Route]:
    """Return the routes."""

    async def token(request: Request) -> Response:
        form = await _form(request)
        proofs = request.headers.getlist("dpop")
        urls = addresses(app, request)
        return await run_in_threadpool(_token, app, form, request.headers.getlist("authorization"), proofs, urls)

    async def revoke(request: Request) -> Response:
        form = await _form(request)
        await run_in_threadpool(sessions.give_back, app, _one(form, "token"))
        return Response(b"", headers=_HEADERS)

    async def jwks(_request: Request) -> Response:
        keys = await run_in_threadpool(_public_keys, app)
        return Response(dump_json({"keys": keys}), headers={"cache-control": "public, max-age=60"}, media_type="application/json")

    async def metadata(request: Request) -> Response:
        return Response(dump_json(_metadata(app, request)), headers={"cache-control": "public, max-age=60"}, media_type="application/json")

    return [
        Route("/oauth/token", _in_oauths_words(token), methods=["POST"]),
        Route("/oauth/revoke", _in_oauths_words(revoke), methods=["POST"]),
        Route("/.well-known/jwks.json", jwks, methods=["GET"]),
        Route("/.well-known/oauth-authorization-server", metadata, methods=["GET"]),
    ]


def _token(app: App, form: dict[str, list[str]], authorization: list[str], proofs: list[str], urls: frozenset[str]) -> Response:
    kind = _one(form, "grant_type")
    if kind not in GRANTS:
        raise Malformed(f"grant `{kind[:80]}` is not given here", hint=f"there are {', '.join(GRANTS)}", code="unsupported_grant_type")
    if "scope" in form:
        raise Malformed(
            "scopes are not known here: what a token may do is what its chain may", hint="narrow it by `audience`", code="invalid_scope"
        )
    wish = Wish(_doors(app, form), _proved(app, proofs, urls))
    match kind:
        case "refresh_token":
            done = grants.refresh(app, _one(form, "refresh_token"), wish)
        case "client_credentials":
            done = grants.client_credentials(app, *_client(form, authorization), wish)
        case str() if kind == _EXCHANGE:
            for name in ("subject_token_type", "actor_token_type"):
                if _one(form, name) not in _TOKEN_TYPES:
                    raise Malformed(f"`{name}` is not taken, expected `{grants.ACCESS_TOKEN}`")
            done = grants.exchange(app, _one(form, "subject_token"), _one(form, "actor_token"), wish)
        case _:
            done = grants.workload(app, _one(form, "assertion"), wish)
    return _issued(app, done, bound=bool(wish.jkt), exchanged=kind == _EXCHANGE)


def _issued(app: App, done: Done, *, bound: bool, exchanged: bool) -> Response:
    left_s = (to_ns(parse_at(done.reply["expires_at"])) - app.clock.now_ns()) // 10**9
    answer: dict[str, Any] = {
        "access_token": done.reply["token"],
        "token_type": "DPoP" if bound else "Bearer",
        "expires_in": max(0, left_s),
    }
    if "refresh_token" in done.reply:
        answer["refresh_token"] = done.reply["refresh_token"]
    if exchanged:
        answer["issued_token_type"] = grants.ACCESS_TOKEN
    return Response(dump_json(answer), headers=_HEADERS, media_type="application/json")


def _proved(app: App, proofs: list[str], urls: frozenset[str]) -> str:
    if not proofs:
        return ""
    if len(proofs) != 1:
        raise Unauthenticated("the header `DPoP` comes more than once", code="token_proof")
    return prove(app, proof=proofs[0], method="POST", urls=urls)


def _doors(app: App, form: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Return the doors that are meant: by name, or by the address of one (RFC 8707 `resource`)."""
    names = {issuer_of(app.settings): "api", app.settings.gateway_url.rstrip("/"): "gateway"}
    asked = [names.get(each.rstrip("/"), each) for each in (*form.get("audience", ()), *form.get("resource", ()))]
    if unknown := [each for each in asked if each not in DOORS]:
        raise Malformed(f"`{unknown[0][:80]}` is no audience of ours", hint=f"there are {' and '.join(DOORS)}", code="invalid_target")
    return tuple(dict.fromkeys(asked))


def _client(form: Mapping[str, list[str]], authorization: list[str]) -> tuple[str, str]:
    """Return who a client says it is, and its secret: by HTTP basic, or in the form."""
    scheme, _, rest = authorization[0].partition(" ") if len(authorization) == 1 else ("", "", "")
    if scheme.lower() == "basic":
        try:
            name, colon, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name, colon, secret = "", "", ""
        if not colon:
            raise Unauthenticated("the client's credentials cannot be read", hint="HTTP basic: `prn_…:jrt_…`", code="client_missing")
        return unquote_plus(name), unquote_plus(secret)
    if "client_id" in form and "client_secret" in form:
        return _one(form, "client_id"), _one(form, "client_secret")
    raise Unauthenticated("the client did not say who it is", hint="HTTP basic: `prn_…:jrt_…`", code="client_missing")


async def _form(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form; everything but `audience` and `resource` comes once.

    Raises:
        Malformed: not a form, too large, or a field twice.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Malformed("the body is not `application/x-www-form-urlencoded`")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise Malformed(f"the body has more than {_MOST_BYTES} bytes")
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=50)
    except ValueError:
        raise Malformed("the body is no form") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    for name, values in found.items():
        if len(values) > 1 and name not in ("audience", "resource"):
            raise Malformed(f"`{name[:60]}` comes twice")
    return found


def _one(form: Mapping[str, list[str]], name: str) -> str:
    found = form.get(name, [""])[0]
    if not found:
        raise Malformed(f"`{name}` is missing")
    if "\0" in found:
        raise Malformed(f"`{name}` holds NUL")
    return found


Answer = Callable[[Request], Awaitable[Response]]


def _in_oauths_words(handle: Answer) -> Answer:
    """Tell a refusal in OAuth's shape; our own words are its description."""

    async def answer(request: Request) -> Response:
        try:
            return await handle(request)
        except (Malformed, Unauthenticated, Denied, Unavailable) as error:
            return _refusal(error)

    return answer


def _refusal(error: JuratError) -> Response:
    word = _WORDS.get(error.code, "")
    if not word:
        by_family = {"malformed": "invalid_request", "denied": "access_denied", "unavailable": "temporarily_unavailable"}
        word = by_family.get(error.family, "invalid_grant")
        if error.code in _PROOF_CODES or (error.code == "token_replayed" and "DPoP" in error.detail):
            word = "invalid_dpop_proof"
    status = 401 if word == "invalid_client" else 503 if error.family == "unavailable" else 403 if error.family == "denied" else 400
    said = {"error": word, "error_description": f"{error.detail}; {error.hint}" if error.hint else error.detail, "code": error.code}
    headers = {**_HEADERS, "www-authenticate": 'Basic realm="jurat"'} if status == 401 else _HEADERS
    if nonce := error.fields.get("dpop_nonce"):
        headers = {**headers, "dpop-nonce": str(nonce)}
    return Response(dump_json(said), status, headers=headers, media_type="application/json")


def _public_keys(app: App) -> list[dict[str, Any]]:
    with app.store.reading() as state:
        row = state.get(rows.TokenKeys, "current")
    return row.keys if row else []


def _metadata(app: App, request: Request) -> dict[str, Any]:
    base = app.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
    return {
        "issuer": issuer_of(app.settings),
        "token_endpoint": f"{base}/oauth/token",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "grant_types_supported": list(GRANTS),
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "token_endpoint_auth_signing_alg_values_supported": list(jose.ALGORITHMS),
    }
