"""tlog-policy files: which logs and which witnesses count, and which of them together are enough.

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <member>…
    quorum <name>|none                 exactly once

A file is bytes: names are opaque, only tab and space separate, only LF ends a line. Names live in one space, are
defined before they are used, and stand in at most one group, so that each witness counts in one way only; two lines
with one underlying key would count one witness twice and are refused. Source: C2SP tlog-policy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from jurat.core.errors import Malformed, Tampered
from jurat.merkle.cosign import open_cosigned, parse_witness_vkey
from jurat.merkle.note import Verified, Verifier, parse_vkey

MAX_POLICY_SIZE: Final = 1024 * 1024  # bytes
MAX_DEFINITIONS: Final = 256  # of each sort; the specification asks for 32
_SEPARATOR: Final = re.compile(rb"[ \t]+")
_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,3}\Z")
NONE: Final = "none"


class TrustedLog(NamedTuple):
    """A log whose checkpoints count. The key's name is the log's origin."""

    verifier: Verifier
    url: str


class Witness(NamedTuple):
    """A witness. `url`: its submission prefix, for those who ask it; may be empty."""

    name: str
    verifier: Verifier
    url: str


class Group(NamedTuple):
    """Has witnessed what at least `threshold` of its members have."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy file says. `quorum` is a witness, a group, or `none`."""

    logs: tuple[TrustedLog, ...]
    witnesses: dict[str, Witness]
    groups: dict[str, Group]
    quorum: str

    def is_quorum(self, names: Collection[str]) -> bool:
        """Whether these witnesses together are enough."""
        return self.quorum == NONE or self._has_witnessed(self.quorum, names)

    def _has_witnessed(self, name: str, names: Collection[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in names
        return sum(self._has_witnessed(member, names) for member in group.members) >= group.threshold

    @property
    def verifiers(self) -> list[Verifier]:
        """The keys of all witnesses."""
        return [witness.verifier for witness in self.witnesses.values()]

    def names_of(self, signatures: Sequence[Verified]) -> set[str]:
        """Return the policy's names of those who made these signatures."""
        keys = {(each.name, each.key_id) for each in signatures}
        return {name for name, each in self.witnesses.items() if (each.verifier.name, each.verifier.key_id) in keys}


def verify_quorum(policy: Policy, note: str | bytes, *, latest_s: int | None = None) -> tuple[Verified, ...]:
    """Return the cosignatures on a checkpoint by the policy's witnesses, if they are a quorum.

    Args:
        policy: the verifier's own.
        note: the signed checkpoint; whether the *log* signed it is checked elsewhere.
        latest_s: Unix seconds; a cosignature from later than that is refused.
    Raises:
        Malformed: not a signed note.
        Tampered: a witness's signature does not hold, or too few have cosigned.
    """
    cosigned = open_cosigned(note, policy.verifiers).signatures
    if latest_s is not None and any((each.timestamp_s or 0) > latest_s for each in cosigned):
        raise Tampered("a cosignature is from the future", hint="check this machine's clock first", code="cosignature_early")
    names = policy.names_of(cosigned)
    if not policy.is_quorum(names):
        who = ", ".join(f"`{show_name(name)}`" for name in sorted(names)) or "no witness of the policy"
        raise Tampered(
            f"too few witnesses: the policy asks for `{show_name(policy.quorum)}`, cosigned by {who}",
            hint="without the quorum this checkpoint may have been shown to you alone",
            code="quorum_missing",
        )
    return cosigned


def parse_policy(raw: bytes) -> Policy:
    """Return what a policy file says.

    Raises:
        Malformed: not a policy; the message names the line.
    """
    if len(raw) > MAX_POLICY_SIZE:
        raise Malformed(f"a policy of `{len(raw)}` bytes, expected at most {MAX_POLICY_SIZE}")
    if not raw.endswith(b"\n"):
        raise Malformed("a policy ends with a line feed: this file was cut, or its last line is not ended")
    reader = _Reader()
    for number, line in enumerate(raw.split(b"\n")[:-1], start=1):
        try:
            reader.read(line)
        except Malformed as error:
            raise Malformed(f"line {number} of the policy: {error.detail}", hint=error.hint, code="policy_malformed") from error
    if reader.quorum is None:
        raise Malformed("a policy has exactly one `quorum` line, expected also if it says `none`", code="policy_malformed")
    return Policy(tuple(reader.logs), reader.witnesses, reader.groups, reader.quorum)


def show_name(name: str) -> str:
    """Return an opaque name as text for people."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _Reader:
    """Takes a policy in, line by line."""

    def __init__(self) -> None:
        self.logs: list[TrustedLog] = []
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()
        self._keys: set[tuple[str, bytes]] = set()

    def read(self, line: bytes) -> None:
        if _FORBIDDEN.search(line):
            raise Malformed("it has a control character; only tabs and spaces separate")
        words = [_opaque(word) for word in _SEPARATOR.split(line.strip(b" \t"))]
        match words:
            case [""]:
                pass
            case [first, *_] if first.startswith("#"):
                pass
            case ["log", vkey]:
                self._add_log(vkey, "")
            case ["log", vkey, url]:
                self._add_log(vkey, url)
            case ["witness", name, vkey]:
                self._add_witness(name, vkey, "")
            case ["witness", name, vkey, url]:
                self._add_witness(name, vkey, url)
            case ["group", name, threshold, *members] if members:
                self._add_group(name, threshold, members)
            case ["quorum", name]:
                self._set_quorum(name)
            case _:
                raise Malformed(
                    f"`{show_name(words[0])[:40]}` with `{len(words) - 1}` words after it",
                    hint="`log <vkey> [url]`, `witness <name> <vkey> [url]`, `group <name> all|any|<k> <member>…`, `quorum <name>|none`",
                )

    def _add_log(self, vkey: str, url: str) -> None:
        verifier = parse_vkey(vkey)
        self._take_key("log", verifier)
        self.logs.append(TrustedLog(verifier, url))
        _check_count(self.logs, "logs")

    def _add_witness(self, name: str, vkey: str, url: str) -> None:
        self._check_new(name)
        verifier = parse_witness_vkey(vkey)
        self._take_key("witness", verifier)
        self.witnesses[name] = Witness(name, verifier, url)
        _check_count(self.witnesses, "witnesses")

    def _add_group(self, name: str, threshold: str, members: list[str]) -> None:
        self._check_new(name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise Malformed(f"group `{show_name(name)[:80]}` has a member `{show_name(member)[:80]}` that is not defined above")
            if member in self._members:
                raise Malformed(f"`{show_name(member)[:80]}` is in a group already, and may count once only")
            self._members.add(member)
        needed = {"all": len(members), "any": 1}.get(threshold)
        if needed is None:
            needed = int(threshold) if _COUNT.match(threshold) else 0
            if not 1 <= needed <= len(members):
                raise Malformed(f"threshold `{show_name(threshold)[:40]}`, expected `all`, `any` or 1 to {len(members)}")
        self.groups[name] = Group(name, needed, tuple(members))
        _check_count(self.groups, "groups")

    def _set_quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise Malformed("a second `quorum` line, expected exactly one")
        if name != NONE and name not in self.witnesses and name not in self.groups:
            raise Malformed(f"quorum `{show_name(name)[:80]}` is not defined above")
        self.quorum = name

    def _check_new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise Malformed(f"the name `{show_name(name)[:80]}` is taken")

    def _take_key(self, what: str, verifier: Verifier) -> None:
        if (what, verifier.public) in self._keys:
            raise Malformed(f"a second {what} with the key of `{verifier.name[:80]}`: one key counts once, whatever its name")
        self._keys.add((what, verifier.public))


def _opaque(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")


def _check_count(defined: Collection[object], what: str) -> None:
    if len(defined) > MAX_DEFINITIONS:
        raise Malformed(f"more than {MAX_DEFINITIONS} {what}")
