"""OSV advisories: what a range means, held against cases computed by hand and OSV's own algorithm; what is read, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.version import Version as Pep440

from jurat.core.errors import Malformed
from jurat.domain.osv import MAX_ADVISORY_BYTES, Advisory, Range, cvss3_score, distinct, flaws_of, met_by, read_advisory
from jurat.domain.packages import check_range, is_in_range


def document(*events: dict[str, str], versions: tuple[str, ...] = (), **more: Any) -> bytes:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    affected = [{"package": {"ecosystem": "PyPI", "name": "Scikit_Learn"}, "ranges": ranges, "versions": list(versions)}]
    found = {"id": "GHSA-aaaa-bbbb-cccc", "modified": "2026-01-01T00:00:00Z", "affected": affected, "summary": "leaks\ntraining data"}
    return json.dumps({**found, **more}).encode()


def read(*events: dict[str, str], versions: tuple[str, ...] = (), **more: Any) -> Advisory:
    found = read_advisory(document(*events, versions=versions, **more))
    assert found is not None
    return found


def is_met(advisory: Advisory, version: str) -> bool:
    where = met_by(advisory, "scikit-learn", version)
    assert not where or (check_range(where) == where and is_in_range(version, where)), "and the change upstream that it makes meets it too"
    return bool(where)


BEGIN, F, L = "introduced", "fixed", "last_affected"
CASES: list[tuple[list[dict[str, str]], list[str], list[str]]] = [
    ([{BEGIN: "0"}, {F: "1.5.0"}], ["0.dev1", "0.1", "1.4.9", "1.5.0rc1", "1.5.0.dev3"], ["1.5.0", "1.5", "1.5.0.post1", "2"]),
    ([{BEGIN: "1.0"}, {L: "1.2"}], ["1.0", "1.0.post1", "1.2", "1.2.0"], ["0.9", "1.0rc1", "1.2.post1", "1.2.1", "1.3"]),
    ([{BEGIN: "1.0"}], ["1.0", "99!1"], ["0.9", "1.0a1"]),
    ([{BEGIN: "1.0"}, {F: "1.1"}, {BEGIN: "2.0"}, {F: "2.1"}], ["1.0", "1.0.9", "2.0", "2.0.1"], ["0.9", "1.1", "1.9", "2.0rc1", "2.1"]),
    ([{F: "2.1"}, {BEGIN: "2.0"}, {F: "1.1"}, {BEGIN: "1.0"}], ["1.0.9", "2.0.1"], ["1.5", "2.1"]),  # in any order
    ([{BEGIN: "1.0"}, {BEGIN: "1.1"}, {F: "1.2"}], ["1.0", "1.1"], ["1.2"]),
    ([{BEGIN: "1.0"}, {F: "1.1"}, {BEGIN: "1.1"}], ["1.1", "1.2"], []),  # said both ways: then it is affected
    ([{BEGIN: "0"}, {"limit": "9"}, {F: "1.0"}], ["0.5"], ["1.0", "2"]),
    ([{BEGIN: "0"}, {F: "what-is-this"}], ["1", "99"], []),  # a fix that cannot be read fixes nothing
    ([{BEGIN: "what-is-this"}, {F: "1.0"}], ["0.1"], ["1.0"]),  # and what began there began at the beginning
    ([{BEGIN: "1!0"}], ["1!0", "2!0"], ["5"]),
]


@pytest.mark.parametrize(("events", "affected", "free"), CASES)
def test_a_range_means_what_the_schema_says(events: list[dict[str, str]], affected: list[str], free: list[str]) -> None:
    advisory = read(*events)
    assert [v for v in affected if not is_met(advisory, v)] == []
    assert [v for v in free if is_met(advisory, v)] == []
    assert is_met(advisory, "no version"), "what cannot be read is never taken for safe"


def test_versions_are_listed_one_by_one_too() -> None:
    advisory = read({BEGIN: "2.0"}, {F: "2.1"}, versions=("1.0", "1.1rc1", "odd"))
    assert [v for v in ("1.0", "1.0.0", "1.1rc1", "2.0", "odd") if not is_met(advisory, v)] == []
    assert [v for v in ("0.9", "1.1", "2.1") if is_met(advisory, v)] == []
    assert is_met(read(versions=("1.0",)), "no version")
    assert is_met(read(), "3.0"), "if nothing says which versions, it is all of them"
    only_git = json.loads(document())
    only_git["affected"][0]["ranges"] = [{"type": "GIT", "repo": "https://x", "events": [{BEGIN: "0"}]}]
    found = read_advisory(json.dumps(only_git).encode())
    assert found is not None
    assert is_met(found, "3.0")


numbers = st.builds(lambda parts, more: ".".join(map(str, parts)) + more, st.lists(st.integers(0, 3), min_size=1, max_size=3),
                    st.sampled_from(["", "", "", "rc1", "a2", ".dev1", ".post1"]))  # fmt: skip
events_of = st.lists(st.tuples(st.sampled_from([BEGIN, F, L]), numbers), min_size=1, max_size=6, unique_by=lambda e: Pep440(e[1]))


@given(events_of.filter(lambda events: any(name == BEGIN for name, _ in events)), numbers)
@example([(BEGIN, "0")], "0rc1")
def test_as_osv_says_it_in_its_own_words(events: list[tuple[str, str]], version: str) -> None:
    """Section «Evaluation» of the schema, word by word, over `packaging`; there `0` is before every version, also before `0rc1`."""

    def place(at: str) -> tuple[bool, Pep440]:
        return at != "0", Pep440(at)

    own, vulnerable = (True, Pep440(version)), False
    for name, at in sorted(events, key=lambda event: place(event[1])):
        if name == BEGIN and own >= place(at):
            vulnerable = True
        elif (name == F and own >= place(at)) or (name == L and own > place(at)):
            vulnerable = False
    assert is_met(read(*({name: at} for name, at in events)), version) is vulnerable


def test_what_is_about_others_is_passed_over() -> None:
    other = json.loads(document({BEGIN: "0"}))
    other["affected"][0]["package"]["ecosystem"] = "npm"
    assert read_advisory(json.dumps(other).encode()) is None
    assert met_by(read({BEGIN: "0"}), "numpy", "1.0") == ""
    assert read({BEGIN: "0"}).affected[0].package == "scikit-learn", "names as PEP 503 writes them"


def test_a_withdrawn_advisory_meets_nothing() -> None:
    advisory = read({BEGIN: "0"}, withdrawn="2026-02-01T00:00:00Z")
    assert advisory.withdrawn
    assert flaws_of(["scikit-learn==1.0"], {"scikit-learn": [advisory]}) == []


BAD: dict[str, bytes] = {
    "cannot be read": b"{",
    "cannot be read ": b'{"id": "GHSA-1"}',
    "id `x`": document({BEGIN: "0"}, id="x"),
    "schema `2.0`": document({BEGIN: "0"}, schema_version="2.0"),
    "expected RFC 3339": document({BEGIN: "0"}, modified="yesterday"),
    "without `introduced`": document({F: "1.0"}),
    "event `begun`": document({BEGIN: "0"}, {"begun": "1"}),
    "other than one thing": document({BEGIN: "0", F: "1"}),
    "at most": b" " * (MAX_ADVISORY_BYTES + 1),
    "package name": document({BEGIN: "0"}, affected=[{"package": {"ecosystem": "PyPI", "name": "../../x"}, "ranges": []}]),
}


@pytest.mark.parametrize("says", BAD)
def test_what_cannot_be_meant_is_refused(says: str) -> None:
    with pytest.raises(Malformed, match=says.strip()):
        read_advisory(BAD[says])


# Scores as NVD and FIRST's examples give them.
@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8), ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4), ("CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:N/A:N", 4.7),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0), ("CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:L/A:L", 4.2), ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N/E:P", 3.1),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", None), ("AV:N/AC:L/Au:N/C:P/I:P/A:P", None),
        ("CVSS:3.1/AV:N", None), ("CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", None), ("", None),
    ],
)  # fmt: skip
def test_a_score_is_computed_from_its_vector(vector: str, score: float | None) -> None:
    assert cvss3_score(vector) == score


def test_a_severity_is_the_worst_that_is_known() -> None:
    low, high = "CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:N/A:N", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
    said = [{"type": "CVSS_V3", "score": low}, {"type": "CVSS_V3", "score": high}]
    assert read({BEGIN: "0"}, severity=said).severity == 9.8
    assert read({BEGIN: "0"}, severity=said[:1], database_specific={"severity": "CRITICAL"}).severity == 4.7, (
        "a vector says more than a word"
    )
    assert read({BEGIN: "0"}, database_specific={"severity": "moderate"}).severity == 6.9
    assert read({BEGIN: "0"}, severity=[{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}]).severity is None
    assert read({BEGIN: "0"}, database_specific=["odd"]).severity is None


def test_several_names_of_one_flaw_are_one_flaw() -> None:
    names = {"PYSEC-2024-1": ["CVE-2024-1"], "GHSA-aaaa": ["CVE-2024-1"], "GHSA-bbbb": []}
    advisories = [read({BEGIN: "0"}, id=each, aliases=aliases) for each, aliases in names.items()]
    scored = [*advisories[:1], Advisory(id="GHSA-aaaa", modified=advisories[1].modified, affected=advisories[1].affected,
                                        aliases=["CVE-2024-1"], severity=5.5), advisories[2]]  # fmt: skip
    flaws = flaws_of(["scikit-learn==1.0", "numpy==1.0"], {"scikit-learn": scored})
    assert distinct(flaws) == [(["CVE-2024-1", "GHSA-aaaa", "PYSEC-2024-1"], "scikit-learn", 5.5), (["GHSA-bbbb"], "scikit-learn", 10.0)]


def test_a_range_has_one_text() -> None:
    assert [Range().text, Range(fixed="1.0").text, Range(introduced="1", last="2").text] == [">=0.dev0", ">=0.dev0,<1.0", ">=1,<=2"]
