"""What leaves for a stage: a version's bytes, and the signed word that lets somebody put exactly this version to work there.

Both stand behind the gates: they are given for a version that is in that stage, while its gates pass, and each is on record first.
The word is a JWT (`typ: deployment+jwt`), signed by the workspace's token key; a deployer checks it against `/oauth/jwks`.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Final

from jurat.app.token_keys import issuer_of, private_file
from jurat.app.walk import Done, act
from jurat.app.wiring import App
from jurat.core.clock import parse_at, to_ns
from jurat.core.digests import digest_file, short
from jurat.core.errors import Conflict, Tampered, Unavailable
from jurat.domain import rows
from jurat.domain.commands_rollout import AuthorizeDeployment, ReleaseArtefact
from jurat.domain.facts_rollout import ArtefactReleased, DeploymentAuthorized
from jurat.identity import keys

_PIECE_BYTES: Final = 1 << 20
TYPE: Final = "deployment+jwt"


def fetch_artefact(app: App, token: str, version: str, artefact: str, stage: str, purpose: str, to: Path) -> Done:
    """Copy a version's artefact to a new file, for a stage.

    Raises:
        Denied, Conflict: the caller may not, or the gates of that stage do not pass; recorded, and nothing was copied.
        NotFound, Tampered: the bytes are not here, or are not what their digest says.
    """
    if to.exists():
        raise Conflict(f"`{to}` exists already", hint="name a new file", code="exists")
    done = act(app, token, ReleaseArtefact(version=version, artefact=artefact, stage=stage, purpose=purpose))
    fact = done.events[0].data
    assert isinstance(fact, ArtefactReleased)
    source = app.artefacts.get(fact.artefact_digest)
    neighbour = to.with_name(f".{to.name}.{secrets.token_hex(4)}.part")
    try:
        with source.open("rb") as read, neighbour.open("xb") as copy:  # `x`: whoever may write there too lays no link before us
            shutil.copyfileobj(read, copy, _PIECE_BYTES)
        if digest_file(neighbour) != fact.artefact_digest:
            raise Tampered(f"artefact `{short(fact.artefact_digest)}` changed while it was copied", hint="restore it; do not load it")
        neighbour.replace(to)
    finally:
        neighbour.unlink(missing_ok=True)
    return done


def authorize_deployment(app: App, token: str, version: str, stage: str, target: str, lifetime_s: float) -> Done:
    """Return a signed word that exactly this version may be put to work in a stage, there, until it ends. Shown once.

    Raises:
        Denied, Conflict: the caller may not, or the gates do not pass; recorded, and no word was given.
        Unavailable: the workspace has no key to sign it by.
    """
    done = act(app, token, AuthorizeDeployment(version=version, stage=stage, target=target, lifetime_s=lifetime_s))
    event = done.events[0]
    fact = event.data
    assert isinstance(fact, DeploymentAuthorized)
    with app.store.reading() as state:
        known = state.get(rows.TokenKeys, "current")
    kid = str(known.keys[0].get("kid", "")) if known is not None and known.keys else ""
    try:
        private = private_file(app.workspace, kid).read_bytes() if kid else b""
    except OSError:
        private = b""
    if not private:
        raise Unavailable("the workspace has no key to sign it by", hint="ask an operator: `jurat identity rotate-keys`", code="no_key")
    claims = {
        "iss": issuer_of(app.settings), "jti": fact.deployment, "sub": event.actor.principal, "aud": fact.target, "event": event.id,
        "version": fact.version, "version_digest": fact.version_digest, "stage": fact.stage,
        "iat": to_ns(parse_at(event.at)) // 10**9, "exp": to_ns(parse_at(fact.expires_at)) // 10**9,
    }  # fmt: skip
    return Done(done.events, {"deployment_token": keys.sign(private, {"typ": TYPE}, claims)})
