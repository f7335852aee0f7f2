"""`jurat policy`: the Cedar policies. What lies in a folder is text; in force is what was applied."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import brief, show_fields, show_json
from jurat.cli.verbs import noun

_SCHEMA = "schema.cedarschema"


@noun("policy")
def policy() -> None:
    """Policies: check, apply, show."""


@policy.verb("check", example="jurat policy check policies/")
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_obj
def check(session: Session, folder: Path) -> None:
    """Read and validate a folder of policies. Changes nothing, needs nobody's leave."""
    from jurat.policy.policyset import PolicySet

    found = PolicySet.load(*_read_folder(folder))
    if session.as_json:
        show_json({"digest": found.digest, "policies": sorted(found.policies), "roles": sorted(found.roles)})
    else:
        pairs = [("digest", brief(found.digest)), ("policies", str(len(found.policies))), ("roles", ", ".join(sorted(found.roles)))]
        show_fields(session, pairs)


@policy.verb("apply", example="jurat policy apply policies/ --reason 'auditors may take proofs'")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why it changes.")
@click.pass_obj
def apply_policies(session: Session, folder: Path, reason: str) -> None:
    """Put a folder of policies into force. A set that does not validate changes nothing."""
    from jurat.domain.commands import ApplyPolicies

    files, schema = _read_folder(folder)
    session.done(session.act(ApplyPolicies(files=files, schema=schema, reason=reason)))


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


def _read_folder(folder: Path) -> tuple[dict[str, str], str]:
    from jurat.cli.files import read_text
    from jurat.core.errors import Malformed, NotFound

    if not folder.is_dir():
        raise NotFound(f"there is no folder `{folder}`")
    files = {path.name: read_text(path) for path in sorted(folder.glob("*.cedar"))}
    if not files or not (folder / _SCHEMA).is_file():
        raise Malformed(f"`{folder}` has no policies", hint=f"it needs `*.cedar` files and `{_SCHEMA}`")
    return files, read_text(folder / _SCHEMA)
