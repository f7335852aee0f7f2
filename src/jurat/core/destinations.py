"""Where notices may be sent: addresses of webhooks, and of one mail server. Text in, text checked; nothing connects here.

An address of a webhook can be a secret itself (whoever knows it can post there): no error shows more of it than its host.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from jurat.core.errors import Malformed

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
MOST_WEBHOOKS: Final = 20
_LONGEST_URL: Final = 2_000
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z|[0-9A-Fa-f:]{2,45}\Z")
# What a mail server may be told is an address: one `@`, nothing that could end a line or begin another address.
_MAILBOX: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")


class MailServer(NamedTuple):
    """A server that takes mail."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK


def check_webhook(url: str, *, plain: bool) -> None:
    """Pass if notices may be sent there: `https`, or `http` to this very machine.

    Args:
        plain: `http` to any machine is taken, too.
    Raises:
        Malformed: another scheme, no host, a user name or a fragment in it, or what no address has in it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise Malformed("the address of a webhook cannot be read", hint="write `https://host/path`") from None
    host = parts.hostname or ""
    if len(url) > _LONGEST_URL or not re.fullmatch(r"[!-~]+", url) or not _HOST.match(host):
        raise Malformed("the address of a webhook is no address", hint="write `https://host/path`, in printable ASCII")
    if "@" in parts.netloc or "#" in url:
        raise Malformed(f"the address of the webhook at `{host}` has a user name or a fragment in it", hint="webhooks are signed instead")
    if not (parts.scheme == "https" or (parts.scheme == "http" and (plain or host in LOOPBACK))):
        raise Malformed(
            f"the webhook at `{host}` is asked by `{parts.scheme[:20]}`, expected `https`",
            hint='`http` is for loopback; elsewhere only with `webhooks_plain = "on"`, and then anybody on the way reads along',
        )


def parse_mail_server(text: str) -> MailServer:
    """Return the server in `host:port`.

    Raises:
        Malformed: it is something else.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not _HOST.match(host) or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65_536:
        raise Malformed(f"`{text[:120]}` is no mail server", hint="write `host:port`, such as `mail.example.org:587`")
    return MailServer(host.lower(), int(port))


def is_mailbox(text: str) -> bool:
    """Whether that is one plain address of a person: no name, no comment, no quotes, ASCII only."""
    return len(text) <= 254 and _MAILBOX.match(text) is not None
