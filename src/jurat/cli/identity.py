"""`jurat identity`: whose word is believed about who somebody is: providers, invitations, workloads, and our own token keys."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.files import read_bytes, read_text
from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json, when
from jurat.cli.verbs import noun
from jurat.core.errors import Malformed
from jurat.core.jsonio import dump_json


@noun("identity")
def identity() -> None:
    """Identity providers, invitations, trust in workloads, and the keys that sign access tokens."""


@identity.verb("list", example="jurat identity list")
@click.pass_obj
def list_believed(session: Session) -> None:
    """Show whose word is believed: providers at which people sign in, and workloads of which issuers."""
    from jurat.app.look import look
    from jurat.domain.rows import Provider, Trust

    token = session.token()
    with session.app() as app:
        providers, trusts = look(app, token, Provider), look(app, token, Trust)
    if session.as_json:
        show_json({"providers": providers, "trusts": trusts})
        return
    lines = [["people", r.provider, r.issuer, r.client_id, ""] for r in providers]
    lines += [[r.form, r.trust, r.issuer, r.principal, ", ".join(f"{k}={v}" for k, v in r.claims.items())] for r in trusts]
    show(session, [*providers, *trusts], ["form", "name", "issuer", "client or principal", "claims"], lines, empty="nobody's yet")


@identity.verb(
    "add-provider",
    example="jurat identity add-provider corporate --issuer https://id.example.org --client-id jurat --client-secret-file secret.txt "
    "--reason 'single sign-on'",
)
@click.argument("name")
@click.option("--issuer", required=True, help="Exactly as its discovery document says.")
@click.option("--client-id", required=True, help="What the provider calls this workspace.")
@click.option("--client-secret-file", type=click.Path(path_type=Path), default=None, help="Its content is kept in keys/, 0600.")
@click.option(
    "--private-key-jwt",
    is_flag=True,
    help="Prove us by a key made here instead of a secret; its public half is shown, to be registered there.",
)
@click.option("--scope", "scopes", multiple=True, help="What is asked for beside `openid`.")
@click.option("--directory", default="", help="The service that provisions its accounts: first sign-ins need no invitation.")
@click.option("--reason", required=True)
@click.pass_obj
def add_provider(
    session: Session,
    name: str,
    issuer: str,
    client_id: str,
    client_secret_file: Path | None,
    private_key_jwt: bool,
    scopes: tuple[str, ...],
    directory: str,
    reason: str,
) -> None:
    """Let people sign in at an OpenID provider. Register `<address of jurat>/login/callback` there as the redirect address."""
    from jurat.app.issuers import metadata_of
    from jurat.app.login import keep_client_secret, make_client_key
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands_identity import RegisterProvider

    if private_key_jwt and client_secret_file:
        raise Malformed("`--private-key-jwt` and `--client-secret-file` both say what proves us", hint="give one of them")
    secret = read_text(client_secret_file).strip() if client_secret_file else ""
    token = session.token()
    with session.app() as app:
        who = resolve(app, token, directory) if directory else ""
        command = RegisterProvider(provider=name, issuer=issuer, client_id=client_id, scopes=list(scopes), directory=who, reason=reason)
        done = act(app, token, command)
        if secret:
            keep_client_secret(app, name, secret)
        public = make_client_key(app, name) if private_key_jwt else None
        metadata_of(issuer, app.clock.now_ns() / 1e9)
    if public is not None:
        session.say(f"register this public key at the provider (JWKS): {dump_json({'keys': [public]}).decode()}")
    session.done(done)


@identity.verb("remove-provider", example="jurat identity remove-provider corporate --reason 'replaced'")
@click.argument("name")
@click.option("--reason", required=True)
@click.pass_obj
def remove_provider(session: Session, name: str, reason: str) -> None:
    """Let nobody sign in there any more; sessions that it opened end."""
    from jurat.app.login import forget_client_secret
    from jurat.app.walk import act
    from jurat.domain.commands_identity import RemoveProvider

    token = session.token()
    with session.app() as app:
        done = act(app, token, RemoveProvider(provider=name, reason=reason))
        forget_client_secret(app, name)
    session.done(done)


@identity.verb("invite", example="jurat identity invite 'Ada Lovelace' --for 24h")
@click.argument("person")
@click.option("--for", "lifetime", default="24h", metavar="DURATION", show_default=True, help="How long it may be taken up.")
@click.pass_obj
def invite(session: Session, person: str, lifetime: str) -> None:
    """Let a person link an account at a provider, once. The invitation is shown this once: hand it over yourself."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.core.units import parse_duration_s
    from jurat.domain.commands_identity import InviteIdentity

    token = session.token()
    with session.app() as app:
        done = act(app, token, InviteIdentity(principal=resolve(app, token, person), lifetime_s=parse_duration_s(lifetime)))
    if session.as_json:
        show_json({**done.reply, "event": done.events[0].id})
    else:
        show_fields(
            session, [("invitation", done.reply["invitation"]), ("until", when(done.reply["expires_at"])), ("event", done.events[0].id)]
        )


@identity.verb(
    "trust",
    example="jurat identity trust release-pipeline --issuer https://ci.example.org --audience https://jurat.example.org "
    "--claim repository=our/credit --claim environment=production --reason 'the pipeline registers versions'\n\n"
    "jurat identity trust scorer --spiffe spiffe://example.org --bundle bundle.json --audience jurat "
    "--claim sub=spiffe://example.org/ns/prod/sa/scorer --reason 'the scoring service'",
)
@click.argument("principal")
@click.option("--issuer", default="", help="Of an OIDC issuer: a CI system, a cluster. Its keys are read from it.")
@click.option("--spiffe", default="", metavar="TRUST_DOMAIN", help="A SPIFFE trust domain instead; its keys come in `--bundle`.")
@click.option("--bundle", type=click.Path(path_type=Path), default=None, help="A JWKS with the keys to pin.")
@click.option("--audience", required=True, help="That the tokens must be for.")
@click.option(
    "--claim", "claims", multiple=True, required=True, metavar="NAME=VALUE", help="That they must have; `*` at the end of a value only."
)
@click.option("--reason", required=True)
@click.pass_obj
def trust(
    session: Session, principal: str, issuer: str, spiffe: str, bundle: Path | None, audience: str, claims: tuple[str, ...], reason: str
) -> None:
    """Believe the tokens of a workload: they are exchanged at /oauth/token for tokens of that principal."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.core.errors import Malformed
    from jurat.core.jsonio import load_json
    from jurat.domain.commands_identity import DeclareTrust
    from jurat.identity.oidc import read_keys

    if bool(issuer) == bool(spiffe):
        raise Malformed("name an `--issuer` or a `--spiffe` trust domain", hint="one of the two")
    wanted = dict(pair.partition("=")[::2] for pair in claims)
    keys = read_keys(load_json(read_bytes(bundle), dict[str, object], what=f"`{bundle}`"), uses=("sig", "jwt-svid")) if bundle else []
    token = session.token()
    with session.app() as app:
        done = act(
            app, token,
            DeclareTrust(
                form="spiffe" if spiffe else "oidc", issuer=issuer or spiffe, audience=audience, claims=wanted, keys=keys, reason=reason,
                principal=resolve(app, token, principal),
            ),
        )  # fmt: skip
    session.done(done)


@identity.verb("end-trust", example="jurat identity end-trust trs_01k9… --reason 'pipeline moved'")
@click.argument("trust_id", metavar="TRUST")
@click.option("--reason", required=True)
@click.pass_obj
def end_trust(session: Session, trust_id: str, reason: str) -> None:
    """Believe those tokens no more. Tokens that came of them end by themselves, within minutes."""
    from jurat.domain.commands_identity import EndTrust

    session.done(session.act(EndTrust(trust=trust_id, reason=reason)))


@identity.verb(
    "rotate-keys", example="jurat identity rotate-keys --reason 'yearly'\n\njurat identity rotate-keys --forget --reason 'key lost'"
)
@click.option("--forget", is_flag=True, help="The old keys are not known any more: what they signed ends now.")
@click.option("--reason", required=True)
@click.pass_obj
def rotate(session: Session, forget: bool, reason: str) -> None:
    """Sign access tokens by a fresh key from now on."""
    from jurat.app.token_keys import rotate_keys

    token = session.token()
    with session.app() as app:
        done = rotate_keys(app, token, reason, forget=forget)
    session.done(done)
