"""One notice to one webhook, signed as the Standard Webhooks specification says.

    webhook-id         the notice's id: the same at every try, so that a receiver can leave out what it has
    webhook-timestamp  when this try was made, Unix seconds
    webhook-signature  `v1,` and base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`; one for each secret, while they change

Only an address from the settings is asked. What it redirects to is not, nor any address of the link itself (`169.254.169.254`),
whatever name it hides behind. Its answer is its status: nothing else is read, and nothing that it says is kept.

Source: Standard Webhooks, spec/standard-webhooks.md, "Signature scheme" and "Webhook headers".
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from jurat.app.delivery import Letter, Outcome, Tried
from jurat.core.clock import Clock
from jurat.core.digests import digest_bytes
from jurat.core.errors import NotFound, Unavailable
from jurat.core.files import read_private
from jurat.core.jsonio import dump_json
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.worker.exchange import exchange

TIMEOUT_S: Final = 10.0  # everything included
_SECRET_SIZES: Final = range(24, 65)  # bytes, by the specification
_GONE: Final = 410  # "the endpoint has been disabled"


def way_of(url: str) -> str:
    """Return the name of a webhook in events and for people. Its address may be a secret: the name tells its host and nothing else."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"webhook:{parts.hostname}{port}/{digest_bytes(url.encode()).removeprefix('sha256:')[:8]}"


def secret_file(workspace: Workspace) -> Path:
    return workspace.keys / "webhook-secret"


def read_secrets(workspace: Workspace) -> list[bytes]:
    """Return the secrets to sign with, at least one.

    Raises:
        Unavailable: there is none, others can read them, or they are none.
    """
    path = secret_file(workspace)
    make = f"`(umask 077; echo whsec_$(head -c 32 /dev/urandom | base64) > {path})`, and give it to whoever receives"
    try:
        lines = read_private(path, what="secret of webhooks").split("\n")
    except NotFound as error:
        raise Unavailable(error.detail, hint=make) from error
    found = []
    for line in lines:
        try:
            found.append(base64.b64decode(line.strip().removeprefix("whsec_"), validate=True))
        except binascii.Error:
            found.append(b"")
    if not all(len(each) in _SECRET_SIZES for each in found) or not all(line.startswith("whsec_") for line in lines):
        raise Unavailable(f"`{path}` holds no secret of webhooks, expected lines of `whsec_` and base64 of 24 to 64 bytes", hint=make)
    return found


def sign(secrets: Sequence[bytes], message: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of `webhook-signature`."""
    content = f"{message}.{timestamp_s}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(secret, content, "sha256")).decode() for secret in secrets)


def body_of(notice: rows.Notice) -> bytes:
    """Return what is said: the notice as it is on record. People are named by their ids, as everywhere outside the vault."""
    data = {"notice": notice.notice, "to": notice.to, "about": notice.about, "subject": notice.subject, "text": notice.text}
    return dump_json({"type": "notice.given", "timestamp": notice.at, "data": data})


class Webhook:
    """One address that notices are sent to."""

    def __init__(self, workspace: Workspace, url: str, clock: Clock, *, plain: bool, timeout_s: float = TIMEOUT_S) -> None:
        self._workspace, self._url, self._clock = workspace, url, clock
        self._is_open = plain or url.startswith("https:")
        self._timeout_s = timeout_s

    def prepare(self) -> None:
        """Pass if letters can go.

        Raises:
            Unavailable: the secret to sign with is not there.
        """
        read_secrets(self._workspace)

    def send(self, letter: Letter) -> Tried:
        """Try once. Whatever the other side does, this is over in time and does not raise."""
        body, now_s = body_of(letter.notice), self._clock.now_ns() // 10**9
        try:
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "jurat",
                "webhook-id": letter.notice.notice,
                "webhook-timestamp": str(now_s),
                "webhook-signature": sign(read_secrets(self._workspace), letter.notice.notice, now_s, body),
            }
            status = exchange(
                "POST", self._url, body, self._timeout_s, headers=headers, only_status=True, check_peer=self._check_peer
            ).status  # fmt: skip
        except Unavailable as error:
            return Tried(letter, Outcome.AWAY, error.detail)
        if 200 <= status < 300:
            return Tried(letter, Outcome.DELIVERED)
        if 300 <= status < 400:
            return Tried(letter, Outcome.AWAY, f"it answered {status}, a redirect, which is not followed")
        return Tried(letter, Outcome.REFUSED if status == _GONE else Outcome.AWAY, f"it answered {status}")

    def _check_peer(self, address: str) -> None:
        peer = ipaddress.ip_address(re.sub(r"%.*", "", address))
        peer = getattr(peer, "ipv4_mapped", None) or peer
        if peer.is_link_local or peer.is_multicast or peer.is_unspecified:
            raise Unavailable("its name leads to an address of the link itself, where no receiver is", code="peer_refused")
        if not self._is_open and not peer.is_loopback:
            raise Unavailable("it is asked by `http`, and its name leads to another machine", code="peer_refused")
