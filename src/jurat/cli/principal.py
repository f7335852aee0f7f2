"""`jurat principal`: people, services, agents and processes."""

from __future__ import annotations

import click
from msgspec import to_builtins

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json
from jurat.cli.verbs import noun


@noun("principal")
def principal() -> None:
    """People, services, agents and processes: whoever can act."""


@principal.verb("list", example="jurat principal list")
@click.pass_obj
def list_principals(session: Session) -> None:
    """Show whom you may see, with names from the vault."""
    from jurat.app.look import look, names_of
    from jurat.domain.rows import Principal

    token = session.token()
    with session.app() as app:
        found = look(app, token, Principal)
        names = names_of(app, token)
    known = {r.principal: r for r in found}

    def standing(row: Principal) -> str:
        if not row.active:
            return "deactivated"
        owner = known.get(row.owner) if row.owner else None
        return "suspended: nobody answers for it" if owner is not None and not owner.active else "active"

    owners = {r.principal: names.get(r.owner, r.owner) if r.owner else "" for r in found}
    lines = [[r.principal, names.get(r.principal, ""), r.type.value, owners[r.principal], standing(r)] for r in found]
    show(session, found, ["principal", "name", "type", "answered for by", "state"], lines, empty="nobody is known here yet")


@principal.verb(
    "register",
    example="jurat principal register 'Ada Lovelace' --email ada@example.org\n\n"
    "jurat principal register scorer --type service --owner prn_01k9…",
)
@click.argument("name")
@click.option(
    "--type", "kind", default="person", type=click.Choice(["person", "service", "agent", "process"]), show_default=True,
    help="What acts: somebody, a program, an AI, a pipeline or job.",
)  # fmt: skip
@click.option("--email", default="", help="Of a person; kept in the vault, never in the ledger.")
@click.option("--owner", default=None, help="The person who answers for a service, agent or process: id or name.")
@click.pass_obj
def register(session: Session, name: str, kind: str, email: str, owner: str | None) -> None:
    """Make someone or something known. A person's name and address go to the vault, never into the ledger."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands import RegisterPrincipal
    from jurat.domain.values import PrincipalType

    token = session.token()
    with session.app() as app:
        owner_id = resolve(app, token, owner) if owner else None
        done = act(app, token, RegisterPrincipal(type=PrincipalType(kind), name=name, email=email, owner=owner_id))
    if session.as_json:
        show_json({**done.reply, "event": done.events[0].id})
    else:
        show_fields(session, [("principal", done.reply["principal"]), ("event", done.events[0].id)])


@principal.verb(
    "deactivate",
    example="jurat principal deactivate 'Ada Lovelace' --reason 'left the company' --transfer-to 'Ben Okafor'\n\n"
    "jurat principal deactivate scorer --reason 'replaced'",
)
@click.argument("who", metavar="PRINCIPAL")
@click.option("--reason", required=True, help="Why, in words that a reviewer will understand in a year.")
@click.option("--transfer-to", default=None, metavar="PERSON", help="Who answers for their services, agents and processes from now on.")
@click.option("--suspend-owned", is_flag=True, help="Let what they answer for be suspended, until somebody takes it over.")
@click.pass_obj
def deactivate(session: Session, who: str, reason: str, transfer_to: str | None, suspend_owned: bool) -> None:
    """End everything a principal has, at once: tokens, sessions, passkeys, grants, requests, pending approvals. One event lists it."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands_people import Deactivate
    from jurat.domain.facts_people import OwnershipTransferred, PrincipalDeactivated

    token = session.token()
    with session.app() as app:
        command = Deactivate(
            principal=resolve(app, token, who),
            reason=reason,
            transfer_to=resolve(app, token, transfer_to) if transfer_to else "",
            suspend_owned=suspend_owned,
        )
        done = act(app, token, command)
    gone = done.events[-1]
    assert isinstance(gone.data, PrincipalDeactivated)
    moved = [each for event in done.events if isinstance(event.data, OwnershipTransferred) for each in event.data.principals]
    if session.as_json:
        show_json({"event": gone.id, **to_builtins(gone.data), "transferred": moved})
        return
    ended = [(sort, ", ".join(ids)) for sort, ids in gone.data.ended.items()]
    handed = [("handed over", ", ".join(moved))] if moved else []
    lost = [("suspended", ", ".join(gone.data.suspended))] if gone.data.suspended else []
    took = f"{gone.data.count} in {gone.data.took_s * 1000:.1f} ms"
    show_fields(session, [("deactivated", gone.data.principal), ("ended", took), *ended, *handed, *lost, ("event", gone.id)])


@principal.verb("reactivate", example="jurat principal reactivate prn_01k9… --reason 'back from leave'")
@click.argument("who", metavar="PRINCIPAL")
@click.option("--reason", required=True)
@click.pass_obj
def reactivate(session: Session, who: str, reason: str) -> None:
    """Let a principal act again. What died stays dead: grant roles and issue tokens anew."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands_people import Reactivate

    token = session.token()
    with session.app() as app:
        session.done(act(app, token, Reactivate(principal=resolve(app, token, who), reason=reason)))


@principal.verb(
    "transfer-ownership",
    example="jurat principal transfer-ownership --from 'Ada Lovelace' --to 'Ben Okafor' --reason 'changed teams'\n\n"
    "jurat principal transfer-ownership scorer --from 'Ada Lovelace' --to 'Ben Okafor' --reason 'his model now'",
)
@click.argument("which", nargs=-1, metavar="[PRINCIPAL]…")
@click.option("--from", "from_owner", required=True, help="Who answers for them now: id or name.")
@click.option("--to", "to_owner", required=True, help="Who answers for them from now on: an active person.")
@click.option("--reason", required=True)
@click.pass_obj
def transfer_ownership(session: Session, which: tuple[str, ...], from_owner: str, to_owner: str, reason: str) -> None:
    """Let another person answer for services, agents and processes: those named, or all of the owner's."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands_people import TransferOwnership

    token = session.token()
    with session.app() as app:
        moved = [resolve(app, token, each) for each in which]
        command = TransferOwnership(
            from_owner=resolve(app, token, from_owner), to_owner=resolve(app, token, to_owner), reason=reason, principals=moved
        )
        done = act(app, token, command)
    if session.as_json:
        show_json({"event": done.events[0].id, **to_builtins(done.events[0].data)})
    else:
        session.done(done)
