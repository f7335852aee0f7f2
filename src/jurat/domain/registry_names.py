"""What may be a name in the MLflow-shaped registry: of models, aliases, tags, stages; and which aliases are protected.

The rules are MLflow's own, and two of ours: a name must not be mistaken for another one by eye, and has a length. Pure
text; knows nothing of who asks. Source: MLflow 3.17's client and server, observed from outside.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from jurat.core.errors import Malformed

MAX_NAME: Final = 256
MAX_ALIAS: Final = 255
MAX_TAG_KEY: Final = 250
MAX_TAG_VALUE: Final = 100_000
MAX_TEXT: Final = 100_000  # of a description
MAX_SOURCE: Final = 8_192
MAX_TAGS: Final = 100  # set in one act
STAGES: Final = ("None", "Staging", "Production", "Archived")
PRODUCTION: Final = "Production"
PROTECTED_BY_DEFAULT: Final = ("champion", "production*")

_ALIAS: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_VERSION_ALIAS: Final = re.compile(r"[vV]\d+\Z")
_TAG_KEY: Final = re.compile(r"[\w. :/-]+\Z")
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]+\*?\Z|\*\Z")
# Letters of other alphabets that are drawn like Latin ones (a selection of Unicode's confusables.txt).
_DRAWN_LIKE: Final = str.maketrans(
    "аеорсухіјѕԁһӏԛԝАВЕКМНОРСТХУІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧοναρικıɡ",
    "aeopcyxijsdhlqwABEKMHOPCTXYIJSABEZHIKMNOPTYXovapikig",
)


def check_model_name(name: str) -> str:
    """Return `name` if a registered model may be called so.

    Raises:
        Malformed: empty, too long, with `/` or `:`, or with characters that cannot be seen or have a plainer form.
    """
    shown = name[:80]
    if not name.strip():
        raise Malformed("a registered model needs a name", hint="send the parameter `name`")
    if len(name) > MAX_NAME:
        raise Malformed(f"model name `{shown}…` has {len(name)} characters, expected at most {MAX_NAME}")
    if "/" in name or ":" in name:
        raise Malformed(f"model name `{shown}` is not allowed: names cannot contain `/` or `:`")
    if name in (".", "..") or name != name.strip():
        raise Malformed(f"model name `{shown}` is not allowed: it is a path, or has white space at an end")
    if unseen := [c for c in name if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or (c.isspace() and c != " ")]:
        raise Malformed(f"model name `{shown}` holds U+{ord(unseen[0]):04X}, which cannot be seen", hint="write it without")
    if (plain := unicodedata.normalize("NFKC", name)) != name:
        raise Malformed(f"model name `{shown}` has a plainer form, `{plain[:80]}`", hint="use that one: two spellings are two models")
    return name


def drawn(name: str) -> str:
    """Return how a name looks: two names that a person cannot tell apart give the same text."""
    return name.translate(_DRAWN_LIKE)


def check_alias(alias: str) -> str:
    """Return `alias` if it may be set.

    Raises:
        Malformed: empty, too long, another character, or reserved (`latest`, `v1`).
    """
    if not alias:
        raise Malformed("the alias of a registered model cannot be empty")
    if len(alias) > MAX_ALIAS:
        raise Malformed(f"alias `{alias[:60]}…` has {len(alias)} characters, expected at most {MAX_ALIAS}")
    if not _ALIAS.match(alias):
        raise Malformed(f"alias `{alias[:60]}` is not allowed", hint="letters, digits, `_` and `-` only")
    if alias.lower() == "latest" or _VERSION_ALIAS.match(alias):
        raise Malformed(f"alias `{alias}` is reserved", hint="`latest` and `v` with digits mean versions")
    return alias


def check_tag_key(key: str) -> str:
    """Return `key` if a tag may be called so."""
    if not key:
        raise Malformed("a tag needs a key")
    if len(key) > MAX_TAG_KEY:
        raise Malformed(f"tag key `{key[:60]}…` has {len(key)} characters, expected at most {MAX_TAG_KEY}")
    if not _TAG_KEY.match(key) or key.startswith("/") or any(part in (".", "..", "") for part in key.split("/")):
        raise Malformed(f"tag key `{key[:60]}` is not allowed", hint="letters, digits, space and `_ - . : /`, and no path such as `../x`")
    return key


def check_tags(tags: Mapping[str, str]) -> None:
    """Pass if these tags may be set."""
    if len(tags) > MAX_TAGS:
        raise Malformed(f"{len(tags)} tags at once, expected at most {MAX_TAGS}")
    for key, value in tags.items():
        check_tag_key(key)
        if len(value) > MAX_TAG_VALUE:
            raise Malformed(f"the value of tag `{key[:60]}` has {len(value)} characters, expected at most {MAX_TAG_VALUE}")


def check_text(text: str, *, what: str, most: int = MAX_TEXT) -> None:
    """Pass if a text is not too long."""
    if len(text) > most:
        raise Malformed(f"{what} has {len(text)} characters, expected at most {most}")


def canonical_stage(text: str) -> str:
    """Return the stage that is meant, in MLflow's spelling.

    Raises:
        Malformed: there is none.
    """
    for stage in STAGES:
        if stage.lower() == text.lower():
            return stage
    raise Malformed(f"stage `{text[:40]}` is unknown", hint=f"stages: {', '.join(STAGES)}")


def check_patterns(patterns: Sequence[str]) -> None:
    """Pass if these can say which aliases are protected: whole aliases, or beginnings that end in `*`."""
    for pattern in patterns:
        if not _PATTERN.match(pattern):
            raise Malformed(f"`{pattern[:60]}` is not an alias or the beginning of one", hint="write `champion` or `production*`")


def matches_any(alias: str, patterns: Sequence[str]) -> bool:
    """Whether an alias is one of those that the patterns name; case and accents never matter, so that `Chámpion` is no way around."""
    text = folded(alias)
    return any(text.startswith(folded(p[:-1])) if p.endswith("*") else text == folded(p) for p in patterns)


def folded(name: str) -> str:
    """Return a name as the most forgiving database compares it: without case, accents or other widths; MySQL's default does so."""
    return "".join(c for c in unicodedata.normalize("NFKD", drawn(name)) if not unicodedata.combining(c)).casefold().rstrip()


def slug(name: str) -> str:
    """Return a model's name as a part of a resource path: itself where it fits, else a digest of it."""
    return name if _PLAIN.match(name) else "x-" + hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:32]
