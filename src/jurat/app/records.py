"""Reading the ledger, which is an act: what was asked, by whom and as of where is recorded before anything is shown."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import msgspec

from jurat.app.walk import act
from jurat.app.where import parse_where
from jurat.app.wiring import App
from jurat.core.clock import format_at, to_ns
from jurat.core.errors import Malformed, NotFound, Tampered
from jurat.core.ids import check_id
from jurat.domain.commands import ReadRecords
from jurat.domain.kinds import RetentionClass, kind_named
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import log_keys_file, parse_log_name
from jurat.ledger.query import Answer
from jurat.ledger.stored import StoredEvent

MOST_EVENTS: Final = 10_000
_LOOK_TIMEOUT_S: Final = 30.0
_WITNESS_PATIENCE_S: Final = 3.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events: every condition that is given must hold."""

    kind: str | None = None
    retention: str | None = None
    principal: str | None = None
    where: str = ""  # conditions as people write them (`where`)
    limit: int = 100
    after: str = ""  # `next` of an earlier answer

    def __str__(self) -> str:
        given = [f"{name}={value}" for name in ("kind", "retention", "principal") if (value := getattr(self, name))]
        given += [f"where {self.where}"] if self.where.strip() else []
        return " ".join(given) or "everything"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One event, with its place."""

    event_id: str
    kind: str
    at: str
    principal: str
    resource: str
    effect: str | None
    log: str
    index: int
    event: Any  # what the bytes say that the log commits to; None if they are not JSON


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Events, newest first. `as_of`: per log, the next index; `next`: the cursor of what is older, empty at the end."""

    events: list[Told]
    as_of: dict[str, int]
    next: str


def newest(app: App, token: str, wanted: Wanted) -> Page:
    """Return the newest events of a kind, class or principal.

    Raises:
        Malformed: no such kind or class, an absurd limit or cursor.
        Denied: recorded.
    """
    conditions, parameters = _conditions(wanted)
    record_reading(app, token, "events", str(wanted))
    answer = app.events.select(
        "SELECT event_id, kind, occurred_at, principal, resource, effect, log, idx, received_ns, raw FROM events "
        f"WHERE {' AND '.join(conditions) or 'true'} ORDER BY received_ns DESC, log DESC, idx DESC",
        parameters,
        timeout_s=_LOOK_TIMEOUT_S,
        max_rows=wanted.limit,
        kinds=[wanted.kind] if wanted.kind else (),
    )
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    following = f"{rows[-1]['received_ns']}:{rows[-1]['log']}:{rows[-1]['idx']}" if rows and answer.is_cut else ""
    return Page(events=[told(row) for row in rows], as_of=answer.as_of, next=following)


def ask_sql(app: App, token: str, query: str) -> Answer:
    """Return the rows of one SELECT of the caller's over the relation `events`.

    Raises:
        Malformed, Denied, Exhausted: it is not a SELECT, reaches for something else, or takes too long.
    """
    record_reading(app, token, "sql", query[:4000])
    return app.events.sql(query)


class ProofForm(StrEnum):
    """The file that a proof becomes."""

    EVIDENCE = "evidence"  # receipt, event, inclusion proof, checkpoint, anchor
    TLOG_PROOF = "tlog-proof"  # C2SP: inclusion proof and checkpoint, the event inside
    COSE = "cose"  # RFC 9942: inclusion proof under a signed root, no event


def take_proof(app: App, token: str, event_id: str, form: ProofForm = ProofForm.EVIDENCE) -> bytes:
    """Return one event's proof, for a file that is verified offline.

    Args:
        event_id: or a place, `main/inference#17`: what was erased has no id any more, and its entry is still proved.
    Raises:
        NotFound: there is no such event.
    """
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.prove import prove_cose, prove_event, prove_inclusion

    log_name, mark, place = event_id.partition("#")
    if not mark:
        check_id("evt", event_id)
    elif not (place.isascii() and place.isdigit()) or len(place) > 18:
        raise Malformed(f"`{event_id[:80]}` is not a place in a log", hint="write it like `main/inference#17`")
    record_reading(app, token, "prove", event_id)
    app.settle()
    stored = _stored_at(app, log_name, int(place)) if mark else app.events.find(event_id)
    if stored is None:
        raise NotFound(f"there is no event `{event_id}`", hint="`jurat events` shows what there is")
    keys, log = load_log_keys(log_keys_file(app.workspace.keys)), parse_log_name(stored.log)
    if form is ProofForm.TLOG_PROOF:
        return prove_inclusion(app.workspace.ledger, stored, keys)
    with contextlib.closing(app.ledger()) as ledger:
        if form is ProofForm.COSE:
            return prove_cose(app.workspace.ledger, stored, keys, ledger.signed_root(log))
        receipt = ledger.receipt_for(log, stored.index)
    return _witnessed(app, keys, lambda: prove_event(app.workspace.ledger, stored, keys, receipt))


def _stored_at(app: App, log: str, index: int) -> StoredEvent:
    from jurat.ledger.prove import entry_alone

    try:
        return app.events.at(log, index)
    except NotFound as error:
        if error.code != "gone":
            raise
        return entry_alone(app.workspace.ledger, parse_log_name(log), index)


def _witnessed(app: App, keys: list[LogKeys], prove: Callable[[], bytes]) -> bytes:
    """Return evidence that carries the quorum of `witness-policy.txt`; without it, if it does not come in a few seconds.

    Seals go on meanwhile, and each waits for witnesses anew, so it may take more than one try.
    """
    from jurat.ledger.prove import verify_evidence
    from jurat.ledger.witnessed import await_witnessed, load_policy

    policy, deadline_s = load_policy(app.workspace.witness_policy), time.monotonic() + _WITNESS_PATIENCE_S
    while True:
        raw = prove()
        if policy is None or app.relay is not None:  # no worker runs, so nobody asks
            return raw
        try:
            verify_evidence(raw, keys, policy)
            return raw
        except Tampered as error:
            if error.code != "quorum_missing":
                raise
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not await_witnessed(app.workspace.ledger, left_s):
            return raw


def record_reading(app: App, token: str, question: str, subject: str) -> None:
    """Record that somebody reads, before anything is shown.

    Raises:
        Denied: recorded.
    """
    act(app, token, ReadRecords(question=question, subject=subject, as_of=app.events.as_of()))


def _conditions(wanted: Wanted) -> tuple[list[str], list[Any]]:
    if not 1 <= wanted.limit <= MOST_EVENTS:
        raise Malformed(f"limit `{wanted.limit}` is outside 1 to {MOST_EVENTS}")
    conditions, parameters = parse_where(wanted.where)
    if wanted.kind is not None:
        conditions.append("kind = ?")
        parameters.append(kind_named(wanted.kind).name)
    if wanted.retention is not None:
        if wanted.retention not in set(RetentionClass):
            raise Malformed(f"class `{wanted.retention[:40]}` is unknown", hint=f"there are {', '.join(RetentionClass)}")
        conditions.append("log LIKE ?")
        parameters.append(f"%/{wanted.retention}")
    if wanted.principal is not None:
        conditions.append("principal = ?")
        parameters.append(check_id("prn", wanted.principal))
    if wanted.after:
        received_ns, _, place = wanted.after.partition(":")
        log, _, index = place.rpartition(":")
        if not (received_ns.isascii() and received_ns.isdigit() and index.isascii() and index.isdigit() and len(wanted.after) < 200):
            raise Malformed(f"`{wanted.after[:60]}` is not a cursor", hint="pass the `next` of an earlier answer, as it was")
        conditions.append("(received_ns < ? OR (received_ns = ? AND (log < ? OR (log = ? AND idx < ?))))")
        parameters += [int(received_ns), int(received_ns), log, log, int(index)]
    return conditions, parameters


def told(row: dict[str, Any]) -> Told:
    """Return a row of the relation `events` as it is shown."""
    texts = {name: row[name] or "" for name in ("event_id", "principal", "resource")}
    at_ns = to_ns(row["occurred_at"]) if row["occurred_at"] else row["received_ns"]
    return Told(
        **texts,
        at=format_at(at_ns),
        kind=row["kind"],
        effect=row["effect"],
        log=row["log"],
        index=row["idx"],
        event=_parsed(row["raw"]),
    )


def _parsed(raw: bytes | None) -> Any:
    if raw is None:  # erased
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
