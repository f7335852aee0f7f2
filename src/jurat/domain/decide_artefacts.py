"""The law on kept bytes: what anything on record speaks of stays."""

from __future__ import annotations

from typing import Final

from jurat.core.digests import check_digest
from jurat.core.errors import Conflict, Malformed
from jurat.domain import commands_keeping as commands
from jurat.domain import facts_keeping as facts
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.events import Event
from jurat.domain.state import State

MOST_DIGESTS: Final = 1_000


def clean_artefacts(state: State, command: commands.CleanArtefacts, context: Context) -> list[Event]:
    """Bytes that nothing speaks of are about to go; a digest that is registered, in whatever stage, does not."""
    if len(command.digests) > MOST_DIGESTS:
        raise Malformed(f"artefacts are cleaned by digest, up to {MOST_DIGESTS} at once")
    for digest in command.digests:
        check_digest(digest)
    if min(command.unfinished, command.copies, command.size_bytes) < 0:
        raise Malformed("a count or a size is 0 or more")
    if named := sorted(registered_digests(state).intersection(command.digests)):
        raise Conflict(
            f"`{named[0]}` is registered, and stays", hint="somebody registered it just now: look again", code="artefact_registered"
        )
    fact = facts.ArtefactsCleaned(
        digests=command.digests, unfinished=command.unfinished, copies=command.copies, size_bytes=command.size_bytes
    )
    return [context.event(fact)]


def registered_digests(state: State) -> set[str]:
    """Return every digest that a version, a data set or an asset is registered with."""
    found = {row.digest for row in state.find(rows.Dataset)} | {row.digest for row in state.find(rows.Asset)}
    for version in state.find(rows.Version):
        found |= {getattr(version.artefacts, name).digest for name in version.artefacts.__struct_fields__}
    return found
