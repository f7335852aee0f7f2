"""Who may connect, where the socket is looked for, how much it holds. Nothing listens here; see tests/contract/ledger."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from jurat.core.errors import Denied
from jurat.ledger.endpoint import check_peer, socket_address, widen

pytestmark = pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not tell who connects")


class PeerOf:
    """Stands for a connection whose other side is a user."""

    def __init__(self, uid: int) -> None:
        self.uid = uid

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
        return struct.pack("3i", 4711, self.uid, 0)


def test_this_user_and_root_may_connect_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    check_peer(PeerOf(1000))
    check_peer(PeerOf(0))
    for uid in (1001, 65534, -1):
        with pytest.raises(Denied, match=str(uid)):
            check_peer(PeerOf(uid))


def test_address_is_the_socket_or_what_the_run_directory_says(tmp_path: Path) -> None:
    assert socket_address(tmp_path) == tmp_path / "ledger.sock"
    assert socket_address(tmp_path / "ledger.sock") == tmp_path / "ledger.sock"
    (tmp_path / "ledger.addr").write_text("/elsewhere/ledger.sock")
    assert socket_address(tmp_path) == Path("/elsewhere/ledger.sock")


def test_more_may_be_under_way_than_a_socket_has_by_itself() -> None:
    one, other = socket.socketpair()
    with one, other:
        widen(one)
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > other.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    widen(one)  # a closed one is said by whoever sends
