"""How things may be called and described: names of which no two look alike, addresses without secrets, pins with versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from jurat.core.errors import Malformed
from jurat.domain.lineage import check_foreign_name, check_node
from jurat.domain.packages import MOST_PACKAGES, canonical

if TYPE_CHECKING:
    from jurat.domain import commands

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
SEMVER: Final = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\Z")


def check_name(text: str, *, what: str) -> None:
    """Pass if `text` is a name: lower-case ASCII, so that no two names look alike."""
    if not _NAME.match(text):
        raise Malformed(
            f"{what} name `{text[:80]}` is not allowed",
            hint="up to 64 of: lower-case ASCII letters, digits, `.`, `_`, `-`; a letter or digit first",
        )


def need_reason(text: str, what: str) -> None:
    """Pass if an act says why.

    Raises:
        Malformed: it does not.
    """
    if not text.strip():
        raise Malformed(f"{what} needs a reason", hint="say why, in words that a reviewer will understand in a year")


def check_version(text: str) -> None:
    """Pass if `text` is a semantic version of three numbers."""
    if not SEMVER.match(text):
        raise Malformed(f"version `{text[:40]}` is not a semantic version", hint="write three numbers, such as `1.1.0`")


def check_environments(names: list[str]) -> list[str]:
    """Return the names of the environments that a system runs in, sorted."""
    for name in few(names, "environments"):
        check_name(name, what="environment")
    return sorted(set(names))


def check_more(command: commands.RegisterVersion) -> None:
    """Pass if what a version says of its origin beside its artefacts can be believed to be meant.

    Raises:
        Malformed: an address of nothing, a package without a version, a run that is no node.
    """
    for name, source in command.references.items():
        if name not in command.artefacts.__struct_fields__:
            raise Malformed(f"`{name[:40]}` is no artefact", hint=f"one of {', '.join(command.artefacts.__struct_fields__)}")
        check_source(source)
    for pin in few(command.packages, "packages", most=MOST_PACKAGES):
        name, bar, version = pin.partition("==")
        if not bar or canonical(name) != name or not re.fullmatch(r"[A-Za-z0-9.!+_-]{1,64}", version):
            raise Malformed(
                f"package `{pin[:80]}` is not `name==version`", hint="`jurat model register` reads them from the lock by itself"
            )
    for run in few(command.runs, "runs"):
        if not check_node(run).startswith("run:"):
            raise Malformed(f"`{run[:80]}` is no run", hint="write `run:mlflow:<id>` or `run:openlineage:<id>`")
    if sum(map(len, few(command.training_command, "words of the training command"))) > 4_000 or len(command.output) > 400:
        raise Malformed("a training command has up to 4,000 characters, its output's path up to 400")
    few(command.uncommitted, "files that were not committed")
    if command.output and (command.output.startswith("/") or ".." in command.output.split("/")):
        raise Malformed(f"output `{command.output[:80]}` does not lie in the repository", hint="write a path below its root")


def check_source(source: str) -> str:
    """Return the address of an artefact that lies elsewhere: `s3://bucket/key` or `file:///path`, without credentials."""
    parts = urlsplit(check_foreign_name(source))
    if parts.scheme not in ("s3", "file") or parts.query or parts.fragment or parts.username or parts.password or not parts.path.strip("/"):
        raise Malformed("an artefact's address is not one", hint="write `s3://bucket/key` or `file:///path`, without credentials")
    if ".." in parts.path.split("/") or (parts.scheme == "s3" and not parts.netloc) or (parts.scheme == "file" and parts.netloc):
        raise Malformed(f"address `{source[:80]}` leaves the place that it names", hint="write `s3://bucket/key` or `file:///path`")
    return source


def few(names: list[str], what: str, most: int = 200) -> list[str]:
    """Return the names if there are at most so many."""
    if len(names) > most:
        raise Malformed(f"{len(names)} {what}, expected at most {most}")
    return names
