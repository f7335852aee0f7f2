"""Names for `prn_…` ids, for those who may see them. The record holds ids only; names lie in the vault and may be erased."""

from __future__ import annotations

import re
from typing import Final

from jurat.app.look import names_of
from jurat.app.wiring import App
from jurat.cli.session import Session
from jurat.core.errors import NotFound

_IDS: Final = re.compile(r"`(?P<quoted>prn_[0-9a-z]{26})`|(?P<bare>prn_[0-9a-z]{26})")


class People:
    """Ids to names, as far as the caller may see them."""

    def __init__(self, session: Session, app: App, token: str) -> None:
        self._names = {} if session.as_json else names_of(app, token)

    def name(self, principal: str) -> str:
        """Return `Ada Lovelace (prn_…)` with the id shortened from the left, or the id."""
        name = self._names.get(principal)
        return f"{name} (…{principal[-6:]})" if name else principal

    def put_names(self, text: str) -> str:
        """Return a text with each id that it mentions (`prn_…` whole, or in backticks) replaced by a name, as `name` has it."""
        return _IDS.sub(lambda found: self.name(found["bare"] or found["quoted"]), text) if self._names else text


def resolve(app: App, token: str, who: str) -> str:
    """Return the id of a principal given by id, or by a name that only one of those whom the caller may see bears.

    Raises:
        NotFound: nobody, or several.
    """
    if who.startswith("prn_"):
        return who
    found = [principal for principal, name in names_of(app, token).items() if name == who]
    if len(found) != 1:
        raise NotFound(
            f"{'nobody' if not found else 'more than one principal'} whom you may see is called `{who[:80]}`",
            hint="give the id: `jurat principal list`",
        )
    return found[0]
