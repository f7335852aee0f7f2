"""One question to Cedar and its answer, by the shortest way that the binding has. Knows handles and texts, no rules of ours.

The binding's public `is_authorized` copies the request, reads the answer with `json` and wraps it in three classes: two fifths
of the time of a whole decision. `ask_cedar` calls what it calls, with the same arguments. That function is not promised to
stay, so the version is pinned (`cedarpy` 4.12), and a test holds both ways against each other (decision 0102).
"""

from __future__ import annotations

from typing import Final, Literal

import cedarpy
import msgspec
from cedarpy import _internal


class Diagnostics(msgspec.Struct, frozen=True):
    """Which policies decided, by Cedar's number; their `@id`, by that number; what could not be evaluated."""

    reason: list[str] = []
    id_annotations_by_reason: dict[str, str] = {}
    errors: list[str] = []


class CedarAnswer(msgspec.Struct, frozen=True):
    """What Cedar said. `NoDecision`: the question could not be built."""

    decision: Literal["Allow", "Deny", "NoDecision"]
    diagnostics: Diagnostics = Diagnostics()


_decode: Final = msgspec.json.Decoder(CedarAnswer).decode
_NOTHING: Final = "{}"


def ask_cedar(
    principal: dict[str, str],
    action: str,
    resource: dict[str, str],
    context: str,
    policies: cedarpy.PolicySet,
    entities: cedarpy.Entities,
    schema: cedarpy.Schema,
) -> CedarAnswer:
    """Return Cedar's answer, checked for its form.

    Args:
        principal, resource: uids, as `type` and `id`.
        context: Cedar's JSON.
    Raises:
        ValueError, TypeError: text that is not Unicode, or an answer that is none.
    """
    question: dict[str, object] = {"principal": principal, "action": {"type": "Action", "id": action}, "resource": resource}
    if context != _NOTHING:  # to leave it out means the same, and is not parsed
        question["context"] = context
    found = _internal.is_authorized_batch([question], policies, entities._inner, schema, False)  # noqa: SLF001
    return _decode(found[0])
