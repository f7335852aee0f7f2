"""`jurat model register`: a version, with what Jurat reads of its origin by itself, or from a file that says all of it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jurat.cli.model import model
from jurat.cli.session import Session
from jurat.cli.show import brief
from jurat.core.errors import Conflict, Malformed, NotFound

if TYPE_CHECKING:
    from jurat.app.artefact_store import ArtefactStore
    from jurat.app.wiring import App

_PARTS: Final = ("weights", "training_code", "training_data", "feature_definitions", "serving_configuration", "dependencies")


@model.verb(
    "register",
    example="jurat model register credit@1.1.0 --weights credit.pkl --data loans@v1 --system credit-decisions --features features.json "
    "--serving serving.json\njurat model register --example > model.yaml\njurat model register --from model.yaml",
)
@click.argument("name", metavar="[MODEL@VERSION]", required=False)
@click.option(
    "--from", "source", type=click.Path(path_type=Path), help="YAML or JSON that says everything; an artefact may name its `file`."
)
@click.option("--example", is_flag=True, help="Print such a file, with every field, and register nothing.")
@click.option("--weights", type=click.Path(path_type=Path), help="The model file, of any size.")
@click.option("--data", help="The registered data set that it was trained on.")
@click.option("--system", help="The AI system that it belongs to.")
@click.option("--features", type=click.Path(path_type=Path), help="Feature definitions.")
@click.option("--serving", type=click.Path(path_type=Path), help="Serving configuration.")
@click.option("--validation", default="", help="The held-out data set that gates judge it by.  [default: any but its training data]")
@click.option("--repo", type=click.Path(path_type=Path), default=Path(), help="The git work tree that trained it.  [default: here]")
@click.option("--lock", type=click.Path(path_type=Path), help="The lock.  [default: uv.lock, poetry.lock, … of the repository]")
@click.option("--git-repo", help="In place of what git says.")
@click.option("--git-branch", help="In place of what git says.")
@click.option("--hardware", help="In place of this machine.")
@click.option("--column", "columns", multiple=True, help="A feature column; by default those of the feature definitions.")
@click.option("--param", "params", multiple=True, help="A hyperparameter, `name=value`.")
@click.option("--metric", "metrics", multiple=True, help="What you say of it, `name=value`: a claim.")
@click.option("--run", "runs", multiple=True, help="The run that made it: `mlflow:<id>`, `openlineage:<id>`.")
@click.option("--command", "command_line", help="What trains it again, in the root of the repository; for `jurat model reproduce`.")
@click.option("--output", default="", help="Where that leaves the weights, below the root.")
@click.option("--duration-s", default=0.0, help="How long the training took, in seconds.")
@click.option(
    "--reference", "references", multiple=True, help="An artefact that lies elsewhere, `weights=s3://bucket/key`: read, and verified now."
)
@click.option("--store", "store_url", help="Keep the weights in this object store instead of the workspace: `s3://bucket/prefix`.")
@click.option("--allow-dirty", is_flag=True, help="Register although files differ from the commit; their names are recorded.")
@click.pass_obj
def register(session: Session, /, name: str | None, source: Path | None, example: bool, **given: Any) -> None:
    """Register an immutable version with its whole lineage. Commit, branch, lock, packages and machine are read by Jurat itself."""
    from jurat.app.intake import read_as
    from jurat.app.look import known
    from jurat.app.references import verify_references
    from jurat.app.walk import act
    from jurat.cli.files import read_document
    from jurat.domain.commands import RegisterVersion

    if example:
        click.echo((files("jurat.cli") / "model-example.yaml").read_text("utf-8"), nl=False)
        return
    if (source is None) == (name is None):
        raise Malformed(
            "a version is registered by name, or from a file",
            hint="`jurat model register credit@1.1.0 --weights …`; or `--from FILE`, of which `--example` prints one to fill in",
        )
    found = read_document(source) if source else None
    token = session.token()
    with session.app() as app:
        known(app, token)  # nothing is kept for nobody
        if source is not None:
            _keep_files(app.artefacts, source.parent, found)
        else:
            found = _read(session, app, str(name), given)
        command = read_as(RegisterVersion, found, what=f"`{source.name if source else name}`")
        done = act(app, token, command)
        if command.references:
            done.events.extend(verify_references(app, token, command.name).events)
    session.done(done)


def _read(session: Session, app: App, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return a version's whole description: what was given, and what could be read; each thing that was read is told."""
    from jurat.app import provenance
    from jurat.app.artefacts import artefact_path, open_artefact
    from jurat.app.features import parse_features
    from jurat.core.digests import digest_bytes
    from jurat.domain.rows import Dataset

    model_name, bar, version = name.partition("@")
    if not bar:
        raise Malformed(f"`{name[:80]}` is not `model@version`", hint="write it like `credit@1.1.0`")
    references = dict(_pair(each, "--reference") for each in given["references"])
    _check_asked(given, references)
    repository = provenance.read_repository(given["repo"])
    if repository.changed and not given["allow_dirty"]:
        shown = ", ".join(f"`{each}`" for each in repository.changed[:5])
        raise Conflict(
            f"{len(repository.changed)} files differ from commit `{repository.commit[:12]}`: {shown}",
            hint="commit them, so that the commit is what trained it; or `--allow-dirty`, and their names are recorded",
            code="work_tree_dirty",
        )  # fmt: skip
    lock_file = given["lock"] or provenance.find_lock(repository.root)
    lock = provenance.packages_of(lock_file)
    url, branch = given["git_repo"] or repository.url, given["git_branch"] or repository.branch
    hardware = given["hardware"] or provenance.describe_machine()
    session.say(
        f"read from git: {url}@{repository.commit[:12]} ({branch}), "
        + (f"{len(repository.changed)} files changed" if repository.changed else "clean")
    )
    session.say(
        f"read from {lock_file.name}: {len(lock.packages)} packages" + (f", {lock.unread} lines not understood" if lock.unread else "")
    )
    session.say(f"read from this machine: {hardware}")
    with app.store.reading() as state:
        dataset = state.get(Dataset, given["data"])
    if dataset is None:
        raise NotFound(f"data set `{given['data'][:80]}` is not registered", hint="register it first: `jurat data register`")
    store = app.artefacts

    def keep(part: str, path: Path, label: str) -> dict[str, Any]:
        _refuse_tricks(path, part)
        with open_artefact(path) as file:
            digest = store.put(file)
            return {"version": f"{label}-{brief(digest)}", "digest": digest, "size_bytes": file.tell()}

    artefacts: dict[str, Any] = {"training_data": {"version": dataset.dataset, "digest": dataset.digest}}
    for part, source in references.items():
        artefacts[part] = _referenced(part, source, version)
    if given["store_url"] and "weights" not in references:
        artefacts["weights"], references["weights"] = _kept_elsewhere(given["store_url"], given["weights"], version)
    named = (("weights", given["weights"], version), ("feature_definitions", given["features"], "features"),
             ("serving_configuration", given["serving"], "serving"), ("dependencies", lock_file, "lock"))  # fmt: skip
    for part, path, label in named:
        if part not in artefacts:
            artefacts[part] = keep(part, path, label)
    if "training_code" not in artefacts:
        with provenance.archive_of(repository) as process:
            digest = store.put(provenance.output_of(process))
        if process.returncode != 0:
            raise Conflict(
                "`git archive` failed: the commit cannot be read whole", hint="`git fsck` says what is missing", code="git_failed"
            )
        size_bytes = artefact_path(store.folder, digest).stat().st_size
        artefacts["training_code"] = {"version": f"{url}@{repository.commit}", "digest": digest, "size_bytes": size_bytes}
    columns = list(given["columns"])
    if not columns:
        columns = parse_features(given["features"].read_bytes()).names if given["features"] else []
    artefacts["dependencies"]["version"] = (
        f"{lock_file.name}:{digest_bytes(lock_file.read_bytes())}" if lock_file.is_file() else lock_file.name
    )
    return {
        "model": model_name, "version": version, "system": given["system"], "artefacts": artefacts,
        "training_data": {
            "dataset": dataset.dataset, "dataset_digest": dataset.digest, "row_count": dataset.rows, "feature_columns": columns,
        },
        "training_code": {"git_repo": url, "git_commit": repository.commit, "git_branch": branch},
        "training_config": {
            "hyperparameters": {key: _value(text) for key, text in (_pair(each, "--param") for each in given["params"])},
            "training_duration_s": given["duration_s"], "hardware": hardware,
        },
        "claimed_metrics": {key: _number(text) for key, text in (_pair(each, "--metric") for each in given["metrics"])},
        "validation_dataset": given["validation"],
        "references": references, "packages": lock.packages, "runs": [f"run:{each.removeprefix('run:')}" for each in given["runs"]],
        "training_command": _words(given["command_line"]), "output": given["output"], "uncommitted": repository.changed[:200],
    }  # fmt: skip


def _check_asked(given: dict[str, Any], references: dict[str, str]) -> None:
    for option, part in (("weights", "weights"), ("features", "feature_definitions"), ("serving", "serving_configuration")):
        if given[option] is None and part not in references:
            raise Malformed(f"a version has {part.replace('_', ' ')}", hint=f"`--{option} FILE`, or `--reference {part}=s3://…`")
    for option in ("data", "system"):
        if given[option] is None:
            raise Malformed(f"a version names its {option}", hint=f"`--{option} NAME`")
    if unknown := sorted(set(references) - set(_PARTS)):
        raise Malformed(f"`{unknown[0][:40]}` is no artefact", hint=f"one of {', '.join(_PARTS)}")


def _referenced(part: str, source: str, version: str) -> dict[str, Any]:
    from jurat.app.references import read_reference

    seen = read_reference(source)
    return {"version": f"{version}-{brief(seen.digest)}", "digest": seen.digest, "size_bytes": seen.size_bytes}


def _kept_elsewhere(store_url: str, path: Path, version: str) -> tuple[dict[str, Any], str]:
    from jurat.app.references import store_elsewhere

    _refuse_tricks(path, "weights")
    source, seen = store_elsewhere(store_url, path)
    return {"version": f"{version}-{brief(seen.digest)}", "digest": seen.digest, "size_bytes": seen.size_bytes}, source


def _refuse_tricks(path: Path, part: str) -> None:
    from jurat.app.artefacts import open_artefact
    from jurat.guard.archives import scan_archive

    with open_artefact(path) as file:
        reasons = scan_archive(file)
    if reasons:
        raise Malformed(
            f"artefact `{part}` is refused: {reasons[0]}",
            hint="an archive holds plain files below its own root; nothing was registered",
            code="artefact_refused",
        )


def _keep_files(store: ArtefactStore, folder: Path, found: Any) -> None:
    """Put the files that artefacts name into the store, and their digests and sizes in the place of the names."""
    from jurat.app.artefacts import open_artefact

    artefacts = found.get("artefacts") if isinstance(found, dict) else None
    for name, artefact in artefacts.items() if isinstance(artefacts, dict) else ():
        if not isinstance(artefact, dict) or "file" not in artefact:
            continue
        said = Path(str(artefact.pop("file")))
        path = folder / said
        if said.is_absolute() or not path.parent.resolve().is_relative_to(folder.resolve()):
            raise Malformed(
                f"artefact `{name}` names `{said}`, which does not lie below `{folder}`", hint="name files beside the description"
            )
        _refuse_tricks(path, str(name))
        with open_artefact(path) as file:
            digest, size_bytes = store.put(file), file.tell()
        if artefact.setdefault("digest", digest) != digest:
            raise Malformed(f"artefact `{name}` should be `{brief(artefact['digest'])}`, the file `{path.name}` is `{brief(digest)}`")
        artefact.setdefault("size_bytes", size_bytes)


def _pair(text: str, option: str) -> tuple[str, str]:
    key, bar, value = text.partition("=")
    if not bar or not key:
        raise Malformed(f"`{text[:80]}` of `{option}` is not `name=value`")
    return key, value


def _value(text: str) -> Any:
    from jurat.app.intake import parse_json

    try:
        return parse_json(text.encode(), what="a hyperparameter")
    except Malformed:
        return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Malformed(f"claimed metric `{text[:40]}` is not a number") from None


def _words(text: str | None) -> list[str]:
    import shlex

    try:
        return shlex.split(text or "")
    except ValueError as error:
        raise Malformed(f"the training command cannot be read: {str(error).lower()}") from error
