"""Looking for what must be gone: every file of a workspace, as it lies there, and the archive's rows behind their compression.

Needles are whole: the bytes of an event, and its salt. They are found by four rare bytes of each, all needles in one pass,
and compared from there. Knows bytes; where events lie and which must be gone is the caller's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from jurat.domain.facts_keeping import Places, Search
from jurat.domain.places import indexes_of

_BLOCK: Final = 4 * 1024 * 1024
_KEY: Final = 4  # bytes
_MARKS: Final = (b'"id":"', b"prd_", b"evt_")


class Needles:
    """Texts to look for, at least four bytes each."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._by_key: dict[int, list[tuple[int, bytes]]] = {}
        self.longest = 0
        for text in set(texts):
            at = _rare_place(text)
            self._by_key.setdefault(int.from_bytes(text[at : at + _KEY], "little"), []).append((at, text))
            self.longest = max(self.longest, len(text))
        self._keys = np.array(sorted(self._by_key), np.uint32)
        self._low, self._high = np.zeros(65_536, np.bool_), np.zeros(65_536, np.bool_)
        self._low[self._keys & 0xFFFF] = True
        self._high[self._keys >> 16] = True

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values()))

    def are_in(self, raw: bytes) -> bool:
        """Whether one of them is in these bytes, whole."""
        for offset in range(_KEY):
            words: npt.NDArray[np.uint32] = np.frombuffer(raw, "<u4", offset=offset, count=max(0, len(raw) - offset) // _KEY)
            places = np.flatnonzero(self._low[words & 0xFFFF] & self._high[words >> 16])
            places = places[np.isin(words[places], self._keys)]
            for place in places.tolist():
                here = offset + _KEY * place
                for at, text in self._by_key[int(words[place])]:
                    start = here - at
                    if start >= 0 and raw[start : start + len(text)] == text:
                        return True
        return False


def search_workspace(root: Path, texts: Sequence[bytes], salts: Sequence[bytes], events: Places) -> Search:
    """Look for events' bytes and salts in every file below `root`; name the files in which one was found.

    An archive file is opened too, listed or not: named is one that has content in a row of `events`. Files that vanish
    meanwhile are not there; one that cannot be read is named, since nobody knows what it holds.
    """
    needles = Needles([*texts, *salts])
    files = size_bytes = rows = 0
    left_over: list[str] = []
    wanted, wanted_salts = set(texts), set(salts)
    for path in _files_below(root, lambda folder: left_over.append(folder.relative_to(root).as_posix())):
        name = path.relative_to(root).as_posix()
        try:
            files += 1
            size_bytes += path.stat().st_size
            found = _is_in_file(path, needles) if len(needles) else False
            if path.suffix == ".parquet" or path.name.endswith(".parquet.tmp"):
                mine = np.fromiter(indexes_of(events.get(_log_of(path), ())), np.uint64)
                inside, count = _is_in_archive_file(path, wanted, wanted_salts, mine)
                found, rows = found or inside, rows + count
        except FileNotFoundError:
            files -= 1
            continue
        except OSError:
            found = True
        if found:
            left_over.append(name)
    return Search(files=files, size_bytes=size_bytes, archive_rows=rows, needles=len(texts), left_over=sorted(left_over))


def _is_in_file(path: Path, needles: Needles) -> bool:
    overlap = needles.longest - 1
    with path.open("rb") as file:
        before = b""
        while block := file.read(_BLOCK):
            raw = before + block
            if raw.strip(b"\0") and needles.are_in(raw):
                return True
            before = raw[-overlap:] if overlap else b""
    return False


def _log_of(path: Path) -> str:
    """Return which log's rows an archive file holds: `<tenant>/events/class=<class>/kind=…/date=…/part-….parquet`."""
    classes = [at for at, part in enumerate(path.parts) if part.startswith("class=")]
    return f"{path.parts[classes[-1] - 2]}/{path.parts[classes[-1]].removeprefix('class=')}" if classes and classes[-1] > 1 else ""


def _is_in_archive_file(path: Path, texts: set[bytes], salts: set[bytes], events: npt.NDArray[np.uint64]) -> tuple[bool, int]:
    try:
        with pq.ParquetFile(path) as file:
            rows = 0
            for batch in file.iter_batches(batch_size=8_192, columns=["idx", "salt", "raw"], use_threads=False):
                rows += batch.num_rows
                chosen = batch.filter(pa.array(np.isin(batch["idx"].to_numpy(), events)))
                if chosen["salt"].null_count < chosen.num_rows or chosen["raw"].null_count < chosen.num_rows:
                    return True, rows
                if not salts.isdisjoint(batch["salt"].to_pylist()) or not texts.isdisjoint(batch["raw"].to_pylist()):
                    return True, rows
            return False, rows
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever the decoder makes of it: what cannot be read may hold anything
        raise OSError("not readable as an archive file") from error


def _files_below(root: Path, note_closed: Callable[[Path], None]) -> Iterator[Path]:
    """Yield every file; `note_closed` is told of each folder that cannot be looked into."""

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            note_closed(Path(error.filename))

    for folder, _, names in os.walk(root, onerror=failed):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _rare_place(text: bytes) -> int:
    """Return where the rarest four bytes are likely: at the end of an id, if there is one, for those are random."""
    if len(text) < _KEY:
        raise ValueError("a needle of fewer than four bytes is no needle")
    for mark in _MARKS:
        at = text.find(mark)
        end = at + len(mark) + 26
        if at >= 0 and end <= len(text):
            return end - _KEY
    return (len(text) - _KEY) // 2
