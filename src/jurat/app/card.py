"""Cards and sheets: made from the record, checked against it, and put on record as evidence that gates of type `documentation` read.

Rows say where to look; numbers are read from the events themselves. A check makes the document again and compares: a number that
somebody edited differs, and so does one whose evidence was replaced since.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from jurat.app.card_formats import as_html, as_json, as_markdown
from jurat.app.croissant import as_croissant
from jurat.app.evaluator import evaluator_for
from jurat.app.graph import recorded
from jurat.app.look import See, check, look_at
from jurat.app.mlbom import as_cyclonedx
from jurat.app.walk import Done, act_as
from jurat.app.wiring import App
from jurat.core.digests import digest_bytes
from jurat.core.errors import Conflict, Malformed, Tampered
from jurat.domain import commands, facts, rows
from jurat.domain.cards import Card, Measured, Registered, data_sheet, model_card
from jurat.domain.events import Event
from jurat.domain.stages import model_resource, parse_stage
from jurat.domain.values import Metric

MAX_CARD_BYTES: Final = 4 * 2**20
_MARK: Final = re.compile(r"jurat[-_:]card[\"',:=\s]{1,40}(?:content=\"|value\": \")?(model|data) ([a-z0-9][a-z0-9._@-]{0,130})")
_MOST_LOOKED_UP: Final = 100  # events that a document names and we do not: enough to tell an old one from an edited one
_EVENT: Final = re.compile(r"evt_[0-9a-z]{20,40}")


class SeeModelCard(See, frozen=True, kw_only=True):
    """A look at what is told of a model."""

    permission = "model_card:read"


class Dossier(NamedTuple):
    """A card, and what formats need beside it."""

    card: Card
    version: facts.VersionRegistered | None
    dataset: rows.Dataset | None


class Difference(msgspec.Struct, frozen=True):
    """A line of a document that is not what the record says."""

    line: int
    says: str
    record: str
    why: str  # `stale`: it rests on evidence that was replaced; `edited`: the record never said so


FORMATS: Final[dict[str, tuple[str, Callable[[Dossier], str]]]] = {
    "markdown": ("model data", lambda d: as_markdown(d.card, d.dataset)),
    "html": ("model data", lambda d: as_html(d.card)),
    "json": ("model data", lambda d: as_json(d.card)),
    "cyclonedx": ("model", lambda d: as_cyclonedx(d.card, d.version, d.dataset)),
    "croissant": ("data", lambda d: as_croissant(d.card, d.dataset)),
}


def make_card(app: App, token: str, version: str) -> Dossier:
    """Return the card of a version, from what is on record now.

    Raises:
        NotFound: there is no such version, or the caller may not see it.
        Denied: the caller may not read model cards; recorded.
        Tampered: the state names an event that the ledger does not have.
    """
    found = look_at(app, token, rows.Version, version)
    check(app, token, SeeModelCard(place=model_resource(parse_stage(found.stage), found.version)))
    app.settle()
    with app.store.reading() as state:
        system = state.get(rows.System, found.system)
        data = state.get(rows.Dataset, found.training_dataset)
        evidence = [e for e in state.find(rows.Evidence, version=found.version) if e.version_digest == found.digest]
    registered = _event(app, found.registered)
    if not isinstance(registered.data, facts.VersionRegistered) or registered.data.digest != found.digest:
        raise Tampered(
            f"`{found.registered}` does not register `{found.version}`", hint="run `jurat rebuild --compare`", code="view_differs"
        )
    measured = []
    for row in sorted(evidence, key=lambda e: e.type):
        event = _event(app, row.as_of)
        if not isinstance(event.data, facts.EvidenceMeasured) or event.data.version_digest != found.digest:
            raise Tampered(f"`{row.as_of}` is no evidence on `{version}`", hint="run `jurat rebuild --compare`", code="view_differs")
        measured.append(Measured(fact=event.data, event=event.id, at=event.at))
    card = model_card(Registered(fact=registered.data, event=registered.id), system, data, measured)
    return Dossier(card, registered.data, data)


def make_sheet(app: App, token: str, dataset: str) -> Dossier:
    """Return the sheet of a data set. Raises as `look_at`."""
    found = look_at(app, token, rows.Dataset, dataset)
    return Dossier(data_sheet(found), None, found)


def render(dossier: Dossier, form: str) -> str:
    """Return a document; the same record always gives the same text.

    Raises:
        Malformed: that format is not made for it.
    """
    kinds, write = FORMATS.get(form, ("", None))
    if write is None or dossier.card.kind not in kinds.split():
        fitting = [name for name, (of, _) in FORMATS.items() if dossier.card.kind in of.split()]
        raise Malformed(f"format `{form[:40]}` is not made of a {dossier.card.kind} card", hint=f"one of {', '.join(fitting)}")
    return write(dossier)


def check_card(app: App, token: str, text: str) -> tuple[str, list[Difference]]:
    """Return what a document is about, and every line of it that is not what the record says; none: it is true and up to date.

    Raises:
        Malformed: not a document of ours.
        NotFound, Denied: as `make_card`.
    """
    subject, form = _identify(text)
    kind, _, name = subject.partition(" ")
    dossier = make_card(app, token, name) if kind == "model" else make_sheet(app, token, name)
    fresh = render(dossier, form)
    if text == fresh:
        return subject, []
    foreign = [event for event in dict.fromkeys(_EVENT.findall(text)) if event not in fresh]
    known = any(app.events.find(event) is not None for event in foreign[:_MOST_LOOKED_UP])
    said, record = text.splitlines(), fresh.splitlines()
    differences = [
        Difference(number, ours[:300], theirs[:300], "stale" if known else "edited")
        for number, ours, theirs in (
            (n + 1, said[n] if n < len(said) else "", record[n] if n < len(record) else "") for n in range(max(len(said), len(record)))
        )
        if ours != theirs
    ]
    return subject, differences or [Difference(len(said), "white space", "other white space", "edited")]


def record_documentation(app: App, token: str, version: str) -> Done:
    """Put on record how complete a version's card and its data sheet are, with the digest of the card that was judged.

    Raises:
        As `make_card`; Denied also when the caller may not have evidence recorded.
    """
    dossier = make_card(app, token, version)
    found = look_at(app, token, rows.Version, version)
    sheet = data_sheet(dossier.dataset) if dossier.dataset else None
    missing = ["the training data is not registered"] if sheet is None else sheet.gaps
    card_gaps = [] if dossier.card.is_complete else dossier.card.gaps
    command = commands.RecordEvidence(
        version=found.version,
        version_digest=found.digest,
        type="documentation",
        dataset=found.training_dataset,
        dataset_digest=dossier.dataset.digest if dossier.dataset else "",
        metrics=[
            Metric(name="model_card_complete", value=float(dossier.card.is_complete), n=1, reason="; ".join(card_gaps)[:300]),
            Metric(name="data_sheet_complete", value=float(not missing), n=1, reason="; ".join(missing)[:300]),
        ],
        method="made from evidence; complete when no needed heading is without a known line (model card), no line is unknown (data sheet)",
        environment={
            "card_digest": digest_bytes(render(dossier, "markdown").encode()),
            "gaps": "; ".join(dossier.card.gaps)[:2000] or "none",
        },
        duration_s=0.0,
    )
    return act_as(app, evaluator_for(app, token), command)


def refuse_differences(subject: str, differences: list[Difference]) -> None:
    """Pass if there are none.

    Raises:
        Conflict: the first of them, in words; all of them among the fields.
    """
    if not differences:
        return
    first = differences[0]
    stale = any(each.why == "stale" for each in differences)
    raise Conflict(
        f"line {first.line} says `{first.says.strip()[:160]}`, the record says `{first.record.strip()[:160]}`"
        + (f"; {len(differences)} lines differ" if len(differences) > 1 else ""),
        hint=("evidence was replaced since: " if stale else "somebody edited it: ")
        + f"make it again, `jurat card make {subject.split()[-1]}`",
        code="card_stale" if stale else "card_edited",
        differences=[msgspec.to_builtins(each) for each in differences[:100]],
    )


def _identify(text: str) -> tuple[str, str]:
    """Return `model credit@1.1.0` and the format, from the mark that every document carries."""
    mark = _MARK.search(text)
    if mark is None:
        raise Malformed("this is not a card that Jurat made: it does not say of what", hint="make one: `jurat card make VERSION`")
    subject = f"{mark[1]} {mark[2]}"
    if text.startswith("---\n"):
        return subject, "markdown"
    if text.startswith("<!doctype html>"):
        return subject, "html"
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Malformed("this card is in no format that Jurat makes", hint=f"one of {', '.join(FORMATS)}")
    return subject, "cyclonedx" if "bomFormat" in document else "croissant" if "@context" in document else "json"


def _event(app: App, event_id: str) -> Event:
    stored = app.events.find(event_id)
    if stored is None:
        raise Tampered(
            f"the state names event `{event_id}`, which the ledger does not have", hint="run `jurat verify`", code="event_missing"
        )
    return recorded(stored).event
