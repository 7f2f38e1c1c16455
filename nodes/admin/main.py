"""The `concord` program: mounts the nouns and turns errors into words and exit codes.

Data goes to stdout, words to stderr; an error is `error:` what happened, then `hint:` what to do. No traceback reaches
a user: an unexpected exception is reported as our bug, with the place in the code and how to get the whole trace.
"""

import errno
import importlib
import os
import signal
import sys
import traceback
from importlib.metadata import entry_points, version
from pathlib import Path

import typer
import typer.exceptions

from exchange.errors import ExchangeError
from nodes.admin.exit_codes import BUG, CONFIGURATION, INTERRUPTED, UNAVAILABLE, USAGE, exit_code
from nodes.admin.output import complain
from nodes.session import HOME_VARIABLE

NOUNS = ("root", "node", "report", "partner", "agreement", "community", "consent", "operator", "sensor", "key", "log")
"""Nouns of this package, nodes/admin/NOUN.py, in the order in which a newcomer needs them."""

ALONE = ("verify",)
"""Commands of this package without a verb, nodes/admin/NAME.py."""

MOUNTED = ("demo", "relay")
"""Nouns that other packages mount through the entry point group `concord.commands`."""

INTERRUPTED_BY_TYPER = 130

_OUTSIDE = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
)
"""What the operating system says of a path or a disk: for the user to mend."""


def _version(value: bool) -> None:
    if value:
        print(f"concord {version('concord-exchange')}")
        raise typer.Exit


def _operator_home(value: Path | None) -> None:
    if value is not None:
        # Where every command finds it, as if the user had set it.
        os.environ[HOME_VARIABLE] = str(value)


def _options(
    _: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and stop."),
    __: Path | None = typer.Option(
        None, "--operator-home", callback=_operator_home, help="Where your session is.", envvar=HOME_VARIABLE
    ),
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
    named = next((word for at, word in enumerate(arguments) if _is_noun(arguments, at)), None)
    every = (*MOUNTED, *NOUNS, *ALONE)
    for noun in (named,) if named in every else every:
        if noun in ALONE:
            app.command(noun)(getattr(importlib.import_module(f"nodes.admin.{noun}"), noun))
        else:
            app.add_typer(_commands(noun), name=noun)
    return app


def _is_noun(arguments: list[str], at: int) -> bool:
    """Whether this argument stands where the noun does: it is no option, and no option's value."""
    return not arguments[at].startswith("-") and arguments[at - 1 : at] != ["--operator-home"]


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
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - a user never sees a traceback
        return _explain(error)
    if code == INTERRUPTED_BY_TYPER:
        return _interrupted()
    return code if isinstance(code, int) else 0


def _explain(error: BaseException) -> int:
    match error:
        case ExchangeError():
            complain(str(error), place=error.place, hint=error.hint)
            return exit_code(error)
        case typer.Abort() | KeyboardInterrupt():
            return _interrupted()
        case typer.exceptions.TyperException():
            context = getattr(error, "ctx", None)
            words = getattr(error, "format_message", lambda: str(error))()
            if not words:
                # No arguments at all: the help was shown.
                return USAGE
            complain(words, hint=f"{context.command_path if context else 'concord'} --help")
            return USAGE
        case BrokenPipeError() | SystemExit():
            # The reader of our output left (`| head`), which Typer turns into an exit; there is nobody to tell.
            _drop_output()
            return 128 + signal.SIGPIPE
    return _outside(error) if isinstance(error, OSError) and error.errno in _OUTSIDE else _bug(error)


def _interrupted() -> int:
    if sys.stderr.isatty():
        # A question may stand on this line.
        print(file=sys.stderr)
    complain("interrupted")
    return INTERRUPTED


def _outside(error: OSError) -> int:
    if error.filename is None:
        _drop_output()
    place = str(error.filename or "output")
    complain(error.strerror or str(error), place=place, hint="check the path, its owner and the free space")
    return UNAVAILABLE if error.errno in (errno.ENOSPC, errno.EDQUOT) else CONFIGURATION


def _drop_output() -> None:
    """Let what is still buffered go nowhere: the interpreter would fail on it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    for name in ("stdout", "stderr"):
        # Closed by the caller (`>&-`): Python puts None there.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for the life of the process
    sys.exit(run(sys.argv[1:]))
