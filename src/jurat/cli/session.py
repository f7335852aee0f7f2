"""What every command needs: the workspace, the token of whoever acts, and the app when it is wanted.

Imports nothing heavy: `jurat --help` passes through here.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jurat.core.errors import JuratError, Malformed, NotFound, Unauthenticated
from jurat.core.workspace import Workspace

if TYPE_CHECKING:
    from jurat.app.walk import Done
    from jurat.app.wiring import App
    from jurat.domain.commands import Command

_TOKEN_BYTES = 4096
_REFRESH = ".refresh"
_SOON_S = 60.0  # before its end, a token is renewed


@dataclass
class Session:
    """One call of `jurat`."""

    workspace_given: str = ""
    as_name: str = ""
    token_file: str = ""
    as_json: bool = False
    debug: bool = False
    opener: Callable[[Workspace], contextlib.AbstractContextManager[App]] | None = field(default=None, repr=False)

    @property
    def workspace(self) -> Workspace:
        """The workspace that is meant: given, `$JURAT_WORKSPACE`, the nearest parent that is one, or `./jurat-demo`.

        Raises:
            NotFound: none of these is a workspace.
        """
        given = self.workspace_given or os.environ.get("JURAT_WORKSPACE", "")
        if given:
            return Workspace(Path(given).absolute())
        here = Path.cwd()
        for root in (here, *here.parents, here / "jurat-demo"):
            if (root / "jurat.toml").is_file():
                return Workspace(root)
        raise NotFound("there is no workspace here", hint="go into one, name one with `-C DIR`, or make one: `jurat init DIR`")

    def token(self) -> str:
        """Return the token of whoever acts.

        Raises:
            Unauthenticated: there is none, or others than its owner could read it.
        """
        if self.as_name and self.token_file:
            raise Malformed("`--as` and `--token-file` both say who acts", hint="give one of them")
        if not (self.as_name or self.token_file) and os.environ.get("JURAT_TOKEN"):
            return os.environ["JURAT_TOKEN"].strip()
        if self.token_file:
            return _read_token(Path(self.token_file))
        path = self.credential(self.as_name or "operator")
        return self._renewed(path) if path.with_suffix(_REFRESH).exists() else _read_token(path)

    def keep_tokens(self, name: str, token: str, refresh_token: str) -> None:
        """Write a sign-in's token, and what renews it, to files that only their owner reads."""
        from jurat.core.files import write_secret

        path = self.credential(name)
        write_secret(path.with_suffix(_REFRESH), refresh_token.encode() + b"\n")
        write_secret(path, token.encode() + b"\n")

    def forget_tokens(self) -> None:
        """Take away the files of the sign-in that acts."""
        if self.as_name and not self.token_file:
            for path in (self.credential(self.as_name), self.credential(self.as_name).with_suffix(_REFRESH)):
                path.unlink(missing_ok=True)

    def _renewed(self, path: Path) -> str:
        """Return a sign-in's token, renewed if it is about to end; one call at a time, since what renews it is used up."""
        import fcntl

        with path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            token = _read_token(path)
            if _ends_in_s(token) > _SOON_S:
                return token
            from jurat.app.grants import Wish, refresh

            with self.app() as app:
                done = refresh(app, _read_token(path.with_suffix(_REFRESH)), Wish())
                self.keep_tokens(path.stem, done.reply["token"], done.reply["refresh_token"])
            return done.reply["token"]

    def credential(self, name: str) -> Path:
        """Return where the token that is called `name` lies in the workspace."""
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
            raise Malformed(f"`{name[:60]}` is not the name of a token file", hint="`--as ada` means `credentials/ada.token`")
        return self.workspace.credentials / f"{name}.token"

    @contextlib.contextmanager
    def app(self) -> Iterator[App]:
        """Join the running `jurat serve`, or host the stores for the moment."""
        if self.opener is None:
            from jurat.app.wiring import open_app

            self.opener = open_app
        with self.opener(self.workspace) as app:
            try:
                yield app
            except JuratError as error:
                if not self.as_json:
                    self._put_names(error, app)
                raise

    def _put_names(self, error: JuratError, app: App) -> None:
        """Say who is meant, where the record has ids only; as far as whoever acts may see names."""
        if "`prn_" not in error.detail + error.hint:
            return
        from jurat.app.look import names_of

        with contextlib.suppress(JuratError):
            for principal, name in names_of(app, self.token()).items():
                said = f"{flat(name)} (…{principal[-6:]})"
                error.detail, error.hint = (text.replace(f"`{principal}`", said) for text in (error.detail, error.hint))

    def act(self, command: Command) -> Done:
        """Walk with one command."""
        from jurat.app.walk import act

        token = self.token()
        with self.app() as app:
            return act(app, token, command)

    def done(self, done: Done) -> None:
        """Print what an act left: its events."""
        from jurat.cli.show import show_fields, show_json

        if self.as_json:
            show_json({**done.reply, "events": [event.id for event in done.events]})
        else:
            show_fields(self, [*done.reply.items(), *((event.kind.name, event.id) for event in done.events)])

    def say(self, text: str) -> None:
        """Talk: to the person, never to the program that reads stdout."""
        click.echo(text, err=True)

    @property
    def on_terminal(self) -> bool:
        """Whether stdout is read by a person."""
        return sys.stdout.isatty() and not self.as_json


def flat(text: str, *, keep: str = "") -> str:
    """Return the text without anything that could move the cursor or start a line: what is shown may come from elsewhere."""
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def _ends_in_s(token: str) -> float:
    """Return how long an access token lives by its own word: only to renew it in time, nothing is believed."""
    try:
        claims = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return float(said["exp"]) - time.time()
    except (IndexError, ValueError, KeyError, TypeError):
        return 0.0


def _read_token(path: Path) -> str:
    ask = "ask an operator for one: `jurat token issue PRINCIPAL --save NAME`"
    try:
        with path.open("rb") as file:
            mode, raw = os.fstat(file.fileno()).st_mode, file.read(_TOKEN_BYTES)
    except FileNotFoundError:
        raise Unauthenticated(f"there is no token at `{path}`", hint=ask) from None
    except OSError as error:
        raise Unauthenticated(f"the token at `{path}` cannot be read: {(error.strerror or 'failed').lower()}", hint=ask) from error
    if not stat.S_ISREG(mode) or mode & 0o077:
        raise Unauthenticated(f"others than its owner can read the token at `{path}`", hint=f"`chmod 600 {path}`, and have it replaced")
    try:
        return raw.decode("ascii").strip()
    except UnicodeDecodeError:
        raise Unauthenticated(f"`{path}` holds no token", hint=ask) from None
