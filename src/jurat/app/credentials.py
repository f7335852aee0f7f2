"""By what a person can act, and through whose hands each of it came; and a token changed for one that nobody else has seen."""

from __future__ import annotations

import msgspec

from jurat.app.admit import hash_token
from jurat.app.look import SeePrincipals, check, known
from jurat.app.walk import Done, act
from jurat.app.wiring import App
from jurat.core.clock import from_ns
from jurat.core.errors import Unauthenticated
from jurat.domain import rows
from jurat.domain.commands_credentials import ActivateToken
from jurat.domain.credentials import spoken_by

OWN, VOUCHED, WAITS, HANDED_OUT = "own", "vouched for", "waits for a third person's word", "handed out"


class ShownCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential as those see it who decide whether it is its person's alone."""

    credential: str
    standing: str  # `own`, `vouched for`, `waits for a third person's word`, `handed out`
    hands: list[str]  # who else made it
    vouched_by: str = ""


def credentials_of(app: App, token: str, principal: str) -> list[ShownCredential]:
    """Return what would admit a person now, but for sessions: one's own, or anybody's for those who may see principals."""
    if known(app, token).principal != principal:
        check(app, token, SeePrincipals(place=f"principals/{principal}"))
    found = []
    with app.store.reading() as state:
        for name, made in state.vault.made_for(principal, from_ns(app.clock.now_ns())):
            vouch = state.get(rows.Vouch, made.root) if made.root else None
            if not made.hands:
                standing = OWN
            elif not spoken_by(state, made.root, made.hands):
                standing = VOUCHED
            else:
                standing = WAITS if made.root else HANDED_OUT
            found.append(ShownCredential(credential=name, standing=standing, hands=list(made.hands), vouched_by=vouch.by if vouch else ""))
    return found


def activate(app: App, token: str) -> Done:
    """Change the token itself for a fresh one, `reply["token"]`, that whoever handed it out has not seen. It ends with this.

    Raises:
        Unauthenticated: it proves nobody.
        Conflict: it is its holder's own already. Recorded.
    """
    with app.store.reading() as state:
        found = state.vault.find_token(hash_token(token))
    if found is None:
        raise Unauthenticated("this access token is not valid", hint="ask an operator for a new one: `jurat token issue`")
    return act(app, token, ActivateToken(token=found.token_id, principal=found.principal))
