"""The command line: one file a command. Each parses, calls the library and prints; there is no logic here.

stdout carries results (with ``--json``, data and only data), stderr carries progress, warnings and errors, one line each.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from trimcache._version import __version__
from trimcache.cli.output import error_line
from trimcache.errors import TrimcacheError

_INTERRUPTED = 130
_COMMANDS = (
    "scan", "stats", "families", "inspect", "compare", "granularity", "generate", "plan", "simulate", "replay", "report", "verify",
    "forget",
)  # fmt: skip


class _Commands(click.Group):
    """Imports a command's module, of the command's name, when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"trimcache.cli.{cmd_name}"), cmd_name)
        return command


@click.command(
    cls=_Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
)
@click.version_option(__version__, message="trimcache %(version)s")
def app() -> None:
    """What your models share, how little you can store, and where to cache them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 some sources could not be read, 2 wrong usage or nothing done."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal cannot show is shown as escapes; it is no reason to stop.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app.main(args=None if arguments is None else list(arguments), prog_name="trimcache", standalone_mode=False)
        sys.stdout.flush()
    except TrimcacheError as error:
        error_line(str(error))
        # What one source would only have cost its own scan leaves nothing done when the command was about it alone.
        return 2
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        message = error.format_message().replace("\n", " ").rstrip(".")
        error_line(f"{message}; see trimcache --help")
        return 2
    except (click.Abort, KeyboardInterrupt):
        error_line("interrupted; run the same command again to go on")
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()  # the reader went away (| head)
        return 0
    except OSError as error:
        # What commands read and write by name they have said themselves; without a name it is their own output, as a rule on a full disk.
        _drop_stdout()
        what = f"{error.filename}: cannot be used" if error.filename else "stdout: cannot be written"
        error_line(f"{what} ({error.strerror or error}); make room, or choose another place")
        return 2
    return code if isinstance(code, int) else 0


def _drop_stdout() -> None:
    """What is still to be written goes nowhere: Python would complain once more when it flushes stdout at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _keep_stdout_to_ourselves() -> None:
    """Compiled libraries may write to descriptor 1 (HiGHS, a line of its own debugging): that goes nowhere, and stdout stays data."""
    if sys.stdout is None:  # closed (>&-)
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (for as long as the process lives)
        return
    ours = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    lines = getattr(sys.stdout, "line_buffering", False)
    sys.stdout = io.TextIOWrapper(os.fdopen(ours, "wb"), sys.stdout.encoding, sys.stdout.errors, line_buffering=lines)


def run() -> None:
    """Entry point of the console script."""
    _keep_stdout_to_ourselves()
    # A scan makes millions of small objects and no cycles: looking for cycles among them at the default rate takes a tenth of its time.
    gc.set_threshold(100_000, 50, 50)
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking the interpreter and its imported libraries apart costs a tenth of a second and frees nothing that the end does not.
    os._exit(code)
