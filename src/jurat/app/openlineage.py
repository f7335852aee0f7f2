"""OpenLineage events, read strictly where they say something that we keep, and let alone where they do not: facets are the producers' own.

Source: OpenLineage spec 2-0-2 (https://openlineage.io/spec/2-0-2/OpenLineage.json): RunEvent, DatasetEvent, JobEvent.
"""

from __future__ import annotations

from typing import Any, Final

from jurat.app.intake import parse_json
from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed
from jurat.domain.commands_lineage import RecordLineage

MOST_BYTES: Final = 1_048_576
_SHA: Final = "sha256:"


def read_event(raw: bytes) -> RecordLineage | None:
    """Return one event as a command; None for those that tell of no run (DatasetEvent, JobEvent): nothing rests on anything by them.

    Raises:
        Malformed: too large, no JSON object, or a field that we keep is missing or of another type.
    """
    if len(raw) > MOST_BYTES:
        raise Malformed(f"an event of {len(raw)} bytes, expected at most {MOST_BYTES}", code="body_too_large")
    found = parse_json(raw, what="the event")
    if not isinstance(found, dict):
        raise Malformed("the event is not a JSON object", hint="send one OpenLineage event in each request")
    producer, said_at = _text(found, "producer"), _text(found, "eventTime")
    try:
        at = format_at(to_ns(parse_at(said_at)))
    except (ValueError, OverflowError) as error:
        raise Malformed(f"`eventTime` `{said_at[:60]}` is not a time", hint="RFC 3339, with its zone: `2026-11-25T10:00:00Z`") from error
    if "run" not in found:
        if not isinstance(found.get("dataset") or found.get("job"), dict):
            raise Malformed("the event has neither `run`, nor `job`, nor `dataset`", hint="see https://openlineage.io/spec")
        return None
    run, job = _object(found, "run"), _object(found, "job")
    return RecordLineage(
        run_id=_text(run, "runId"),
        job=f"{_text(job, 'namespace')}/{_text(job, 'name')}",
        state=_text(found, "eventType") if "eventType" in found else "OTHER",
        at=at,
        producer=producer,
        inputs=[_dataset(each) for each in _list(found, "inputs")],
        outputs=[_dataset(each) for each in _list(found, "outputs")],
        body_digest=digest_bytes(raw),
    )


def _dataset(found: Any) -> dict[str, str]:
    if not isinstance(found, dict):
        raise Malformed("a data set of the event is not an object")
    return {"namespace": _text(found, "namespace"), "name": _text(found, "name"), "digest": _digest(found)}


def _digest(found: dict[str, Any]) -> str:
    """Return the digest that a version facet names; another sort of version is none."""
    facets = found.get("facets") or {}
    version = facets.get("version") if isinstance(facets, dict) else None
    said = version.get("datasetVersion") if isinstance(version, dict) else None
    return said if isinstance(said, str) and said.startswith(_SHA) else ""


def _object(found: dict[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key)
    if not isinstance(value, dict):
        raise Malformed(f"`{key}` of the event is missing, or no object")
    return value


def _list(found: dict[str, Any], key: str) -> list[Any]:
    value = found.get(key) or []
    if not isinstance(value, list):
        raise Malformed(f"`{key}` of the event is no list")
    return value


def _text(found: dict[str, Any], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value:
        raise Malformed(f"`{key}` of the event is missing, or no text")
    return value
