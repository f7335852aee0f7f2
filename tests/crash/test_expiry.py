"""Expiry on a real workspace: rows go with a tombstone, disk space comes back, what is held stays, proofs still verify."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenes.keeping import INFERENCE, Kept, files_with, make_kept, opened

from jurat.app.bootstrap import remove_workspace
from jurat.app.keeping import plan_expiry, run_expiry
from jurat.app.walk import act
from jurat.core.errors import Conflict, Denied, NotFound, Tampered
from jurat.domain.commands_keeping import PlaceHold, RecordExpiry, ReleaseHold
from jurat.domain.facts_keeping import HoldPlaced
from jurat.ledger.gone import change_gone, read_gone
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import events_directory, log_keys_file
from jurat.ledger.manifest import read_manifest
from jurat.ledger.prove import prove_event, verify_evidence

pytestmark = [pytest.mark.xdist_group("erasure"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    with tempfile.TemporaryDirectory(prefix="jurat-expire-") as directory:
        root = Path(directory) / "ws"
        yield make_kept(root, (2000, 91.5), (30, 89))
        remove_workspace(root)


def blocks_of(root: Path) -> int:
    return sum(path.stat().st_blocks for path in root.rglob("*.parquet"))


def test_what_is_due_goes_and_what_is_held_stays(kept: Kept) -> None:
    keys, events_dir = load_log_keys(log_keys_file(kept.workspace.keys)), events_directory(kept.workspace.ledger, "main")
    held, *due = list(kept.said)[:2000]
    young = list(kept.said)[2000:]
    operator, officer = kept.tokens["operator"], kept.tokens["privacy"]
    with opened(kept) as app:
        stored = app.events.find_prediction(due[0])[0]
        handed_out = prove_event(kept.workspace.ledger, stored, keys, None)
        placed = act(app, officer, PlaceHold(reason="claim 7", legal_basis="GDPR 17(3)(e)", subject=held)).events[0].data
        assert isinstance(placed, HoldPlaced)
        with pytest.raises(Denied, match="`retention:run`"):
            run_expiry(app, officer)
        plan = plan_expiry(app, operator)
        assert (plan.count, plan.held) == (len(due), 1)
        assert app.events.find_prediction(due[0]), "a plan takes nothing away"

        stale = RecordExpiry(events=plan.due["prediction.made.v1"], kinds={"prediction.made.v1": 1}, retention=plan.retention, holds=[])
        with pytest.raises(Conflict, match="have changed since"):
            act(app, operator, stale)

        before = blocks_of(events_dir)
        done = run_expiry(app, operator)
        assert (done.count, len(done.tombstones)) == (len(due), 1)
        assert blocks_of(events_dir) < before / 2, "the space is free, not only unlisted"
        for needle in (stored.raw, stored.salt):
            assert files_with(kept.workspace.root, needle) == []
        assert kept.verify().faults == []
        assert app.events.find_prediction(due[0]) == []
        with pytest.raises(NotFound, match="has expired"):
            app.events.at(INFERENCE, stored.index)
        told = {event.raw for event in app.events.scan(classes=["inference"])}
        assert told == {kept.said[name] for name in (held, *young)}
        verify_evidence(handed_out, keys)

        assert plan_expiry(app, operator).count == 0
        act(app, officer, ReleaseHold(hold=placed.hold, reason="settled"))
        assert run_expiry(app, operator).count == 1
        assert {event.raw for event in app.events.scan(classes=["inference"])} == {kept.said[name] for name in young}
        assert kept.verify().faults == []


def test_rows_that_vanish_without_a_tombstone_are_missing(kept: Kept) -> None:
    events_dir = events_directory(kept.workspace.ledger, "main")
    with opened(kept) as app:
        whole = read_gone(events_dir)
        assert whole.expired
        change_gone(events_dir, lambda gone: type(gone)())
        try:
            with pytest.raises(Tampered, match="not in the archive"):
                list(app.events.scan(classes=["inference"]))
            wrong = [type(each)(each.tombstone - 1, each.events) for each in whole.expired]  # an event that is no tombstone
            change_gone(events_dir, lambda gone: type(gone)(expired=wrong))
            with pytest.raises(Tampered, match="no erasure or expiry on record covers it"):
                list(app.events.scan(classes=["inference"]))
        finally:
            change_gone(events_dir, lambda _: whole)
        assert kept.verify().faults == []
        assert read_manifest(events_dir).high_water["main/inference"] == 2030
