"""COSE receipts from the real sequencer: it signs the roots that it has committed, and nothing else."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from tests.ledger_workspace import ACCESS, INFERENCE, PREDICTION_MADE, make_workspace, running
from tests.scenes.cose_reader import check_receipt

from jurat.core.errors import JuratError, Malformed, NotFound, Tampered, Unavailable
from jurat.ledger.client import LedgerClient
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import LogName, log_keys_file
from jurat.ledger.prove import prove_cose
from jurat.ledger.query import Events
from jurat.ledger.tail import published_checkpoint
from jurat.ledger.wire import SignedRoot
from jurat.merkle.entry import pack_entry
from jurat.merkle.note import parse_vkey

ORIGIN = "jurat.local/main/inference"


def test_the_sequencer_signs_committed_roots_for_receipts(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    keys = load_log_keys(log_keys_file(workspace.keys))
    public = parse_vkey(next(key for key in keys if key.log == "main/inference").receipt_vkey).public
    with running(workspace) as daemon, contextlib.closing(daemon.connect()) as client:
        client.append(INFERENCE, 1, [(PREDICTION_MADE, b'{"n":0}')])
        client.flush()
        events = Events(workspace.ledger, "main")
        with pytest.raises(Malformed, match="one leaf"):
            prove_cose(workspace.ledger, events.at("main/inference", 0), keys, client.signed_root(INFERENCE))
        client.append(INFERENCE, 2, [(PREDICTION_MADE, b'{"n":%d}' % n) for n in range(1, 300)])
        client.flush()
        signed = client.signed_root(INFERENCE)
        assert (signed.size, signed.root) == published_checkpoint(workspace.ledger, INFERENCE)[1:]
        for index in (0, 1, 255, 256, 299):
            event = events.at("main/inference", index)
            receipt = prove_cose(workspace.ledger, event, keys, signed)
            assert check_receipt(receipt, pack_entry(event.entry), public, ORIGIN) == (300, index)
        last = events.at("main/inference", 299)
        with pytest.raises(Unavailable, match="not sealed"):
            prove_cose(workspace.ledger, last, keys, SignedRoot(299, signed.root, signed.protected, signed.signature))
        for wrong in (
            SignedRoot(signed.size, bytes(32), signed.protected, signed.signature),
            SignedRoot(signed.size, signed.root, signed.protected, bytes(64)),
            SignedRoot(299, signed.root, signed.protected, signed.signature),
        ):
            with pytest.raises(JuratError):
                prove_cose(workspace.ledger, events.at("main/inference", 5), keys, wrong)
        with pytest.raises(Tampered):
            prove_cose(workspace.ledger, last, keys, of_another_log(client, signed))
        with pytest.raises(NotFound):
            client.signed_root(LogName("other", "inference"))


def of_another_log(client: LedgerClient, signed: SignedRoot) -> SignedRoot:
    """The same root, signed by another log's key."""
    other = client.signed_root(ACCESS)
    return SignedRoot(signed.size, signed.root, other.protected, other.signature)
