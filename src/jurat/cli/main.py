"""The entry point, and the one place where an error becomes words and an exit code.

0 done · 1 a fault of ours · 2 we cannot read it · 3 not known, or not allowed · 4 no such thing, or a rule stands in
the way · 5 a limit, or something is away · 6 tampered · 130 interrupted
"""

from __future__ import annotations

import os
import secrets
import sys
import traceback
from collections.abc import Sequence

import click

from jurat.cli.nouns import LazyGroup
from jurat.cli.session import Session, flat
from jurat.cli.verbs import shared_options
from jurat.core.errors import JuratError, Malformed


@click.group(cls=LazyGroup, name="jurat", params=shared_options(hidden=False), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="jurat")
def jurat() -> None:
    """One control plane for accountable AI: who may do what, a log nobody can quietly edit, and proof."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(run(arguments, Session()))


def run(arguments: Sequence[str] | None, session: Session) -> int:
    """Run one command; return its exit code, having said on stderr what went wrong."""
    try:
        code = jurat.main(args=None if arguments is None else list(arguments), prog_name="jurat", obj=session, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except JuratError as error:
        tell(error, session)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        session.say(error.format_message())
        return Malformed.exit_code
    except click.UsageError as error:
        return _tell_usage(error, session)
    except click.ClickException as error:
        tell(Malformed(error.format_message()), session)
        return Malformed.exit_code
    except (click.Abort, KeyboardInterrupt):
        session.say("interrupted")
        return 130
    except (BrokenPipeError, SystemExit):  # click's word for a broken pipe: whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        return _tell_fault(session)


def tell(error: JuratError, session: Session) -> None:
    """Say on stderr what went wrong, what to do, and under which event it was recorded."""
    if session.as_json:
        from jurat.app.problems import to_problem
        from jurat.core.jsonio import dump_json

        session.say(dump_json(to_problem(error)).decode())
        return
    session.say(f"{_red(error.family.replace('_', ' '))}: {flat(error.detail)}")
    if error.hint:
        session.say(f"  hint: {flat(error.hint)}")
    if error.fields.get("event"):
        session.say(f"  recorded as {error.fields['event']}")


def _tell_usage(error: click.UsageError, session: Session) -> int:
    where = error.ctx.command_path if error.ctx else "jurat"
    said = error.format_message().strip().rstrip(".")
    tell(Malformed(said[:1].lower() + said[1:], hint=f"see `{where} --help`", code="usage"), session)
    return Malformed.exit_code


def _tell_fault(session: Session) -> int:
    """A fault of ours: an id to speak about, and no insides unless they are asked for."""
    error_id = f"err_{secrets.token_hex(6)}"
    if session.debug:
        traceback.print_exc()
    if session.as_json:
        from jurat.app.problems import opaque_problem
        from jurat.core.jsonio import dump_json

        session.say(dump_json(opaque_problem(error_id)).decode())
    else:
        session.say(f"{_red('error')}: something went wrong here, and it is a fault of ours (`{error_id}`)")
        session.say("  hint: run it again with `--debug` and tell whoever maintains this jurat what it says")
    return 1


def _red(text: str) -> str:
    return click.style(text, fg="red", bold=True) if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else text


if __name__ == "__main__":
    main()
