"""`jurat verify`: the record doubted: a workspace or a proof file, against keys and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import show_json, show_table
from jurat.cli.verbs import verb
from jurat.core.errors import NotFound, Tampered
from jurat.core.workspace import Workspace

if TYPE_CHECKING:
    from jurat.ledger.faults import Report
    from jurat.ledger.keys import LogKeys


@verb("verify", example="jurat verify\n\njurat verify decision.json --keys log-keys.json\n\njurat verify ./copy --checkpoint kept.txt")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--keys", type=click.Path(path_type=Path), help="The logs' public keys: log-keys.json. By default the workspace's own.")
@click.option("--checkpoint", "kept", multiple=True, type=click.Path(path_type=Path), help="A checkpoint that you kept. May be repeated.")
@click.pass_obj
def verify(session: Session, path: Path | None, keys: Path | None, kept: tuple[Path, ...]) -> int:
    """Check a workspace or a proof file, offline: trusting the log's keys and nothing else. Exit 6 when tampered."""
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file

    if path is not None and not path.exists():
        raise NotFound(f"there is nothing at `{path}`")
    is_evidence = path is not None and path.is_file()
    workspace = Workspace(path.absolute()) if path is not None and not is_evidence else None
    known = load_log_keys(keys or log_keys_file((workspace or session.workspace).keys))
    if is_evidence and path is not None:
        return _verify_evidence(session, path, known)
    from jurat.core.settings import load_settings, lock_file
    from jurat.ledger.verify import verify_workspace

    workspace = workspace or session.workspace
    lock_path = lock_file(workspace, load_settings(workspace))
    since = [file.read_text("utf-8") for file in kept]
    with _Progress(session) as progress:
        report = verify_workspace(workspace.ledger, known, lock_path, since=since, progress=progress)
    return _tell_report(session, workspace, report)


def _verify_evidence(session: Session, path: Path, keys: list[LogKeys]) -> int:
    from jurat.cli.files import read_bytes
    from jurat.ledger.prove import verify_evidence

    report = verify_evidence(read_bytes(path, limit_bytes=16 * 1_048_576), keys)
    if session.as_json:
        show_json(report)
    else:
        for step in report.steps:
            click.echo(flat(f"  ({step.number}) {step}"))
        click.echo(click.style("ok", fg="green", bold=True) if session.on_terminal else "ok", nl=False)
        click.echo(f": event {report.event_id} is entry {report.index} of {report.origin}, sealed in a tree of {report.size}")
    return 0


def _tell_report(session: Session, workspace: Workspace, report: Report) -> int:
    if session.as_json:
        show_json(report)
        return 0 if report.is_clean else Tampered.exit_code
    lines = [[r.log, str(r.size), str(r.sealed), str(r.checked_entries), str(r.checked_payloads)] for r in report.logs]
    show_table(session, ["log", "entries", "sealed", "entries checked", "copies of events checked"], lines, empty="no log was found")
    if report.is_clean:
        click.echo(f"ok: {sum(r.checked_entries for r in report.logs)} entries of {len(report.logs)} logs are what was sealed")
        return 0
    for fault in report.faults:
        span = "" if fault.index is None else f"#{fault.index}" + ("" if fault.last_index is None else f"–{fault.last_index}")
        click.echo(flat(f"tampered: {fault.what}  {fault.log}{span}" + (f"  {fault.event_id}" if fault.event_id else "")))
        click.echo(flat(f"    {fault.detail}" + (f"  ({fault.file})" if fault.file else "")))
    session.say(
        f"{len(report.faults)} faults in `{workspace.root}`: stop, keep everything as it is, and call whoever answers for this ledger"
    )
    return Tampered.exit_code


class _Progress:
    """A bar on stderr while something long runs, when a person watches."""

    def __init__(self, session: Session) -> None:
        self._quiet = session.as_json or not sys.stderr.isatty()
        self._bar: object = None

    def __enter__(self) -> Callable[[int, int], None]:
        if self._quiet:
            return lambda _done, _total: None
        from rich.console import Console
        from rich.progress import Progress

        bar = Progress(console=Console(stderr=True), transient=True)
        self._bar = bar
        bar.start()
        task = bar.add_task("verifying", total=None)
        return lambda done, total: bar.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]
