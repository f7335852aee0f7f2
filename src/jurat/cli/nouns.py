"""Which noun lives in which module. `jurat --help` reads this table only, so it answers at once."""

from __future__ import annotations

import importlib
from typing import Final, NamedTuple

import click


class Noun(NamedTuple):
    """One word after `jurat`."""

    module: str
    group: str
    help: str


START, WORK, LEDGER, RULES, PEOPLE = "Begin", "Models and decisions", "The record", "The rules", "Who may act"
NOUNS: Final[dict[str, Noun]] = {
    "demo": Noun("demo", START, "Play the whole story on real data, into ./jurat-demo"),
    "init": Noun("workspace", START, "Make a new workspace and its first operator"),
    "serve": Noun("workspace", START, "Run everything until Ctrl-C: database, ledger, API, gateway"),
    "status": Noun("workspace", START, "Show what runs, and how far each log is sealed"),
    "data": Noun("data", WORK, "Data sets: register, read, list"),
    "system": Noun("system", WORK, "AI systems, with purpose, owner and risk tier"),
    "model": Noun("model", WORK, "Model versions: register, measure, promote, retire"),
    "card": Noun("card", WORK, "Model cards and data sheets: make, check"),
    "artefact": Noun("artefact", WORK, "Artefacts: kept by digest, here or in an object store; what is left over"),
    "asset": Noun("asset", WORK, "Prompts, agents, guardrail settings, feature schemas: versioned like models"),
    "lineage": Noun("lineage", WORK, "Lineage: what rests on what; what happens when something upstream changes"),
    "advisory": Noun("advisory", WORK, "What changed upstream of approved versions: flaws, recalls, licences"),
    "mlflow": Noun("mlflow", WORK, "MLflow: its registry, a guard before your server, runs taken over"),
    "request": Noun("request", WORK, "Promotions that wait for approval"),
    "endpoint": Noun("endpoint", WORK, "Where predictions are served"),
    "rollout": Noun("rollout", WORK, "Traffic in steps, and back to an earlier version at once"),
    "case": Noun("case", WORK, "Predictions that wait for a person"),
    "ask": Noun("ask", LEDGER, "What happened, why, and who was responsible"),
    "explain": Noun("explain", LEDGER, "Why one prediction came out as it did, for the person concerned"),
    "report": Noun("report", LEDGER, "How a model did over a time, by segment"),
    "events": Noun("events", LEDGER, "Read the ledger, newest first"),
    "sql": Noun("events", LEDGER, "Ask the ledger in SQL"),
    "log": Noun("log", LEDGER, "The logs and their checkpoints"),
    "archive": Noun("archive", LEDGER, "A mirror of the record in an object store: push, verify"),
    "prove": Noun("ledger", LEDGER, "Put one event's proof into a file"),
    "verify": Noun("verify", LEDGER, "Check a workspace or a proof file, offline"),
    "witness": Noun("witness", LEDGER, "Be a witness of other logs; ask the witnesses of our own"),
    "rebuild": Noun("ledger", LEDGER, "Fold the ledger again and compare, or repair, what holds now"),
    "erase": Noun("erase", LEDGER, "Take away what events say; proofs stay valid"),
    "retention": Noun("retention", LEDGER, "How long events are kept, and what is due"),
    "hold": Noun("retention", LEDGER, "Legal holds: what neither expires nor is erased"),
    "gate": Noun("gate", RULES, "Gates between stages: apply, check, show"),
    "policy": Noun("policy", RULES, "Policies: check, test, compare, replay, change"),
    "principal": Noun("principal", PEOPLE, "People, services, agents and processes"),
    "directory": Noun("directory", PEOPLE, "Identity providers (SCIM): groups, and the roles they give"),
    "passkey": Noun("passkey", PEOPLE, "Passkeys: invite people, list, remove"),
    "credential": Noun("credential", PEOPLE, "What people act by, and a third person's word that it is theirs alone"),
    "role": Noun("role", PEOPLE, "Roles: grant, confirm, revoke, list"),
    "access": Noun("access", PEOPLE, "Who can do what, and why; ask for access, answer"),
    "break-glass": Noun("breakglass", PEOPLE, "Take a role in an emergency"),
    "glass": Noun("breakglass", PEOPLE, "Break-glass windows: show, close, review"),
    "review": Noun("review", PEOPLE, "Access reviews: what is used, who answers for it"),
    "inbox": Noun("inbox", PEOPLE, "What you were told"),
    "producer": Noun("producer", PEOPLE, "Services outside that may record events"),
    "login": Noun("login", PEOPLE, "Sign in at an identity provider, from a terminal"),
    "logout": Noun("login", PEOPLE, "Sign out"),
    "whoami": Noun("login", PEOPLE, "Who acts, for whom, with which roles"),
    "session": Noun("signed_in", PEOPLE, "Who is signed in; ending it"),
    "identity": Noun("identity", PEOPLE, "Identity providers, invitations, trust in workloads, token keys"),
    "token": Noun("token", PEOPLE, "Access tokens: issue, revoke"),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        noun = NOUNS.get(cmd_name)
        if noun is None:
            return None
        command: click.Command = getattr(importlib.import_module(f"jurat.cli.{noun.module}"), cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group in dict.fromkeys(noun.group for noun in NOUNS.values()):
            with formatter.section(group):
                formatter.write_dl([(name, noun.help) for name, noun in NOUNS.items() if noun.group == group])
