"""The command line: one file a command. Each parses, calls the library and prints; there is no logic here.

stdout carries results (with ``--json``, data and only data), stderr carries progress, warnings and errors, one line each.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from trimcache.cli import forget, generate, inspect, plan, scan, stats, verify
from trimcache.cli.output import error_line
from trimcache.errors import TrimcacheError

# typer brings its own copy of click, or imports click, depending on its version; both name the base of usage errors so.
_USAGE_ERROR: type[Any] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
_INTERRUPTED = 130

app = typer.Typer(
    name="trimcache",
    help="What your models share, how little you can store, and where to cache them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("scan")(scan.scan)
app.command("stats")(stats.stats)
app.command("inspect")(inspect.inspect)
app.command("generate")(generate.generate)
app.command("plan")(plan.plan)
app.command("verify")(verify.verify)
app.command("forget")(forget.forget)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from trimcache._version import __version__

        typer.echo(f"trimcache {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 some sources could not be read, 2 wrong usage or nothing done."""
    command = typer.main.get_command(app)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal cannot show is shown as escapes; it is no reason to stop.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = command.main(args=None if arguments is None else list(arguments), prog_name="trimcache", standalone_mode=False)
        sys.stdout.flush()
    except TrimcacheError as error:
        error_line(str(error))
        # What one source would only have cost its own scan leaves nothing done when the command was about it alone.
        return 2
    except _USAGE_ERROR as error:
        message = str(error.format_message()).replace("\n", " ")
        if message:
            error_line(f"{message}; see trimcache --help")
        return 2
    except (typer.Abort, KeyboardInterrupt):
        error_line("interrupted; run the same command again to go on")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader went away (| head). Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    return code if isinstance(code, int) else 0


def run() -> None:
    """Entry point of the console script."""
    # A scan makes millions of small objects and no cycles: looking for cycles among them at the default rate takes a tenth of its time.
    gc.set_threshold(100_000, 50, 50)
    sys.exit(main())
