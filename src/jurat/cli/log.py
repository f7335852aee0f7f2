"""`jurat log`: the logs themselves: hashes, checkpoints and tiles that anybody may have."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_json
from jurat.cli.verbs import noun
from jurat.core.errors import NotFound


@noun("log")
def log() -> None:
    """The logs and their checkpoints. Public: hashes only."""


@log.verb("list", example="jurat log list")
@click.pass_obj
def list_logs(session: Session) -> None:
    """Show each log with the size that its public checkpoint signs."""
    from jurat.core.settings import load_settings
    from jurat.ledger.layout import ANCHOR, checkpoint_file, class_logs

    workspace = session.workspace
    logs = [*class_logs(load_settings(workspace).tenant), ANCHOR]
    heads = {str(each): _head(checkpoint_file(workspace.ledger, each)) for each in logs}
    value = [{"log": name, "size": size, "root": root} for name, (size, root) in heads.items()]
    show(session, value, ["log", "size", "root"], [[name, size, root] for name, (size, root) in heads.items()], empty="no log")


@log.verb("checkpoint", example="jurat log checkpoint main/inference > checkpoint.txt")
@click.argument("name")
@click.pass_obj
def checkpoint(session: Session, name: str) -> None:
    """Print a log's signed checkpoint. Keep it: with it you notice later if anything before it has changed."""
    from jurat.ledger.layout import checkpoint_file, parse_log_name

    path = checkpoint_file(session.workspace.ledger, parse_log_name(name))
    if not path.is_file():
        raise NotFound(f"log `{name}` has no checkpoint yet", hint="nothing was sealed in it")
    text = path.read_text("utf-8")
    if session.as_json:
        show_json({"log": name, "checkpoint": text})
    else:
        click.echo(text, nl=False)


def _head(path: Path) -> tuple[str, str]:
    lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
    return (lines[1], lines[2]) if len(lines) > 2 else ("0", "")
