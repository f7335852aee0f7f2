"""`jurat producer`: the services outside that may record events."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json
from jurat.cli.verbs import noun


@noun("producer")
def producer() -> None:
    """Services outside that may record events, each under a number of its own."""


@producer.verb("list", example="jurat producer list")
@click.pass_obj
def list_producers(session: Session) -> None:
    """Show the producers that are registered, and the classes that each may record in."""
    from jurat.app.look import look
    from jurat.domain.rows import Producer

    token = session.token()
    with session.app() as app:
        found = look(app, token, Producer)
    lines = [[str(r.producer), r.name, r.principal, ", ".join(r.classes)] for r in sorted(found, key=lambda r: r.producer)]
    show(session, found, ["producer", "name", "principal", "classes"], lines, empty="no producer is registered")


@producer.verb(
    "register",
    example="jurat producer register prn_01k9… --name scorer --class inference --reason 'the model server reports its own calls'\n\n"
    "jurat role grant prn_01k9… recorder --reason 'records its calls' --for 90d",
)
@click.argument("principal")
@click.option("--name", required=True, help="What it is.")
@click.option("--class", "classes", multiple=True, required=True, help="A retention class that it records in.")
@click.option("--reason", required=True, help="Why it may.")
@click.pass_obj
def register(session: Session, principal: str, name: str, classes: tuple[str, ...], reason: str) -> None:
    """Give a service a number. It also needs the role `recorder`, and a token, to record."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands import RegisterProducer
    from jurat.domain.facts import ProducerRegistered

    token = session.token()
    with session.app() as app:
        who = resolve(app, token, principal)
        done = act(app, token, RegisterProducer(principal=who, name=name, classes=list(classes), reason=reason))
    data = done.events[0].data
    assert isinstance(data, ProducerRegistered)
    if session.as_json:
        show_json({"producer": data.producer, "principal": who, "event": done.events[0].id})
    else:
        show_fields(session, [("producer", str(data.producer)), ("principal", who), ("event", done.events[0].id)])
