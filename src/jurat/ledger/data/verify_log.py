"""Verifies a Jurat log with nothing of Jurat: only Python 3.11 or later and `cryptography`. Written from the formats.

    python verify_log.py --keys LOG-KEYS.json [--since KEPT] DIR  an exported log: every signature, entry and tile
    python verify_log.py --keys LOG-KEYS.json decision.json       an evidence file; or a .tlog-proof, of one entry

Exit 0: all of it holds. Exit 1: it does not, and stderr says where. Keys that come with the data prove nothing about
their owner: get LOG-KEYS.json another way. `cryptography` must be 50 or later (ML-DSA-44).
Sources: RFC 6962 §2.1, RFC 9162 §2.1.3.2; C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-proof.
Ledger entry v1: u8 1 | u16 kind | u32 producer | u32 epoch | u64 seq | u64 received ns | commitment[32].
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import itertools
import json
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey


class Refused(Exception):
    """Something does not hold."""


def need(condition: object, why: str) -> None:
    """Pass if it holds."""
    if not condition:
        raise Refused(why)


def sha256(raw: bytes) -> bytes:
    """Return the hash."""
    return hashlib.sha256(raw).digest()


def b64(text: str) -> bytes:
    """Return the bytes of standard base64: one text for one value."""
    need(base64.b64encode(raw := base64.b64decode(text.encode("ascii"), validate=True)).decode() == text, "base64 with loose bits")
    return raw


def number(text: str) -> int:
    """Return a plain decimal number below 2^63."""
    need(re.match(r"(0|[1-9][0-9]{0,18})\Z", text) and int(text) < 2**63, f"`{text[:40]}` is not a plain number")
    return int(text)


def read(path: Path) -> bytes:
    """Return the bytes of a regular file of sane size."""
    need(path.is_file() and path.stat().st_size <= 16 * 1024 * 1024, f"{path}: missing, too large, or not a file")
    return path.read_bytes()


def open_note(note: str, vkeys: list[str]) -> str:
    """Return the note's text if every one of these keys signed it; signatures by others are ignored."""
    head, separator, lines = note.rpartition("\n\n")
    text = head + "\n"
    need(separator and lines.endswith("\n") and len(note) <= 512 * 1024, "not a signed note")
    need(all(c >= " " or c == "\n" for c in text), "control characters in a note")
    signatures: dict[tuple[str, bytes], list[bytes]] = {}
    for line in lines[:-1].split("\n"):
        dash, name, blob = line.split(" ")
        need(dash == "—", "signature line")
        signatures.setdefault((name, b64(blob)[:4]), []).append(b64(blob)[4:])
    need(vkeys and len(set(vkeys)) == len(vkeys), "no keys, or one key twice")
    for vkey in vkeys:
        name, key_id, key = vkey.split("+", 2)
        typed = b64(key)
        need(sha256(name.encode() + b"\n" + typed)[:4].hex() == key_id, f"key of {name} has another id")
        need(found := signatures.get((name, bytes.fromhex(key_id)), []), f"no signature by {name}+{key_id}")
        for signature in found:
            check_signature(name, typed, signature, text)
    return text


def check_signature(name: str, typed: bytes, signature: bytes, text: str) -> None:
    """Pass if the signature over the text holds."""
    try:
        if typed[0] == 1:
            return Ed25519PublicKey.from_public_bytes(typed[1:]).verify(signature, text.encode())
        need(typed[0] == 6, f"key of {name} is of an unknown kind")
        origin, size, root = text.split("\n")[:3]
        message = b"subtree/v1\n\0" + bytes([len(name.encode())]) + name.encode() + signature[:8]
        message += bytes([len(origin.encode())]) + origin.encode() + bytes(8) + number(size).to_bytes(8) + b64(root)
        MLDSA44PublicKey.from_public_bytes(typed[1:]).verify(signature[8:], message)
    except InvalidSignature:
        raise Refused(f"the signature by {name} does not hold") from None


def open_checkpoint(note: str, keys: dict[str, Any]) -> tuple[int, bytes]:
    """Return (size, root) that this log's keys signed, each key that was to sign at this size."""
    size = number(note.split("\n")[1])
    lines = open_note(note, [vkey for period in periods_at(keys, size) for vkey in period["vkeys"]]).split("\n")
    need(len(lines) >= 4 and lines[0] == keys["origin"], f"a checkpoint of `{lines[0][:120]}`, expected `{keys['origin']}`")
    root = b64(lines[2])
    need(len(root) == 32 and (size or root == sha256(b"")), "root")
    return size, root


def periods_at(keys: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """Return the keys of a log that sign at this size; one that has changed its keys says from which size to which."""
    spans = [(each, each.get("first_size", 0), each.get("last_size")) for each in keys.get("periods") or [keys]]
    return [each for each, first, last in spans if first is not None and first <= size and (last is None or size <= last)]


def tile_path(level: int | str, index: int, width: int) -> str:
    """Return the tlog-tiles path; `level` may be `entries`."""
    groups = re.findall("...", str(index).zfill((len(str(index)) + 2) // 3 * 3))
    return f"tile/{level}/{''.join(f'x{each}/' for each in groups[:-1])}{groups[-1]}" + (f".p/{width}" if width < 256 else "")


def read_tile(directory: Path, level: int | str, index: int, width: int, faults: list[str]) -> tuple[str, bytes]:
    """Return (path, bytes) of a tile; a partial one may have been replaced by the full one."""
    for path in dict.fromkeys((tile_path(level, index, width), tile_path(level, index, 256))):
        if (directory / path).is_file():
            return path, read(directory / path)
    faults.append(f"{tile_path(level, index, width)}: missing")
    return "", b""


def split_bundle(raw: bytes) -> list[bytes]:
    """Return the entries of a bundle: u16 length, bytes, and so on; nothing of a bundle that ends within one."""
    entries, at = [], 0
    while at < len(raw):
        end = at + 2 + int.from_bytes(raw[at : at + 2])
        entries.append(raw[at + 2 : end])
        at = end
    return entries if at == len(raw) else []


def subtree(hashes: list[bytes]) -> bytes:
    """Return the root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [sha256(b"\1" + left + right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def check_tile(directory: Path, level: int, index: int, width: int, below: list[bytes | None], faults: list[str]) -> list[bytes]:
    """Return the hashes of a tile as computed from what lies below it; what cannot be computed, as it is stored."""
    if level == 0:
        path, raw = read_tile(directory, "entries", index, width, faults)
        entries = split_bundle(raw)
        faults += [f"{path}: {len(entries)} whole entries, expected {width}"] if raw and len(entries) not in (width, 256) else []
        below = [sha256(b"\0" + entry) for entry in entries[:width]]
    path, raw = read_tile(directory, level, index, width, faults)
    faults += [f"{path}: {len(raw)} bytes, expected {32 * width}"] if raw and len(raw) not in (32 * width, 8192) else []
    stored = [raw[at : at + 32] for at in range(0, min(len(raw) // 32, width) * 32, 32)]
    differing = [256 * index + at for at, (ours, theirs) in enumerate(zip(below, stored, strict=False)) if ours not in (None, theirs)]
    faults += [f"{path}: hash {at} is not that of what lies below it" for at in differing]
    return [ours or theirs or bytes(32) for ours, theirs, _ in itertools.zip_longest(below, stored, range(width))][:width]


def check_directory(directory: Path, keys: dict[str, Any], kept: list[tuple[int, bytes]], low: int) -> str:
    """Return one line about an exported log of which everything from index `low` on holds: each entry, each tile, the signed root."""
    size, root = open_checkpoint(read(directory / "checkpoint").decode(), keys)
    faults, roots, levels, count = list[str](), list[bytes | None](), list[list[bytes]](), size
    need(low <= size, f"the minimum index {low} lies beyond the size {size}")
    while count or not levels:
        gone, tiles = low >> 8 * (len(levels) + 1), list[list[bytes]]()  # so many full tiles are pruned, and stand by their roots above
        for index in range(gone, (count + 255) // 256):
            width, below = min(256, count - 256 * index), roots[256 * index : 256 * index + 256]
            tiles.append(check_tile(directory, len(levels), index, width, below, faults))
        levels.append([bytes(32)] * 256 * gone + [each for tile in tiles for each in tile])
        count, roots = count // 256, [None] * gone + [subtree(tile) for tile in tiles if len(tile) == 256]
    need(not faults, "; ".join(faults[:20]) + (f"; and {len(faults) - 20} more" if len(faults) > 20 else ""))
    need(root_at(levels, size) == root, f"the {size} entries and tiles agree, and do not give the signed root: all were rewritten")
    for kept_size, kept_root in kept:
        need(kept_size <= size, f"the kept checkpoint has size {kept_size}, this log only {size}: it was rolled back")
        need(kept_size >= low, f"the kept checkpoint has size {kept_size}, and below {low} this log is pruned")
        need(root_at(levels, kept_size) == kept_root, f"at size {kept_size} this log is another one than the kept checkpoint signs")
    return f"{size} entries of {keys['origin']} are what was signed" + (f"; below {low} they are pruned" if low else "")


def keys_of(keys: list[dict[str, Any]], origin: str) -> dict[str, Any]:
    """Return the keys of a log, by its origin; or of `anchor`."""
    found = [each for each in keys if origin in (each["origin"], each["log"])]
    need(len(found) == 1, f"no keys of log `{origin[:120]}` were given")
    return found[0]


def root_at(levels: list[list[bytes]], size: int) -> bytes:
    """Return the root of the first `size` leaves, out of the hashes of each level of tiles."""
    root: bytes | None = None
    for level, hashes in enumerate(levels):
        end = size >> 8 * level
        while end % 256:
            span = end & -end
            node = subtree(hashes[end - span : end])
            root = node if root is None else sha256(b"\1" + node + root)
            end -= span
    return sha256(b"") if root is None else root


def check_proof(proof: str, leaf_data: Callable[[bytes], bytes], keys: dict[str, Any]) -> tuple[int, int, bytes, bytes]:
    """Return (index, size, root, extra) if the leaf is in this log, as its keys signed it."""
    head, _, note = proof.partition("\n\n")
    lines = head.split("\n")
    need(lines.pop(0) == "c2sp.org/tlog-proof@v1", "not a tlog-proof")
    extra = b64(lines.pop(0).removeprefix("extra ")) if lines[0].startswith("extra ") else b""
    need(lines[0].startswith("index "), "index line")
    index = number(lines.pop(0).removeprefix("index "))
    path = [b64(line) for line in lines]
    size, root = open_checkpoint(note, keys)
    need(index < size and all(len(each) == 32 for each in path), "sizes")
    node, fn, sn = sha256(b"\0" + leaf_data(extra)), index, size - 1
    for sibling in path:
        need(sn > 0, "path too long")
        if fn & 1 or fn == sn:
            node = sha256(b"\1" + sibling + node)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = sha256(b"\1" + node + sibling)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and node == root, "the path does not lead from this entry to the signed root")
    return index, size, root, extra


def check_event(proof: str, keys: dict[str, Any]) -> tuple[int, int, bytes, bytes, bytes]:
    """Return (index, size, root, entry, bytes of the event) of a proof; no bytes if it shows no content: it was erased."""
    index, size, root, extra = check_proof(proof, lambda extra: extra[1:60], keys)
    entry, salt, raw = extra[1:60], extra[60:76], extra[76:]
    need(extra[0] == 1 and entry[0] == 1 and (len(salt) == 16 or len(extra) == 60), "the proof carries no event")
    need(len(extra) == 60 or sha256(b"jurat/commit/v1\0" + salt + raw) == entry[27:], "the event is not the one in the entry")
    return index, size, root, entry, raw


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object with nothing twice in it: a reader of the first would not see what is checked, the last."""
    need(len(dict(pairs)) == len(pairs), "something stands twice in it")
    return dict(pairs)


def check_evidence(evidence: dict[str, Any], keys: list[dict[str, Any]]) -> str:
    """Return one line about an evidence file of which everything holds."""
    fields = {"format", "log", "origin", "index", "event", "receipt", "proof", "anchor_proof"}
    need(set(evidence) == fields and evidence["format"] == "jurat-evidence/v1", "not evidence of format jurat-evidence/v1")
    mine = keys_of(keys, evidence["origin"])
    need(evidence["log"] == mine["log"], "name of the log")
    index, size, root, entry, raw = check_event(evidence["proof"], mine)
    need(index == evidence["index"] and type(evidence["index"]) is int, "the index shown is not the one proved")
    shown, proved = (json.dumps(each, sort_keys=True) for each in (evidence["event"], json.loads(raw) if raw else None))  # `true` is not 1
    need(shown == proved, "the event shown is not the one proved")
    if evidence["receipt"] is not None:
        signed_by = b64(evidence["receipt"].rstrip("\n").rpartition(" ")[2])[:4].hex()
        vkeys = [each["receipt_vkey"] for each in periods_at(mine, index) if each["receipt_vkey"].split("+", 2)[1] == signed_by]
        heading, origin, batch, batch_root, times, _ = open_note(evidence["receipt"], vkeys).split("\n")
        first, count, producer, epoch, first_seq = map(number, batch.split(" "))
        need(
            heading == "jurat-receipt/v1" and origin == mine["origin"] and first <= index < first + count, "the receipt is for other events"
        )
        fields_ = (producer, epoch, first_seq + index - first, number(times.split(" ")[0]))
        need(struct.pack(">IIQQ", *fields_) == entry[3:27], "the receipt is for another event")
        need(count > 1 or b64(batch_root) == sha256(b"\0" + entry), "the receipt promised another entry")
    if evidence["anchor_proof"] is not None:
        bound = check_proof(evidence["anchor_proof"], bytes, keys_of(keys, "anchor"))[3]
        heading_ = b"\x81" + sha256(mine["origin"].encode()) + size.to_bytes(8)
        need(len(bound) == 89 and bound[:41] == heading_ and bound[57:] == root, "the anchor is of another checkpoint")
    return f"leaf {index} of {size} in {mine['origin']}" + ("" if raw else ", whose content is not shown")


def verify(path: Path, keys: list[dict[str, Any]], kept: list[str]) -> str:
    """Return one line about what is proved, or raise `Refused`."""
    need(keys and len({each["origin"] for each in keys}) == len(keys), "no keys, or two logs of one origin")
    if path.is_dir():
        mine = keys_of(keys, read(path / "checkpoint").decode().partition("\n")[0])
        low, claim = 0, path / "minimum.tlog-proof"  # of a pruned log: the anchor log's word
        if claim.exists():
            entry = check_proof(read(claim).decode(), bytes, keys_of(keys, "anchor"))[3]
            need(len(entry) == 89 and entry[:33] == b"\x81" + sha256(mine["origin"].encode()), "the minimum index is another log's")
            low = int.from_bytes(entry[41:49])
        return check_directory(path, mine, [open_checkpoint(note, mine) for note in kept], low)
    text = read(path).decode()
    need(not kept, "--since is for a directory")
    if not text.startswith("c2sp.org/tlog-proof@v1\n"):
        return check_evidence(json.loads(text, object_pairs_hook=once), keys)
    mine = keys_of(keys, text.partition("\n\n")[2].partition("\n")[0])
    return "leaf {} of {} in {}".format(*check_event(text, mine)[:2], mine["origin"])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="verify an exported log, an evidence file or a .tlog-proof, offline")
    parser.add_argument("path", type=Path)
    parser.add_argument("--keys", type=Path, required=True, help="the log's public keys: log-keys.json, your own copy")
    parser.add_argument("--since", type=Path, action="append", default=[], help="a checkpoint that you kept; may be repeated")
    options = parser.parse_args()
    try:
        kept = [read(each).decode() for each in options.since]
        sys.stdout.write(f"ok: {verify(options.path, json.loads(read(options.keys)), kept)}\n")
    except (Refused, ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError, OverflowError, struct.error) as error:
        sys.exit(f"refused: {error}")


if __name__ == "__main__":
    main()
