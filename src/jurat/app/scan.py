"""Two opinions on an artefact before anything loads it: our own list of what is allowed, and picklescan's of what is known to be bad.

Either may refuse. picklescan alone would let through what nobody has listed yet; ours alone would rest on one reading.
It lies here, and not beside `guard.artefacts`, because picklescan brings an HTTP client along.
"""

from __future__ import annotations

import logging
from io import BytesIO

import msgspec
from picklescan.scanner import SafetyLevel
from picklescan.scanner import scan_bytes as scan_with_picklescan

from jurat.core.digests import digest_bytes, short
from jurat.core.errors import Denied, Tampered
from jurat.guard.artefacts import ScanResult, scan_bytes

logging.getLogger("picklescan").addHandler(logging.NullHandler())  # findings are returned, not printed


def scan(raw: bytes) -> ScanResult:
    """Return the verdict of both scanners on some bytes; never raises, whatever they are."""
    ours = scan_bytes(raw)
    if not ours.is_clean:
        return ours  # picklescan has no bounds of its own: it only gets what ours has found small and readable
    reasons = _second_opinion(raw)
    return msgspec.structs.replace(ours, verdict="refused" if reasons else "clean", reasons=reasons)


def verify_loadable(raw: bytes, expected_digest: str) -> None:
    """Pass if these bytes are the ones that were meant, and nothing speaks against loading them.

    Raises:
        Tampered: they have another digest.
        Denied: a scanner refuses them; the fields hold every reason.
    """
    found = digest_bytes(raw)
    if found != expected_digest:
        raise Tampered(
            f"artefact has digest `{short(found)}…`, expected `{short(expected_digest)}…`",
            hint="the file was changed or confused with another: restore the registered one; do not load this one",
            code="artefact_digest",
        )
    result = scan(raw)
    if not result.is_clean:
        raise Denied(
            f"artefact `{short(found)}…` is refused before loading: {result.reasons[0]}",
            hint="a model file may only hold what a model is made of; ask whoever built it where this comes from",
            code="artefact_refused",
            digest=found,
            reasons=result.reasons,
        )


def _second_opinion(raw: bytes) -> list[str]:
    try:
        result = scan_with_picklescan(BytesIO(raw), "artefact")
    except Exception as error:  # a scanner that fails has not said yes
        return [f"picklescan could not read it: {type(error).__name__}"]
    found = sorted({f"{item.module}.{item.name}" for item in result.globals if item.safety is SafetyLevel.Dangerous})
    shown = ["".join(c if c.isascii() and c.isprintable() and c != "`" else "?" for c in name[:100]) for name in found]
    return [f"picklescan knows `{name}` as dangerous" for name in shown[:20]]
