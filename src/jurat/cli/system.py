"""`jurat system`: AI systems: a use, with a purpose, an owner and a risk tier."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show
from jurat.cli.verbs import noun


@noun("system")
def system() -> None:
    """AI systems, with purpose, owner and risk tier."""


@system.verb("list", example="jurat system list")
@click.pass_obj
def list_systems(session: Session) -> None:
    """Show the systems that you may see."""
    from jurat.app.look import look
    from jurat.cli.people import People
    from jurat.domain.rows import System

    token = session.token()
    with session.app() as app:
        found = look(app, token, System)
        people = People(session, app, token)
    lines = [[r.system, r.risk_tier.value, people.name(r.owner), r.purpose] for r in found]
    show(session, found, ["system", "risk", "owner", "purpose"], lines, empty="no system is registered")


@system.verb(
    "register", example="jurat system register credit --purpose 'decide on loans' --owner 'Ada Lovelace' --risk high --affected applicants"
)
@click.argument("name")
@click.option("--purpose", required=True, help="What it decides or recommends.")
@click.option("--owner", required=True, help="The person who answers for it: id or name.")
@click.option("--risk", required=True, type=click.Choice(["minimal", "limited", "high"]), help="The AI Act's tier.")
@click.option("--affected", required=True, help="Whom its answers touch.")
@click.pass_obj
def register(session: Session, name: str, purpose: str, owner: str, risk: str, affected: str) -> None:
    """Make an AI system known: what it is for, who answers for it, how risky it is."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands import RegisterSystem
    from jurat.domain.values import RiskTier

    token = session.token()
    with session.app() as app:
        command = RegisterSystem(
            system=name, purpose=purpose, owner=resolve(app, token, owner), risk_tier=RiskTier(risk), affected_persons=affected
        )
        done = act(app, token, command)
    session.done(done)
