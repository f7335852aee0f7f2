"""A real Chromium with a virtual authenticator, and a real server for it to sign in at."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn
from playwright.sync_api import expect, sync_playwright

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.wiring import App, open_app
from jurat.core.workspace import Workspace
from jurat.web.asgi import make_asgi

PATIENCE_MS = 20_000
CHROMIUM = next(filter(None, (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))), "")


class Served(NamedTuple):
    """A workspace whose pages are served at `origin`."""

    app: App
    origin: str
    port: int
    operator: str


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="jurat-browser-") as folder:
        root = Path(folder) / "w"
        init_workspace(root, operator_name="Olga Ossig", throwaway=True)
        try:
            with open_app(Workspace(root), throwaway=True) as app:
                door = socket.create_server(("127.0.0.1", 0))
                port = door.getsockname()[1]
                server = uvicorn.Server(uvicorn.Config(make_asgi(app), log_level="error", lifespan="off"))
                thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
                thread.start()
                while not server.started:
                    time.sleep(0.01)
                yield Served(app, f"http://localhost:{port}", port, (root / "credentials" / "operator.token").read_text().strip())
                server.should_exit = True
                thread.join(10)
        finally:
            with contextlib.suppress(Exception):
                remove_workspace(root)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Ends with its file: while it lives, the driver's loop counts as running, and no other test could run one of its own."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: `apt-get install -y --no-install-recommends chromium`")
    with sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Device:
    """A browser of somebody's own, with an authenticator that always says yes, and what went wrong in it."""

    def __init__(self, browser: Any, *, scheme: str = "light") -> None:
        self.context = browser.new_context(color_scheme=scheme, viewport={"width": 900, "height": 760})
        self.page = self.context.new_page()
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.control = self.context.new_cdp_session(self.page)
        self.control.send("WebAuthn.enable")
        self.authenticator = self.plug_in()

    def plug_in(self, *, verifies: bool = True) -> str:
        options = {
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
            "isUserVerified": verifies, "automaticPresenceSimulation": True,
        }  # fmt: skip
        return str(self.control.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"])

    def keys(self) -> list[dict[str, Any]]:
        return list(self.control.send("WebAuthn.getCredentials", {"authenticatorId": self.authenticator})["credentials"])

    def put_key(self, key: dict[str, Any]) -> None:
        self.control.send("WebAuthn.addCredential", {"authenticatorId": self.authenticator, "credential": key})

    def remove_key(self, key: dict[str, Any]) -> None:
        self.control.send("WebAuthn.removeCredential", {"authenticatorId": self.authenticator, "credentialId": key["credentialId"]})

    def problem(self) -> str:
        expect(self.page.locator("#problem")).not_to_be_empty(timeout=PATIENCE_MS)
        return str(self.page.inner_text("#problem"))

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def device(chromium: Any) -> Iterator[Device]:
    found = Device(chromium)
    yield found
    found.close()
