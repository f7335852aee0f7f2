"""One event taken out in each form, from a workspace with everything real; each is checked by a foreign verifier."""

from __future__ import annotations

import json
from pathlib import Path

from tests.contract.web.conftest import Live
from tests.contract.web.test_api_process import Process, settings
from tests.scenes.cose_reader import check_receipt

from jurat.app.records import ProofForm, Wanted, newest, take_proof
from jurat.ledger.data import verify_log
from jurat.ledger.evidence import verify_evidence
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file
from jurat.ledger.tile_source import UrlSource
from jurat.ledger.verify_public import verify_public
from jurat.merkle.entry import pack_entry
from jurat.merkle.note import parse_vkey

__all__ = ["settings"]  # a fixture


def test_an_event_is_proved_in_each_form(live: Live, tmp_path: Path) -> None:
    app, token = live.app, live.tokens["auditor"]
    event = newest(app, token, Wanted(kind="role.granted.v1", limit=1)).events[0]
    keys_file = log_keys_file(app.workspace.keys)
    keys, plain = load_log_keys(keys_file), json.loads(keys_file.read_bytes())
    for form in (ProofForm.EVIDENCE, ProofForm.TLOG_PROOF):
        file = tmp_path / form
        file.write_bytes(take_proof(app, token, event.event_id, form))
        assert verify_evidence(file.read_bytes(), keys).event_id == event.event_id
        assert verify_log.verify(file, plain, []).startswith(f"leaf {event.index} of ")
    stored = app.events.find(event.event_id)
    assert stored is not None
    mine = next(each for each in keys if each.log == event.log)
    receipt = take_proof(app, token, event.event_id, ProofForm.COSE)
    size, index = check_receipt(receipt, pack_entry(stored.entry), parse_vkey(mine.receipt_vkey).public, mine.origin)
    assert (index, size > index) == (event.index, True)
    asked = [each.event["data"]["question"] for each in newest(app, token, Wanted(kind="records.read.v1", limit=4)).events]
    assert asked.count("prove") == 3


def test_the_served_logs_verify_while_they_grow(live: Live, settings: Path) -> None:
    """Seven logs of a running API, by address: again and again while acts are sealed into them."""
    process = Process(live.app.workspace.root)
    try:
        base = f"http://127.0.0.1:{process.port}/log"
        keys = load_log_keys(log_keys_file(live.app.workspace.keys))
        sizes = []
        for _ in range(4):
            sources = [(each, UrlSource(f"{base}/{each.log}")) for each in keys]
            try:
                report = verify_public(sources)
            finally:
                for _, source in sources:
                    source.close()
            assert report.is_clean, report.faults
            sizes.append(sum(each.checked_entries for each in report.logs))
            newest(live.app, live.tokens["auditor"], Wanted(limit=1))  # recorded, so the log grows
            live.app.settle()
        assert sizes == sorted(sizes)
        assert sizes[-1] > sizes[0] > 0
    finally:
        process.end()
