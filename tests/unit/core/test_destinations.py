"""Where notices may be sent: what `jurat.toml` may say, and what stops the start."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from jurat.core.destinations import is_mailbox, parse_mail_server
from jurat.core.errors import Malformed
from jurat.core.settings import Settings, format_settings, parse_settings


def parsed(**found: Any) -> Settings:
    return parse_settings(found, source="jurat.toml")


def test_what_is_written_is_what_is_read() -> None:
    urls = ("https://hooks.example/a?b=c", "http://localhost:9000/x")
    settings = Settings(webhooks=urls, mail_server="mail.example:587", mail_from="jurat@example.org")
    assert parsed(**tomllib.loads(format_settings(settings))) == settings


def test_without_a_word_nothing_is_sent() -> None:
    assert (Settings().webhooks, Settings().mail_server) == ((), "")


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example", "ftp://hooks.example/", "file:///etc/passwd", "http://hooks.example/", "http://169.254.169.254/latest",
        "http://127.0.0.1.example/", "https://", "https://u:secret@hooks.example/", "https://hooks.example/#secret", "https://a b/",
        "https://hooks.example/\r\nX: y", "https://h:99999/", "https://[::1", "https://hooks.example/ä", "https://h/" + "x" * 3000,
    ],
)  # fmt: skip
def test_an_address_that_is_none_stops_the_start_and_is_not_shown(url: str) -> None:
    with pytest.raises(Malformed, match="webhooks") as caught:
        parsed(webhooks=[url])
    assert "secret" not in caught.value.detail + caught.value.hint


def test_http_beyond_loopback_only_when_somebody_said_so() -> None:
    assert parsed(webhooks=["http://hooks.example/"], webhooks_plain="on").webhooks == ("http://hooks.example/",)
    with pytest.raises(Malformed, match="expected `on` or `off`"):
        parsed(webhooks_plain="yes")


@pytest.mark.parametrize("value", ["https://hooks.example/", [1], [["https://h/"]], {"a": "b"}], ids=["text", "number", "list", "table"])
def test_a_list_is_a_list_of_texts(value: object) -> None:
    with pytest.raises(Malformed, match="expected a `list` of `str`"):
        parsed(webhooks=value)


def test_each_address_once_and_not_too_many() -> None:
    for urls in (["https://h/"] * 2, [f"https://h/{n}" for n in range(21)]):
        with pytest.raises(Malformed, match="each once"):
            parsed(webhooks=urls)


@pytest.mark.parametrize("text", ["mail.example", ":25", "mail.example:0", "mail.example:65536", "a b:25", "mail.example:25:", "h:٢٥"])
def test_a_mail_server_is_host_and_port(text: str) -> None:
    with pytest.raises(Malformed, match="no mail server"):
        parse_mail_server(text)


def test_a_mail_server_needs_somebody_that_mail_comes_from() -> None:
    with pytest.raises(Malformed, match="mail_from"):
        parsed(mail_server="mail.example:587")
    assert parse_mail_server("[::1]:25").is_loopback


@pytest.mark.parametrize(
    "text", ["", "ada", "ada@", "@example.org", "a@b@c", "ada@example.org\r\nBcc: x@y", "Ada <ada@example.org>", "a,b@c", "ä@example.org"]
)
def test_what_could_say_more_than_one_address_is_none(text: str) -> None:
    assert not is_mailbox(text)
    assert is_mailbox("ada.l+x@example.org")
