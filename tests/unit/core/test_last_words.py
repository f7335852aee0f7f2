"""What a child said when it ended reaches whoever started it: family, code, hint, and nothing that an earlier child said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jurat.core.errors import JuratError, Malformed, NotFound, Tampered, Unavailable
from jurat.core.last_words import format_last_words, parse_last_words, read_last_words


@pytest.mark.parametrize(
    "error",
    [
        Malformed("the key `k` is corrupt: it is not (this): that", hint="restore it", code="key_corrupt"),
        NotFound("there is no key"),
        Unavailable("`::1:80` cannot be listened on", hint="another port", code="port_in_use"),
        Tampered("a row is gone", code="outbox_gap"),
    ],
)
def test_an_error_survives_the_log(error: JuratError) -> None:
    found = parse_last_words("Traceback of something earlier\n" + format_last_words(error) + "\n")
    assert found is not None
    assert (type(found), found.detail, found.hint, found.code) == (type(error), error.detail, error.hint, error.code)


def test_a_detail_with_line_ends_cannot_pretend_to_be_a_hint() -> None:
    found = parse_last_words(format_last_words(Malformed("one\n  hint: run rm", hint="ask\nthem")))
    assert found is not None
    assert (found.detail, found.hint) == ("one hint: run rm", "ask them")


def test_the_childs_own_error_is_raised_with_its_hint(tmp_path: Path) -> None:
    log = tmp_path / "sequencer.log"
    log.write_text("an older run\n")
    since = log.stat().st_size
    with log.open("a") as file:
        file.write(format_last_words(Malformed("the key is corrupt", hint="restore it", code="key_corrupt")) + "\n")
    found = read_last_words(log, since=since, who="`sequencer` did not start")
    assert isinstance(found, Malformed)
    assert (found.detail, found.hint, found.code) == ("`sequencer` did not start: the key is corrupt", "restore it", "key_corrupt")


@pytest.mark.parametrize(("said", "expected"), [("", "it said nothing"), ("Traceback …\nMemoryError\n", "MemoryError")])
def test_words_of_an_earlier_child_are_not_those_of_this_one(tmp_path: Path, said: str, expected: str) -> None:
    log = tmp_path / "web.log"
    log.write_text(format_last_words(Malformed("long ago")) + "\n")
    since = log.stat().st_size
    with log.open("a") as file:
        file.write(said)
    found = read_last_words(log, since=since, who="`web` did not start")
    assert isinstance(found, Unavailable)
    assert found.detail == f"`web` did not start: {expected}"
    assert str(log) in found.hint


def test_whoever_said_nothing_on_a_full_disk_could_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "sequencer.log"
    log.touch()
    assert "said nothing" in read_last_words(log, since=0, who="`sequencer` did not start").detail
    full = os.statvfs_result([4096, 4096, 1000, 8, 0, 100, 50, 50, 0, 255])
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    found = read_last_words(log, since=0, who="`sequencer` did not start")
    assert (found.code, "is full" in found.detail) == ("storage_failed", True)
    log.write_text("conflict (x): somebody else keeps it\n")
    assert read_last_words(log, since=0, who="`sequencer` did not start").code == "x", "what was said counts"
