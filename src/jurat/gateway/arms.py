"""Which of two versions answers a request while a rollout runs. Sticky: the same subject, the same version; a share only grows.

A subject is what the caller's `Jurat-Subject` header says (an opaque name of whom the case is about); without one, the request's
own bytes, so that the same case is answered alike. Neither is recorded. Pure: knows no socket, clock or policy.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

import msgspec

from jurat.core.errors import Malformed
from jurat.domain.rows import Endpoint, Rollout, Version

WHOLE_BP: Final = 10_000
_SEGMENT: Final = re.compile(r"[a-z][a-z0-9_.]{0,31}=[A-Za-z0-9_.+-]{1,31}\Z")
_MAX_SUBJECT: Final = 256


class Arm(NamedTuple):
    """Who answers."""

    endpoint: Endpoint  # as it is for this request
    version: Version | None


def choose(rollout: Rollout | None, endpoint: Endpoint, serving: Version | None, new: Version | None, subject: bytes) -> Arm:
    """Return who answers: the new version for its share of the subjects, if it may serve here; otherwise the one in place."""
    stays = Arm(endpoint, serving)
    if rollout is None or rollout.shadow or not rollout.is_live or not is_servable(rollout, endpoint, new):
        return stays
    if place_of(rollout.rollout, subject) >= rollout.share_bp:
        return stays
    moved = msgspec.structs.replace(
        endpoint, as_of=rollout.as_of, version=rollout.version, version_digest=rollout.version_digest, upstream=rollout.upstream
    )
    return Arm(moved, new)


def shadow_of(rollout: Rollout | None, endpoint: Endpoint, new: Version | None) -> Arm | None:
    """Return the version that is asked in the shadow, if one is."""
    if rollout is None or not rollout.shadow or not rollout.is_live or new is None or new.digest != rollout.version_digest or new.held:
        return None
    changed = msgspec.structs.replace(
        endpoint, as_of=rollout.as_of, version=rollout.version, version_digest=rollout.version_digest, upstream=rollout.upstream
    )
    return Arm(changed, new)


def is_servable(rollout: Rollout, endpoint: Endpoint, new: Version | None) -> bool:
    return new is not None and new.digest == rollout.version_digest and new.stage == endpoint.stage and not new.held


def place_of(rollout: str, subject: bytes) -> int:
    """Return a subject's place, 0 to 9,999, in one rollout: the same every time, and another one in another rollout."""
    digest = hashlib.sha256(rollout.encode() + b"\0" + subject).digest()
    return int.from_bytes(digest[:8]) * WHOLE_BP >> 64


def read_subject(header: bytes | None, body: bytes) -> bytes:
    """Return what a request is sticky by.

    Raises:
        Malformed: the header is longer than it may be.
    """
    if not header:
        return b"body:" + hashlib.sha256(body).digest()
    if len(header) > _MAX_SUBJECT:
        raise Malformed(f"header `Jurat-Subject` has {len(header)} bytes, expected at most {_MAX_SUBJECT}", hint="send an opaque id")
    return b"subject:" + header


def read_segment(header: bytes | None) -> str:
    """Return the group that the caller says a case belongs to, such as `sex=female`; empty if it says none.

    Raises:
        Malformed: it is not of the form `name=value`.
    """
    if not header:
        return ""
    text = header.decode("latin-1").strip()
    if not _SEGMENT.match(text):
        raise Malformed(f"header `Jurat-Segment` is `{text[:70]}`, expected `name=value`", hint="such as `age_over_25=yes`")
    return text
