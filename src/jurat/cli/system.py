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
@click.option("--environment", "environments", multiple=True, help="Where it runs.")
@click.pass_obj
def register(session: Session, name: str, purpose: str, owner: str, risk: str, affected: str, environments: tuple[str, ...]) -> None:
    """Make an AI system known: what it is for, who answers for it, how risky it is."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands import RegisterSystem
    from jurat.domain.values import RiskTier

    token = session.token()
    with session.app() as app:
        command = RegisterSystem(
            system=name, purpose=purpose, owner=resolve(app, token, owner), risk_tier=RiskTier(risk), affected_persons=affected,
            environments=list(environments),
        )  # fmt: skip
        done = act(app, token, command)
    session.done(done)


@system.verb("change", example="jurat system change credit --risk high --reason 'it decides on loans now'")
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is written down.")
@click.option("--purpose", help="What it decides or recommends.")
@click.option("--owner", help="The person who answers for it: id or name.")
@click.option("--risk", type=click.Choice(["minimal", "limited", "high"]), help="The AI Act's tier. An owner may not lower their own.")
@click.option("--affected", help="Whom its answers touch.")
@click.option("--environment", "environments", multiple=True, help="Where it runs from now on; replaces what was said before.")
@click.pass_obj
def change(
    session: Session, name: str, reason: str, purpose: str | None, owner: str | None, risk: str | None, affected: str | None,
    environments: tuple[str, ...],
) -> None:  # fmt: skip
    """Change owner, tier, purpose, affected persons or environments. Policies follow at once; what was recorded is kept as before."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands_lineage import ChangeSystem
    from jurat.domain.values import RiskTier

    token = session.token()
    with session.app() as app:
        command = ChangeSystem(
            system=name, reason=reason, purpose=purpose, owner=resolve(app, token, owner) if owner else None,
            risk_tier=RiskTier(risk) if risk else None, affected_persons=affected, environments=list(environments) or None,
        )  # fmt: skip
        done = act(app, token, command)
    session.done(done)


@system.verb("show", example="jurat system show credit")
@click.argument("name")
@click.pass_obj
def show_system(session: Session, name: str) -> None:
    """Show a system: what it is for, who answers for it, whom it touches, where it runs, and its versions."""
    from jurat.app.look import look, look_at
    from jurat.cli.people import People
    from jurat.cli.show import show_fields, show_json
    from jurat.domain.rows import System, Version

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, System, name)
        versions = look(app, token, Version, {"system": name})
        people = People(session, app, token)
    if session.as_json:
        show_json({"system": found, "versions": [version.version for version in versions]})
        return
    show_fields(
        session,
        [
            ("system", found.system), ("purpose", found.purpose), ("owner", people.name(found.owner)), ("risk", found.risk_tier.value),
            ("highest risk", (found.highest_tier or found.risk_tier).value), ("affected", found.affected_persons),
            ("environments", ", ".join(found.environments) or "not said"), ("versions", ", ".join(v.version for v in versions) or "none"),
            ("event", found.as_of),
        ],
    )  # fmt: skip
