"""A witness as a real process: its door, and death between storing and answering."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from pathlib import Path

import pytest
from tests.scenes.witnesses import ORIGIN, SmallLog, WitnessProcess, serving

from jurat.core.errors import Unavailable
from jurat.ledger.layout import hash_origin
from jurat.ledger.witness_desk import Witness, create_witness
from jurat.merkle.cosign import open_cosigned, parse_witness_vkey
from jurat.worker.witness_client import Site, ask_witness, exchange

LOG = SmallLog()
PLACE = f"/{hash_origin(ORIGIN).hex()}/checkpoint"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    create_witness(tmp_path / "w", "witness.example/w1")
    desk = Witness(tmp_path / "w")
    desk.add_log(ORIGIN, [LOG.signer.vkey])
    site = desk.public
    desk.close()
    assert len(site.vkeys) == 2
    return tmp_path / "w"


def site_of(witness: WitnessProcess) -> Site:
    desk = Witness(witness.directory)
    vkeys = desk.public.vkeys
    desk.close()
    return Site(witness.url, tuple(parse_witness_vkey(vkey) for vkey in vkeys))


def ask(site: Site, log: SmallLog, size: int, old: int = 0, newest: int | None = None) -> str:
    return ask_witness(site, log.note(size), [log.signer.verifier], log.node, old, lambda: newest or size, 5)


def test_the_door_speaks_the_protocol(home: Path) -> None:
    with serving(home) as witness:
        assert exchange("GET", witness.url + PLACE, None, 5).status == 404
        reply = exchange("POST", f"{witness.url}/add-checkpoint", LOG.request(0, 3), 5)
        assert (reply.status, reply.content_type) == (200, "text/plain; charset=utf-8")
        reply = exchange("POST", f"{witness.url}/add-checkpoint", LOG.request(1, 5), 5)
        assert (reply.status, reply.content_type, reply.body) == (409, "text/x.tlog.size", b"3\n")
        assert exchange("POST", f"{witness.url}/add-checkpoint", SmallLog(fork=0).request(3, 3), 5).status == 422
        shown = exchange("GET", witness.url + PLACE, None, 5)
        assert shown.status == 200
        assert len(open_cosigned(shown.body, site_of(witness).verifiers).signatures) == 2
        for method, path, status in (
            ("GET", "/add-checkpoint", 405),
            ("POST", PLACE, 405),
            ("GET", "/", 404),
            ("GET", "/" + "0" * 64, 404),
        ):
            assert exchange(method, witness.url + path, b"", 5).status == status


def test_a_body_without_end_is_refused(home: Path) -> None:
    with serving(home) as witness:
        connection = http.client.HTTPConnection("127.0.0.1", witness.port, timeout=10)
        with contextlib.suppress(ConnectionError, http.client.HTTPException):  # it may hang up before all was sent: an answer, too
            connection.request("POST", "/add-checkpoint", iter([b"x" * 65536] * 64), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            assert connection.getresponse().status == 413
        connection.close()
        assert exchange("POST", f"{witness.url}/add-checkpoint", LOG.request(0, 3), 5).status == 200


def test_connections_are_kept_alive(home: Path) -> None:
    with serving(home) as witness:
        connection = http.client.HTTPConnection("127.0.0.1", witness.port, timeout=10)
        for old, size in ((0, 2), (2, 9)):
            connection.request("POST", "/add-checkpoint", LOG.request(old, size))
            response = connection.getresponse()
            assert response.status == 200
            response.read()
        connection.close()


def test_killed_after_storing_it_has_told_nobody_and_goes_on_from_there(home: Path) -> None:
    with serving(home) as witness:
        ask(site_of(witness), LOG, 3)
    with serving(home, crash_at="witness_before_answer") as witness:
        with pytest.raises(Unavailable):
            ask(site_of(witness), LOG, 7, old=3)
        assert witness.process.wait(timeout=10) == -9
    with serving(home) as witness:
        assert exchange("POST", f"{witness.url}/add-checkpoint", LOG.request(3, 5), 5).body == b"7\n", (
            "it remembers, so it cannot be led back"
        )
        assert open_cosigned(LOG.note(7) + ask(site_of(witness), LOG, 7, old=3), site_of(witness).verifiers).signatures
        assert exchange("POST", f"{witness.url}/add-checkpoint", SmallLog(fork=4).request(7, 9), 5).status == 422


def test_killed_before_storing_it_is_as_if_it_had_not_been_asked(home: Path) -> None:
    with serving(home, crash_at="witness_before_commit") as witness, pytest.raises(Unavailable):
        ask(site_of(witness), LOG, 7)
    with serving(home) as witness:
        assert exchange("GET", witness.url + PLACE, None, 5).status == 404
        assert ask(site_of(witness), LOG, 4)


def test_a_client_that_sends_nothing_holds_up_nobody(home: Path) -> None:
    with serving(home) as witness:
        idle = [socket.create_connection(("127.0.0.1", witness.port)) for _ in range(20)]
        for each in idle:
            each.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold")
        began_s = time.monotonic()
        assert ask(site_of(witness), LOG, 4)
        assert time.monotonic() - began_s < 4
        for each in idle:
            each.close()
