"""The keys that sign access tokens: the private one in `keys/`, readable by its owner only; the public ones in the state, by an event.

A new key is on disk before the event that puts it into force; the old ones stay known until what they signed has ended.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from jurat.app.walk import Done, act
from jurat.app.wiring import App
from jurat.core.errors import JuratError
from jurat.core.files import write_secret
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain.commands_identity import RotateTokenKeys
from jurat.identity import keys

_KID: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")


def issuer_of(settings: Settings) -> str:
    """Return by which name this workspace issues tokens: `public_url`, or one made of `log_host`."""
    return settings.public_url.rstrip("/") or f"https://{settings.log_host}"


def make_key(workspace: Workspace) -> dict[str, object]:
    """Return the public half of a fresh key, whose private half lies in `keys/` now."""
    private = keys.new_key()
    public = keys.public_half(private)
    write_secret(private_file(workspace, str(public["kid"])), private)
    return public


def private_file(workspace: Workspace, kid: str) -> Path:
    """Return where the private half of a key lies."""
    assert _KID.match(kid), "a thumbprint is a name that needs no care"
    return workspace.keys / f"token-{kid}.json"


def rotate_keys(app: App, token: str, reason: str, *, forget: bool = False) -> Done:
    """Sign access tokens by a new key from now on.

    Args:
        forget: the old keys are not known any more: what they signed ends now.
    Raises:
        Denied, Malformed: nothing changed, and no key is left behind.
    """
    public = make_key(app.workspace)
    try:
        done = act(app, token, RotateTokenKeys(issuer=issuer_of(app.settings), key=public, reason=reason, forget=forget))
    except JuratError as error:
        if error.code != "outcome_unknown":  # it may be in force: then it must be there
            private_file(app.workspace, str(public["kid"])).unlink(missing_ok=True)
        raise
    for path in app.workspace.keys.glob("token-*.json"):  # only the newest signs
        if path != private_file(app.workspace, str(public["kid"])):
            path.unlink(missing_ok=True)
    return done
