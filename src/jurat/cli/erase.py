"""`jurat erase`: the content of events goes, by two people's word; their entries and all proofs stay."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json, when
from jurat.cli.verbs import noun


@noun("erase")
def erase() -> None:
    """Erase what events say, as somebody has a right to; proofs stay valid."""


@erase.verb(
    "request", example="jurat erase request --prediction prd_01k9… --reason 'the applicant objects' --basis 'GDPR Article 17(1)(c)'"
)
@click.option("--subject", help="Every event that names this: an id of ours, or a text as a whole. Only ids of ours are written down.")
@click.option("--prediction", metavar="PREDICTION", help="Every event about one prediction.")
@click.option("--event", metavar="EVENT", help="One event.")
@click.option("--reason", required=True, help="Why, without naming anybody.")
@click.option("--basis", "legal_basis", required=True, help="By which law.")
@click.option("--only-free", is_flag=True, help="Leave out what a legal floor or a hold keeps, instead of refusing everything.")
@click.pass_obj
def request(
    session: Session, subject: str | None, prediction: str | None, event: str | None, reason: str, legal_basis: str, only_free: bool
) -> None:
    """Ask for an erasure. Refused, with its source, where a law or a hold keeps an event."""
    from jurat.app.erase import request_erasure
    from jurat.domain.facts_keeping import ErasureRequested

    given = {"subject": subject, "prediction": prediction, "event": event}
    chosen = [(name, value) for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise click.UsageError("say what goes: one of `--subject`, `--prediction`, `--event`")
    token = session.token()
    with session.app() as app:
        done = request_erasure(app, token, *chosen[0], reason=reason, legal_basis=legal_basis, only_free=only_free)
    fact = done.events[0].data
    assert isinstance(fact, ErasureRequested)
    if session.as_json:
        show_json({"request": fact.request, "shown_digest": fact.shown_digest, "events": fact.count, "kept": fact.kept})
        return
    kept = [("kept", f"{count}: {why}") for why, count in fact.kept.items()]
    show_fields(session, [("request", fact.request), ("events", str(fact.count)), *kept, ("until", when(fact.expires_at))])
    session.say(f"another person looks with `jurat erase show {fact.request}`, and approves")


@erase.verb("list", example="jurat erase list")
@click.pass_obj
def list_erasures(session: Session) -> None:
    """Show the erasures, and how far each has come."""
    from jurat.app.look import look
    from jurat.domain.rows import Erasure

    token = session.token()
    with session.app() as app:
        found = look(app, token, Erasure)
    lines = [[e.request, e.status, str(e.count), e.selector, when(e.requested_at), e.certificate] for e in found]
    show(session, found, ["request", "status", "events", "by", "asked", "certificate"], lines, empty="no erasure was asked for")


@erase.verb("show", example="jurat erase show req_01k9…")
@click.argument("name", metavar="REQUEST")
@click.pass_obj
def show_erasure(session: Session, name: str) -> None:
    """Show exactly what an approver signs: which events go, which stay, why and by which law."""
    from jurat.app.look import look_at
    from jurat.domain.rows import Erasure

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, Erasure, name)
    if session.as_json:
        show_json(found)
        return
    places = [
        (log, ", ".join(str(s.first) if s.first == s.last else f"{s.first}–{s.last}" for s in stretches))
        for log, stretches in found.events.items()
    ]
    pairs = [
        ("request", found.request), ("status", found.status), ("by", f"{found.selector} {found.reference}".strip()),
        ("name", f"of {found.person}, in the vault" if found.person else "nobody's"), ("events", str(found.count)), *places,
        *(("kept", f"{count}: {why}") for why, count in found.kept.items()), ("reason", found.reason), ("legal basis", found.legal_basis),
        ("asked by", found.requested_by), ("until", when(found.expires_at)),
    ]  # fmt: skip
    show_fields(session, pairs)
    if found.status == "waiting_for_approval":
        session.say(f"to approve exactly this: jurat erase approve {found.request} --shown {found.shown_digest}")


@erase.verb("approve", example="jurat erase approve req_01k9… --shown sha256:3f9a… --comment 'checked against the dispute register'")
@click.argument("name", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown: `jurat erase show` prints it.")
@click.option("--comment", default="", help="What you looked at.")
@click.pass_obj
def approve(session: Session, name: str, shown_digest: str, comment: str) -> None:
    """Say yes to exactly what was shown. From now on no query shows these events."""
    from jurat.app.erase import approve_erasure

    token = session.token()
    with session.app() as app:
        done = approve_erasure(app, token, name, shown_digest, comment)
    session.done(done)
    if not session.as_json:
        session.say(f"masked; to take the content away: jurat erase run {name}")


@erase.verb("reject", example="jurat erase reject req_01k9… --shown sha256:3f9a… --comment 'evidence in a dispute'")
@click.argument("name", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown.")
@click.option("--comment", required=True, help="Why not.")
@click.pass_obj
def reject(session: Session, name: str, shown_digest: str, comment: str) -> None:
    """Say no, with the reason; the request is closed."""
    from jurat.domain.commands_keeping import RejectErasure

    session.done(session.act(RejectErasure(request=name, shown_digest=shown_digest, comment=comment)))


@erase.verb("run", example="jurat erase run req_01k9…")
@click.argument("name", metavar="REQUEST")
@click.pass_obj
def run(session: Session, name: str) -> None:
    """Carry out an approved erasure: files written anew, journal forced out, everything searched. Run it again if it was interrupted."""
    from jurat.app.erase import run_erasure
    from jurat.domain.facts_keeping import EventsErased

    token = session.token()
    with session.app() as app:
        done = run_erasure(app, token, name, say=lambda text: None if session.as_json else session.say(text))
    fact = done.events[0].data
    assert isinstance(fact, EventsErased)
    if session.as_json:
        done_to = {"files": fact.files, "removed": fact.removed, "search": fact.search, "copies": fact.copies}
        show_json({"certificate": done.events[0].id, "events": fact.count, **done_to})
        return
    found = f"nothing in {fact.search.files} files, {fact.search.size_bytes} bytes and {fact.search.archive_rows} rows"
    pairs = [("erased", str(fact.count)), ("written anew", str(len(fact.files))), ("deleted", str(len(fact.removed))), ("search", found)]
    show_fields(session, [*pairs, *(("copy in", url) for url in fact.copies), ("certificate", done.events[0].id)])
    for url in fact.copies:
        session.say(f"a mirror may still hold it: jurat archive push {url}")
    session.say(f"to hand it out: jurat erase certificate {name} -o certificate.json")


@erase.verb("certificate", example="jurat erase certificate req_01k9… -o certificate.json")
@click.argument("name", metavar="REQUEST")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where it goes.")
@click.pass_obj
def certificate(session: Session, name: str, output: Path) -> None:
    """Put the record of an erasure into a file that anyone verifies offline: what went, which files, what the search found."""
    from jurat.app.erase import take_certificate
    from jurat.core.files import write_whole

    token = session.token()
    with session.app() as app:
        raw = take_certificate(app, token, name)
    write_whole(output, raw)
    if session.as_json:
        show_json({"request": name, "file": str(output), "size_bytes": len(raw)})
    else:
        show_fields(session, [("request", name), ("file", str(output))])
        session.say(f"anyone can check it: jurat verify {output} --keys log-keys.json")
