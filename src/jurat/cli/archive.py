"""`jurat archive`: a mirror of the whole record in an object store, that others verify and other engines read."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show_fields, show_json
from jurat.cli.verbs import noun


@noun("archive")
def archive() -> None:
    """A mirror of the record: tiles, checkpoints and Parquet files, in a bucket or a folder. Needs jurat[objects]."""


@archive.verb("push", example="jurat archive push s3://records/jurat\n\njurat archive push file:///mnt/backup/jurat")
@click.argument("url")
@click.pass_obj
def push(session: Session, url: str) -> None:
    """Bring a mirror up to date. Nothing there is overwritten but checkpoints; what was erased here goes there too. Go on any time.

    Credentials come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.
    """
    from jurat.app.mirroring import push_archive

    token = session.token()
    with session.app() as app:
        done = push_archive(app, token, url, say=lambda text: None if session.as_json else session.say(text))
    if session.as_json:
        show_json(done)
        return
    pairs = [("tiles", f"{done.tiles} new"), ("files", f"{done.parts} new"), ("bytes", str(done.bytes)), ("removed", str(done.removed))]
    show_fields(session, [("mirror", done.url), *((log, str(size)) for log, size in done.logs.items()), *pairs])
    session.say(f"anyone who has log-keys.json can check it: jurat archive verify {done.url}")


@archive.verb("verify", example="jurat archive verify s3://records/jurat --keys log-keys.json")
@click.argument("url")
@click.option("--keys", type=click.Path(path_type=Path), help="The auditor's own log-keys.json.  [default: the workspace's]")
@click.pass_obj
def verify(session: Session, url: str, keys: Path | None) -> int:
    """Check a mirror: every entry and tile up to the signed roots, every event in its files. Exit 6 when tampered."""
    from jurat.cli.verify import Demands, verify_store
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file

    return verify_store(session, url, load_log_keys(keys or log_keys_file(session.workspace.keys)), Demands([], [], None))
