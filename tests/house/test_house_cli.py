"""The command line as a whole: every command has help and an example that exists; `--help` is fast; errors and README agree."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from jurat.cli.main import jurat
from jurat.cli.nouns import NOUNS
from jurat.cli.verbs import Verb


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group, info_name="jurat")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(jurat))
every_command = pytest.mark.parametrize(("path", "command"), COMMANDS.items(), ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")


@every_command
def test_every_command_has_help_an_example_and_the_shared_options(path: tuple[str, ...], command: click.Command) -> None:
    assert isinstance(command, Verb)
    shown = command.get_help(click.Context(command, info_name=" ".join(path), parent=click.Context(jurat, info_name="jurat")))
    assert command.help
    assert len(command.help) > 20
    assert re.search(r"^Examples?:$", shown, re.MULTILINE)
    assert [option.opts for option in command.params if isinstance(option, click.Option) and not option.help] == []
    assert {"--json", "--as", "-C", "--token-file", "--debug"} <= {flag for param in command.params for flag in param.opts}


@every_command
def test_every_example_can_be_parsed(path: tuple[str, ...], command: click.Command) -> None:
    assert isinstance(command, Verb)
    lines = [line.strip() for line in command.example.splitlines() if line.strip()]
    assert any(line.startswith(f"jurat {' '.join(path)}") for line in lines)
    for line in lines:
        words = shlex.split(line.partition(">")[0])
        assert words[0] == "jurat"
        parse(words[1:])


def parse(words: list[str]) -> None:
    """Parse a whole line, run nothing."""
    context = jurat.make_context("jurat", list(words))
    group: click.Command = jurat
    while isinstance(group, click.Group):
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, rest, parent=context)
        group = command


@pytest.mark.parametrize("noun", NOUNS)
def test_the_table_of_nouns_says_what_the_noun_says_of_itself(noun: str) -> None:
    command = jurat.get_command(click.Context(jurat), noun)
    assert command is not None
    assert command.name == noun
    assert NOUNS[noun].help
    assert not NOUNS[noun].help.endswith(".")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom jurat.cli.main import run\nfrom jurat.cli.session import Session\n"
        "assert run(['--help'], Session()) == 0\n"
        "heavy = {'rich', 'msgspec', 'duckdb', 'pyarrow', 'psycopg', 'numpy', 'cedarpy', 'cryptography', 'jurat.app', 'jurat.domain'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(re.search(rf"^  {noun}\s", done.stdout, re.MULTILINE) for noun in NOUNS)
