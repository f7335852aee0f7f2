"""The process whose word is evidence: Jurat's own evaluator, acting for the person who asked, with both in the chain."""

from __future__ import annotations

from jurat.app.admit import admit
from jurat.app.wiring import App
from jurat.core.errors import Unavailable
from jurat.domain import rows
from jurat.domain.events import Actor
from jurat.domain.values import PrincipalType

EVALUATOR = "evaluator"


def evaluator_for(app: App, token: str) -> Actor:
    """Return the evaluator as it acts for the holder of a token.

    Raises:
        Unauthenticated: the token proves nobody.
        Unavailable: this workspace has no evaluator.
    """
    with app.store.reading() as state:
        person = admit(state, state.vault, token, app.clock.now_ns())
        found = [p for p in state.find(rows.Principal, name=EVALUATOR) if p.type is PrincipalType.PROCESS and p.active]
    if len(found) != 1:
        raise Unavailable(
            "this workspace has no evaluator of its own", hint="ask an operator; `jurat init` registers one", code="no_evaluator"
        )
    return Actor(principal=found[0].principal, type=PrincipalType.PROCESS, chain=[*person.chain, found[0].principal])
