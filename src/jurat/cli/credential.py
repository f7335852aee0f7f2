"""`jurat credential`: what people act by, whose hands it came through, and a third person's word that it is theirs alone."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show
from jurat.cli.verbs import noun


@noun("credential")
def credential() -> None:
    """Credentials: what somebody else made in a person's name approves nothing until a third person vouches for it."""


@credential.verb("list", example="jurat credential list 'Ada Lovelace'")
@click.argument("who", metavar="PERSON")
@click.pass_obj
def list_credentials(session: Session, who: str) -> None:
    """Show a person's passkeys, linked accounts and tokens, and who had a hand in each."""
    from jurat.app.credentials import credentials_of
    from jurat.cli.people import People, resolve

    token = session.token()
    with session.app() as app:
        found = credentials_of(app, token, resolve(app, token, who))
        people = People(session, app, token)
    lines = [
        [each.credential, each.standing, ", ".join(map(people.name, each.hands)), people.name(each.vouched_by) if each.vouched_by else ""]
        for each in found
    ]
    show(session, found, ["credential", "standing", "made by", "vouched for by"], lines, empty="nothing that they could act by")


@credential.verb("vouch", example="jurat credential vouch pky_01k9… --of 'Ada Lovelace' --reason 'she read me its id from her own screen'")
@click.argument("credential_id", metavar="CREDENTIAL")
@click.option("--of", "who", required=True, help="Whose it is: id or name.")
@click.option("--reason", required=True, help="How you know that they have it, and nobody else.")
@click.pass_obj
def vouch(session: Session, credential_id: str, who: str, reason: str) -> None:
    """Say that a person has a credential themselves, and nobody else. Whoever made it, and its person, cannot.

    Ask the person, face to face or on a line that you trust, for the id that THEY see: `jurat credential list`, as themselves.
    """
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands_credentials import VouchCredential

    token = session.token()
    with session.app() as app:
        done = act(app, token, VouchCredential(principal=resolve(app, token, who), credential=credential_id, reason=reason))
    session.done(done)
