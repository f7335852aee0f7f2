"""`jurat prove`, `rebuild`: one event taken out with its proof, and the ledger folded again."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show_fields, show_json, show_table
from jurat.cli.verbs import verb
from jurat.core.errors import Tampered


@verb(
    "prove",
    example="""jurat prove evt_01k9… -o decision.json

jurat verify decision.json --keys log-keys.json

jurat prove evt_01k9… --tlog-proof -o decision.tlog-proof

jurat prove evt_01k9… --cose -o decision.cose

jurat prove main/inference#17 -o erased.json""",
)
@click.argument("event", metavar="EVENT|LOG#INDEX")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the proof goes.")
@click.option("--tlog-proof", "form", flag_value="tlog-proof", help="A C2SP tlog-proof, for other tools.")
@click.option("--cose", "form", flag_value="cose", help="A COSE receipt (RFC 9942), for SCITT tools; without the event.")
@click.pass_obj
def prove(session: Session, event: str, output: Path, form: str | None) -> None:
    """Put an event with its receipt, inclusion proof and checkpoint into one file that is verified offline."""
    from jurat.app.records import ProofForm, take_proof
    from jurat.core.files import write_whole

    token, wanted = session.token(), ProofForm(form or "evidence")
    with session.app() as app:
        raw = take_proof(app, token, event, wanted)
        keys = app.workspace.keys
    write_whole(output, raw)
    if session.as_json:
        show_json({"event": event, "file": str(output), "form": wanted, "size_bytes": len(raw)})
    else:
        show_fields(session, [("event", event), ("file", str(output))])
        if wanted is not ProofForm.COSE:
            session.say(f"anyone can check it: jurat verify {output} --keys {keys / 'log-keys.json'}")


@verb(
    "rebuild",
    example="jurat rebuild --compare\n\njurat rebuild --lost-database --reason 'the volume of PostgreSQL was lost'",
)
@click.option("--compare", "only_compare", is_flag=True, help="Change nothing: name what differs.")
@click.option("--apply", is_flag=True, help="Put what the ledger says in the place of what the database says.")
@click.option("--lost-database", "is_lost", is_flag=True, help="PostgreSQL is gone: fill a new one. The ledger's signing key is the proof.")
@click.option("--operator", default="", metavar="PRINCIPAL", help="With --lost-database: who gets a token; needed if there are several.")
@click.option("--reason", default="", help="With --lost-database: what happened; it is on record.")
@click.pass_obj
def rebuild(session: Session, only_compare: bool, apply: bool, is_lost: bool, operator: str, reason: str) -> int:
    """Fold the ledger again; compare it with what the database says holds now, or put it in its place."""
    from jurat.app.refold import compare_state, rebuild_state

    if [only_compare, apply, is_lost].count(True) != 1:
        raise click.UsageError("say what is meant: `--compare`, `--apply` or `--lost-database`")
    if is_lost:
        _recover(session, operator, reason)
        return 0
    token = session.token()
    with session.app() as app:
        if apply:
            count = rebuild_state(app, token)
            show_json({"rows": count}) if session.as_json else show_fields(session, [("rows", str(count))])
            return 0
        found = compare_state(app, token)
    lines = [
        [d.what, d.table, d.key, ", ".join(f"{f}: expected {e!r}, found {x!r}" for f, (e, x) in d.fields.items()), d.as_of] for d in found
    ]
    if session.as_json:
        show_json([d._asdict() for d in found])
    elif found:
        show_table(session, ["what", "table", "key", "fields", "as of"], lines, empty="")
    else:
        click.echo("ok: the database says what the ledger says")
    if found:
        session.say(f"{len(found)} {'row differs' if len(found) == 1 else 'rows differ'} from the ledger; `jurat rebuild --apply` repairs")
    return Tampered.exit_code if found else 0


def _recover(session: Session, operator: str, reason: str) -> None:
    from jurat.app.lost_database import recover_database

    session.workspace.postgres.mkdir(mode=0o700, exist_ok=True)  # the folder may be gone with what was in it
    with session.app() as app:
        done = recover_database(app, reason, operator=operator)
    if session.as_json:
        show_json(done)
        return
    pairs = [
        ("rows", str(done.rows)),
        ("from events", str(done.events)),
        ("operator", done.operator),
        ("token", f"{done.token_file} (0600)"),
    ]
    show_fields(session, [*pairs, ("event", done.event)])
    session.say("names, sign-ins, passkeys and other people's tokens lay in the database alone: invite people again")
