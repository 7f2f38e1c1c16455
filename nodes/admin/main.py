"""The `concord` program: mounts the nouns and turns errors into words and exit codes.

Data goes to stdout, words to stderr; an error is `error:` what happened, then `hint:` what to do. No traceback reaches
a user: an unexpected exception is reported as our bug, with the place in the code and how to get the whole trace.
"""

import importlib
import os
import signal
import sys
import traceback
from importlib.metadata import entry_points, version

import typer
import typer.exceptions

from exchange.errors import ExchangeError
from nodes.admin.exit_codes import BUG, INTERRUPTED, USAGE, exit_code
from nodes.admin.output import complain

NOUNS = ("root", "node", "report", "partner", "agreement", "sensor", "key", "log")
"""Nouns of this package, nodes/admin/NOUN.py, in the order in which a newcomer needs them."""

MOUNTED = ("demo", "relay")
"""Nouns that other packages mount through the entry point group `concord.commands`."""

INTERRUPTED_BY_TYPER = 130


def _version(value: bool) -> None:
    if value:
        print(f"concord {version('concord-exchange')}")
        raise typer.Exit


def _options(
    _: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and stop."),
) -> None:
    """Hold the options that stand before the noun."""


def program(arguments: list[str]) -> typer.Typer:
    """Return the program with the noun that `arguments` name, or with all when they name none.

    Only what is asked for is imported, so that each command starts quickly.
    """
    app = typer.Typer(
        help="Share threat reports between partners: signed, sealed end to end, ruled by agreements, with evidence."
        "\n\nStart with `concord demo`, then docs/quickstart.md.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_options,
    )
    named = next((word for word in arguments if not word.startswith("-")), None)
    every = (*MOUNTED, *NOUNS)
    for noun in (named,) if named in every else every:
        app.add_typer(_commands(noun), name=noun)
    return app


def _commands(noun: str) -> typer.Typer:
    if noun in NOUNS:
        app = importlib.import_module(f"nodes.admin.{noun}").app
    else:
        (entry,) = entry_points(group="concord.commands", name=noun)
        app = entry.load()
    if not isinstance(app, typer.Typer):
        raise TypeError(f"the commands of {noun} are not a Typer application")
    return app


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = program(arguments)(arguments, standalone_mode=False, prog_name="concord")
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a user never sees a traceback
        return _explain(error)
    if code == INTERRUPTED_BY_TYPER:
        complain("interrupted")
    return code if isinstance(code, int) else 0


def _explain(error: BaseException) -> int:
    match error:
        case ExchangeError():
            complain(str(error), place=error.place, hint=error.hint)
            return exit_code(error)
        case typer.Abort() | KeyboardInterrupt():
            complain("interrupted")
            return INTERRUPTED
        case typer.exceptions.TyperException():
            context = getattr(error, "ctx", None)
            words = getattr(error, "format_message", lambda: str(error))()
            complain(words, hint=f"{context.command_path if context else 'concord'} --help")
            return USAGE
        case BrokenPipeError():
            # The reader of our output left (`| head`); there is nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
    return _bug(error)


def _bug(error: BaseException) -> int:
    if os.environ.get("CONCORD_TRACE"):
        traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    complain(
        f"this is a bug in Concord: {type(error).__name__} in {last.name}, line {last.lineno}",
        hint="set CONCORD_TRACE=1 to see the whole trace, and report it as SECURITY.md says",
    )
    return BUG


def main() -> None:
    """Entry point of the `concord` program."""
    sys.exit(run(sys.argv[1:]))
