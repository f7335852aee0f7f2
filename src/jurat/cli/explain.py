"""`jurat explain`: why one prediction came out as it did, for the person concerned or for an expert."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show_fields, show_json, show_table
from jurat.cli.verbs import verb
from jurat.core.errors import Malformed, NotFound

_MAX_BYTES = 2**20


@verb("explain", example="jurat explain prd_01k9… --input request.json --for person\njurat --json explain prd_01k9… --input request.json")
@click.argument("prediction")
@click.option("--input", "source", required=True, type=click.Path(path_type=Path), help="The request as it was sent to the gateway (JSON).")
@click.option("--for", "reader", type=click.Choice(["person", "expert"]), default="expert", show_default=True, help="Who will read it.")
@click.option("--fixed", multiple=True, metavar="FEATURE", help="What the person can do nothing about; sensitive columns never count.")
@click.pass_obj
def explain(session: Session, prediction: str, source: Path, reader: str, fixed: tuple[str, ...]) -> None:
    """Tell what counted in one prediction, how much, and what would have led to another answer. The asking is recorded."""
    from jurat.app.explain import explain as find_out
    from jurat.app.explain import for_person
    from jurat.gateway.v2 import hash_inputs, parse_request

    try:
        with source.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"`{source}` is not there") from None
    except OSError as error:
        raise Malformed(f"`{source}` cannot be read: {(error.strerror or 'failed').lower()}") from error
    if len(raw) > _MAX_BYTES:
        raise Malformed(f"`{source}` has more than {_MAX_BYTES:,} bytes: no request is that long")
    request = parse_request(raw)
    values = {tensor.name: tensor.data[0] for tensor in request.inputs}
    token = session.token()
    with session.app() as app:
        found = find_out(app, token, prediction, values, lambda salt: hash_inputs(salt, request), fixed=fixed)
    if session.as_json:
        show_json(found)
        return
    if reader == "person":
        click.echo(for_person(found), nl=False)
        return
    it = found.explained
    how = "exact" if it.is_exact else "sampled; ± is 1.96 standard errors"
    show_fields(
        session,
        [
            ("prediction", found.prediction), ("version", found.version), ("answer", f"{it.answer} ({found.outcome})"),
            (f"chance of {found.favourable}", f"{it.probability:.4f}; {it.base:.4f} is the mean over {it.background_rows} rows"),
            ("others are taken from", found.background), ("is the recorded answer", "yes" if found.is_compared else "cannot be compared"),
            ("contributions", f"Shapley values of that chance, {how}"), ("event", f"{found.event} · {found.position}"),
        ],
    )  # fmt: skip
    click.echo()
    lines = [[p.feature, str(p.value), f"{p.contribution:+.4f}", f"{1.96 * p.error:.4f}"] for p in it.parts]
    show_table(session, ["feature", "value", "contribution", "±"], lines, empty="")
    click.echo()
    lines = [[c.feature, str(c.before), str(c.after)] for c in it.otherwise]
    show_table(
        session, ["otherwise, if", "had not been", "but"], lines, empty="no change of up to three features was found, or none is needed"
    )
