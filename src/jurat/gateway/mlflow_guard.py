"""The guard: passes everything to an MLflow server unchanged, and holds what touches production until its gates are passed.

    request ── who? ── what would it do? ──┬── pass, streamed both ways
                                           └── held: ask the server what it holds ── walk (intent on record) ── pass ── outcome on record

If the intent cannot be recorded, the act does not happen. Held acts go one after the other: what was looked at is what is
acted on; whoever waited while somebody else moved the same alias learns it, and moves nothing. Whoever reaches the server
past the guard is not held: let it listen where only the guard can.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from jurat.app.admit import hash_token
from jurat.app.intake import parse_json
from jurat.app.look import known
from jurat.app.mlflow_door import presented_token, to_mlflow
from jurat.app.walk import act, act_as
from jurat.app.wiring import App
from jurat.core.errors import Denied, JuratError, Malformed, NotFound, Unavailable
from jurat.core.jsonio import dump_json
from jurat.domain.commands_registry import HoldRegistryAct, ReportRegistryAct
from jurat.domain.events import Actor
from jurat.domain.registry import is_protected
from jurat.domain.registry_names import PRODUCTION
from jurat.gateway.mlflow_acts import Act, Path, check_graphql, is_graphql, read_act, read_path
from jurat.gateway.mlflow_upstream import Upstream, kept_headers, read_bounded

_MAX_BODY_BYTES: Final = 1024 * 1024  # of what is looked into
_REMEMBERED_S: Final = 0.5  # a token that was good a moment ago
_log: Final = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[str, str]]


class Guard:
    """The ASGI application.

    Args:
        name: how events call the guarded server; bindings are made under this name.
    """

    def __init__(self, app: App, upstream: Upstream, name: str) -> None:
        self._app, self._upstream, self._name = app, upstream, name
        self._holding = asyncio.Lock()
        self._waiting: set[_Ticket] = set()
        self._callers: dict[bytes, tuple[float, Actor]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the guard speaks HTTP, not {scope['type']}")
        started = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._route(scope, receive, sending)
        except _Gone:
            return
        except JuratError as error:
            if started:
                raise RuntimeError("the guarded server went away in the middle of an answer") from error
            await _answer(send, *to_mlflow(error))
        except Exception as error:
            if started:
                raise
            error_id = f"err_{secrets.token_hex(6)}"
            _log.error("error %s: %s", error_id, type(error).__name__)
            await _answer(send, 500, {"error_code": "INTERNAL_ERROR", "message": f"something went wrong here; its id is `{error_id}`"})

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, raw_path = scope["method"], scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        named = dict(headers)
        token = presented_token(scope["headers"])
        caller = await self._caller(token)
        if method not in ("GET", "HEAD", "OPTIONS"):
            _check_origin(named)
        path = read_path(method, raw_path, query, named)
        target = raw_path + (f"?{query}" if query else "")
        if path is None and method == "POST" and is_graphql(raw_path):
            raw = await _read(receive)
            check_graphql(parse_json(raw, what="the body"))
            await self._pass(send, method, target, headers, raw)
        elif path is None or path.act == "pass":
            has_body = "content-length" in named or "transfer-encoding" in named
            await self._pass(send, method, target, headers, _stream(receive) if has_body else None)
        else:
            await self._held(send, method, raw_path, path, headers, await _read(receive), (token, caller))

    async def _caller(self, token: str) -> Actor:
        key, now_s = hash_token(token), time.monotonic()
        remembered = self._callers.get(key)
        if remembered is not None and now_s < remembered[0]:
            return remembered[1]
        caller = await asyncio.to_thread(known, self._app, token)
        if len(self._callers) > 1_000:
            self._callers.clear()
        self._callers[key] = (now_s + _REMEMBERED_S, caller)
        return caller

    async def _pass(self, send: Send, method: str, target: str, headers: Headers, body: AsyncIterator[bytes] | bytes | None) -> None:
        async with self._upstream.request(method, target, headers, body) as answer:
            await send({"type": "http.response.start", "status": answer.status, "headers": kept_headers(answer)})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _held(self, send: Send, method: str, raw_path: str, path: Path, headers: Headers, raw: bytes, who: tuple[str, Actor]) -> None:
        body = parse_json(raw, what="the body")
        if isinstance(body, str):  # old clients encode their JSON twice
            body = parse_json(body.encode(), what="the body")
        understood = read_act(path.act, body)
        space = [(name, value) for name, value in headers if name == "x-mlflow-workspace"]
        if len(space) > 1:
            raise Malformed("header `x-mlflow-workspace` comes twice")
        registry = self._name + (f"#{space[0][1]}" if space else "")
        ticket = _Ticket(registry, understood.name, understood.alias)
        self._waiting.add(ticket)
        try:
            await self._holding.acquire()
        finally:
            self._waiting.discard(ticket)
        try:
            command = await self._command(understood, path.prefix, registry, space)
            if command is not None and ticket.overtaken_by not in (None, understood.number):
                command = msgspec.structs.replace(command, overtaken=True)
            intent = ""
            if command is not None:
                intent = (await asyncio.to_thread(act, self._app, who[0], command)).events[-1].id
            kept = [(n, v) for n, v in headers if n not in ("content-length", "content-type", "transfer-encoding", "content-encoding")]
            sent = dump_json(understood.body)
            status, answered = 0, b""
            told: list[tuple[bytes, bytes]] = []
            try:
                async with self._upstream.request(method, raw_path, [*kept, ("Content-Type", "application/json")], sent) as answer:
                    answered = await read_bounded(answer)
                    status, told = answer.status, kept_headers(answer)
            finally:
                if intent and command is not None:
                    await self._report(who[1], command, intent, status)
            if intent and understood.alias and status < 400:
                for other in self._waiting:
                    if other.same_as(ticket):
                        other.overtaken_by = understood.number or 0
        finally:
            self._holding.release()
        await send({"type": "http.response.start", "status": status, "headers": told})
        await send({"type": "http.response.body", "body": answered})

    async def _command(self, asked: Act, prefix: str, registry: str, space: list[tuple[str, str]]) -> HoldRegistryAct | None:
        """Return the question to the law, None if the act touches nothing of production."""
        api = f"{prefix}/api/2.0/mlflow"
        aliases: dict[str, int] = {}
        version: dict[str, Any] = {}
        in_production: list[int] = []
        try:
            if asked.number is not None:
                found = await self._upstream.ask(f"{api}/model-versions/get", {"name": asked.name, "version": str(asked.number)}, space)
                version = found["model_version"]
            model = (await self._upstream.ask(f"{api}/registered-models/get", {"name": asked.name}, space))["registered_model"]
            _check_same(asked, model["name"], version)
            if asked.act in ("model_deleted", "model_renamed", "version_deleted"):
                aliases = {each["alias"]: int(each["version"]) for each in model.get("aliases", [])}
                in_production = [int(v["version"]) for v in model.get("latest_versions", []) if v.get("current_stage") == PRODUCTION]
            stage = version.get("current_stage", "")
            source, created_ms = version.get("source", ""), int(version.get("creation_timestamp", 0))
        except NotFound:
            return None  # the server itself says so best
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable("the guarded server's answer cannot be understood", hint="see whether it is an MLflow server") from error
        protected = await asyncio.to_thread(self._protected, asked.name, [asked.alias, *aliases])
        renamed = await asyncio.to_thread(self._protected, asked.new_name, list(aliases)) if asked.new_name else set()
        holds: list[str] = []
        if asked.act in ("alias_set", "alias_deleted"):
            if asked.alias not in protected:
                return None
        elif asked.act == "stage_moved":
            if PRODUCTION not in (asked.stage, stage):
                return None
        else:
            one = asked.number if asked.act == "version_deleted" else None
            holds = [
                f"alias `{alias}` names version `{number}`"
                for alias, number in sorted(aliases.items())
                if alias in protected | renamed and one in (None, number)
            ]
            here = [asked.number] if one and stage == PRODUCTION else [] if one else in_production
            holds += [f"version `{number}` is in `{PRODUCTION}`" for number in here]
            if not holds:
                return None
        return HoldRegistryAct(
            registry=registry, act=asked.act, name=asked.name, number=asked.number, alias=asked.alias, stage=asked.stage, source=source,
            created_ms=created_ms, holds=holds,
        )  # fmt: skip

    def _protected(self, name: str, aliases: list[str]) -> set[str]:
        with self._app.store.reading() as state:
            return {alias for alias in aliases if alias and is_protected(state, name, alias)}

    async def _report(self, caller: Actor, held: HoldRegistryAct, intent: str, status: int) -> None:
        command = ReportRegistryAct(
            registry=held.registry, act=held.act, name=held.name, number=held.number, alias=held.alias, stage=held.stage,
            phase="answered" if status else "unanswered", status=status, intent=intent,
        )  # fmt: skip
        try:
            await asyncio.to_thread(act_as, self._app, caller, command)
        except JuratError as error:  # the intent is on record, and shows what came of it only to whoever looks
            _log.error("the outcome of %s is not on record: %s", intent, error.code)


class _Ticket:
    """Somebody who waits to move an alias. `overtaken_by`: the number that somebody else let it name meanwhile; 0: none."""

    def __init__(self, registry: str, name: str, alias: str) -> None:
        self._place = registry, name, alias
        self.overtaken_by: int | None = None

    def same_as(self, other: _Ticket) -> bool:
        return self._place == other._place


def _check_same(asked: Act, name: str, version: dict[str, Any]) -> None:
    """Pass if the server found what was asked for. Some databases find `credit` by `CREDIT` or `crédit`: nothing is known of that here."""
    found = [name, *([version["name"], version["version"]] if version else [])]
    if found != [asked.name, *([asked.name, str(asked.number)] if version else [])]:
        raise Malformed(
            f"`{asked.name[:80]}` is called `{name[:80]}` there", hint="use the name as it is written there", code="path_unclear"
        )


def _check_origin(headers: dict[str, str]) -> None:
    """A browser sends its password whoever made it ask: pages of other places may not write here."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or (origin and origin.partition("://")[2] != host):
        raise Denied("another site's page asks for this change", hint="open the guarded server's own pages", code="cross_site")


async def _read(receive: Receive) -> bytes:
    raw = bytearray()
    async for chunk in _stream(receive):
        raw += chunk
        if len(raw) > _MAX_BODY_BYTES:
            raise Malformed(f"the body is larger than {_MAX_BODY_BYTES} bytes", code="body_too_large")
    return bytes(raw)


async def _stream(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body"):
            return


async def _answer(send: Send, status: int, body: dict[str, Any]) -> None:
    raw = dump_json(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(raw)), (b"cache-control", b"no-store")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="jurat: any name, and your token as password"'))
    if status in (400, 413, 401):  # an unread body may follow
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


class _Gone(Exception):
    """The client has left; nobody is there to be answered."""
