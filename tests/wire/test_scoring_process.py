"""The scoring server as it really runs: its own process, a real socket, a ready pipe, and an end on SIGTERM or with its parent."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from tests import hostile
from tests.unit.demo.test_scoring import request_of

from jurat.core.digests import digest_file
from jurat.demo.dataset import load_rows, split_rows
from jurat.demo.train import train

PARTS = split_rows(load_rows())


@pytest.fixture(scope="module")
def candidate(tmp_path_factory):
    return train("1.1.0", PARTS["training"], tmp_path_factory.mktemp("scoring"))


def command(candidate, *more, artefact=None, digest=None):
    return [
        sys.executable, "-m", "jurat.demo.scoring", "--artefact", str(artefact or candidate.artefact),
        "--digest", digest or candidate.artefact_digest, "--features", str(candidate.features),
        "--name", "credit", "--version", "1.1.0", *more,
    ]  # fmt: skip


def test_it_serves_says_its_port_and_goes_when_told(candidate):
    reader, writer = os.pipe()
    process = subprocess.Popen(command(candidate, "--ready-fd", str(writer)), pass_fds=[writer])
    os.close(writer)
    try:
        with os.fdopen(reader) as ready:
            word, port = ready.readline().split()
        assert word == "ready"
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
        body = json.dumps(request_of(candidate.schema, PARTS["applicants"][:1]))
        for _ in range(3):  # one connection, kept alive
            connection.request("POST", "/v2/models/credit/infer", body)
            response = connection.getresponse()
            assert response.status == 200
            assert json.loads(response.read())["parameters"]["model_digest"] == candidate.artefact_digest
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - began < 5
        connection.close()
    finally:
        process.kill()
        process.wait()


def test_it_goes_with_its_parent(candidate, tmp_path):
    reader, writer = os.pipe()
    ready = tmp_path / "ready"
    process = subprocess.Popen(command(candidate, "--ready-file", str(ready), "--parent-fd", str(reader)), pass_fds=[reader])
    os.close(reader)
    try:
        until = time.monotonic() + 60
        while not ready.exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert int(ready.read_text()) > 0
        os.close(writer)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_a_hostile_artefact_ends_it_with_a_reason_and_leaves_no_trace(candidate, tmp_path):
    trace, bad = tmp_path / "trace", tmp_path / "bad.pkl"
    bad.write_bytes(hostile.plant(trace))
    done = subprocess.run(command(candidate, artefact=bad, digest=digest_file(bad)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "`posix.system` is not on the list" in done.stderr
    assert "Traceback" not in done.stderr
    assert not trace.exists()


def test_a_port_in_use_ends_it_with_a_reason(candidate):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(command(candidate, "--port", port), capture_output=True, text=True, timeout=60)
    assert done.returncode == 5
    assert f"`127.0.0.1:{port}` cannot be listened on: address already in use" in done.stderr
