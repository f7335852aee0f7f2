"""New keys for a log, announced in the ledger while the old ones still sign.

    seed made → named in `log-keys.json` → the sequencer signs with both → `log.key_rotated.v1`, sealed by both → sizes in the file

From the first size on the new keys are demanded, up to the last size the old ones too; so there is no moment in which a
checkpoint could be signed by one side only. A run that is killed anywhere goes on where it was. Who keeps `log-keys.json`
elsewhere (auditors, witnesses, exports) must be given the new one, before the old keys' last size.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from jurat.app.look import See, check
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.clock import SystemClock
from jurat.core.digests import digest_file
from jurat.core.errors import Conflict, Malformed, Unavailable
from jurat.domain.commands_keeping import RotateLogKey
from jurat.domain.events import decode_event
from jurat.domain.facts_keeping import LogKeyRotated
from jurat.ledger.create import loaded_keys_file, make_signers
from jurat.ledger.keys import KeyPeriod, LogKeys, create_signing_key, load_log_keys, load_signing_key, write_log_keys
from jurat.ledger.layout import log_keys_file, parse_log_name, signing_key_file
from jurat.ledger.tail import published_checkpoint

LEAST_OVERLAP: Final = 16  # entries: the announcement itself must be sealed by both
_LOADED_S: Final = 30.0


class MayRotate(See, frozen=True, kw_only=True):
    """Making keys is asked for before any is made."""

    permission = "log:rotate"


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """The new keys of one log, and the sizes that were announced."""

    log: str
    event: str
    vkeys: list[str]
    receipt_vkey: str
    first_size: int
    last_size: int


def rotate_keys(app: App, token: str, logs: Sequence[str], *, overlap: int, reason: str) -> list[Rotated]:
    """Give logs new keys; return once each is announced, sealed, and signed with.

    Args:
        logs: names; none for every log. One new seed serves all of them.
        overlap: entries after the first size during which the old keys go on to sign.
    Raises:
        Denied: recorded.
        Malformed: an overlap that is too short, or an unknown log.
        Conflict: the last change of a log's keys is not over.
        Unavailable: the sequencer does not take up the keys in time. Run it again.
    """
    check(app, token, MayRotate(place="workspace"))
    if overlap < LEAST_OVERLAP:
        raise Malformed(f"an overlap of `{overlap}` entries, expected at least {LEAST_OVERLAP}: the announcement must be sealed by both")
    path = log_keys_file(app.workspace.keys)
    known = {keys.log: keys for keys in load_log_keys(path)}
    wanted = [str(parse_log_name(log)) for log in logs] or list(known)
    if unknown := next((log for log in wanted if log not in known), ""):
        raise Malformed(f"there is no log `{unknown}` here", hint=f"logs: {', '.join(known)}")
    for log in wanted:
        _check_idle(app, known[log])
    known |= _announce(app, [known[log] for log in wanted])
    write_log_keys(path, list(known.values()))
    _await_loaded(app)
    done = []
    for log in wanted:
        known[log], rotated = _name_sizes(app, token, known[log], overlap, reason)
        write_log_keys(path, list(known.values()))
        done.append(rotated)
    _await_loaded(app)
    return done


def _check_idle(app: App, keys: LogKeys) -> None:
    """Pass if no change of this log's keys is still going on, but for one that was broken off before it was announced."""
    size = published_checkpoint(app.workspace.ledger, parse_log_name(keys.log)).size
    running = [period for period in keys.periods if period.last_size is not None and period.last_size >= size]
    if running:
        raise Conflict(
            f"the old keys of log `{keys.log}` sign up to size `{running[0].last_size}`, and it is at {size}",
            hint="change them again once that is over", code="rotation_running",
        )  # fmt: skip


def _announce(app: App, logs: Sequence[LogKeys]) -> dict[str, LogKeys]:
    """Return the keys with the next seed's among them, which nobody demands yet."""
    numbers = {period.seed for keys in logs for period in keys.periods if period.first_size is None}
    waiting = max(numbers, default=0)  # of a run that was broken off
    number = waiting or _next_seed(app)
    file = signing_key_file(app.workspace.keys, number)
    seed = load_signing_key(file) if file.exists() else create_signing_key(file)
    fresh = {str(log): signers.public for log, signers in make_signers(seed, app.settings, SystemClock()).items()}
    announced = {}
    for keys in logs:
        new = fresh[keys.log]
        periods = [period for period in keys.periods if period.first_size is not None]
        periods = periods or [KeyPeriod(vkeys=keys.vkeys, receipt_vkey=keys.receipt_vkey, first_size=0, last_size=None, seed=1)]
        periods.append(KeyPeriod(vkeys=new.vkeys, receipt_vkey=new.receipt_vkey, first_size=None, last_size=None, seed=number))
        announced[keys.log] = msgspec.structs.replace(keys, periods=periods)
    return announced


def _next_seed(app: App) -> int:
    """Return the number of a seed that no log uses; one that a broken-off run has made already is taken."""
    used = {period.seed for keys in load_log_keys(log_keys_file(app.workspace.keys)) for period in keys.periods}
    return max(used | {1}) + 1


def _name_sizes(app: App, token: str, keys: LogKeys, overlap: int, reason: str) -> tuple[LogKeys, Rotated]:
    """Return the keys with their sizes, which are on record. Both sets sign since before the first size."""
    *earlier, old, new = keys.periods
    said = _on_record(app, keys.origin, new.vkeys)
    if said is None:
        first_size = published_checkpoint(app.workspace.ledger, parse_log_name(keys.log)).size + 1
        command = RotateLogKey(
            log=keys.log, origin=keys.origin, old_vkeys=old.vkeys, new_vkeys=new.vkeys, new_receipt_vkey=new.receipt_vkey,
            first_size=first_size, last_size=first_size + overlap, reason=reason,
        )  # fmt: skip
        event = act(app, token, command).events[0]
        app.settle()
        assert isinstance(event.data, LogKeyRotated)
        said = event.id, event.data
    identifier, fact = said
    periods = [
        *earlier,
        msgspec.structs.replace(old, last_size=fact.last_size),
        msgspec.structs.replace(new, first_size=fact.first_size),
    ]
    now = msgspec.structs.replace(keys, vkeys=new.vkeys, receipt_vkey=new.receipt_vkey, periods=periods)
    return now, Rotated(
        log=keys.log, event=identifier, vkeys=new.vkeys, receipt_vkey=new.receipt_vkey, first_size=fact.first_size,
        last_size=fact.last_size,
    )  # fmt: skip


def _on_record(app: App, origin: str, vkeys: list[str]) -> tuple[str, LogKeyRotated] | None:
    """Return the announcement that a run which was broken off has made already."""
    app.settle()
    for stored in app.events.scan(classes=["configuration"], kinds=["log.key_rotated.v1"]):
        event = decode_event(stored.raw)
        if isinstance(event.data, LogKeyRotated) and (event.data.origin, event.data.new_vkeys) == (origin, vkeys):
            return event.id, event.data
    return None


def _await_loaded(app: App) -> None:
    """Return once the sequencer signs by the file as it lies there: whatever is sealed from here on has those signatures."""
    wanted, deadline = digest_file(log_keys_file(app.workspace.keys)), time.monotonic() + _LOADED_S
    while True:
        try:
            if loaded_keys_file(app.workspace.run).read_text("ascii") == wanted:
                return
        except FileNotFoundError:
            pass
        if time.monotonic() > deadline:
            raise Unavailable(
                "the sequencer does not take up the new keys", hint="see `run/sequencer.log`; run it again, it goes on where it was",
                code="keys_not_loaded",
            )  # fmt: skip
        time.sleep(0.05)
