"""Verifies an evidence file with nothing of jurat: only Python and `cryptography`. Written from the formats, not from our code.

    python small_verifier.py EVIDENCE.json LOG-KEYS.json

Sources: RFC 9162 §2.1.3.2 (inclusion), C2SP signed-note, tlog-checkpoint, tlog-cosignature (ML-DSA-44), tlog-proof;
ledger entry v1: u8 1 | u16 kind | u32 producer | u32 epoch | u64 seq | u64 received ns | commitment[32].
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey


class Refused(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Refused(why)


def sha256(raw):
    return hashlib.sha256(raw).digest()


def b64(text):
    return base64.b64decode(text, validate=True)


def check_note(note, vkeys):
    """Return the note's text if every one of these keys signed it."""
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    signatures = {}
    for line in lines.strip("\n").split("\n"):
        dash, name, blob = line.split(" ")
        need(dash == "—", "signature line")
        raw = b64(blob)
        signatures[name, raw[:4]] = raw[4:]
    need(vkeys, "no keys")
    for vkey in vkeys:
        name, _, blob = vkey.split("+", 2)
        typed = b64(blob)
        key_id = sha256(name.encode() + b"\n" + typed)[:4]
        signature = signatures.get((name, key_id))
        need(signature is not None, f"no signature by {name}")
        try:
            if typed[0] == 1:
                Ed25519PublicKey.from_public_bytes(typed[1:]).verify(signature, text.encode())
            else:
                need(typed[0] == 6, "kind of key")
                origin, size, root = text.split("\n")[:3]
                message = b"subtree/v1\n\0" + bytes([len(name.encode())]) + name.encode() + signature[:8]
                message += bytes([len(origin.encode())]) + origin.encode() + bytes(8) + int(size).to_bytes(8) + b64(root)
                MLDSA44PublicKey.from_public_bytes(typed[1:]).verify(signature[8:], message)
        except InvalidSignature:
            raise Refused(f"signature by {name}") from None
    return text


def check_proof(proof, leaf_data, origin, vkeys):
    """Return (index, size, root) if `leaf_data` is in the log of this origin, as these keys signed it."""
    head, _, note = proof.partition("\n\n")
    lines = head.split("\n")
    need(lines.pop(0) == "c2sp.org/tlog-proof@v1", "not a proof")
    extra = b64(lines.pop(0).removeprefix("extra ")) if lines[0].startswith("extra ") else b""
    index = int(lines.pop(0).removeprefix("index "))
    path = [b64(line) for line in lines]
    checkpoint = check_note(note, vkeys).split("\n")
    need(checkpoint[0] == origin, "another log")
    size, root = int(checkpoint[1]), b64(checkpoint[2])
    need(index < size and len(root) == 32 and all(len(each) == 32 for each in path), "sizes")
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
    need(sn == 0 and node == root, "the path does not lead to the root")
    return index, size, root, extra


def verify(evidence, keys):
    """Return one line about what is proved, or raise `Refused`."""
    by_origin = {each["origin"]: each for each in keys}
    need(evidence["format"] == "jurat-evidence/v1", "format")
    need(evidence["origin"] in by_origin, "log of unknown keys")
    mine = by_origin[evidence["origin"]]
    need(evidence["log"] == mine["log"], "name of the log")
    index, size, root, extra = check_proof(evidence["proof"], lambda extra: extra[1:60], mine["origin"], mine["vkeys"])
    entry, salt, raw = extra[1:60], extra[60:76], extra[76:]
    need(extra[0] == 1 and entry[0] == 1 and index == evidence["index"], "entry")
    need(sha256(b"jurat/commit/v1\0" + salt + raw) == entry[27:], "the event is not the one in the entry")
    need(json.loads(raw) == evidence["event"], "the event shown is not the one proved")
    if evidence["receipt"] is not None:
        heading, origin, batch, batch_root, times, _ = check_note(evidence["receipt"], [mine["receipt_vkey"]]).split("\n")
        first, count, producer, epoch, first_seq = map(int, batch.split(" "))
        place = index - first
        need(heading == "jurat-receipt/v1" and origin == mine["origin"] and 0 <= place < count, "receipt")
        fields = producer.to_bytes(4) + epoch.to_bytes(4) + (first_seq + place).to_bytes(8) + int(times.split(" ")[0]).to_bytes(8)
        need(fields == entry[3:27], "receipt is for another event")
        need(count > 1 or b64(batch_root) == sha256(b"\0" + entry), "receipt is for another entry")
    if evidence["anchor_proof"] is not None:
        anchor = next((each for each in keys if each["log"] == "anchor"), None)
        need(anchor is not None, "no anchor key")
        bound = check_proof(evidence["anchor_proof"], lambda extra: extra, anchor["origin"], anchor["vkeys"])[3]
        need(
            bound[:41] == b"\x81" + sha256(mine["origin"].encode()) + size.to_bytes(8) and bound[57:] == root,
            "anchor of another checkpoint",
        )
    return f"leaf {index} of {size} in {mine['origin']}"


if __name__ == "__main__":
    evidence_file, keys_file = map(Path, sys.argv[1:])
    try:
        print("ok:", verify(json.loads(evidence_file.read_bytes()), json.loads(keys_file.read_bytes())))
    except (Refused, ValueError, KeyError, IndexError) as error:
        sys.exit(f"refused: {error}")
