"""What a command is told in files: YAML or JSON documents, and the facts about a CSV file. Bounded, strict, never executed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

from jurat.core.errors import Malformed, NotFound

_MAX_DOCUMENT_BYTES: Final = 1_048_576


def read_bytes(path: Path, *, limit_bytes: int = _MAX_DOCUMENT_BYTES) -> bytes:
    """Return a file's bytes.

    Raises:
        NotFound, Malformed: it is not there, cannot be read, or is larger than it should be.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file `{path}`") from None
    except OSError as error:
        raise Malformed(f"`{path}` cannot be read: {(error.strerror or 'failed').lower()}") from error
    if len(raw) > limit_bytes:
        raise Malformed(f"`{path}` is larger than {limit_bytes} bytes")
    return raw


def read_text(path: Path) -> str:
    """Return a file's text in UTF-8."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError:
        raise Malformed(f"`{path}` is not UTF-8 text") from None


def read_document(path: Path) -> Any:
    """Return what a JSON file (by its name) or a plain YAML file says, as builtins.

    Raises:
        Malformed: it cannot be read; the message names the line where there is one.
    """
    from jurat.app.intake import parse_json
    from jurat.policy.plainyaml import compose

    if path.suffix == ".json":
        return parse_json(read_bytes(path), what=f"`{path.name}`")
    try:
        return _plain(compose(read_text(path)))
    except Malformed as error:
        raise Malformed(f"`{path.name}`, {error.detail}", hint=error.hint) from error


def _plain(node: Any) -> Any:
    """Return a composed YAML node as builtins: texts, numbers, true and false, nothing; no dates, so that text stays text."""
    from jurat.policy.plainyaml import read_mapping, refuse_at

    if node.id == "mapping":
        return {key: _plain(value) for key, value in read_mapping(node, "this mapping", None).items()}
    if node.id == "sequence":
        return [_plain(item) for item in node.value]
    kind, text = node.tag.rpartition(":")[2], node.value
    try:
        if kind == "int":
            return int(text, 10)
        if kind == "float":
            return float(text)
    except ValueError:
        raise refuse_at(node, f"`{text[:40]}` is not a plain number", "write it in decimal, or in quotes if it is text") from None
    if kind == "bool":
        return text.lower() in ("true", "yes", "on")
    return None if kind == "null" else text


def read_csv_facts(path: Path) -> tuple[str, int, list[str]]:
    """Return digest, number of rows and columns of a CSV file with a header line.

    Raises:
        NotFound, Malformed: no such file, or not CSV with one name per column.
    """
    from jurat.core.digests import digest_file

    try:
        digest = digest_file(path)
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            columns = next(reader, [])
            count = 0
            for row in reader:
                count += 1
                if len(row) != len(columns):
                    raise Malformed(f"line {reader.line_num} of `{path.name}` has {len(row)} columns, the header has {len(columns)}")
    except FileNotFoundError:
        raise NotFound(f"there is no file `{path}`") from None
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise Malformed(f"`{path}` cannot be read as CSV: {str(error)[:200].lower()}") from error
    if not columns or len(set(columns)) != len(columns) or not all(columns):
        raise Malformed(f"the first line of `{path.name}` does not name each column once")
    return digest, count, columns
