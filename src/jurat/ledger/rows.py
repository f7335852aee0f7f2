"""A row of the archive: how events in the journal's encoding become the columns of Arrow.

One row per event. The first nine columns are the log's own (index, entry, salt, bytes); the next ten are derived from
the bytes (`shred`); the last three say who erased them, and are NULL until someone does.
Knows bytes and columns; files are `parts`', where the bytes come from is `tail`'s.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jurat.domain.kinds import BY_CODE, BY_NAME
from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.shred import Columns, shred_all
from jurat.merkle.entry import ENTRY_SIZE, SALT_SIZE

SCHEMA: Final = pa.schema(
    [
        pa.field("idx", pa.uint64(), nullable=False),
        pa.field("kind_code", pa.uint16(), nullable=False),
        pa.field("producer", pa.uint32(), nullable=False),
        pa.field("epoch", pa.uint32(), nullable=False),
        pa.field("seq", pa.uint64(), nullable=False),
        pa.field("received_ns", pa.uint64(), nullable=False),
        pa.field("commitment", pa.binary(32), nullable=False),
        pa.field("salt", pa.binary(SALT_SIZE)),
        pa.field("raw", pa.binary()),
        pa.field("event_id", pa.string()),
        pa.field("occurred_at", pa.timestamp("us", tz="UTC")),
        pa.field("principal", pa.string()),
        pa.field("resource", pa.string()),
        pa.field("effect", pa.string()),
        pa.field("prediction", pa.string()),
        pa.field("version", pa.string()),
        pa.field("latency_ms", pa.float64()),
        pa.field("confidence", pa.float64()),
        pa.field("outcome", pa.string()),
        pa.field("erased_at", pa.timestamp("us", tz="UTC")),
        pa.field("erased_reason", pa.string()),
        pa.field("erased_by", pa.uint64()),  # index of the tombstone in the configuration log
    ]
)
_SHREDDED: Final = [SCHEMA.field(name) for name in Columns._fields]
_ERASURE: Final = [SCHEMA.field(name) for name in ("erased_at", "erased_reason", "erased_by")]
_SIZE: Final = struct.Struct(">I")
_CHUNK: Final = 1_000  # events; many more of them living at once make the decoder slow
_DAY_NS: Final = 86_400 * 1_000_000_000

Places = npt.NDArray[np.int64]


class Span(msgspec.Struct, frozen=True, gc=False):
    """Consecutive events of one log, still encoded as the journal holds them: decoded objects are dear, bytes are not."""

    first: int
    count: int
    entries: bytes  # count × entry[59]
    sizes: bytes  # count × u32
    payload: bytes  # count × (salt[16] | raw)

    @property
    def end(self) -> int:
        """The index after the last."""
        return self.first + self.count

    def split(self) -> tuple[list[bytes], list[bytes]]:
        """Return the salts and the bytes, event by event."""
        starts, ends = self.places()
        payload = self.payload
        return [payload[start - SALT_SIZE : start] for start in starts.tolist()], _slices(payload, starts, ends)

    def cut(self, start: int, stop: int) -> Span:
        """Return the events with start ≤ index < stop; at least one of them is here."""
        low, high = max(start, self.first) - self.first, min(stop, self.end) - self.first
        assert low < high
        if (low, high) == (0, self.count):
            return self
        ends = [0, *self.places()[1].tolist()]
        return Span(
            self.first + low,
            high - low,
            self.entries[low * ENTRY_SIZE : high * ENTRY_SIZE],
            self.sizes[low * _SIZE.size : high * _SIZE.size],
            self.payload[ends[low] : ends[high]],
        )

    def places(self) -> tuple[Places, Places]:
        """Return where in `payload` the bytes of each event begin and end; shape (n,). A salt lies before each."""
        sizes = np.frombuffer(self.sizes, ">u4").astype(np.int64)
        ends = np.cumsum(sizes + SALT_SIZE)
        return ends - sizes, ends


def table_of(spans: Iterable[Span]) -> pa.Table:
    """Return the rows of some spans in their order; an empty table for none."""
    return pa.Table.from_batches([_record_batch(span) for span in _in_chunks(spans)], schema=SCHEMA)


def split_by_kind_and_day(table: pa.Table) -> Iterator[tuple[str, str, pa.Table]]:
    """Yield (kind, UTC day of receipt, rows) for each that occurs; the rows keep their order."""
    kinds = table["kind_code"].to_numpy()
    days = table["received_ns"].to_numpy() // _DAY_NS
    for code in np.unique(kinds):
        for day in np.unique(days[kinds == code]):
            chosen = (kinds == code) & (days == day)
            rows = table if chosen.all() else table.filter(pa.array(chosen))
            yield kind_name(int(code)), date_of(int(day) * _DAY_NS), rows


def binary_values(column: pa.Array) -> list[bytes | None]:
    """Return the values of a binary column, sized or not: `to_pylist`, several times as fast. The column has been validated."""
    if column.null_count or not len(column):
        values: list[bytes | None] = column.to_pylist()
        return values
    count, start = len(column), column.offset
    if pa.types.is_fixed_size_binary(column.type):
        width = column.type.byte_width
        raw = column.buffers()[1].slice(start * width, count * width).to_pybytes()
        return [raw[at : at + width] for at in range(0, count * width, width)]
    offsets = np.frombuffer(column.buffers()[1], np.int32)[start : start + count + 1].astype(np.int64)
    begin = int(offsets[0])
    raw = column.buffers()[2].slice(begin, int(offsets[-1]) - begin).to_pybytes()
    places = (offsets - begin).tolist()
    return [raw[one:other] for one, other in pairwise(places)]


def kind_name(code: int) -> str:
    """Return a kind's name; `code-<n>` for one that only a newer version of ours knows."""
    return BY_CODE[code].name if code in BY_CODE else f"code-{code}"


def kind_code(name: str) -> int:
    """Return a kind's code. The inverse of `kind_name`."""
    return BY_NAME[name].code if name in BY_NAME else int(name.removeprefix("code-"))


def date_of(received_ns: int) -> str:
    """Return the UTC day of receipt, `2026-11-25`."""
    return datetime.fromtimestamp(received_ns // 1_000_000_000, UTC).date().isoformat()


def _in_chunks(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the same events in spans of a good size to work on, not one by one."""
    waiting: list[Span] = []
    count = 0
    for span in spans:
        if waiting and (waiting[-1].end != span.first or count + span.count > _CHUNK):
            yield _joined(waiting)
            waiting, count = [], 0
        waiting.append(span)
        count += span.count
    if waiting:
        yield _joined(waiting)


def _joined(spans: list[Span]) -> Span:
    if len(spans) == 1:
        return spans[0]
    return Span(
        spans[0].first,
        sum(span.count for span in spans),
        b"".join(span.entries for span in spans),
        b"".join(span.sizes for span in spans),
        b"".join(span.payload for span in spans),
    )


def _record_batch(span: Span) -> pa.RecordBatch:
    entries = np.frombuffer(span.entries, ENTRY_FIELDS)
    starts, ends = span.places()
    raws = _slices(span.payload, starts, ends)
    columns = [
        pa.array(np.arange(span.first, span.end, dtype=np.uint64)),
        pa.array(entries["kind_code"].astype(np.uint16)),
        pa.array(entries["producer"].astype(np.uint32)),
        pa.array(entries["epoch"].astype(np.uint32)),
        pa.array(entries["seq"].astype(np.uint64)),
        pa.array(entries["received_ns"].astype(np.uint64)),
        _fixed(entries["commitment"].tobytes(), 32, span.count),
        _fixed(_salts(span.payload, starts), SALT_SIZE, span.count),
        _joined_bytes(raws, ends - starts),
        *(pa.array(column, field.type) for column, field in zip(shred_all(raws), _SHREDDED, strict=True)),
        *(pa.nulls(span.count, field.type) for field in _ERASURE),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _salts(payload: bytes, starts: Places) -> bytes:
    salts = np.frombuffer(payload, np.uint8)[starts[:, np.newaxis] + np.arange(-SALT_SIZE, 0)]
    return bytes(salts.tobytes())


def _joined_bytes(values: list[bytes], sizes: Places) -> pa.Array:
    """Return a column of these; several times as fast as asking each for its size."""
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.BinaryArray.from_buffers(pa.binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))])


def _slices(raw: bytes, starts: Places, ends: Places) -> list[bytes]:
    return [raw[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _fixed(raw: bytes, width: int, count: int) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, pa.py_buffer(raw)])
