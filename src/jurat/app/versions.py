"""Two versions beside each other, and one version made again: from the events that registered them, and from nothing else."""

from __future__ import annotations

import shlex
from typing import Any, Final

import msgspec

from jurat.app.artefacts import artefact_path
from jurat.app.graph import find
from jurat.app.look import look, look_at
from jurat.app.wiring import App
from jurat.core.errors import Conflict, Tampered
from jurat.domain import facts, rows
from jurat.domain.gates import show_metric

LINEAGE: Final = ("training_data", "training_code", "training_config", "validation_dataset", "runs", "training_command", "output", "system")


class Change(msgspec.Struct, frozen=True):
    """One thing that is not the same. Empty: it is not there."""

    about: str  # artefact, lineage, hyperparameter, package, evidence, claim
    name: str
    before: str
    after: str


class Difference(msgspec.Struct, frozen=True):
    before: str
    after: str
    changes: list[Change]
    same: list[str]  # artefacts that are the same bytes


class Input(msgspec.Struct, frozen=True):
    """One thing that a version is made of; `path` is where its bytes lie in this workspace, empty if they do not."""

    name: str
    version: str
    digest: str
    path: str
    source: str  # where they lie else


class Recipe(msgspec.Struct, frozen=True):
    """What it takes to make a version again. `unknown`: what the record does not say."""

    version: str
    digest: str
    weights_digest: str
    inputs: list[Input]
    hyperparameters: dict[str, Any]
    script: str
    unknown: list[str]


def diff(app: App, token: str, before: str, after: str) -> Difference:
    """Return everything that differs between two versions: artefacts, lineage, hyperparameters, packages, evidence.

    Raises:
        NotFound: no such version for the caller.
        Tampered: the ledger does not have the event that a version names.
    """
    old, new = _registered(app, token, before), _registered(app, token, after)
    changes, same = [], []
    for name in old.artefacts.__struct_fields__:
        was, now = getattr(old.artefacts, name), getattr(new.artefacts, name)
        if was.digest == now.digest:
            same.append(name)
        else:
            changes.append(Change("artefact", name, f"{was.version} {was.digest}", f"{now.version} {now.digest}"))
    changes += _lineage(old, new)
    changes += _pairs("hyperparameter", old.training_config.hyperparameters, new.training_config.hyperparameters)
    changes += _pairs("package", _pins(old.packages), _pins(new.packages))
    changes += _pairs("claim", old.claimed_metrics, new.claimed_metrics)
    changes += _pairs("evidence", _evidence(app, token, before), _evidence(app, token, after))
    return Difference(old.version, new.version, changes, same)


def reproduce(app: App, token: str, version: str) -> Recipe:
    """Return a script that makes a version again from its exact inputs and compares digests, and what it rests on.

    Raises:
        NotFound: no such version for the caller.
        Conflict: nobody said how it was trained.
    """
    said = _registered(app, token, version)
    if not said.training_command or not said.output:
        raise Conflict(
            f"nobody said how `{said.version}` was trained",
            hint="register with `--command '…' --output PATH`; `jurat model show` has its inputs", code="not_reproducible",
        )  # fmt: skip
    inputs = []
    for name in said.artefacts.__struct_fields__:
        artefact = getattr(said.artefacts, name)
        path = artefact_path(app.workspace.artefacts, artefact.digest)
        elsewhere = said.references.get(name, "") or app.artefacts.where(artefact.digest)
        inputs.append(Input(name, artefact.version, artefact.digest, str(path) if path.is_file() else "", elsewhere))
    unknown = [
        f"where the bytes of {each.name} ({each.digest}) lie"
        for each in inputs
        if not each.path and not each.source and each.name != "training_data"
    ]
    if not said.packages:
        unknown.append("which packages it was built with: its lock was not read")
    if said.uncommitted:
        unknown.append(f"what {len(said.uncommitted)} files held that were not committed: {', '.join(said.uncommitted[:5])}")
    return Recipe(
        said.version,
        said.digest,
        said.artefacts.weights.digest,
        inputs,
        said.training_config.hyperparameters,
        _script(said, inputs, unknown),
        unknown,
    )


def _script(said: facts.VersionRegistered, inputs: list[Input], unknown: list[str]) -> str:
    """Return a POSIX shell script. Everything that comes from the record is quoted: a name cannot become a command."""
    of = {each.name: each for each in inputs}
    code, data, lock = of["training_code"], of["training_data"], of["dependencies"]

    def set_to(name: str, value: str) -> str:
        return f"{name}={shlex.quote(value)}"

    notes = [f"# unknown: {' '.join(each.split())}" for each in unknown]
    return "\n".join(
        [
            "#!/bin/sh",
            f"# Makes {said.version} again, in an empty folder, and says whether the weights are the same bytes.",
            "# sh reproduce.sh TRAINING_DATA    exit 0: the same digest · 1: another, with what differs · 2: an input is missing",
            "# JURAT_PYTHON=python3             an interpreter that has the packages already; else a new one is made from the lock",
            *notes,
            "set -eu",
            set_to("version", said.version),
            set_to("expected", said.artefacts.weights.digest.removeprefix("sha256:")),
            set_to("data_digest", data.digest.removeprefix("sha256:")),
            set_to("code_digest", code.digest.removeprefix("sha256:")),
            set_to("lock_digest", lock.digest.removeprefix("sha256:")),
            set_to("code", code.path), set_to("lock", lock.path), set_to("stored_data", data.path),
            set_to("repository", said.training_code.git_repo), set_to("commit", said.training_code.git_commit),
            set_to("output", said.output),
            'data=${1:-$stored_data}',
            'digest_of() { sha256sum < "$1" | cut -d" " -f1; }',
            "fail() { echo \"$2\" >&2; exit \"$1\"; }",
            'need() { [ -n "$1" ] && [ -f "$1" ] || fail 2 "missing: $2"; [ "$(digest_of "$1")" = "$3" ] || fail 2 "other bytes: $2"; }',
            'need "$data" "training data" "$data_digest"',
            'work=$(mktemp -d)',
            "trap 'rm -rf \"$work\"' EXIT",
            'mkdir "$work/tree"',
            'if [ -n "$code" ]; then need "$code" "training code" "$code_digest"; tar -xf "$code" -C "$work/tree"',
            'else git clone --quiet --no-checkout -- "$repository" "$work/tree"',
            '  git -C "$work/tree" checkout --quiet --detach "$commit"; fi',
            'if [ -z "${JURAT_PYTHON:-}" ]; then',
            '  need "$lock" "dependencies" "$lock_digest"',
            '  python3 -m venv "$work/venv" && "$work/venv/bin/pip" install --quiet --no-deps -r "$lock"',
            '  PATH=$work/venv/bin:$PATH; export PATH',
            'else',
            '  mkdir "$work/bin"; printf \'#!/bin/sh\\nexec "%s" "$@"\\n\' "$(command -v "$JURAT_PYTHON")" > "$work/bin/python3"',
            '  chmod 700 "$work/bin/python3"',
            '  cp "$work/bin/python3" "$work/bin/python"; PATH=$work/bin:$PATH; export PATH',
            'fi',
            'JURAT_TRAINING_DATA=$(realpath "$data"); export JURAT_TRAINING_DATA PYTHONHASHSEED=0',
            f"( cd \"$work/tree\" && {shlex.join(said.training_command)} )",
            '[ -f "$work/tree/$output" ] || { echo "the training left nothing at $output" >&2; exit 1; }',
            'found=$(digest_of "$work/tree/$output")',
            'if [ "$found" = "$expected" ]; then echo "$version: the same bytes, sha256:$found"; exit 0; fi',
            'echo "$version: other bytes" >&2; echo "  registered sha256:$expected" >&2; echo "  made now   sha256:$found" >&2',
            f"echo {shlex.quote('  trained on ' + said.training_config.hardware)} >&2",
            f"cat > \"$work/pins\" <<'JURAT_PINS'\n{chr(10).join(said.packages)}\nJURAT_PINS",
            'python3 - "$work/pins" >&2 <<\'JURAT_COMPARE\' || true',
            "import importlib.metadata as m, sys",
            "pins = dict(line.split('==') for line in open(sys.argv[1]).read().split())",
            "for name, pinned in sorted(pins.items()):",
            "    try: here = m.version(name)",
            "    except m.PackageNotFoundError: here = 'not installed'",
            "    if here != pinned: print(f'  package {name}: registered with {pinned}, made with {here}')",
            "JURAT_COMPARE",
            'exit 1',
            "",
        ]
    )  # fmt: skip


def _registered(app: App, token: str, name: str) -> facts.VersionRegistered:
    """Return what was said when a version was registered, from the ledger: rows only say where to look."""
    version = look_at(app, token, rows.Version, name)
    app.settle()
    data = find(app.events, version.registered).event.data
    if not isinstance(data, facts.VersionRegistered) or data.version != version.version or data.digest != version.digest:
        raise Tampered(f"version `{version.version}` names an event that did not register it", hint="run `jurat rebuild --compare`")
    return data


def _lineage(old: facts.VersionRegistered, new: facts.VersionRegistered) -> list[Change]:
    was, now = ({name: msgspec.to_builtins(getattr(each, name)) for name in LINEAGE} for each in (old, new))
    for each in (was, now):
        each["training_config"] = {k: v for k, v in each["training_config"].items() if k != "hyperparameters"}
    return _pairs("lineage", _flat(was), _flat(now))


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in found.items():
        flat |= {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _pairs(about: str, old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    return [
        Change(about, name, _plain(old.get(name)), _plain(new.get(name)))
        for name in sorted({*old, *new})
        if name not in old or name not in new or old[name] != new[name]
    ]


def _plain(value: Any) -> str:
    return "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _pins(packages: list[str]) -> dict[str, Any]:
    return {name: version for name, _, version in (pin.partition("==") for pin in packages)}


def _evidence(app: App, token: str, version: str) -> dict[str, Any]:
    found = look(app, token, rows.Evidence, {"version": version})
    return {f"{e.type} {m.name}" + (f" by {m.group_by}" if m.group_by else ""): show_metric(m) for e in found for m in e.metrics}
