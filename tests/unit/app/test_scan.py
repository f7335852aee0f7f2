"""Two opinions before loading: either refuses, the digest comes first, and a scanner that fails has not said yes."""

from __future__ import annotations

import pickle
import runpy

import pytest
from tests import hostile

from jurat.app import scan as scan_module
from jurat.app.scan import scan, verify_loadable
from jurat.core.digests import digest_bytes
from jurat.core.errors import Denied, Tampered
from jurat.guard import pickles


class Runs:
    def __reduce__(self):
        return runpy.run_path, ("nothing.py",)


RUNS = pickle.dumps(Runs(), protocol=5)


def test_what_both_pass_is_loadable():
    assert scan(hostile.GOOD).is_clean
    verify_loadable(hostile.GOOD, digest_bytes(hostile.GOOD))


def test_picklescan_refuses_even_what_our_list_would_let_through(monkeypatch):
    monkeypatch.setattr(pickles, "ALLOWED", pickles.ALLOWED | {("runpy", "run_path")})
    found = scan(RUNS)
    assert found.verdict == "refused"
    assert found.reasons == ["picklescan knows `runpy.run_path` as dangerous"]


def test_a_scanner_that_fails_has_not_said_yes(monkeypatch):
    def fails(*_):
        raise RecursionError

    monkeypatch.setattr(scan_module, "scan_with_picklescan", fails)
    assert scan(hostile.GOOD).reasons == ["picklescan could not read it: RecursionError"]


def test_a_hostile_file_is_denied_with_every_reason():
    with pytest.raises(Denied) as caught:
        verify_loadable(RUNS, digest_bytes(RUNS))
    assert caught.value.code == "artefact_refused"
    assert caught.value.exit_code == 3
    assert "`runpy.run_path` is not on the list" in caught.value.detail
    assert caught.value.fields["reasons"] == scan(RUNS).reasons


def test_another_digest_is_tampered_even_if_the_file_is_hostile_too():
    for raw in (hostile.GOOD, RUNS):
        with pytest.raises(Tampered, match="has digest"):
            verify_loadable(raw, digest_bytes(b"something else"))
