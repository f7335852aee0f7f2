"""Packages that a version was built with: read from a lock, and held against a range of flawed versions.

Versions are ordered as PEP 440 orders them. What cannot be read as a version is never taken for safe.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from jurat.core.errors import Malformed

MOST_PACKAGES: Final = 5_000
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?\Z")
_PINNED: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*===?\s*([A-Za-z0-9][A-Za-z0-9.!+_-]*)")
_VERSION: Final = re.compile(
    r"v?(?:(?P<epoch>\d{1,9})!)?(?P<release>\d{1,18}(?:\.\d{1,18}){0,15})"
    r"(?:[-_.]?(?P<pre>alpha|beta|preview|pre|a|b|c|rc)[-_.]?(?P<pre_n>\d{0,9}))?"
    r"(?P<post>-(?P<post_1>\d{1,9})|[-_.]?(?:post|rev|r)[-_.]?(?P<post_2>\d{0,9}))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_n>\d{0,9}))?(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?\Z"
)
_PRE: Final = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
_CONDITION: Final = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*([^\s,]{1,64})\s*\Z")
Key = tuple[int, tuple[int, ...], tuple[int, int, int], tuple[int, int], tuple[int, int]]


class Lock(NamedTuple):
    """What a lock pins, as `name==version`, sorted; and how many lines of it could not be read as a pin."""

    packages: list[str]
    unread: int


def read_lock(text: str) -> Lock:
    """Return the packages that a requirements file pins (`name==version`, hashes and markers ignored).

    Raises:
        Malformed: it pins more than `MOST_PACKAGES`.
    """
    found: set[str] = set()
    unread = 0
    for line in text.replace("\\\n", " ").splitlines():
        bare = line.split(" #", 1)[0].strip()
        if not bare or bare.startswith(("#", "--hash", "-i ", "--index", "--extra-index", "--find", "--no-", "--only", "--trusted")):
            continue
        pinned = _PINNED.match(bare)
        if pinned is None:
            unread += 1
            continue
        found.add(f"{canonical(pinned[1])}=={pinned[2]}")
    if len(found) > MOST_PACKAGES:
        raise Malformed(f"the lock pins {len(found)} packages, expected at most {MOST_PACKAGES}")
    return Lock(sorted(found), unread)


def canonical(name: str) -> str:
    """Return a package's name as PEP 503 writes it.

    Raises:
        Malformed: it is none.
    """
    found = re.sub(r"[-_.]+", "-", name).lower()
    if not _NAME.match(found):
        raise Malformed(f"package name `{name[:80]}` is not allowed", hint="ASCII letters, digits, `-`, `_`, `.`; up to 100 of them")
    return found


def check_range(text: str) -> str:
    """Return a range of versions in its one form, `>=1.0,<1.5.1`.

    Raises:
        Malformed: it is none.
    """
    return ",".join(f"{operator}{version}" for operator, version in _conditions(text))


def is_in_range(version: str, text: str) -> bool:
    """Whether a version lies in a range; one that cannot be read lies in every range."""
    own = version_key(version)
    return own is None or all(_holds(own, operator, other) for operator, other in _conditions(text))


def _conditions(text: str) -> list[tuple[str, str]]:
    found = []
    for part in text[:400].split(","):
        said = _CONDITION.match(part)
        if said is None or version_key(said[2]) is None:
            raise Malformed(f"`{text[:80]}` is not a range of versions", hint="write it like `<1.5.1` or `>=1.0,<1.5.1`")
        found.append((said[1], said[2]))
    return found


def _holds(own: Key, operator: str, other_text: str) -> bool:
    other = version_key(other_text)
    assert other is not None, "checked when the range was written"
    return {
        "<": own < other, "<=": own <= other, ">": own > other, ">=": own >= other, "==": own == other, "!=": own != other,
    }[operator]  # fmt: skip


def version_key(text: str) -> Key | None:
    """Return what versions are ordered by; None if this is no version."""
    found = _VERSION.match(text.strip().lower())
    if found is None:
        return None
    release = [int(part) for part in found["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    pre, post, dev = found["pre"], found["post"], found["dev"]
    unmarked = (-1, 0, 0) if dev and not post else (1, 0, 0)  # a development release comes before the pre-releases
    rank = (0, _PRE[pre], int(found["pre_n"] or 0)) if pre else unmarked
    posted = (1, int(found["post_1"] or found["post_2"] or 0)) if post else (0, 0)
    developed = (0, int(found["dev_n"] or 0)) if dev else (1, 0)
    return int(found["epoch"] or 0), tuple(release), rank, posted, developed
