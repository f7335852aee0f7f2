"""A gate's verdict for other programs: JUnit XML for CI systems, SARIF 2.1.0 for code scanning. Pure: a verdict in, bytes out.

No condition that did not pass looks green in either: a failed one is a failure, one without enough data is an error.
Source: JUnit's de-facto schema (`testsuites` / `testsuite` / `testcase`); OASIS SARIF 2.1.0.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final
from xml.etree import ElementTree as ET

from jurat.app.gate_check import Checked
from jurat.core.jsonio import dump_json
from jurat.domain.values import Clause

_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")  # XML 1.0, production 2
_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def to_junit(checked: Checked) -> bytes:
    """Return the verdict as JUnit XML: one test case per condition; optional ones that did not pass are `skipped`."""
    suite = f"gate before {checked.stage}"
    outcomes = [_outcome(c, needed) for c, needed in zip(checked.clauses, checked.required, strict=True)]
    counts = {
        "tests": str(len(checked.clauses)),
        "failures": str(outcomes.count("failure")),
        "errors": str(outcomes.count("error")),
        "skipped": str(outcomes.count("skipped")),
    }
    root = ET.Element("testsuites", {"name": "jurat gate check", **counts})
    inside = ET.SubElement(root, "testsuite", {"name": _clean(f"{suite}: {checked.version}"), **counts})
    properties = ET.SubElement(inside, "properties")
    for name in ("version", "version_digest", "gate_file", "verdict", "event"):
        ET.SubElement(properties, "property", {"name": name, "value": _clean(str(getattr(checked, name)))})
    for clause, outcome in zip(checked.clauses, outcomes, strict=True):
        case = ET.SubElement(inside, "testcase", {"classname": _clean(f"{checked.stage}.{clause.gate}"), "name": _clean(clause.condition)})
        if outcome:
            said = ET.SubElement(case, outcome, {"message": _clean(clause.reason or clause.found)})
            said.text = _clean(
                f"{clause.verdict}: {clause.condition}\nfound: {clause.found}\nevidence: {', '.join(clause.evidence) or 'none'}"
            )
        else:
            ET.SubElement(case, "system-out").text = _clean(clause.found)
    if not checked.clauses:  # no gates is never a pass
        case = ET.SubElement(inside, "testcase", {"classname": checked.stage, "name": "gates"})
        ET.SubElement(case, "error", {"message": "no gate stands there, and no gates is not a pass"})
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def to_sarif(checked: Checked, *, gates_uri: str = "gates.yaml") -> bytes:
    """Return the verdict as a SARIF log: one rule per condition, one result per condition that did not pass.

    Args:
        gates_uri: where the gate file lies in the repository; results point to it, since a scanner must point somewhere.
    """
    rules = [
        {
            "id": _rule(c),
            "name": c.gate,
            "shortDescription": {"text": c.condition},
            "helpUri": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/",
        }
        for c in {_rule(c): c for c in checked.clauses}.values()
    ]
    results: list[dict[str, Any]] = [
        {
            "ruleId": _rule(clause),
            "level": "error" if needed else "warning",
            "message": {"text": f"{checked.version} before {checked.stage}: {clause.condition}: {clause.reason or clause.found}"},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": gates_uri}, "region": {"startLine": 1}}}],
            "partialFingerprints": {"jurat/v1": hashlib.sha256(f"{checked.version} {_rule(clause)}".encode()).hexdigest()},
            "properties": {"verdict": clause.verdict, "found": clause.found, "evidence": clause.evidence},
        }
        for clause, needed in zip(checked.clauses, checked.required, strict=True)
        if clause.verdict != "pass"
    ]
    run = {
        "tool": {"driver": {"name": "jurat", "informationUri": "https://pypi.org/project/jurat/", "rules": rules}},
        "results": results,
        "invocations": [{"executionSuccessful": True, "exitCode": 0 if checked.verdict == "pass" else 4}],
        "properties": {
            "version_digest": checked.version_digest,
            "gate_file": checked.gate_file,
            "verdict": checked.verdict,
            "event": checked.event,
        },
    }
    return dump_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _outcome(clause: Clause, needed: bool) -> str:
    if clause.verdict == "pass":
        return ""
    return "skipped" if not needed else "failure" if clause.verdict == "fail" else "error"


def _rule(clause: Clause) -> str:
    return re.sub(r"[^A-Za-z0-9_.<>=%-]+", "-", f"{clause.gate}/{clause.condition}").strip("-")[:200]


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
