"""What is said of advisories on packages, many at once. LAW: as in `facts`. A single flaw that versions rest on is `upstream.changed`."""

from __future__ import annotations

from typing import Final

from jurat.domain.values import Fact


class AdvisoriesImported(Fact, frozen=True, kw_only=True):
    """Versions are held against this collection from now on."""

    digest: str  # of the collection, as it is kept
    source_digest: str  # of what was read
    previous: str  # digest of the collection before; empty: there was none
    advisories: int
    added: int
    changed: int
    withdrawn: int
    other: int  # read, and about other ecosystems
    newest: str  # RFC 3339: when the newest of them was last changed, as its publisher says
    reason: str


ADVISORY_FACTS: Final[dict[str, type[Fact]]] = {"advisories.imported.v1": AdvisoriesImported}
