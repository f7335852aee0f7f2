"""The shape of a command: one sentence, an example that can be pasted, and the options that every command takes.

The options of `jurat` itself (`--json`, `--as`, `-C` …) may stand after the verb too: that is where hands type them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from jurat.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])


def shared_options(hidden: bool) -> list[click.Option]:
    """Return the options that `jurat` and each of its commands take."""

    def keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
        def into_session(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
            if value:
                setattr(ctx.ensure_object(Session), name, value)

        return into_session

    def option(name: str, *flags: str, help: str, **more: Any) -> click.Option:  # noqa: A002 - click's own word
        return click.Option(list(flags), expose_value=False, callback=keep(name), hidden=hidden, help=help, **more)

    return [
        option("workspace_given", "-C", "--workspace", metavar="DIR", help="The workspace  [default: here, a parent, or ./jurat-demo]"),
        option("as_name", "--as", metavar="NAME", help="Act with credentials/NAME.token  [default: operator]"),
        option("token_file", "--token-file", metavar="FILE", help="Act with the token in FILE"),
        option("as_json", "--json", is_flag=True, help="Print JSON, for programs"),
        option("debug", "--debug", is_flag=True, help="Show the traceback of a fault of ours"),
    ]


class Verb(click.Command):
    """A command with an example."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example
        for param in self.params:
            if isinstance(param, click.Option):
                _say_alike(param)
        self.params += shared_options(hidden=True)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = [line.strip() for line in self.example.splitlines() if line.strip()]
        with formatter.section("Example" if len(lines) == 1 else "Examples"):
            for line in lines:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")  # never wrapped: it is there to be pasted
        formatter.write_paragraph()
        formatter.write_text("The options of `jurat` itself may stand here too: -C, --as, --token-file, --json, --debug.")


def _say_alike(option: click.Option) -> None:
    """Give an option the words that every command uses for the same thing."""
    if option.name == "reason" and not option.help:
        option.help = "Why; it is written down."
    if option.multiple:
        says, bracket, default = (option.help or "").partition("  [")
        option.help = f"{says} May be repeated.{bracket}{default}"


class NounGroup(click.Group):
    """A noun: a group of verbs."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Tell each verb's whole sentence, where click would cut it off at the end of the line."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].get_short_help_str(limit=500)) for name in self.list_commands(ctx)])

    def verb(self, name: str, *, example: str) -> Callable[[F], Verb]:
        """Add a verb to this noun."""

        def add(function: F) -> Verb:
            made = verb(name, example=example)(function)
            self.add_command(made)
            return made

        return add


def noun(name: str) -> Callable[[Callable[[], None]], NounGroup]:
    """Make a noun of a function that does nothing but carry the docstring."""
    return click.group(name, cls=NounGroup)


def verb(name: str, *, example: str) -> Callable[[F], Verb]:
    """Make a command that stands directly after `jurat`."""
    return click.command(name, cls=Verb, example=example)
