"""The process in which one policy written in Python is asked: `python -m jurat.app.policy_child`, order on stdin, answer on stdout.

Started only by `python_policies`. It gives up the network where the kernel lets it, limits itself, and only then loads the policy.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import resource
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from jurat.core.digests import digest_bytes
from jurat.core.jsonio import dump_json, load_json
from jurat.policy.governance import GROUP, Answer, Known, ask

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_MAX_OPEN_FILES: Final = 64


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Which policy is asked what, within which limits."""

    policy: str  # the name of its entry point
    registration: dict[str, Any]
    unknown: list[str]
    address_space_bytes: int
    processor_s: int


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy answered, and which code it was."""

    answer: Answer
    code: str = ""  # `bank.policies:RequireOwner`
    code_digest: str = ""  # of the module's source
    distribution: str = ""
    network: str = ""


def main() -> int:
    answer_fd = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever prints from here on speaks to nobody
    order = load_json(sys.stdin.buffer.read(), Order, what="order")
    network = "none" if give_up_network() else "not isolated: the kernel does not allow it"
    for what, most in (
        (resource.RLIMIT_AS, order.address_space_bytes),
        (resource.RLIMIT_CPU, order.processor_s),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        resource.setrlimit(what, (most, most))
    said = msgspec.structs.replace(_ask(order), network=network)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with os.fdopen(answer_fd, "wb") as answer:
        answer.write(dump_json(said))
    return 0


def give_up_network() -> bool:
    """Return True once this process lives in an empty network of its own; False if the kernel does not allow that. Source: unshare(2)."""
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    return any(unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def _ask(order: Order) -> Said:
    found = importlib.metadata.entry_points(group=GROUP, name=order.policy)
    if len(found) != 1:
        why = "no installed package declares it" if not found else "several installed packages declare it"
        return Said(answer=Answer(severity="blocking", passed=None, message=f"policy `{order.policy}` is not known: {why}"))
    (entry,) = found
    distribution = f"{entry.dist.name} {entry.dist.version}" if entry.dist else ""
    try:
        loaded = entry.load()
        source = getattr(sys.modules[entry.module], "__file__", None)
        digest = digest_bytes(Path(source).read_bytes()) if source else ""
    except Exception as error:  # somebody's code: whatever it raises on import, there is no answer
        answer = Answer(severity="blocking", passed=None, message=f"policy `{order.policy}` cannot be loaded: {type(error).__name__}")
        return Said(answer=answer, code=entry.value, distribution=distribution)
    answer = ask(loaded, Known(order.registration, order.unknown))
    return Said(answer=answer, code=entry.value, code_digest=digest, distribution=distribution)


if __name__ == "__main__":
    sys.exit(main())
