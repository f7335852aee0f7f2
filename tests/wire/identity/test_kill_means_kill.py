"""When a token ends, the test looks at the dead socket: keep-alive connections of both doors, and how long it took by the record."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time

from tests.wire.gateway.gateway_site import Gateway
from tests.wire.identity.identity_site import IdentitySite

from jurat.app.walk import act
from jurat.domain.commands import RevokeToken
from jurat.domain.commands_identity import EndSession

DEAD_WITHIN_S = 2.0  # a busy machine; by the record it takes a poll of 0.1 s and a moment


def opened(site: IdentitySite, port: int, path: str, token: str) -> http.client.HTTPConnection:
    """A connection that was used once, and is kept alive."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"authorization": f"Bearer {token}"})
    connection.getresponse().read()
    assert connection.sock is not None
    return connection


def is_dead(connection: http.client.HTTPConnection, within_s: float) -> bool:
    assert connection.sock is not None
    connection.sock.settimeout(within_s)
    try:
        return connection.sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def cuts(site: IdentitySite) -> list[dict[str, object]]:
    site.app.settle()
    found = site.ask("GET", "/api/v1/events?kind=connections.cut.v1", headers={"authorization": f"Bearer {site.local['ben']}"})
    assert found.status == 200, found.raw
    return [event["event"]["data"] for event in found.body["data"]["events"]]


def test_rule_11_ending_a_session_closes_what_is_open_in_every_worker_and_nothing_else(site: IdentitySite) -> None:
    ends, stays = site.sign_in("ada").reply, site.sign_in("ada").reply
    dying = [opened(site, port, "/api/v1/sessions", ends["token"]) for port in (site.one, site.other, site.one)]
    living = opened(site, site.one, "/api/v1/sessions", stays["token"])
    began = time.monotonic()
    act(site.app, site.operator, EndSession(session=ends["session"], reason="laptop lost"))
    assert all(is_dead(connection, DEAD_WITHIN_S) for connection in dying)
    assert time.monotonic() - began < DEAD_WITHIN_S
    assert not is_dead(living, 0.3)
    for connection in (*dying, living):
        connection.close()
    deadline = time.monotonic() + 5
    told: list[dict[str, object]] = []
    while sum(int(str(cut["connections"])) for cut in told) < 3:
        assert time.monotonic() < deadline, told
        told = [cut for cut in cuts(site) if cut["session"] == ends["session"]]
    assert {cut["door"] for cut in told} == {"api"}
    assert all(0 < float(str(cut["took_ms"])) < DEAD_WITHIN_S * 1e3 for cut in told)


def test_rule_11_a_request_that_is_under_way_dies_with_its_token(site: IdentitySite) -> None:
    """A body that never ends: the connection is aborted in the middle of it."""
    token = site.sign_in("ada").reply
    with socket.create_connection(("127.0.0.1", site.one), timeout=20) as connection:
        head = f"POST /api/v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token['token']}\r\n"
        connection.sendall(f"{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{".encode())
        time.sleep(0.3)
        act(site.app, site.operator, EndSession(session=token["session"], reason="left"))
        connection.settimeout(DEAD_WITHIN_S)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_rule_11_the_gateway_closes_too_when_a_single_token_is_revoked(site: IdentitySite) -> None:
    gateway = Gateway(site.app.workspace)
    try:
        answer = site.of_client("scorer", audience="gateway").body
        connection = opened(site, gateway.port, "/v2/models/nothing", answer["access_token"])
        from jurat.app.keep_identity import hash_secret

        with site.app.store.reading() as state:
            known = state.vault.find_token(hash_secret(answer["access_token"]))
        assert known is not None
        act(site.app, site.operator, RevokeToken(token=known.token_id, principal=site.ids["scorer"], reason="rotated"))
        assert is_dead(connection, DEAD_WITHIN_S)
        connection.close()
        deadline = time.monotonic() + 5
        while not (told := [cut for cut in cuts(site) if cut["token"] == known.token_id]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (told[0]["door"], told[0]["reason"]) == ("gateway", "revoked")
    finally:
        gateway.stop()
