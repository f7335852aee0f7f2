"""`jurat verify`: the record doubted: a workspace or a proof file, against keys and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import Progress, show_json, show_table
from jurat.cli.verbs import verb
from jurat.core.errors import Malformed, NotFound, Tampered, Unavailable
from jurat.core.workspace import Workspace

if TYPE_CHECKING:
    from jurat.ledger.completeness import Span
    from jurat.ledger.faults import Report
    from jurat.ledger.keys import LogKeys
    from jurat.merkle.policy import Policy


@verb(
    "verify",
    example="""jurat verify

jurat verify --complete --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z

jurat verify decision.json --keys log-keys.json

jurat verify ./exported --keys log-keys.json --since kept.txt --receipt receipt.txt

jurat verify https://example.org/log --keys log-keys.json --timeout 10m""",
)
@click.argument("what", required=False, metavar="[DIR|FILE|URL]")
@click.option("--keys", type=click.Path(path_type=Path), help="The logs' public keys: log-keys.json. By default the workspace's own.")
@click.option("--since", "--checkpoint", "kept", multiple=True, type=click.Path(path_type=Path), help="A checkpoint that you kept.")
@click.option("--receipt", "receipts", multiple=True, type=click.Path(path_type=Path), help="A receipt to be honoured.")
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), help="Demand this quorum of witnesses (a tlog-policy file).")
@click.option("--complete", is_flag=True, help="Look for gaps in every producer's stream too (of a workspace).")
@click.option("--from", "from_text", metavar="TIME", help="With --complete: only what was received at or after this time (RFC 3339).")
@click.option("--to", "to_text", metavar="TIME", help="With --complete: only what was received before this time.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes that check events.  [default: one per core]")
@click.option("--timeout", default="1h", show_default=True, help="Give up after this long.")
@click.pass_obj
def verify(
    session: Session,
    /,
    what: str | None,
    keys: Path | None,
    jobs: int | None,
    timeout: str,
    complete: bool,
    from_text: str | None,
    to_text: str | None,
    **demanded: Any,
) -> int:
    """Check a workspace, an exported log, a log's address or a proof file, trusting the keys and nothing else.

    Exit 6 when tampered; 5 when something that was asked cannot be judged, because it is pruned or it took too long.
    """
    from jurat.cli.gaps import parse_span
    from jurat.core.units import parse_duration_s

    if (from_text or to_text) and not complete:
        raise Malformed("`--from` and `--to` are for `--complete`", hint="entries are always verified from the first on")
    span = parse_span(from_text, to_text)
    with _ends_within(parse_duration_s(timeout)):
        demands = _load_demands(**demanded)
        if complete and what is not None and not (Path(what) / "jurat.toml").is_file():
            raise Malformed("`--complete` is for a workspace", hint="only there lies what producers stated")
        if what is not None and what.startswith(("s3://", "file://")):
            return verify_store(session, what, _load_keys(session, keys), demands)
        if what is not None and what.startswith(("http://", "https://")):
            return _verify_url(session, what, _load_keys(session, keys), demands)
        path = None if what is None else Path(what)
        if path is not None and not path.exists():
            raise NotFound(f"there is nothing at `{path}`")
        if path is not None and path.is_file():
            if demands.since or demands.receipts:
                raise Malformed(
                    "one event's proof is not a log", hint="`--since` and `--receipt` are for workspaces, exports and addresses"
                )
            return _verify_evidence(session, path, _load_keys(session, keys), demands.policy)
        if path is not None and not (path / "jurat.toml").is_file() and (path / "checkpoint").is_file():
            return _verify_export(session, path, _load_keys(session, keys), demands)
        workspace = session.workspace if path is None else Workspace(path.absolute())
        report = _verify_workspace(session, workspace, keys, demands, jobs)
        if not complete:
            return _tell_report(session, str(workspace.root), report)
        return _tell_complete(session, workspace, report, span)


def _tell_complete(session: Session, workspace: Workspace, report: Report, span: Span) -> int:
    """Look for gaps too, and show both reports: as JSON in one document."""
    from jurat.app.complete import complete_offline
    from jurat.cli.gaps import as_document, tell_gaps
    from jurat.core.clock import SystemClock
    from jurat.core.settings import load_settings

    found = complete_offline(workspace, load_settings(workspace), SystemClock().now_ns(), span)
    if session.as_json:
        show_json({"logs": report.logs, "faults": report.faults, **as_document(found)})
        return _exit_code(report) if found.is_complete else Tampered.exit_code
    return max(_tell_report(session, str(workspace.root), report), tell_gaps(session, found))


class Demands(NamedTuple):
    """What is asked of the logs beyond their keys."""

    since: list[bytes]
    receipts: list[bytes]
    policy: Policy | None


def _load_demands(kept: tuple[Path, ...], receipts: tuple[Path, ...], policy_file: Path | None) -> Demands:
    from jurat.cli.files import read_bytes

    policy = None if policy_file is None else _load_policy(policy_file)
    return Demands([read_bytes(file) for file in kept], [read_bytes(file) for file in receipts], policy)


def _load_policy(path: Path) -> Policy:
    from jurat.cli.files import read_bytes
    from jurat.merkle.policy import parse_policy

    return parse_policy(read_bytes(path))


def _load_keys(session: Session, path: Path | None) -> list[LogKeys]:
    """Return the auditor's keys; never those that lie beside what is verified."""
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file

    return load_log_keys(path or log_keys_file(session.workspace.keys))


def _verify_workspace(session: Session, workspace: Workspace, keys: Path | None, demands: Demands, jobs: int | None) -> Report:
    from jurat.core.settings import load_settings, lock_file
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file
    from jurat.ledger.verify import verify_workspace

    known = load_log_keys(keys or log_keys_file(workspace.keys))
    lock_path = lock_file(workspace, load_settings(workspace))
    with Progress(session, "verifying") as progress:
        return verify_workspace(
            workspace.ledger, known, lock_path, progress=progress, jobs=jobs or os.cpu_count() or 1, **demands._asdict()
        )


def _verify_export(session: Session, path: Path, keys: list[LogKeys], demands: Demands) -> int:
    from jurat.cli.files import read_bytes
    from jurat.ledger.evidence import keys_of_origin
    from jurat.ledger.tile_source import DirectorySource
    from jurat.ledger.verify_public import verify_public
    from jurat.merkle.note import read_unverified_text

    origin = read_unverified_text(read_bytes(path / "checkpoint")).partition("\n")[0]
    mine = keys_of_origin(origin, keys)
    with Progress(session, "verifying") as progress:
        report = verify_public([(mine, DirectorySource(path))], progress=progress, anchor_keys=_anchor(keys), **demands._asdict())
    return _tell_report(session, str(path), report)


def _verify_url(session: Session, url: str, keys: list[LogKeys], demands: Demands) -> int:
    from jurat.ledger.tile_source import UrlSource
    from jurat.ledger.verify_public import verify_public

    url = url.rstrip("/")
    one = [each for each in keys if url.endswith(f"/{each.log}")]
    with contextlib.ExitStack() as stack:
        logs = [(each, UrlSource(url if one else f"{url}/{each.log}")) for each in one or keys]
        for _, source in logs:
            stack.callback(source.close)
        progress = stack.enter_context(Progress(session, "verifying"))
        report = verify_public(logs, progress=progress, anchor_keys=_anchor(keys), **demands._asdict())
    return _tell_report(session, url, report)


def verify_store(session: Session, url: str, keys: list[LogKeys], demands: Demands) -> int:
    """Check a mirror in an object store: every tile, and every archive file that its manifest lists."""
    from jurat.ledger.objects import ObjectStore
    from jurat.ledger.verify_mirror import verify_mirror

    with Progress(session, "verifying") as progress:
        report = verify_mirror(ObjectStore(url), keys, progress=progress, **demands._asdict())
    return _tell_report(session, url, report)


def _anchor(keys: list[LogKeys]) -> LogKeys | None:
    return next((each for each in keys if each.log == "anchor"), None)


def _verify_evidence(session: Session, path: Path, keys: list[LogKeys], policy: Policy | None) -> int:
    from jurat.cli.files import read_bytes
    from jurat.ledger.prove import verify_evidence

    report = verify_evidence(read_bytes(path, limit_bytes=16 * 1_048_576), keys, policy)
    if session.as_json:
        show_json(report)
    else:
        for step in report.steps:
            click.echo(flat(f"  ({step.number}) {step}"))
        click.echo(click.style("ok", fg="green", bold=True) if session.on_terminal else "ok", nl=False)
        shown = f"event {report.event_id}" if report.event_id else "what it shows" if report.raw else "what was erased"
        click.echo(f": {shown} is entry {report.index} of {report.origin}, sealed in a tree of {report.size}")
    return 0


def _exit_code(report: Report) -> int:
    """Return 6 if something is wrong, 5 if something that was asked cannot be judged, else 0."""
    if not report.is_clean:
        return Tampered.exit_code
    return Unavailable.exit_code if any(each.unjudged for each in report.logs) else 0


def _tell_report(session: Session, where: str, report: Report) -> int:
    unjudged = [(each.log, promise) for each in report.logs for promise in each.unjudged]
    if session.as_json:
        show_json(report)
        return _exit_code(report)
    lines = [[r.log, str(r.size), str(r.sealed), str(r.checked_entries), str(r.checked_payloads)] for r in report.logs]
    show_table(session, ["log", "entries", "sealed", "entries checked", "copies of events checked"], lines, empty="no log was found")
    for each in report.logs:
        if each.pruned:
            session.say(f"`{each.log}` is pruned below index {each.pruned}: their time is over, and nothing before it can be looked at")
        if each.witnessed is not None:
            session.say(f"a quorum of witnesses vouches for {each.witnessed} of the {each.sealed} entries of `{each.log}`")
    for log, promise in unjudged:
        click.echo(flat(f"not judged: {promise} of `{log}`: what it speaks of is pruned, and no anchor entry here has that size"))
    if report.is_clean and unjudged:
        session.say("the rest is what was sealed; where the anchor log is verified too, it knows the roots of sizes that are pruned")
    elif report.is_clean:
        click.echo(f"ok: {sum(r.checked_entries for r in report.logs)} entries of {len(report.logs)} logs are what was sealed")
    if report.is_clean:
        return _exit_code(report)
    for fault in report.faults:
        span = "" if fault.index is None else f"#{fault.index}" + ("" if fault.last_index is None else f"–{fault.last_index}")
        click.echo(flat(f"tampered: {fault.what}  {fault.log}{span}" + (f"  {fault.event_id}" if fault.event_id else "")))
        click.echo(flat(f"    {fault.detail}" + (f"  ({fault.file})" if fault.file else "")))
    session.say(f"{len(report.faults)} faults in `{where}`: stop, keep everything as it is, and call whoever answers for this ledger")
    return Tampered.exit_code


@contextlib.contextmanager
def _ends_within(seconds: float) -> Iterator[None]:
    """Leave this block within so many seconds, whatever it waits for: what is verified may be made to hold us up."""

    def give_up(*_: object) -> None:
        raise Unavailable(
            f"verifying took longer than `{seconds:g}` s, so nothing is proved and nothing disproved",
            hint="give it longer with `--timeout`, or find out what holds it up", code="too_slow",
        )  # fmt: skip

    if seconds <= 0:
        raise Malformed(f"a time of `{seconds:g}` s is no time", hint="write `--timeout 10m`")
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
