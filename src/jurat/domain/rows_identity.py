"""What holds now of proofs of identity: sessions, who vouched for what, token keys, providers, groups, trust in workloads.

The same law as `rows`.
"""

from __future__ import annotations

from typing import Any, Final

from jurat.domain.row import Row


class Session(Row, frozen=True, kw_only=True):
    """A session that has not been ended; whether its time is over, its reader looks."""

    session: str
    principal: str
    chain: list[str]
    method: str
    opened_at: str
    expires_at: str
    jkt: str = ""
    hands: list[str] = []  # noqa: RUF012 - who else made what it was opened by
    root: str = ""  # what that was


class Vouch(Row, frozen=True, kw_only=True):
    """Somebody said that a credential is its person's alone. Key: the credential."""

    credential: str
    principal: str
    by: str
    alone: bool = False


class TokenKeys(Row, frozen=True, kw_only=True):
    """Key `current`. Public keys; the first signs."""

    issuer: str
    keys: list[dict[str, Any]]
    since: str


class Provider(Row, frozen=True, kw_only=True):
    provider: str
    issuer: str
    client_id: str
    scopes: list[str]
    directory: str = ""


class Trust(Row, frozen=True, kw_only=True):
    """Which workloads' tokens are believed, and whose word they are."""

    trust: str
    form: str
    issuer: str
    audience: str
    claims: dict[str, str]
    principal: str
    keys: list[dict[str, Any]]


class Group(Row, frozen=True, kw_only=True):
    """A directory's group. Its members are that directory's own people and groups."""

    group: str
    directory: str
    name: str
    people: list[str]
    groups: list[str]
    external_id: str = ""


class GroupRolesInForce(Row, frozen=True, kw_only=True):
    """Key `current`, and one row per digest ever in force."""

    digest: str
    source: str


IDENTITY_ROWS: Final[dict[str, type[Row]]] = {
    "sessions": Session,
    "token_keys": TokenKeys,
    "providers": Provider,
    "trusts": Trust,
    "vouches": Vouch,
}
