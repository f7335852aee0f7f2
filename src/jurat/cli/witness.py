"""`jurat witness`: be a witness of other people's logs, and ask the witnesses of our own."""

from __future__ import annotations

import time
from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json
from jurat.cli.verbs import noun
from jurat.core.errors import Malformed, NotFound, Unavailable

_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))

_STORE = click.option(
    "--store", default="", envvar="JURAT_WITNESS_STORE", metavar="URL",
    help="Where it remembers: `postgresql://…`, also by JURAT_WITNESS_STORE.  [default: a file in its directory]",
)  # fmt: skip


@noun("witness")
def witness() -> None:
    """Somebody else who signs what they saw. A witness that the ledger's own operator runs is not one."""


@witness.verb("init", example="jurat witness init ./w1 --name witness.example/w1")
@_DIRECTORY
@click.option("--name", required=True, help="The witness's name, best a URL without scheme; part of its keys for ever.")
@_STORE
@click.pass_obj
def init(session: Session, directory: Path, name: str, store: str) -> None:
    """Make a witness: a directory with its keys, and its memory beside them or in PostgreSQL."""
    from jurat.app.witnessing import make_witness

    public = make_witness(directory, name, store)
    if session.as_json:
        show_json(public)
    else:
        show_fields(session, [("name", public.name), *(("vkey", vkey) for vkey in public.vkeys)])


@witness.verb("vkey", example="jurat witness vkey ./w1")
@_DIRECTORY
@click.pass_obj
def vkey(session: Session, directory: Path) -> None:
    """Print a witness's public keys, one a line, Ed25519 first: what goes into policy files."""
    from jurat.ledger.witness_desk import load_public_witness

    public = load_public_witness(directory)
    if session.as_json:
        show_json(public)
    else:
        for each in public.vkeys:
            click.echo(each)


@witness.verb("add-log", example="jurat witness add-log ./w1 log-keys.json\n\njurat witness add-log ./w1 --vkey log.example+12345678+AQ…")
@_DIRECTORY
@click.argument("keys", required=False, type=click.Path(path_type=Path))
@click.option("--vkey", "vkeys", multiple=True, help="A key of the log, instead of a file; all that are given must have signed.")
@_STORE
@click.pass_obj
def add_log(session: Session, directory: Path, keys: Path | None, vkeys: tuple[str, ...], store: str) -> None:
    """Let a witness cosign a log: the anchor log of a `log-keys.json`, or of whichever these keys are. Again, once it changes them."""
    from jurat.app.witnessing import open_witness
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import ANCHOR

    if (keys is None) == (not vkeys):
        raise click.UsageError("name a `log-keys.json`, or give `--vkey`")
    if keys is not None:
        anchor = next((each for each in load_log_keys(keys) if each.log == str(ANCHOR)), None)
        if anchor is None:
            raise Malformed(f"`{keys}` has no key of an anchor log")
        origin, known, periods = anchor.origin, anchor.vkeys, anchor.periods
    else:
        origin, known, periods = vkeys[0].partition("+")[0], list(vkeys), []
    desk = open_witness(directory, store)
    try:
        desk.add_log(origin, known, periods)
    finally:
        desk.close()
    if session.as_json:
        show_json({"origin": origin, "vkeys": known})
    else:
        show_fields(session, [("origin", origin), ("keys", str(len(known)))])


@witness.verb("serve", example="jurat witness serve ./w1 --port 8710")
@_DIRECTORY
@_STORE
@click.option("--port", default=8710, show_default=True, help="0 takes a free one.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Anything but loopback wants TLS in front.")
@click.pass_obj
def serve(session: Session, directory: Path, store: str, port: int, bind: str) -> None:
    """Be a witness until Ctrl-C: the C2SP witness protocol over HTTP. Needs no workspace."""
    from jurat.web.witness import serve_witness

    def ready(found: int) -> None:
        if session.as_json:
            show_json({"url": f"http://{bind}:{found}"})
        else:
            show_fields(session, [("url", f"http://{bind}:{found}")])

    serve_witness(directory, bind, port, store=store, on_ready=ready)


@witness.verb("show", example="jurat witness show ./w1")
@_DIRECTORY
@_STORE
@click.pass_obj
def show_logs(session: Session, directory: Path, store: str) -> None:
    """Show the logs that a witness cosigns, each with the size that it saw last, and how much evidence it keeps."""
    from jurat.app.witnessing import open_witness

    desk = open_witness(directory, store)
    try:
        logs, evidence = desk.logs(), desk.evidence()
    finally:
        desk.close()
    value = [
        {
            "origin": each.origin,
            "size": each.last.size if each.last else None,
            "cosigned_s": each.cosigned_s,
            "evidence": sum(kept.origin == each.origin for kept in evidence),
        }
        for each in logs
    ]
    lines = [
        [str(row["origin"]), "-" if row["size"] is None else str(row["size"]), _at(each.cosigned_s), str(row["evidence"])]
        for row, each in zip(value, logs, strict=True)
    ]
    show(session, value, ["origin", "size", "cosigned", "evidence"], lines, empty="it knows no log: `jurat witness add-log`")


@witness.verb("evidence", example="jurat witness evidence ./w1 -o ./evidence")
@_DIRECTORY
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write each into a file there, as it came and what was held.")
@_STORE
@click.pass_obj
def evidence(session: Session, directory: Path, output: Path | None, store: str) -> None:
    """Show what logs signed that contradicts what they had signed before."""
    from jurat.app.witnessing import open_witness
    from jurat.core.clock import format_at
    from jurat.core.files import write_whole

    desk = open_witness(directory, store)
    try:
        kept = desk.evidence()
    finally:
        desk.close()
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for each in kept:
            write_whole(output / f"{each.number}-request.txt", each.request)
            write_whole(output / f"{each.number}-held.txt", (each.held or "").encode())
    lines = [[str(each.number), each.origin, format_at(each.at_ns), each.why] for each in kept]
    value = [{"number": each.number, "origin": each.origin, "at": format_at(each.at_ns), "why": each.why} for each in kept]
    show(session, value, ["number", "origin", "at", "why"], lines, empty="no evidence: every log was consistent")


@witness.verb("status", example="jurat witness status")
@click.pass_obj
def status(session: Session) -> None:
    """Show how the witnesses of this workspace stand: whom `witness-policy.txt` names, and what each cosigned last."""
    from jurat.ledger.witnessed import read_standings

    found = read_standings(session.workspace.ledger)
    if found is None:
        raise NotFound("no witness was asked yet", hint="name some in `witness-policy.txt`, then `jurat serve` or `jurat witness ask`")
    lines = [[", ".join(w.names), w.url, str(w.size), _at(w.cosigned_s), w.error] for w in found.witnesses]
    show(session, found, ["witness", "url", "size", "cosigned", "last error"], lines, empty="no witness has a URL")
    if not session.as_json:
        session.say(f"quorum `{found.quorum}`, reached at size {found.size}")


@witness.verb("ask", example="jurat witness ask --timeout 5")
@click.option("--timeout", "timeout_s", default=5.0, show_default=True, help="Seconds for the whole round.")
@click.pass_obj
def ask(session: Session, timeout_s: float) -> None:
    """Have the newest checkpoint cosigned now. `jurat serve` does this by itself, after each seal."""
    from jurat.ledger.witnessed import load_policy
    from jurat.worker.witnesses import Gatherer

    workspace = session.workspace
    policy = load_policy(workspace.witness_policy)
    if policy is None:
        raise NotFound(f"there is no `{workspace.witness_policy}`", hint="write one: `witness w1 <vkey> <url>`, `quorum w1`")
    gatherer = Gatherer(workspace, policy, timeout_s=timeout_s)
    deadline_s = time.monotonic() + timeout_s
    while not gatherer.step() and time.monotonic() < deadline_s:
        pass
    if not gatherer.has_quorum:
        errors = "; ".join(each.standing.error for each in gatherer.asked if each.standing.error)
        raise Unavailable(f"the quorum was not reached: {errors or 'nothing is sealed, or nobody answered'}", code="quorum_missing")
    if session.as_json:
        show_json({"size": gatherer.size, "quorum": policy.quorum})
    else:
        show_fields(session, [("size", str(gatherer.size)), ("quorum", policy.quorum)])


@witness.verb("git", example="jurat witness git ./our-checkpoints\n\njurat witness git ./our-checkpoints --follow")
@click.argument("repository", type=click.Path(path_type=Path))
@click.option("--follow", is_flag=True, help="Go on, once a second, until Ctrl-C.")
@click.pass_obj
def git(session: Session, repository: Path, follow: bool) -> None:
    """Commit the workspace's newest anchor checkpoint into a git repository, if it follows from the last one there.

    Push it to where others pull from: they then hold what you cannot change. Refuses, exit 6, what does not follow.
    """
    from jurat.ledger.witness_git import GitWitness

    holder = GitWitness(repository, session.workspace)
    while True:
        size = holder.step()
        if session.as_json:
            show_json({"size": holder.size, "committed": size is not None})
        elif size is not None or not follow:
            show_fields(session, [("size", str(holder.size)), ("committed", "yes" if size is not None else "it was there")])
        if not follow:
            return
        time.sleep(1.0)


def _at(at_s: int) -> str:
    from jurat.core.clock import format_at

    return f"{format_at(at_s * 1_000_000_000)[:19].replace('T', ' ')} UTC" if at_s else "never"
