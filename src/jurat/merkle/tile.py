"""Names of tlog-tiles resources, and tree nodes read out of level arrays.

Knows how a tree is cut into tiles of 256. Must not know where tiles are kept.
Source: C2SP tlog-tiles v0.1.0. `tile/<level>/<number>[.p/<width>]`, `tile/entries/<number>[.p/<width>]`; the number
in groups of three digits, all but the last with an `x` before it: 1234067 is `x001/x234/067`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from jurat.core.errors import Malformed
from jurat.merkle.tree import HASH_SIZE, MAX_SIZE, TILE_LEVELS, NodeReader, root_of_joined

TILE_WIDTH: Final = 1 << TILE_LEVELS
_FORM: Final = re.compile(r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?\Z")


class TilePath(NamedTuple):
    """What a path asks for: `level` None is a bundle of entries; `width` 256 is a full tile."""

    level: int | None
    number: int
    width: int


def format_tile_path(level: int | None, number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile.

    Raises:
        Malformed: there is no such tile.
    Example:
        >>> format_tile_path(0, 1234, 5)
        'tile/0/x001/234.p/5'
    """
    if (level is not None and not 0 <= level <= 63) or not 0 <= number <= MAX_SIZE // TILE_WIDTH or not 1 <= width <= TILE_WIDTH:
        raise Malformed(f"no tile of level `{level}`, number `{number}`, width `{width}`")
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{'entries' if level is None else level}/{'/'.join(reversed(groups))}{partial}"


def parse_tile_path(path: str) -> TilePath:
    """Return what a path asks for. The inverse of `format_tile_path`; one tile has one path.

    Raises:
        Malformed: not the path of a tile.
    """
    match = _FORM.match(path)
    if match is not None:
        level = None if match[1] == "entries" else int(match[1])
        number = int(match[2].replace("x", "").replace("/", ""))
        width = TILE_WIDTH if match[3] is None else int(match[3])
        if (
            number <= MAX_SIZE // TILE_WIDTH
            and width <= TILE_WIDTH
            and (match[3] is None or width < TILE_WIDTH)
            and format_tile_path(level, number, width) == path
        ):
            return TilePath(level, number, width)
    raise Malformed(f"`{path[:120]}` is not the path of a tile", hint="such as `tile/0/x001/234`, `tile/1/000.p/5` or `tile/entries/000`")


def node_reader(read_hashes: Callable[[int, int, int], bytes]) -> NodeReader:
    """Return a `NodeReader` over level arrays.

    Args:
        read_hashes: (k, first, count) -> the hashes `first … first + count - 1` of array k, 32 bytes each; hash i of
            array k is the root over the leaves [i·256^k, (i+1)·256^k). At most 128 hashes are asked for at once.
    Raises (the reader):
        Malformed: `read_hashes` gave fewer bytes than asked for.
    """

    def node(level: int, index: int) -> bytes:
        array, above = divmod(level, TILE_LEVELS)
        count = 1 << above
        raw = read_hashes(array, index << above, count)
        if len(raw) != count * HASH_SIZE:
            raise Malformed(f"level array `L{array}` ends before hash `{(index << above) + count}`")
        return root_of_joined(raw)

    return node
