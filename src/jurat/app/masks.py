"""What an approved erasure hides is hidden, whoever was killed between the word and the deed.

The approval is in the database first and the mask in the archive second; so there is a moment in which a kill leaves events
shown that nobody may see. Whoever opens a workspace for a moment, and the worker every few seconds, closes it.
"""

from __future__ import annotations

from pathlib import Path

from jurat.domain import rows
from jurat.domain.decide_keeping import APPROVED, STARTED
from jurat.ledger.gone import mask, read_gone
from jurat.ledger.layout import events_directory
from jurat.store.store import Store


def mask_approved(store: Store, ledger_root: Path, tenant: str) -> int:
    """Mask every approved erasure that is not masked yet; return how many there were.

    Raises:
        Tampered: the list of masks cannot be read.
        Unavailable: the database or the disk refused.
    """
    with store.reading() as state:
        wanted = {row.request: row.events for row in state.find(rows.Erasure) if row.status in (APPROVED, STARTED)}
    if not wanted:
        return 0
    directory = events_directory(ledger_root, tenant)
    missing = wanted.keys() - read_gone(directory).masked.keys()
    for request in missing:
        mask(directory, request, wanted[request])
    return len(missing)
