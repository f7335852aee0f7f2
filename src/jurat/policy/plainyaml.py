"""YAML at its plainest, read strictly: each refusal names its line, and nothing in a file can multiply or recurse.

No anchors, no aliases, no tags, one document, bounded size and depth, no key twice. Returns nodes, which know their
line; what the keys mean is `gatefile`'s.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import yaml

from jurat.core.errors import Malformed

T = TypeVar("T")
_MAX_BYTES: Final = 65_536
_MAX_DEPTH: Final = 12
_MAX_EVENTS: Final = 5_000


def compose(text: str) -> yaml.Node:
    """Return the document's tree. Counts and forbids first, on the flat stream of events, where nothing can recurse or multiply."""
    if len(text.encode("utf-8", "surrogatepass")) > _MAX_BYTES:
        raise Malformed(f"the file is larger than {_MAX_BYTES} bytes", hint="keep comments and history elsewhere")
    try:
        depth = 0
        for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MAX_DEPTH or number > _MAX_EVENTS:
                raise refuse_at(event, "the file is nested too deeply or too long", "write it flatter, or split it")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise refuse_at(event, "anchors and aliases are not read here", "write the value out")
            if getattr(event, "tag", None):
                raise refuse_at(event, f"tag `{getattr(event, 'tag', '')}` is not read here", "write plain text")
        document: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Malformed(
            f"line {line}: not YAML: {error.problem or error.context}", hint="check the indentation there", line=line
        ) from error
    except yaml.YAMLError as error:
        raise Malformed("the file is not YAML: it holds characters that YAML does not allow") from error
    if document is None:
        raise Malformed("the file is empty", hint="write what it should say: empty is never a pass")
    return document


def read_mapping(node: yaml.Node, what: str, known: set[str] | None) -> dict[str, yaml.Node]:
    """Return a mapping's values by key; `known` None means that the caller checks the keys."""
    if not isinstance(node, yaml.MappingNode):
        raise refuse_at(node, f"{what} is not a mapping of keys to values", "write `key: value`, one a line")
    found: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = read_scalar(key_node, "a key")
        if key in found:
            raise refuse_at(key_node, f"key `{key[:60]}` is written twice in {what}", "only one of them can be meant: delete the other")
        if known is not None and key not in known:
            raise refuse_at(key_node, f"{what} has an unknown key `{key[:60]}`", suggest(key, known, "keys"))
        found[key] = value
    return found


def read_sequence(node: yaml.Node, what: str, of: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise refuse_at(node, f"{what} is not a list of {of}", "write each as a line that begins with `- `")
    if not node.value:
        raise refuse_at(node, f"{what} is empty", f"empty is never a pass: list the {of}, or delete the whole gate")
    return list(node.value)


def read_scalar(node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise refuse_at(node, f"{what} is not plain text", "write one word or one condition")
    return str(node.value)


def reading(node: yaml.Node, read: Callable[[], T]) -> T:
    """Return what `read` returns; its `Malformed` gets this node's line."""
    try:
        return read()
    except Malformed as error:
        raise refuse_at(node, error.detail, error.hint, error.code) from error


def refuse_at(node: yaml.Node | yaml.Event, detail: str, hint: str, code: str = "") -> Malformed:
    mark = node.start_mark
    line = mark.line + 1 if mark else 1
    return Malformed(f"line {line}: {detail}", hint=hint, code=code, line=line)


def suggest(word: str, known: Iterable[str], plural: str) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known {plural}: {', '.join(names)}"
