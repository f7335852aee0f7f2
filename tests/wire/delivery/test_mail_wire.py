"""Mail over real sockets, to a small SMTP server made of the standard library's: what is said to it, and what is not."""

from __future__ import annotations

import base64
import email
import email.policy
import socket
import time
from pathlib import Path

import pytest
from tests.scenes.receivers import Post, accepting, certified, taking_mail

from jurat.app.delivery import MAIL, Letter, Outcome, Tried
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.worker.mail import Mail

ADDRESS = "ada@example.org"
NOTICE = rows.Notice(
    as_of="evt_1", notice="ntc_1", to="prn_ada", about="brk_1", subject="break_glass",
    text="`prn_b` took `x` – ö\n.\nQUIT", at="2026-11-25T19:40:41.1Z"
)  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "keys").mkdir(mode=0o700)
    return Workspace(tmp_path)


def send(workspace: Workspace, server: str, *, to: str = ADDRESS, notice: rows.Notice = NOTICE, timeout_s: float = 5.0) -> Tried:
    settings = Settings(mail_server=server, mail_from="jurat@example.org")
    return Mail(workspace, settings, timeout_s=timeout_s).send(Letter(notice, MAIL, to))


def login(workspace: Workspace, text: str, mode: int = 0o600) -> None:
    path = workspace.keys / "mail-login"
    path.write_text(text)
    path.chmod(mode)


def verbs(post: Post) -> list[str]:
    return [line.split(" ")[0].upper() for line in post.said]


def test_a_notice_is_one_mail(workspace: Workspace) -> None:
    with taking_mail() as post:
        assert send(workspace, post.address).outcome is Outcome.DELIVERED
    (raw,) = post.mails
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert (mail["To"], mail["From"], mail["Message-ID"]) == (ADDRESS, "jurat@example.org", "<ntc_1@jurat.local>")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "took `x` – ö" in mail.get_content()
    assert "jurat inbox read ntc_1" in mail.get_content()
    assert "AUTH" not in verbs(post), "nobody gave a login"


def test_what_a_notice_says_never_becomes_a_header(workspace: Workspace) -> None:
    lie = rows.Notice(as_of="e", notice="ntc_2", to="p", about="x\r\nBcc: eve@example.org", subject="rules\nX: y", text="t", at=NOTICE.at)
    with taking_mail() as post:
        assert send(workspace, post.address, notice=lie).outcome is Outcome.DELIVERED
    mail = email.message_from_bytes(post.mails[0], policy=email.policy.default)
    assert mail["Bcc"] is None
    assert mail["X"] is None
    assert verbs(post).count("RCPT") == 1


def test_an_address_that_says_more_than_one_is_sent_nothing(workspace: Workspace) -> None:
    with taking_mail() as post:
        tried = send(workspace, post.address, to="ada@example.org>\r\nRCPT TO:<eve@example.org")
    assert (tried.outcome, post.said) == (Outcome.REFUSED, [])
    assert "example" not in tried.why


def test_beyond_loopback_nothing_is_said_without_starttls(workspace: Workspace) -> None:
    """`127.0.0.2` is no name of this machine for us, and reaches a server here all the same."""
    login(workspace, "jurat:password\n")
    with taking_mail(host="127.0.0.2") as post:
        tried = send(workspace, post.address)
    assert tried.outcome is Outcome.AWAY
    assert "STARTTLS" in tried.why
    assert set(verbs(post)) <= {"EHLO", "QUIT"}


def test_nor_to_whoever_shows_a_certificate_that_does_not_hold(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certified(tmp_path, "127.0.0.2")
    login(workspace, "jurat:pass:word\n")
    with taking_mail(certificate, "127.0.0.2") as post:
        tried = send(workspace, post.address)
        assert (tried.outcome, tried.why) == (Outcome.AWAY, "the server's certificate does not hold")
        assert set(verbs(post)) == {"EHLO", "STARTTLS"}
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.pem))
        assert send(workspace, post.address).outcome is Outcome.DELIVERED
    spoken = next(line for line in post.said if line.startswith("AUTH PLAIN "))
    assert base64.b64decode(spoken.removeprefix("AUTH PLAIN ")) == b"\0jurat\0pass:word"
    assert verbs(post).index("AUTH") > verbs(post).index("STARTTLS")


@pytest.mark.parametrize(
    ("refusals", "outcome", "why"),
    [
        ({"RCPT": f"550 <{ADDRESS}> unknown"}, Outcome.REFUSED, "550"),
        ({"RCPT": f"450 <{ADDRESS}> later"}, Outcome.AWAY, "450"),
        ({"RCPT": f"554 relaying denied for {ADDRESS}"}, Outcome.AWAY, "554"),
        ({"MAIL": "550 who are you"}, Outcome.AWAY, "550"),
        ({"DATA": "451 disk full"}, Outcome.AWAY, "451"),
        ({"EHLO": "421 busy", "HELO": "421 busy"}, Outcome.AWAY, "421"),
    ],
    ids=["no mailbox", "later", "no relay", "no sender", "no data", "busy"],
)
def test_a_refusal_is_for_good_or_for_now_and_no_address_is_repeated(
    workspace: Workspace, refusals: dict[str, str], outcome: Outcome, why: str
) -> None:
    with taking_mail(**refusals) as post:
        tried = send(workspace, post.address)
    assert tried.outcome is outcome
    assert why in tried.why
    assert ADDRESS not in tried.why


def test_a_login_that_others_can_read_or_that_is_none_is_not_used(workspace: Workspace) -> None:
    with taking_mail() as post:
        for text, mode in (("jurat:password", 0o644), ("password", 0o600), (":x", 0o600), ("a:b\nc:d", 0o600)):
            login(workspace, text, mode)
            tried = send(workspace, post.address)
            assert tried.outcome is Outcome.AWAY
            assert "password" not in tried.why
    assert post.mails == []
    with taking_mail(AUTH="535 no") as post:
        login(workspace, "jurat:password")
        assert send(workspace, post.address).why == "the server refused the login with 535"


def drips(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"2")
        time.sleep(0.05)


def floods(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"220-more\r\n" * 1000)


@pytest.mark.parametrize("serve", [lambda _peer: time.sleep(5), drips, floods], ids=["hangs", "drips", "floods"])
def test_a_server_that_never_ends_its_answer_is_cut(workspace: Workspace, serve: object) -> None:
    door = socket.create_server(("127.0.0.1", 0))
    with accepting(door, serve):  # type: ignore[arg-type]
        began_s = time.monotonic()
        tried = send(workspace, f"127.0.0.1:{door.getsockname()[1]}", timeout_s=0.5)
    assert tried.outcome is Outcome.AWAY
    assert time.monotonic() - began_s < 4
