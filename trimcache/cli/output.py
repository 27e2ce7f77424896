"""What commands print: tables and JSON on stdout, single lines on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from trimcache._printable import printable as printable  # noqa: PLC0414  for commands

_LONG = 200  # rows; a table that nobody reads at once, and that rich takes long for


def error_line(text: str) -> None:
    """One line on stderr, never wrapped or coloured."""
    print(f"trimcache: error: {printable(text)}", file=sys.stderr)


def warning_line(text: str) -> None:
    """One line on stderr that does not change the exit code."""
    print(f"trimcache: warning: {printable(text)}", file=sys.stderr)


def note_line(text: str, *, quiet: bool = False) -> None:
    """Talk: one line on stderr unless ``quiet``."""
    if not quiet:
        print(f"trimcache: {printable(text)}", file=sys.stderr)


def print_json(document: Any) -> None:
    """Data for scripts, on stdout."""
    # JSON has escapes of its own for what the stream cannot carry.
    can_carry_all = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    print(json.dumps(document, indent=2, ensure_ascii=not can_carry_all))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> None:
    """A table on stdout; the first ``text_columns`` columns are aligned left, the rest are numbers.

    On a terminal it fits the width; elsewhere nothing is wrapped or cut.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    listed = [[printable(cell) for cell in row] for row in rows]
    if len(listed) > _LONG and not sys.stdout.isatty():
        _print_long_table(title, columns, listed, text_columns)
        return
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < text_columns else "right", overflow="fold")
    for row in listed:
        # Text, not str: names come from files and must not be read as markup.
        table.add_row(*(Text(cell) for cell in row))
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=max(80, console.measure(table, options=console.options.update_width(100_000)).maximum))
    console.print(table)


def _print_long_table(title: str, columns: Sequence[str], rows: list[list[str]], text_columns: int) -> None:
    """The same lines as rich writes off a terminal, where it would take a millisecond a row."""
    from rich.cells import cell_len

    lines = [list(columns), *rows]
    lengths = [[len(cell) if cell.isascii() else cell_len(cell) for cell in line] for line in lines]
    widths = [max(column) for column in zip(*lengths, strict=True)]
    width = sum(widths) + 3 * len(widths) - 1

    def padded(line: list[str], length: list[int]) -> str:
        cells = zip(line, length, widths, range(len(widths)), strict=True)
        return "   ".join(cell + " " * (w - n) if i < text_columns else " " * (w - n) + cell for cell, n, w, i in cells)

    body = [f" {padded(line, length)} " for line, length in zip(lines, lengths, strict=True)]
    if title:
        print(title.ljust(width))
    print("\n".join([" " * width, body[0], f" {'─' * (width - 2)} ", *body[1:], " " * width]))
