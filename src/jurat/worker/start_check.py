"""Before the sequencer starts: has a witness seen more of the anchor log than we have? `python -m jurat.worker.start_check <workspace>`

A process of its own, because the sequencer speaks to nobody outside. Exit 6 and the reason: one has, so the ledger was
rolled back or is a fork, and must not be continued. A witness that does not answer is named and passed over: the worker
asks it again, and stops everything if it finds the same.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from pathlib import Path
from typing import Final

from jurat.core.errors import JuratError, Tampered, Unavailable
from jurat.core.last_words import format_last_words, say
from jurat.core.workspace import Workspace
from jurat.ledger.layout import ANCHOR, checkpoint_file
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.witnessed import anchor_keys, load_policy
from jurat.merkle.note import verifiers_of
from jurat.worker.witness_client import Site, ask_size
from jurat.worker.witnesses import keep_fork, sites_of

_TIMEOUT_S: Final = 2.0  # of one request; a witness is asked three times at most


def check_start(workspace: Workspace, *, timeout_s: float = _TIMEOUT_S) -> list[str]:
    """Return the URLs of the witnesses that gave no word; all others have seen nothing that we have not.

    Raises:
        Tampered: one has seen more, or something else.
        NotFound, Malformed, Unavailable: policy, keys or the checkpoint cannot be read.
    """
    policy = load_policy(workspace.witness_policy)
    if policy is None:
        return []
    keys = anchor_keys(workspace)
    verifiers = verifiers_of(keys.all_vkeys())
    try:
        note = checkpoint_file(workspace.ledger, ANCHOR).read_text("utf-8")
    except OSError as error:
        raise Unavailable(f"the anchor log has no checkpoint: {(error.strerror or str(error)).lower()}") from error
    open_checkpoint(note, keys)
    answers: queue.SimpleQueue[tuple[str, JuratError | None]] = queue.SimpleQueue()

    def ask(site: Site) -> None:
        try:
            ask_size(site, note, verifiers, timeout_s)
            answers.put((site.url, None))
        except JuratError as error:
            answers.put((site.url, error))

    silent = {site.url for site, _ in sites_of(policy)}
    for site, _ in sites_of(policy):
        threading.Thread(target=ask, args=(site,), daemon=True).start()
    deadline_s = time.monotonic() + 3 * timeout_s
    waiting = len(silent)
    while waiting and (left_s := deadline_s - time.monotonic()) > 0:
        try:
            url, found = answers.get(timeout=left_s)
        except queue.Empty:
            break
        waiting -= 1
        if isinstance(found, Tampered):
            keep_fork(workspace, found)
            raise found
        if found is None:
            silent.discard(url)
        else:
            say(f"{found.family}: {found.detail}")
    return sorted(silent)


def main() -> int:
    """Check one workspace; say what was found on stderr."""
    try:
        for url in check_start(Workspace(Path(sys.argv[1]).absolute())):
            say(f"witness `{url}` gave no word: starting without it")
    except JuratError as error:
        say(format_last_words(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
