"""Write `v1.jsonl`: one golden event of every kind. Run it for a *new* kind only, with `--add`; old lines never change.

Source: ours. Independent check: `test_golden_events.py` decodes each line and must encode the very same bytes.
"""

from __future__ import annotations

import sys
import types
import typing
from enum import EnumMeta
from pathlib import Path
from typing import Any

import msgspec

from jurat.domain.events import Actor, DecisionRef, Event, encode_event
from jurat.domain.facts import FACTS
from jurat.domain.values import PrincipalType

GOLDEN = Path(__file__).with_name("v1.jsonl")


def sample(kind: type | Any, name: str) -> Any:
    """Return a value of a type that says which field it stands in."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return sample(inner[0], name)
    if origin is list:
        return [sample(inner[0], name)]
    if origin is dict:
        return {f"a-{name}": sample(inner[1], name)}
    if isinstance(kind, EnumMeta):
        return next(iter(kind))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{field.name: sample(field.type, field.name) for field in msgspec.structs.fields(kind)})
    return {str: f"a {name} – é", int: 7, float: 0.25, bool: True}.get(kind, f"any {name}")


def golden(name: str) -> bytes:
    """Return the golden bytes of a kind as this code would write them."""
    actor = Actor(principal="prn_a", type=PrincipalType.AGENT, chain=["prn_p", "prn_a"])
    decision = DecisionRef(effect="allow", policies=["a.policy"], policy_set="sha256:" + "0" * 64)
    return encode_event(
        Event(
            id=f"evt_{name}",
            at="2026-11-25T19:40:41.123456Z",
            actor=actor,
            decision=decision,
            resource="models/prod/churn@2.3.1",
            because=["evt_before"],
            data=sample(FACTS[name], "fact"),
        )
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["--add"]:
        sys.exit("golden lines never change; `--add` appends the kinds that have none yet")
    have = GOLDEN.read_text() if GOLDEN.exists() else ""
    new = [name for name in FACTS if f'"kind":"{name}"' not in have]
    GOLDEN.write_text(have + "".join(golden(name).decode() + "\n" for name in new))
