"""One notice as one mail, handed to the one server that the settings name.

Beyond loopback nothing is said before STARTTLS and a certificate that holds: a server that offers none gets no mail. Of what the
server answers only its code is kept, since servers repeat addresses. An address leaves the vault for the server, and goes nowhere
else: not into a log, an event, or an error.
"""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import BinaryIO, Final

from jurat.app.delivery import Letter, Outcome, Tried
from jurat.core.clock import parse_at
from jurat.core.destinations import MailServer, is_mailbox, parse_mail_server
from jurat.core.errors import NotFound, Unavailable
from jurat.core.files import read_private
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.worker.exchange import Deadline

_NO_MAILBOX: Final = (550, 551, 553)  # RFC 5321, 4.2.3; other refusals may be about us, and pass
_MOST_BYTES: Final = 64 * 1024  # that a server may say
TIMEOUT_S: Final = 20.0  # for one mail, everything included
_SUBJECTS: Final = {
    "break_glass": "an emergency took you past", "review": "a review waits for you", "reminder": "a review still waits for you",
    "rules": "the rules of duties were loosened", "credential": "a credential was made",
}  # fmt: skip


def read_login(workspace: Workspace) -> tuple[str, str] | None:
    """Return user and password from `keys/mail-login`, one line `<user>:<password>`; None if there is no such file.

    Raises:
        Unavailable: others can read it, or it holds something else.
    """
    path = workspace.keys / "mail-login"
    try:
        text = read_private(path, what="login of the mail server")
    except NotFound:
        return None
    user, colon, password = text.partition(":")
    if not colon or not user or not password or "\n" in text:
        raise Unavailable(f"`{path}` holds no login", hint="one line: `<user>:<password>`")
    return user, password


def write_mail(notice: rows.Notice, to: str, settings: Settings) -> EmailMessage:
    """Return the mail: what `jurat inbox list` shows, with people by their ids, and where to go from there."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = settings.mail_from, to
    mail["Subject"] = f"jurat: {_SUBJECTS.get(notice.subject, 'a notice for you')}"
    mail["Date"] = format_datetime(parse_at(notice.at))
    mail["Message-ID"] = f"<{notice.notice}@{settings.log_host}>"  # the same at every try
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's vacation answers
    where = f"\n{settings.public_url}" if settings.public_url else ""
    mail.set_content(
        f"{notice.text}\n\nabout: {notice.about}\nat: {notice.at}\nnotice: {notice.notice}\n\n"
        f"`jurat inbox list` shows it with names; `jurat inbox read {notice.notice}` takes note of it.{where}\n"
    )
    return mail


class _Lines:
    """What a server says, up to a bound."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, _MOST_BYTES

    def readline(self, limit: int) -> bytes:
        line = self._file.readline(min(limit, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise OSError("it says too much")  # which smtplib takes for an end
        return line

    def close(self) -> None:
        self._file.close()


class _Bounded(smtplib.SMTP):
    """smtplib's client, which believes that every server ends its answers: here they are bounded in size, and in time as a whole."""

    def __init__(self, server: MailServer, deadline: Deadline, *, timeout: float, local_hostname: str) -> None:
        self._deadline = deadline
        super().__init__(server.host, server.port, local_hostname, timeout)  # connects; STARTTLS checks this very name

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:  # a new connection, or the same one inside TLS
            self.cover()
            self.file = _Lines(self.sock.makefile("rb"))
        return super().getreply()

    def cover(self) -> None:
        """Let the deadline cut the connection as it is now."""
        assert self.sock is not None
        self._deadline.covers(self.sock)


class Mail:
    """The mail server that the settings name."""

    def __init__(self, workspace: Workspace, settings: Settings, *, timeout_s: float = TIMEOUT_S) -> None:
        self._workspace, self._settings, self._timeout_s = workspace, settings, timeout_s
        self._server: MailServer = parse_mail_server(settings.mail_server)

    def prepare(self) -> None:
        """Pass if letters can go.

        Raises:
            Unavailable: the login cannot be read, or is open to others.
        """
        read_login(self._workspace)

    def send(self, letter: Letter) -> Tried:
        """Try once. Whatever the server does, this is over in time and does not raise."""
        if not is_mailbox(letter.address):
            return Tried(letter, Outcome.REFUSED, "the address that is known of them is none that mail is sent to")
        mail = write_mail(letter.notice, letter.address, self._settings)
        try:
            with Deadline.within(self._timeout_s) as deadline:
                self._hand_over(mail, letter.address, deadline)
        except smtplib.SMTPRecipientsRefused as error:
            code = min((code for code, _ in error.recipients.values()), default=0)
            return Tried(letter, Outcome.REFUSED if code in _NO_MAILBOX else Outcome.AWAY, f"the server refused the address with {code}")
        except smtplib.SMTPAuthenticationError as error:
            return Tried(letter, Outcome.AWAY, f"the server refused the login with {error.smtp_code}")
        except smtplib.SMTPResponseException as error:
            return Tried(letter, Outcome.AWAY, f"the server refused the mail with {error.smtp_code}")
        except Unavailable as error:
            return Tried(letter, Outcome.AWAY, error.detail)
        except ssl.SSLCertVerificationError:
            return Tried(letter, Outcome.AWAY, "the server's certificate does not hold")
        except (OSError, smtplib.SMTPException, ValueError) as error:
            why = f"nothing came of it within {self._timeout_s:g} s" if deadline.is_over else f"the server is away: {type(error).__name__}"
            return Tried(letter, Outcome.AWAY, why)
        return Tried(letter, Outcome.DELIVERED)

    def _hand_over(self, mail: EmailMessage, to: str, deadline: Deadline) -> None:
        login = read_login(self._workspace)
        smtp = _Bounded(self._server, deadline, timeout=self._timeout_s, local_hostname=self._settings.log_host)
        try:
            smtp.ehlo_or_helo_if_needed()
            if not self._server.is_loopback or smtp.has_extn("starttls"):
                if not smtp.has_extn("starttls"):
                    raise Unavailable("the mail server offers no STARTTLS, and without it nothing is said to it")
                smtp.starttls(context=_trusting(self._server))
                smtp.cover()
                smtp.ehlo()
            if login is not None:
                smtp.login(*login)
            smtp.sendmail(self._settings.mail_from, [to], mail.as_bytes())
        finally:
            smtp.close()


def _trusting(server: MailServer) -> ssl.SSLContext:
    """Return what a certificate is held against. On loopback nobody is in between, and certificates there name nobody."""
    context = ssl.create_default_context()
    if server.is_loopback:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
