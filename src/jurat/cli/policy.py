"""`jurat policy`: the Cedar policies. What lies in a folder is text; in force is what was applied, by two people's word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import brief, show, show_fields, show_json, show_table, when
from jurat.cli.verbs import noun

if TYPE_CHECKING:
    from jurat.policy.compare import Comparison
    from jurat.policy.policyset import PolicySet
    from jurat.policy.policytests import Report

_SCHEMA = "schema.cedarschema"
_FOLDER = click.argument("folder", type=click.Path(path_type=Path), required=False)
_FAILED = 2  # the exit code of what cannot be accepted as it is


@noun("policy")
def policy() -> None:
    """Policies: check, format, test, compare, replay, change by two people."""


@policy.verb("check", example="jurat policy check policies/")
@_FOLDER
@click.pass_obj
def check(session: Session, folder: Path | None) -> None:
    """Read and validate a folder of policies, and whether they can be meant. Changes nothing, needs nobody's leave."""
    from jurat.policy.sanity import check_meaning

    found = _load(session, folder)
    check_meaning(found)
    if session.as_json:
        show_json({"digest": found.digest, "policies": sorted(found.policies), "roles": sorted(found.roles)})
    else:
        pairs = [("digest", brief(found.digest)), ("policies", str(len(found.policies))), ("roles", ", ".join(sorted(found.roles)))]
        show_fields(session, pairs)


@policy.verb("fmt", example="jurat policy fmt policies/\n\njurat policy fmt --check policies/")
@_FOLDER
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 2 if a file is laid out otherwise.")
@click.pass_obj
def fmt(session: Session, folder: Path | None, only_check: bool) -> None:
    """Lay out policy files in one way. Comments stay; what the policies say does not change."""
    from jurat.core.files import write_whole
    from jurat.policy.compare import format_policy_file

    root = _folder(session, folder)
    files, _ = _read_folder(root)
    formatted = {name: format_policy_file(name, text) for name, text in files.items()}  # all of them, before one is written
    other = sorted(name for name in files if formatted[name] != files[name])
    for name in other if not only_check else ():
        write_whole(root / name, formatted[name].encode())
    if session.as_json:
        show_json({"changed": other, "written": not only_check})
    else:
        for name in other:
            click.echo(flat(name))
        session.say(f"{len(other)} of {len(files)} files {'are laid out otherwise' if only_check else 'laid out anew'}")
    if only_check and other:
        raise click.exceptions.Exit(_FAILED)


@policy.verb("test", example="jurat policy test policies/\n\njurat policy test --mutate")
@_FOLDER
@click.option("--mutate", is_flag=True, help="Also change each policy in small ways, and count how many changes some test notices.")
@click.pass_obj
def test(session: Session, folder: Path | None, mutate: bool) -> None:
    """Run the tests in `tests/*.yaml` beside the policies: failures, and which policies decided how many cases."""
    from jurat.policy.engine import Engine
    from jurat.policy.mutation import score_tests
    from jurat.policy.policytests import parse_tests, run_tests

    found = _load(session, folder)
    cases = parse_tests(_read_tests(_folder(session, folder)), found)
    report = run_tests(Engine(found), cases)
    score = score_tests(found, cases) if mutate and not report.failures else None
    if session.as_json:
        mutation = score and {
            "killed": score.killed,
            "share": round(score.share, 3),
            "survivors": score.survivors,
            "invalid": score.invalid,
        }
        show_json({"cases": report.cases, "failures": report.failures, "coverage": report.coverage, "mutation": mutation})
    else:
        _tell_report(session, report)
        if score is not None:
            for mutant in score.survivors:
                click.echo(f"not noticed  {flat(mutant.policy)} {mutant.change}")
            session.say(f"mutation score {score.share:.0%}: {score.killed} of {score.killed + len(score.survivors)} changes were noticed")
    if report.failures:
        raise click.exceptions.Exit(_FAILED)


@policy.verb("diff", example="jurat policy diff policies/\n\njurat policy diff before/ after/\n\njurat policy diff policies/ --against 30d")
@_FOLDER
@click.argument("other", type=click.Path(path_type=Path), required=False)
@click.option("--against", metavar="DURATION", help="Put the recorded questions of that time to the candidate as well.")
@click.pass_obj
def diff(session: Session, folder: Path | None, other: Path | None, against: str | None) -> None:
    """Compare a folder with what is in force, or two folders; and with `--against`, what people did with what they could do."""
    from jurat.policy.compare import compare

    after = _load(session, other or folder)
    if other is not None:
        if against:
            raise click.UsageError("`--against` compares with what is in force: give one folder")
        found = compare(_load(session, folder), after)
        show_json(found) if session.as_json else _tell_comparison(session, found)
        return
    from jurat.app.policies import load_in_force
    from jurat.app.replay import replay
    from jurat.core.units import parse_duration_s

    token = session.token()
    with session.app() as app:
        found = compare(load_in_force(app, token), after)
        replayed = replay(app, token, after, parse_duration_s(against)) if against else None
    if session.as_json:
        show_json({"difference": found, "replay": replayed})
        return
    _tell_comparison(session, found)
    if replayed is not None:
        from jurat.cli.replayed import tell_replay

        click.echo()
        tell_replay(session, replayed)


@policy.verb("plan", example="jurat policy plan policies/ --against 30d")
@_FOLDER
@click.option("--against", default="30d", show_default=True, metavar="DURATION", help="How far back recorded questions are put to it.")
@click.pass_obj
def plan(session: Session, folder: Path | None, against: str) -> None:
    """Say what applying a folder would do: checks, tests, differences, who would newly be denied or allowed. Changes nothing."""
    from jurat.app.policies import load_in_force
    from jurat.app.replay import replay
    from jurat.cli.replayed import tell_replay
    from jurat.core.units import parse_duration_s
    from jurat.policy.compare import compare
    from jurat.policy.engine import Engine
    from jurat.policy.policytests import parse_tests, run_tests
    from jurat.policy.sanity import check_meaning

    after = _load(session, folder)
    check_meaning(after)
    report = run_tests(Engine(after), parse_tests(_read_tests(_folder(session, folder)), after))
    token = session.token()
    with session.app() as app:
        found = compare(load_in_force(app, token), after)
        replayed = replay(app, token, after, parse_duration_s(against))
    if session.as_json:
        tests = {"cases": report.cases, "failures": report.failures}
        show_json({"digest": after.digest, "difference": found, "tests": tests, "replay": replayed})
    else:
        _tell_comparison(session, found)
        click.echo()
        _tell_report(session, report)
        click.echo()
        tell_replay(session, replayed)
    if report.failures:
        raise click.exceptions.Exit(_FAILED)


@policy.verb("apply", example="jurat policy apply policies/ --reason 'auditors may take proofs'")
@_FOLDER
@click.option("--reason", required=True, help="Why it changes.")
@click.option("--for", "lifetime", metavar="DURATION", help="How long the request waits; by default `approval_lifetime` of jurat.toml.")
@click.pass_obj
def apply_policies(session: Session, folder: Path | None, reason: str, lifetime: str | None) -> None:
    """Ask another person to put a folder of policies into force. A set that cannot be meant is refused whole, and changes nothing."""
    from jurat.app.walk import act
    from jurat.core.units import parse_duration_s
    from jurat.domain.commands_policy import RequestPolicyChange
    from jurat.domain.facts_policy import PolicyChangeRequested

    files, schema = _read_folder(_folder(session, folder))
    token = session.token()
    with session.app() as app:
        lifetime_s = parse_duration_s(lifetime or app.settings.approval_lifetime)
        done = act(app, token, RequestPolicyChange(files=files, schema=schema, reason=reason, lifetime_s=lifetime_s))
    fact = done.events[0].data
    assert isinstance(fact, PolicyChangeRequested)
    if session.as_json:
        show_json({"request": fact.request, "digest": fact.digest, "shown_digest": fact.shown_digest, "event": done.events[0].id})
        return
    show_fields(session, [("request", fact.request), ("digest", brief(fact.digest)), ("until", when(fact.expires_at))])
    session.say(f"it changes nothing until another person approves: jurat policy changes {fact.request}")


@policy.verb("changes", example="jurat policy changes\n\njurat policy changes req_01k9…")
@click.argument("name", required=False, metavar="[REQUEST]")
@click.pass_obj
def changes(session: Session, name: str | None) -> None:
    """List the changes of the policies, or show exactly what an approver of one signs."""
    from jurat.app.look import look, look_at
    from jurat.domain.rows import PolicyChange

    token = session.token()
    with session.app() as app:
        if name is None:
            found = look(app, token, PolicyChange)
            lines = [[c.request, c.status, brief(c.digest), c.reason, when(c.requested_at), when(c.expires_at)] for c in found]
            show(session, found, ["request", "status", "digest", "reason", "asked", "until"], lines, empty="no change was asked for")
            return
        one = look_at(app, token, PolicyChange, name)
    if session.as_json:
        show_json(one)
        return
    pairs = [("request", one.request), ("status", one.status), ("from", brief(one.previous)), ("to", brief(one.digest))]
    show_fields(session, [*pairs, ("reason", one.reason), ("asked by", one.requested_by), ("until", when(one.expires_at))])
    click.echo()
    from jurat.policy.compare import Comparison

    _tell_comparison(session, Comparison(**one.shown["changes"]))
    if one.status == "waiting_for_approval":
        session.say(f"to approve exactly this: jurat policy approve {one.request} --shown {one.shown_digest}")


@policy.verb("approve", example="jurat policy approve req_01k9… --shown sha256:3f9a… --comment 'replayed against 30 days: nobody loses'")
@click.argument("name", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown: `jurat policy changes REQUEST`.")
@click.option("--comment", default="", help="What you looked at.")
@click.pass_obj
def approve(session: Session, name: str, shown_digest: str, comment: str) -> None:
    """Say yes to exactly what was shown: the policies are in force from this moment, in every process."""
    from jurat.domain.commands_policy import ApprovePolicyChange

    session.done(session.act(ApprovePolicyChange(request=name, shown_digest=shown_digest, comment=comment)))


@policy.verb("reject", example="jurat policy reject req_01k9… --shown sha256:3f9a… --comment 'it opens production data'")
@click.argument("name", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown.")
@click.option("--comment", required=True, help="Why not.")
@click.pass_obj
def reject(session: Session, name: str, shown_digest: str, comment: str) -> None:
    """Say no, with the reason; the request is closed and the policies stay."""
    from jurat.domain.commands_policy import RejectPolicyChange

    session.done(session.act(RejectPolicyChange(request=name, shown_digest=shown_digest, comment=comment)))


@policy.verb(
    "shadow", example="jurat policy shadow policies/ --reason 'see whom it would refuse'\n\njurat policy shadow --end --reason 'seen'"
)
@_FOLDER
@click.option("--reason", required=True, help="Why.")
@click.option("--end", is_flag=True, help="Stop trying it out.")
@click.pass_obj
def shadow(session: Session, folder: Path | None, reason: str, end: bool) -> None:
    """Let a folder of policies answer beside those in force: its answers are recorded, and decide nothing."""
    from jurat.domain.commands_policy import SetPolicyShadow

    if end and folder is not None:
        raise click.UsageError("`--end` takes no folder")
    files, schema = ({}, "") if end else _read_folder(_folder(session, folder))
    session.done(session.act(SetPolicyShadow(files=files, schema=schema, reason=reason)))


@policy.verb("show", example="jurat policy show\n\njurat policy show house_rules.cedar")
@click.argument("name", required=False, metavar="[FILE]")
@click.pass_obj
def show_policies(session: Session, name: str | None) -> None:
    """Show which policy files are in force, or print one of them."""
    from jurat.app.look import look_at
    from jurat.core.errors import NotFound
    from jurat.domain.rows import PolicySetInForce

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, PolicySetInForce, "current")
    files = {**found.files, _SCHEMA: found.schema}
    if name is not None and name not in files:
        raise NotFound(f"no policy file `{name[:80]}` is in force", hint=f"files: {', '.join(sorted(files))}")
    if session.as_json:
        show_json({"digest": found.digest, "as_of": found.as_of, "files": files if name is None else {name: files[name]}})
    elif name is not None:
        click.echo(flat(files[name].rstrip("\n"), keep="\n\t"))
    else:
        session.say(f"in force: {brief(found.digest)}, since {found.as_of}")
        for file in sorted(files):
            click.echo(flat(file))


def _tell_comparison(session: Session, found: Comparison) -> None:
    if found.is_empty:
        session.say("both say the same")
        return
    for name in found.added:
        click.echo(f"+ {flat(name)}")
    for name in found.removed:
        click.echo(f"- {flat(name)}")
    for name, lines in found.changed.items():
        click.echo(f"~ {flat(name)}")
        for line in lines:
            click.echo(f"    {flat(line)}")
    if found.schema:
        click.echo("~ schema")
        for line in found.schema:
            click.echo(f"    {flat(line)}")
    for word, roles in (("new", found.roles_added), ("gone", found.roles_removed)):
        if roles:
            click.echo(f"roles {word}: {flat(', '.join(roles))}")


def _tell_report(session: Session, report: Report) -> None:
    lines = [[failure.place, failure.name, failure.expected, failure.got] for failure in report.failures]
    if lines:
        show_table(session, ["where", "test", "expected", "got"], lines, empty="")
    covered = len(report.coverage) - len(report.uncovered)
    session.say(
        f"{report.cases - len(report.failures)} of {report.cases} cases hold; {covered} of {len(report.coverage)} policies decided one"
    )
    if report.uncovered:
        session.say(f"decided none: {flat(', '.join(report.uncovered))}")


def _folder(session: Session, folder: Path | None) -> Path:
    return folder if folder is not None else session.workspace.policies


def load_folder(folder: Path) -> PolicySet:
    """Return the policies in a folder."""
    from jurat.policy.policyset import PolicySet

    return PolicySet.load(*_read_folder(folder))


def _load(session: Session, folder: Path | None) -> PolicySet:
    return load_folder(_folder(session, folder))


def _read_tests(folder: Path) -> dict[str, str]:
    from jurat.cli.files import read_text
    from jurat.core.errors import Malformed

    found = {path.name: read_text(path) for path in sorted((folder / "tests").glob("*.yaml"))}
    if not found:
        raise Malformed(f"`{folder}` has no tests", hint="write `tests/*.yaml` in it; a fresh workspace has some")
    return found


def _read_folder(folder: Path) -> tuple[dict[str, str], str]:
    from jurat.cli.files import read_text
    from jurat.core.errors import Malformed, NotFound

    if not folder.is_dir():
        raise NotFound(f"there is no folder `{folder}`")
    files = {path.name: read_text(path) for path in sorted(folder.glob("*.cedar"))}
    if not files or not (folder / _SCHEMA).is_file():
        raise Malformed(f"`{folder}` has no policies", hint=f"it needs `*.cedar` files and `{_SCHEMA}`")
    return files, read_text(folder / _SCHEMA)
