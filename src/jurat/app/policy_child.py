"""The process in which one policy written in Python is asked: `python -m jurat.app.policy_child`, order on stdin, answer on stdout.

Started only by `python_policies`. Where the kernel lets it, it gives up the network and lets the policy live among processes of its
own, which all end with it, in whatever session they hid; it limits itself, and only then loads the policy.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from jurat.core.digests import digest_bytes
from jurat.core.jsonio import dump_json, load_json
from jurat.policy.governance import GROUP, Answer, Known, ask

_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG: Final = 1
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
    given_up = give_up(_CLONE_NEWNET | _CLONE_NEWPID)
    if given_up:
        become_last_of_three()
    else:
        given_up = give_up(_CLONE_NEWNET)
    answer_fd = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever prints from here on speaks to nobody
    order = load_json(sys.stdin.buffer.read(), Order, what="order")
    network = "none" if given_up else "not isolated: the kernel does not allow it"
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


def give_up(what: int) -> bool:
    """Return True once this process shares these namespaces with nobody; False if the kernel does not allow that. Source: unshare(2)."""
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    return any(unshare(flags) == 0 for flags in (what, _CLONE_NEWUSER | what))


def become_last_of_three() -> None:
    """Return in a grandchild, whose parent is the first process of a namespace: when either ends, the kernel ends all that was begun in it.

    The first process waits, and dies with ours, whom our parent can stop; it runs nothing of the policy. Source: pid_namespaces(7).
    """
    if first := os.fork():
        os._exit(_end_of(first))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if second := os.fork():
        os._exit(_end_of(second))


def _end_of(child: int) -> int:
    """Wait for a child, and let nobody else's end be mistaken for its; return its exit code, above 128 for a signal as shells have it."""
    os.close(1)  # whoever reads the answer waits for the last of those who could write it
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


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
