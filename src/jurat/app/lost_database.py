"""A workspace whose PostgreSQL is gone: what holds is folded again from the ledger, and one operator gets a token again.

No token can be asked for: the vault is where tokens are known. What proves the right instead is the signing key of this very ledger,
on this machine. What lay in the database alone does not come back: names, addresses, sign-ins, passkeys, token hashes (restore the
schema `vault` from its backup first, if there is one), and what the outbox had not handed to the ledger yet.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jurat.app.admit import new_token
from jurat.app.refold import fold_in
from jurat.app.wiring import App
from jurat.core.clock import parse_at
from jurat.core.errors import Conflict, Denied, JuratError, Malformed
from jurat.core.files import write_secret
from jurat.core.jsonio import load_json
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.duties import people_holding
from jurat.domain.events import Actor
from jurat.domain.facts import TokenIssued
from jurat.domain.facts_watch import DatabaseRecovered
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType
from jurat.ledger.keys import LogSigners, load_signing_key
from jurat.ledger.layout import LogName, signing_key_file

TOKEN_S: Final = 86_400.0
_KEYS: Final = ("workspace.created.v1", "log.key_rotated.v1")
_MOST_SEEDS: Final = 1_000


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. The operator's token lies in `token_file` (0600), for a day."""

    rows: int
    events: int
    operator: str
    token_file: str
    event: str


def recover_database(app: App, reason: str, *, operator: str = "") -> Recovered:
    """Fold the whole ledger into the empty database, and give one operator a token.

    Args:
        operator: whose; may be left out where only one person holds that role.

    Raises:
        Conflict: the database is not empty: nothing is lost, and a token is asked for as ever.
        Denied: the signing key of this ledger is not here.
        Malformed: no reason; or it is not clear who the operator is. The database is as it was.
        Tampered: the ledger itself is not whole.
    """
    if not reason.strip():
        raise Malformed("bringing a database back needs a reason", hint="say what happened to it: it is on record")
    with app.store.reading() as state:
        if state.find(rows.Principal) and state.vault.people():  # rows without any name: this was killed before it gave the token
            raise Conflict(
                "the database knows people: it is not lost",
                hint="`jurat rebuild --compare` and `--apply` repair it, with a token", code="not_lost",
            )  # fmt: skip
    prove_key(app)
    folded, count = fold_in(app, dry=True)
    found = people_holding(folded, ["operator"], app.clock.now_ns())
    chosen = [each for each in found if operator in ("", each)]
    if len(chosen) != 1:
        raise Malformed(
            f"`{operator[:40]}` is not an operator" if operator else f"{len(found)} people are operators",
            hint=f"name one with --operator: {', '.join(found) or 'the ledger knows none'}",
        )
    fold_in(app)
    who, now_ns, size = chosen[0], app.clock.now_ns(), sum(len(table) for table in folded.tables.values())
    token, token_hash = new_token()
    context = Context(Actor(principal=who, type=PrincipalType.PERSON, chain=[who]), now_ns, None, "workspace")
    event = context.event(DatabaseRecovered(rows=size, events=count, operator=who, reason=reason))
    issued = TokenIssued(token=context.fresh("tok"), principal=who, chain=[who], expires_at=expiry(now_ns, TOKEN_S), how="recovery")
    with app.store.transaction() as tx:
        tx.record([event, context.event(issued, because=[event.id])])
        if who not in {person.principal for person in tx.vault.people()}:
            tx.vault.put_person(who, name="operator")
        tx.vault.put_token(token_hash, token_id=issued.token, principal=who, chain=[who], expires_at=parse_at(issued.expires_at))
    app.settle()
    path = app.workspace.credentials / "operator.token"
    write_secret(path, token.encode() + b"\n")
    return Recovered(rows=size, events=count, operator=who, token_file=str(path), event=event.id)


def prove_key(app: App) -> None:
    """Pass if a seed in `keys/` gives a key that this ledger names as one of its configuration log.

    Raises:
        Denied: none does.
    """
    log = LogName(app.settings.tenant, "configuration")
    named: set[str] = set()
    for stored in app.events.scan(classes=["configuration"], kinds=list(_KEYS)):
        data: dict[str, Any] = load_json(stored.raw, dict[str, Any], what="event")["data"]
        named |= {each["receipt_vkey"] for each in data.get("log_keys", []) if each["log"] == str(log)}
        named |= {data["new_receipt_vkey"]} if data.get("log") == str(log) else set()
    for number in range(1, _MOST_SEEDS):
        path = signing_key_file(app.workspace.keys, number)
        if number > 1 and not path.exists():
            break
        try:
            seed = load_signing_key(path)
        except JuratError:
            continue
        if LogSigners(seed, log, app.settings.log_host, lambda: 0).public.receipt_vkey in named:
            return
    raise Denied(
        "the signing key of this ledger is not here, and only it proves who may bring the database back",
        hint="restore `keys/signing.key` from its backup", code="no_proof",
    )  # fmt: skip
