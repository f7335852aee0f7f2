"""Asking witnesses that are away, hang, drip, lie or babble; and one that knows another tree of ours."""

from __future__ import annotations

import socket
import time

import pytest
from tests.scenes.witnesses import Peer, SmallLog, hang, neighbour, says, size_is

from jurat.core.errors import Tampered, Unavailable
from jurat.merkle.cosign import CosignatureSigner
from jurat.merkle.note import Ed25519Signer, MlDsaSigner, format_signatures, read_unverified_text
from jurat.worker.exchange import MAX_ANSWER_SIZE, exchange
from jurat.worker.witness_client import Site, ask_size, ask_witness

LOG = SmallLog()
WITNESS = CosignatureSigner("w.example", b"\5" * 32, lambda: 1_764_000_000)
LIAR = CosignatureSigner("w.example", b"\6" * 32, lambda: 1_764_000_000)


def cosigns(size: int, signer: CosignatureSigner = WITNESS) -> Peer:
    return says(200, format_signatures(read_unverified_text(LOG.note(size)), [signer]).encode())


def ask(url: str, size: int = 9, old: int = 0, newest: int = 0, timeout_s: float = 2) -> str:
    site = Site(url, (WITNESS.verifier,))
    return ask_witness(site, LOG.note(size), [LOG.signer.verifier], LOG.node, old, lambda: newest or size, timeout_s)


def drip_head(peer: socket.socket, _raw: bytes) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: y\r\n" * 1000:
        peer.sendall(bytes([byte]))
        time.sleep(0.1)


def drip_body(peer: socket.socket, _raw: bytes) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    for _ in range(5000):
        peer.sendall(b"x")
        time.sleep(0.1)


def flood(peer: socket.socket, _raw: bytes) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        peer.sendall(b"x" * 65536)


def test_a_cosignature_comes_back_and_only_it() -> None:
    lines = format_signatures(read_unverified_text(LOG.note(9)), [Ed25519Signer("other.example", b"\7" * 32), WITNESS]).encode()
    with neighbour(says(200, lines)) as url:
        assert ask(url) == lines.decode().splitlines(keepends=True)[1]


def test_after_409_the_proof_begins_where_the_witness_is() -> None:
    bodies: list[bytes] = []

    def listen(peer: socket.socket, raw: bytes) -> None:
        bodies.append(raw)
        cosigns(9)(peer, raw)

    with neighbour(size_is(4), listen) as url:
        assert ask(url)
    assert bodies == [LOG.request(4, 9)]


@pytest.mark.parametrize("peer", [hang, drip_head, drip_body], ids=lambda peer: peer.__name__)
def test_whoever_hangs_or_drips_is_left_at_the_deadline(peer: Peer) -> None:
    with neighbour(peer) as url:
        began_s = time.monotonic()
        with pytest.raises(Unavailable, match="within"):
            ask(url, timeout_s=0.7)
        assert time.monotonic() - began_s < 3


def test_a_flood_is_cut_off() -> None:
    with neighbour(flood) as url, pytest.raises(Unavailable):
        exchange("GET", url, None, 5)


@pytest.mark.parametrize(
    "peer",
    [
        says(200, b""),
        says(200, b"ok\n"),
        says(200, b"\xff\xfe"),
        says(200, "— w.example AAAA\n".encode()),
        says(200, b"x" * (MAX_ANSWER_SIZE + 1)),
        cosigns(8),
        cosigns(9, LIAR),
        says(200, format_signatures(read_unverified_text(LOG.note(9)), [CosignatureSigner("w.example", b"\5" * 32, lambda: 0)]).encode()),
        says(409, b"4\n", "text/plain"),
        says(409, b"04\n", "text/x.tlog.size"),
        says(409, b"-4\n", "text/x.tlog.size"),
        says(409, b"99999999999999999999\n", "text/x.tlog.size"),
        says(409, b"4", "text/x.tlog.size"),
        size_is(0),
        says(422, b"no\n"),
        says(404, b"who?\n"),
        says(403, b"whose?\n"),
        says(500, b"oops\n"),
        says(301, b""),
        lambda peer, _raw: peer.sendall(b"SSH-2.0-OpenSSH\r\n\r\n"),
        lambda peer, _raw: peer.close(),
    ],
    ids=[
        "nothing", "no line", "no text", "short", "huge", "for another size", "another key", "no time", "409 of another type",
        "leading zero", "negative", "too large", "no newline", "409 that names what we said", "422 for size 0", "404", "403", "500",
        "redirect", "no http", "closed",
    ],
)  # fmt: skip
def test_garbage_and_lies_are_no_answer(peer: Peer) -> None:
    with neighbour(peer) as url, pytest.raises(Unavailable):
        ask(url)


def test_a_cosignature_that_does_not_hold_beside_one_that_does_is_refused() -> None:
    key = MlDsaSigner("w.example", b"\5" * 32, lambda: 1_764_000_000)
    text, other = read_unverified_text(LOG.note(9)), read_unverified_text(LOG.note(8))
    body = format_signatures(text, [WITNESS]) + format_signatures(other, [key])
    site = Site("", (WITNESS.verifier, key.verifier))
    with neighbour(says(200, body.encode())) as url, pytest.raises(Unavailable, match="does not hold"):
        ask_witness(site._replace(url=url), LOG.note(9), [LOG.signer.verifier], LOG.node, 0, lambda: 9, 2)


def test_a_witness_that_has_seen_more_makes_us_the_fork() -> None:
    with neighbour(size_is(20), says(404, b"")) as url, pytest.raises(Tampered, match="shows nothing") as caught:
        ask(url)
    assert caught.value.fields["checkpoint"] == ""


def test_and_its_proof_is_kept_if_it_has_one() -> None:
    with neighbour(size_is(20), says(200, LOG.note(20).encode())) as url, pytest.raises(Tampered, match="our own key") as caught:
        ask(url)
    assert caught.value.fields["checkpoint"] == LOG.note(20)


def test_a_proof_that_is_not_signed_by_us_is_none() -> None:
    stranger = SmallLog(seed=b"\2" * 32)
    with neighbour(size_is(20), says(200, stranger.note(20).encode())) as url, pytest.raises(Tampered, match="shows nothing"):
        ask(url)


def test_seeing_more_is_no_fork_if_we_have_published_more_meanwhile() -> None:
    with neighbour(size_is(20)) as url, pytest.raises(Unavailable) as caught:
        ask(url, size=9, newest=20)
    assert caught.value.code == "overtaken"


@pytest.mark.parametrize("old", [9, 4])
def test_another_root_for_an_old_size_makes_us_the_fork(old: int) -> None:
    with neighbour(size_is(old), says(422, b"no\n"), says(404, b"")) as url, pytest.raises(Tampered):
        ask(url)


def test_a_witness_that_moves_on_for_ever_is_given_up() -> None:
    with neighbour(size_is(1), size_is(2), size_is(3), size_is(4), size_is(5)) as url, pytest.raises(Unavailable, match="moves on"):
        ask(url)


@pytest.mark.parametrize("url", ["", "ftp://w.example", "http://", "http://w.example:99999", "w.example", "http://127.0.0.1:1"])
def test_an_address_that_is_none_is_said_to_be_none(url: str) -> None:
    with pytest.raises(Unavailable):
        ask(url)


def test_at_the_start_only_sizes_are_compared() -> None:
    def start(*turns: Peer) -> int | None:
        with neighbour(*turns) as url:
            return ask_size(Site(url, (WITNESS.verifier,)), LOG.note(9), [LOG.signer.verifier], 2)

    assert start(cosigns(9)) is None
    assert start(size_is(4)) == 4
    assert start(size_is(9), cosigns(9)) == 9
    with pytest.raises(Tampered):
        start(size_is(10), says(404, b""))
    with pytest.raises(Tampered):
        start(size_is(9), says(422, b""), says(404, b""))
    with pytest.raises(Unavailable):
        start(says(503, b""))
