"""`jurat access`: who may do what, why, and how to come to it. Verbs lie in the modules that this one imports at its end."""

from __future__ import annotations

from jurat.cli.verbs import noun


@noun("access")
def access() -> None:
    """Access: ask for it, answer, see the rules of it and what they hold apart."""


from jurat.cli import access_requests as _access_requests  # noqa: E402, F401 - its verbs join the noun above
from jurat.cli import access_why as _access_why  # noqa: E402, F401
