"""`jurat.toml` is read strictly: what is unknown, of the wrong type, too new or absurd stops the start, and says which line to change."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from jurat.core.errors import Malformed
from jurat.core.settings import Settings, format_settings, parse_settings


def test_a_fresh_file_is_read_back() -> None:
    assert parse_settings(tomllib.loads(format_settings(Settings())), source="jurat.toml") == Settings()


@pytest.mark.parametrize(
    ("found", "said", "hint"),
    [
        ({"api_prot": 1}, "unknown key `api_prot`", "did you mean `api_port`?"),
        ({"colour": "red"}, "unknown key `colour`", "known keys: format, "),
        ({"api_port": "x"}, "`api_port` in `jurat.toml` is a `str`", ""),
        ({"api_port": True}, "is a `bool`", ""),
        ({"gateway_port": 65536}, "expected 0 to 65535", ""),
        ({"format": 2}, "has format `2`, this jurat reads up to `1`", "newer jurat"),
        ({"tenant": ""}, "`tenant` in `jurat.toml` is ``", ""),
        ({"log_host": "a/b"}, "`log_host` in `jurat.toml` is `a/b`", ""),
        ({"publish_interval": "1 week"}, "unit `week` in `1 week` is unknown", "known units"),
        ({"publish_interval": "11s"}, "expected `200ms` to `10s`", ""),
        ({"merge_delay": "500ms"}, "expected at least `publish_interval`", "promise"),
        ({"token_lifetime": "0s"}, "expected more than nothing", ""),
        ({"approval_lifetime": "3MB"}, "is not a duration", ""),
        ({"max_event_bytes": -1}, "expected 1024 to ", ""),
        ({"max_event_bytes": 2**30}, "expected 1024 to ", ""),
        ({"min_group_size": 0}, "expected at least 1", ""),
    ],
)
def test_what_cannot_be_meant_is_refused(found: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_settings(found, source="jurat.toml")
    assert said in caught.value.detail
    assert hint in caught.value.hint
