"""Whose word is a workload's token? CI systems, clusters, SPIFFE: tokens of other issuers, believed by trust rules, and by nothing else.

The issuer's keys are pinned in the rule, or read from where its discovery document says (`issuers`). Which rule a token is meant
for is chosen by issuer and audience; the claims that the rule names must all be met.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from jurat.app.issuers import keys_of
from jurat.app.wiring import App
from jurat.core.errors import Unauthenticated
from jurat.domain import rows
from jurat.identity import trust


class Workload(NamedTuple):
    """A workload that was recognised."""

    principal: str
    trust: str  # the rule
    replay_key: bytes  # what must not be seen twice; empty: its tokens have no `jti`
    expires_at: datetime


def workload_of(app: App, assertion: str) -> Workload:
    """Return who a workload's token is.

    Raises:
        Unauthenticated: no rule believes it, or it does not hold.
        Unavailable: its issuer's keys cannot be read now.
    """
    with app.store.reading() as state:
        found = state.find(rows.Trust)
    rules = [trust.Rule(r.trust, r.form, r.issuer, r.audience, r.claims, r.principal) for r in found]
    pinned = {r.trust: r.keys for r in found}
    rule = trust.choose(assertion, rules)
    now_s = app.clock.now_ns() / 1e9
    for fresh in (False, True):
        keys = pinned[rule.trust] or keys_of(rule.issuer, now_s, fresh=fresh)
        try:
            known = trust.check(assertion, rule, keys, now_s=now_s)
        except Unauthenticated as error:
            # the issuer may have new keys: look once more
            if error.code not in ("token_key", "token_signature") or fresh or pinned[rule.trust]:
                raise
            continue
        return Workload(rule.principal, rule.trust, known.replay_key, datetime.fromtimestamp(known.expires_s, UTC))
    raise AssertionError("the loop returns or raises")
