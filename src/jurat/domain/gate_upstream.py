"""What a gate asks beside its own conditions, always: that nothing a version rests on has changed since, and that its bytes were seen.

No gate file switches these off: approvals rest on them.
"""

from __future__ import annotations

from typing import Any, Final

from jurat.domain import rows
from jurat.domain.lineage import doubts
from jurat.domain.state import State
from jurat.domain.values import Clause

SHOWN: Final = "upstream_changes"  # in what an approver is shown


def shown_changes(state: State, version: rows.Version) -> dict[str, Any]:
    """Return what an approver is shown of changes upstream; nothing at all where there are none."""
    found = doubts(state, version)
    return {SHOWN: {each.change: each.text for each in found}} if found else {}


def upstream_clauses(state: State, version: rows.Version, approved: rows.Request | None) -> list[Clause]:
    """Return one clause for each change upstream and each unread reference.

    Args:
        approved: the request whose approvals count now; what it showed was approved in full knowledge.
    """
    knows = approved.shown.get(SHOWN, {}) if approved else {}
    clauses = [
        Clause(
            gate="upstream",
            condition=f"approved in knowledge of {doubt.change}",
            verdict="pass" if doubt.change in knows else "fail",
            found=doubt.text,
            reason="" if doubt.change in knows
            else f"{doubt.text} since: open a request for `production`, have it approved, then `jurat model reaffirm {version.version}`",
            evidence=[doubt.event],
        )
        for doubt in doubts(state, version)
    ]  # fmt: skip
    return clauses + [
        Clause(
            gate="upstream",
            condition=f"bytes of {name} were read",
            verdict="not_enough_data",
            found="a reference that was never verified",
            reason=f"`{version.references.get(name, '?')}` was never read: `jurat model verify {version.version}`",
            evidence=[version.registered],
        )
        for name in version.unverified
    ]
