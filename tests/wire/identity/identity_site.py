"""A real workspace with two processes of the API, and people, agents and services who ask them for tokens."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from joserfc import jwk, jws
from tests.contract.web.test_api_process import Process

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.sessions import open_session
from jurat.app.walk import Done, act
from jurat.app.wiring import App, open_app
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal
from jurat.domain.events import Actor
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType
from jurat.identity import dpop

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PUBLIC = "https://jurat.example.org"  # the address in front of both workers, which a proof may name as well
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


class Heard(NamedTuple):
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Key:
    """A client's key, and the proofs that it makes."""

    key: Any = field(default_factory=lambda: jwk.ECKey.generate_key("P-256"))
    made: int = 0

    @property
    def jkt(self) -> str:
        return str(self.key.thumbprint())

    def proof(self, method: str, url: str, token: str = "", header: dict[str, Any] | None = None, **claims: Any) -> str:
        self.made += 1
        said: dict[str, Any] = {"htm": method, "htu": url, "iat": int(time.time()), "jti": f"{self.jkt}-{self.made}-{time.time_ns()}"}
        if token:
            said["ath"] = dpop.token_hash(token)
        said = {name: value for name, value in {**said, **claims}.items() if value is not None}
        full = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False), **(header or {})}
        return jws.serialize_compact(full, json.dumps(said).encode(), self.key, algorithms=[full["alg"]])


@dataclass
class IdentitySite:
    """`one` and `other` are ports of two workers of the API."""

    app: App
    operator: str
    one: int
    other: int
    ids: dict[str, str]
    local: dict[str, str]  # local tokens by name

    def url(self, path: str, port: int = 0) -> str:
        return f"http://127.0.0.1:{port or self.one}{path}"

    def ask(self, method: str, path: str, *, port: int = 0, headers: dict[str, str] | None = None, body: Any = None) -> Heard:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.one, timeout=20)
        try:
            raw = None if body is None else json.dumps(body)
            sent = {"content-type": "application/json"} if raw else {}
            connection.request(method, path, raw, {**sent, **(headers or {})})
            reply = connection.getresponse()
            return Heard(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def token(self, *, port: int = 0, key: Key | None = None, client: tuple[str, str] | None = None, **form: str) -> Heard:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.one, timeout=20)
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if key is not None:
            headers["dpop"] = key.proof("POST", self.url("/oauth/token", port))
        if client is not None:
            headers["authorization"] = "Basic " + base64.b64encode(":".join(client).encode()).decode()
        try:
            connection.request("POST", "/oauth/token", urlencode(form), headers)
            reply = connection.getresponse()
            return Heard(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def of_client(self, name: str, *, key: Key | None = None, **form: str) -> Heard:
        """What `client_credentials` answers to somebody with a local token."""
        return self.token(grant_type="client_credentials", client=(self.ids[name], self.local[name]), key=key, **form)

    def sign_in(self, name: str, *, jkt: str = "", form: str = "jwt") -> Done:
        """Open a session as a sign-in does, for a person who was proved."""
        person = Actor(principal=self.ids[name], type=PrincipalType.PERSON, chain=[self.ids[name]])
        return open_session(self.app, lambda _tx, _now_ns: person, "test", jkt=jkt, form=form)

    def look(self, token: str, *, port: int = 0, key: Key | None = None, path: str = "/api/v1/sessions", **proof: Any) -> Heard:
        """A look at the API with a token; with a key, by DPoP."""
        headers = {"authorization": f"{'DPoP' if key else 'Bearer'} {token}"}
        if key is not None:
            headers["dpop"] = key.proof("GET", self.url(path, port), token, **proof)
        try:
            return self.ask("GET", path, port=port, headers=headers)
        except http.client.RemoteDisconnected:
            if key is not None:
                raise
            return self.ask("GET", path, port=port, headers=headers)  # came while what a session had open was being closed


@contextlib.contextmanager
def identity_site() -> Iterator[IdentitySite]:
    with tempfile.TemporaryDirectory(prefix="jurat-identity-") as folder:
        root = Path(folder) / "w"
        init_workspace(root, throwaway=True, settings=Settings(api_port=0, gateway_port=0, public_url=PUBLIC))
        try:
            with open_app(Workspace(root), throwaway=True) as app:
                operator = (root / "credentials" / "operator.token").read_text().strip()
                ids, local = _people(app, operator)
                workers = [Process(root), Process(root)]
                try:
                    yield IdentitySite(app, operator, workers[0].port, workers[1].port, ids, local)
                finally:
                    for worker in workers:
                        worker.end()
        finally:
            remove_workspace(root)


def _people(app: App, operator: str) -> tuple[dict[str, str], dict[str, str]]:
    ids: dict[str, str] = {}
    local: dict[str, str] = {}
    ends = expiry(app.clock.now_ns(), 86_400)
    for name, kind, owner, role in (
        ("ada", PrincipalType.PERSON, None, "data_scientist"),
        ("ben", PrincipalType.PERSON, None, "auditor"),
        ("scout", PrincipalType.AGENT, "ada", "auditor"),
        ("other-scout", PrincipalType.AGENT, "ada", "data_scientist"),
        ("pipe", PrincipalType.PROCESS, "ben", "auditor"),
        ("scorer", PrincipalType.SERVICE, "ben", "prediction_client"),
    ):
        command = RegisterPrincipal(type=kind, name=name, owner=ids.get(owner or ""))
        ids[name] = act(app, operator, command).reply["principal"]
        act(app, operator, GrantRole(principal=ids[name], role=role, reason="test", expires_at=ends))
        local[name] = act(app, operator, IssueToken(principal=ids[name], lifetime_s=3600)).reply["token"]
    return ids, local
