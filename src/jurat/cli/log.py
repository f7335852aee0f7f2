"""`jurat log`: the logs themselves: hashes, checkpoints and tiles that anybody may have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jurat.cli.session import Session
from jurat.cli.show import Progress, show, show_fields, show_json
from jurat.cli.verbs import noun
from jurat.core.errors import Malformed, NotFound, Tampered

if TYPE_CHECKING:
    from jurat.core.workspace import Workspace
    from jurat.ledger.keys import LogKeys
    from jurat.ledger.layout import LogName
    from jurat.merkle.checkpoint import Checkpoint


@noun("log")
def log() -> None:
    """The logs and their checkpoints. Public: hashes only."""


@log.verb("list", example="jurat log list\n\njurat log list --json")
@click.pass_obj
def list_logs(session: Session) -> None:
    """Show each log: its entries, how many of them are sealed, and with --json its origin, keys and root."""
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file, parse_log_name
    from jurat.ledger.verify_log import LogFiles

    workspace, value = session.workspace, []
    for keys in load_log_keys(log_keys_file(workspace.keys)):
        each = parse_log_name(keys.log)
        size = LogFiles(each.directory(workspace.ledger), each.entry_size).count("entries")
        sealed, root = _head(workspace, each)
        line = {"log": keys.log, "origin": keys.origin, "size": size, "sealed": sealed, "root": root}
        value.append({**line, "vkeys": keys.vkeys, "receipt_vkey": keys.receipt_vkey, **_more(workspace, each, keys)})
    lines = [[str(each[name]) for name in ("log", "size", "sealed", "root")] for each in value]
    show(session, value, ["log", "entries", "sealed", "root"], lines, empty="no log")


@log.verb("checkpoint", example="jurat log checkpoint main/inference > checkpoint.txt")
@click.argument("name")
@click.pass_obj
def checkpoint(session: Session, name: str) -> None:
    """Print a log's signed checkpoint. Keep it: with it you notice later if anything before it has changed."""
    from jurat.ledger.layout import ANCHOR, parse_log_name
    from jurat.ledger.witnessed import public_anchor

    log_name = parse_log_name(name)
    text = checkpoint_text(session, log_name)
    if log_name == ANCHOR:
        text = public_anchor(session.workspace.ledger).decode()  # as witnesses cosigned it
    if session.as_json:
        show_json({"log": name, "checkpoint": text})
    else:
        click.echo(text, nl=False)


@log.verb("export", example="jurat log export main/inference ./public/inference")
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path))
@click.pass_obj
def export(session: Session, name: str, directory: Path) -> None:
    """Put a log into a directory as tlog-tiles, with a verifier: to serve statically, to mirror, to hand over. Go on any time."""
    from jurat.ledger.export import VERIFIER, export_log
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file, parse_log_name

    workspace = session.workspace
    keys = load_log_keys(log_keys_file(workspace.keys))
    with Progress(session, "exporting") as progress:
        done = export_log(workspace.ledger, parse_log_name(name), keys, directory, progress=progress)
    if session.as_json:
        show_json({**done._asdict(), "root": done.root.hex(), "directory": str(directory)})
    else:
        show_fields(session, [("log", done.origin), ("size", str(done.size)), ("tiles", f"{done.files}, {done.written} of them new")])
        session.say(f"anyone can check it: python {directory / VERIFIER} --keys log-keys.json {directory}")


@log.verb(
    "rotate-key",
    example="""jurat log rotate-key --reason 'the yearly change'

jurat log rotate-key --log main/inference --overlap 100000 --reason 'an old backup was lost'""",
)
@click.option("--log", "names", multiple=True, help="This log only.  [default: every log]")
@click.option("--overlap", default=1000, show_default=True, help="Entries during which the old keys go on to sign beside the new ones.")
@click.option("--reason", required=True, help="Why they change.")
@click.pass_obj
def rotate_key(session: Session, names: tuple[str, ...], overlap: int, reason: str) -> None:
    """Give logs new keys, and announce them in the log under the old ones. Hand out the new log-keys.json before the overlap ends."""
    from jurat.app.rotate import rotate_keys

    token = session.token()
    with session.app() as app:
        done = rotate_keys(app, token, names, overlap=overlap, reason=reason)
    lines = [[each.log, str(each.first_size), str(each.last_size), each.event] for each in done]
    show(session, done, ["log", "new keys from size", "old keys up to size", "event"], lines, empty="no log")
    session.say("give the new keys/log-keys.json to auditors; to each witness: jurat witness add-log DIR log-keys.json")
    session.say("back up keys/ now; an old signing key may be deleted once every log has passed its last size")


@log.verb(
    "consistency",
    example="""jurat log consistency kept.txt

jurat log consistency kept.txt newer.txt -o continues.txt

jurat log consistency 1000 2000 --log main/inference""",
)
@click.argument("old")
@click.argument("new", required=False)
@click.option("--log", "name", help="The log, if both are sizes.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the proof as a C2SP witness reads it; NEW must be signed.")
@click.pass_obj
def consistency(session: Session, old: str, new: str | None, name: str | None, output: Path | None) -> None:
    """Prove that one state of a log continues another, and check it. Each is a checkpoint file or a size; NEW is now by default."""
    from jurat.core.files import write_whole
    from jurat.ledger.consistency import Consistency, format_consistency, prove_consistency, verify_continues

    one, other = _read_state(session, old), _read_state(session, new)
    log_name = _log_of(session, name, one, other)
    first, second = _place(session, log_name, one), _place(session, log_name, other)
    if other is None and first.size > second.size:
        raise Tampered(
            f"log `{log_name}` is at size `{second.size}` now, and signed size `{first.size}` once",
            hint="it was rolled back: keep that checkpoint, it is the evidence; run `jurat verify --since` with it", code="rolled_back",
        )  # fmt: skip
    path = prove_consistency(session.workspace.ledger, log_name, first.size, second.size)
    verify_continues(first, second, path)
    if output is not None:
        if isinstance(other, int):
            raise Malformed("a proof in a file ends with a signed checkpoint, and NEW is only a size", hint="give a checkpoint file")
        note = other or checkpoint_text(session, log_name)
        write_whole(output, format_consistency(Consistency(first.size, path, note)).encode())
    if session.as_json:
        states = {key: {"size": each.size, "root": each.root.hex()} for key, each in (("old", first), ("new", second))}
        show_json({"log": str(log_name), **states, "path": [each.hex() for each in path]})
    else:
        click.echo(f"ok: {second.origin} at size {second.size} continues size {first.size}, by {len(path)} hashes")


@log.verb("gaps", example="jurat log gaps\n\njurat log gaps --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z")
@click.option("--from", "from_text", metavar="TIME", help="Only what was received at or after this time (RFC 3339).")
@click.option("--to", "to_text", metavar="TIME", help="Only what was received before this time.")
@click.pass_obj
def gaps(session: Session, from_text: str | None, to_text: str | None) -> int:
    """Show every producer's stream: numbers that are missing, ends without a word, silence; and the outbox against the ledger."""
    from jurat.app import complete
    from jurat.cli.gaps import parse_span, tell_gaps

    span, token = parse_span(from_text, to_text), session.token()
    with session.app() as app:
        found = complete.gaps(app, token, span)
    return tell_gaps(session, found)


def checkpoint_text(session: Session, log_name: LogName) -> str:
    """Return a log's public checkpoint, as it lies there."""
    from jurat.ledger.layout import checkpoint_file

    path = checkpoint_file(session.workspace.ledger, log_name)
    if not path.is_file():
        raise NotFound(f"log `{log_name}` has no checkpoint yet", hint="nothing was sealed in it")
    return path.read_text("utf-8")


def _read_state(session: Session, text: str | None) -> int | str | None:
    """Return the size, or the note of a checkpoint file, that an argument names; None for now."""
    from jurat.cli.files import read_text

    return None if text is None else int(text) if text.isascii() and text.isdigit() and len(text) < 20 else read_text(Path(text))


def _log_of(session: Session, name: str | None, *states: int | str | None) -> LogName:
    from jurat.ledger.evidence import keys_of_origin
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file, parse_log_name
    from jurat.merkle.note import read_unverified_text

    if name is not None:
        return parse_log_name(name)
    note = next((each for each in states if isinstance(each, str)), None)
    if note is None:
        raise Malformed("two sizes do not say which log is meant", hint="add `--log main/inference`")
    keys = load_log_keys(log_keys_file(session.workspace.keys))
    return parse_log_name(keys_of_origin(read_unverified_text(note).partition("\n")[0], keys).log)


def _place(session: Session, log_name: LogName, state: int | str | None) -> Checkpoint:
    """Return the checkpoint of a state: a note's only if every key of the log signed it; a size's is what the arrays say."""
    from jurat.ledger.consistency import read_root
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file
    from jurat.ledger.verify_checkpoints import open_checkpoint
    from jurat.merkle.checkpoint import Checkpoint

    keys = next((each for each in load_log_keys(log_keys_file(session.workspace.keys)) if each.log == str(log_name)), None)
    if keys is None:
        raise NotFound(f"there are no keys of log `{log_name}`", hint="`jurat log list` shows the logs")
    if isinstance(state, int):
        return Checkpoint(keys.origin, state, read_root(session.workspace.ledger, log_name, state))
    return open_checkpoint(state if state is not None else checkpoint_text(session, log_name), keys)


def _more(workspace: Workspace, name: LogName, keys: LogKeys) -> dict[str, object]:
    """Return what only some logs have: keys of other sizes, and a minimum index."""
    import msgspec

    from jurat.ledger.pruned import read_pruned

    minimum = read_pruned(name.directory(workspace.ledger)).minimum
    periods = {"periods": msgspec.to_builtins(keys.periods)} if keys.periods else {}
    return {**periods, **({"minimum": minimum} if minimum else {})}


def _head(workspace: Workspace, log_name: LogName) -> tuple[int, str]:
    """Return what the public checkpoint says, signatures unseen; nothing of one that cannot be read."""
    from jurat.core.errors import JuratError
    from jurat.ledger.tail import published_checkpoint
    from jurat.merkle.checkpoint import format_base64

    try:
        found = published_checkpoint(workspace.ledger, log_name)
    except JuratError:
        return 0, ""
    return found.size, format_base64(found.root)
