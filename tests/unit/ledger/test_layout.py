"""Names of logs, and where their files lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from jurat.core.errors import Malformed
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file, class_logs, parse_log_name


def test_a_tenant_has_six_logs_in_a_fixed_order() -> None:
    assert [str(log) for log in class_logs("main")] == [
        "main/training", "main/deployment", "main/inference", "main/access", "main/configuration", "main/error",
    ]  # fmt: skip


def test_names_come_back() -> None:
    for log in [*class_logs("main"), *class_logs("a.b-c"), ANCHOR]:
        assert parse_log_name(str(log)) == log


@pytest.mark.parametrize("text", ["", "main", "main/", "/inference", "main/nonsense", "main/inference/0", "Anchor", "anchor/"])
def test_anything_else_is_not_a_log(text: str) -> None:
    with pytest.raises(Malformed):
        parse_log_name(text)


def test_origins_and_places() -> None:
    log = LogName("main", "inference")
    assert log.origin("jurat.local") == "jurat.local/main/inference"
    assert ANCHOR.origin("jurat.local") == "jurat.local/anchor"
    assert checkpoint_file(Path("/l"), log) == Path("/l/main/inference/checkpoint")
    assert checkpoint_file(Path("/l"), ANCHOR) == Path("/l/anchor/checkpoint")
    assert (log.entry_size, ANCHOR.entry_size) == (59, 89)
