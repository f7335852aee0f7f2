"""What the MLflow-shaped registry holds, as the law asks for it: entries by name and number, protection, what is bound.

Keys: a model's is its name; a version's is `<name>/<number>` (names have no `/`), a binding's has its registry before.
"""

from __future__ import annotations

from jurat.core.errors import NotFound
from jurat.domain import rows
from jurat.domain.registry_names import PRODUCTION, PROTECTED_BY_DEFAULT, folded, matches_any
from jurat.domain.state import State

MAX_NUMBER = 2**31 - 1


def version_key(name: str, number: int) -> str:
    """Return the key of a version; keys of one model sort by number."""
    return f"{name}/{number:010d}"


def binding_key(registry: str, name: str, number: int) -> str:
    """Return the key of a binding."""
    return f"{registry}|{version_key(name, number)}"


def known_model(state: State, name: str) -> rows.RegistryModel:
    """Return the model of that name.

    Raises:
        NotFound: there is none.
    """
    found = state.get(rows.RegistryModel, name)
    if found is None:
        raise NotFound(f"registered model `{name[:80]}` does not exist", hint="create it first; names are case-sensitive")
    return found


def known_entry(state: State, name: str, number: int) -> rows.RegistryVersion:
    """Return the version of that name and number.

    Raises:
        NotFound: there is none.
    """
    known_model(state, name)
    found = state.get(rows.RegistryVersion, version_key(name, number)) if 0 < number <= MAX_NUMBER else None
    if found is None:
        raise NotFound(f"version `{number}` of registered model `{name[:80]}` does not exist")
    return found


def protected_patterns(state: State, name: str) -> list[str]:
    """Return which aliases of a model are protected: by its own rule, else by everybody's, else by default.

    A rule for a name that a forgiving database takes for this one protects here too; it exempts nothing.
    """
    if (own := state.get(rows.RegistryProtection, name)) is not None:
        return own.aliases
    rule = state.get(rows.RegistryProtection, "*")
    alike = [each for each in state.find(rows.RegistryProtection) if folded(each.model) == folded(name)]
    return sorted({*(rule.aliases if rule else PROTECTED_BY_DEFAULT), *(alias for each in alike for alias in each.aliases)})


def is_protected(state: State, name: str, alias: str) -> bool:
    """Whether an alias of a model may only name what has passed the gates of production."""
    return matches_any(alias, protected_patterns(state, name))


def stage_is_protected(state: State, name: str, number: int, to_stage: str) -> bool:
    """Whether a move of stage touches production: into it, or out of it."""
    entry = state.get(rows.RegistryVersion, version_key(name, number)) if 0 < number <= MAX_NUMBER else None
    return PRODUCTION.lower() in (to_stage.lower(), entry.stage.lower() if entry else "")


def in_production(state: State, model: rows.RegistryModel, entry: rows.RegistryVersion | None = None) -> list[str]:
    """Return what of production a model, or one version of it, holds: protected aliases, the stage Production."""
    found = [
        f"alias `{alias}` names version `{number}`"
        for alias, number in sorted(model.aliases.items())
        if is_protected(state, model.name, alias) and (entry is None or entry.number == number)
    ]
    entries = [entry] if entry else state.find(rows.RegistryVersion, name=model.name, stage=PRODUCTION)
    return found + [f"version `{e.number}` is in `{PRODUCTION}`" for e in entries if e.stage == PRODUCTION]


def bound_version(state: State, registry: str, name: str, number: int) -> rows.RegistryBinding | None:
    """Return which measured version stands behind an entry, or None."""
    return state.get(rows.RegistryBinding, binding_key(registry, name, number)) if 0 < number <= MAX_NUMBER else None
