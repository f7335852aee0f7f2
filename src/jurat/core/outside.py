"""What an event from outside may be. Both ends look: the client before it is spooled, the door before it is recorded.

One JSON object in UTF-8, of bounded size, that holds no secret under a name that says so, does not come from the future,
and does not speak with our voice: who acted (`actor`), what the policy said (`decision`) and ids of ours (`evt_…`) are
written by us alone. Its bytes are never changed here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from jurat.core.errors import JuratError, Malformed
from jurat.core.statements import KINDS

MAX_EVENTS: Final = 5_000  # in one request
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024  # of events in one request, unpacked
MAX_AHEAD_S: Final = 300  # an event whose own time is further ahead comes from a clock that is wrong
_SECRETS: Final = frozenset({
    "password", "passwd", "passphrase", "secret", "clientsecret", "authorization", "proxyauthorization", "apikey", "xapikey", "accesstoken",
    "refreshtoken", "idtoken", "privatekey", "secretkey", "awssecretaccesskey", "accesskey", "setcookie", "cookie",
})  # fmt: skip
_SEPARATORS: Final = str.maketrans("", "", "-_ .")
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)
_MOST_NAMES: Final = 50_000
_harmless: set[str] = set()  # names that were looked at before; emptied when it grows too large
_decode: Final = msgspec.json.Decoder().decode


def check_events(raws: Sequence[bytes], now_ns: int, *, max_bytes: int, may_state: bool) -> None:
    """Pass if each of these is an event that may be recorded.

    Args:
        now_ns: by our clock.
        max_bytes: of one event.
        may_state: whether a producer's statements are among them (only where sequence numbers are given too).
    Raises:
        Malformed: one is not; fields `line` (from 1) and, where there is one, `path` say which and where.
    """
    latest_s = now_ns / 1e9 + MAX_AHEAD_S
    for number, raw in enumerate(raws):
        try:
            _check(raw, latest_s, max_bytes, may_state)
        except JuratError as error:
            error.fields["line"] = number + 1
            raise


def _check(raw: bytes, latest_s: float, max_bytes: int, may_state: bool) -> None:
    if len(raw) > max_bytes:
        raise Malformed(
            f"an event of `{len(raw)}` bytes, expected at most {max_bytes}",
            hint="keep large things elsewhere and name their digest",
            code="event_too_large",
        )
    try:
        raw.decode()
        event = _decode(raw)
    except (ValueError, RecursionError) as error:  # msgspec's errors and bad UTF-8 are ValueErrors
        raise Malformed(f"an event is not one JSON object in UTF-8: {_lower(str(error))}", code="not_json") from error
    if type(event) is not dict:
        raise Malformed("an event is not one JSON object in UTF-8", hint="send `{…}`", code="not_json")
    if not _is_harmless(event, raw):
        refuse_secrets(raw)
    for name in ("actor", "decision"):
        if name in event:
            raise Malformed(f"an event from outside has the field `{name}`, which only we write", hint="rename it", code="reserved_field")
    given_id, kind = event.get("id"), event.get("kind")
    if type(given_id) is str and given_id.startswith("evt_"):
        raise Malformed(f"an event from outside has the id `{given_id[:40]}`, a form that only we give", code="reserved_field")
    if type(kind) is str and kind in KINDS and not may_state:
        raise Malformed(
            f"kind `{kind}` is a producer's word about its own stream, and this one has no sequence numbers",
            hint="send `Jurat-Epoch` and `Jurat-Seq`, or use the client",
            code="reserved_field",
        )
    for name in ("time", "at"):
        given = event.get(name)
        if given is not None and _read_time_s(name, given) > latest_s:
            raise Malformed(
                f"`{name}` of an event is `{given}`, more than {MAX_AHEAD_S} s ahead of our clock",
                hint="set the producer's clock right",
                code="from_the_future",
            )


def _is_harmless(event: dict[str, Any], raw: bytes) -> bool:
    """Whether no name in an event can be a secret's, quickly; False means: look closely.

    A reader that keeps the last of two equal names does not see the first, so the names are counted, too.
    """
    count = 0
    waiting: list[Any] = [event]
    for value in waiting:  # grows
        items: Any = value
        if type(value) is dict:
            count += len(value)
            if not _harmless.issuperset(value):
                if any(map(is_secret_name, value)):
                    return False
                if len(_harmless) > _MOST_NAMES:
                    _harmless.clear()
                _harmless.update(value)
            items = value.values()
        waiting += [item for item in items if type(item) is dict or type(item) is list]
    return count == raw.count(b'":')


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret, by what it is called."""
    return name.lower().translate(_SEPARATORS) in _SECRETS


def refuse_secrets(raw: bytes) -> None:
    """Pass if no field of a JSON text is called like a secret.

    Raises:
        Malformed: one is; `path` names it, never its value. Or a key stands twice in one object: only one can be meant.
    """
    try:
        _walk(json.loads(raw, object_pairs_hook=_unique), "$")
    except RecursionError as error:
        raise Malformed("an event is nested too deeply", code="not_json") from error
    except ValueError as error:
        raise Malformed(f"an event is not JSON: {_lower(str(error))}", code="not_json") from error


def _walk(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if is_secret_name(key):
                raise Malformed(
                    f"an event holds a secret at `{path}.{key}`",
                    hint="leave it out, or send a digest under another name: what is recorded cannot be taken back",
                    code="holds_secret",
                    path=f"{path}.{key}",
                )
            _walk(item, f"{path}.{key[:80]}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _walk(item, f"{path}[{number}]")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"an event has the key `{twice[:80]}` twice in one object", hint="only one of them can be meant", code="not_json")
    return found


def _read_time_s(name: str, given: Any) -> float:
    try:
        if isinstance(given, str) and _RFC_3339.match(given):
            return datetime.fromisoformat(given.upper()).timestamp()
    except (ValueError, OverflowError):
        pass
    raise Malformed(
        f"`{name}` of an event is not a time with a zone", hint="write RFC 3339, such as `2027-01-31T12:00:00Z`", code="time_unreadable"
    )


def _lower(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]  # not `jSON`
