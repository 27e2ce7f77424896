"""Progress that counts: a bar on a terminal, now and then a line elsewhere; on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from trimcache.cli.output import note_line
from trimcache.cli.progress import Bar

if TYPE_CHECKING:
    from rich.progress import Progress

_EVERY_S = 30.0  # between lines where there is no terminal


class CountProgress(Bar):
    """How many of how many are done."""

    def __init__(self, verb: str, things: str, *, quiet: bool) -> None:
        super().__init__(lambda: _bar(verb, things), quiet=quiet)
        self._verb, self._things, self._quiet = verb, things, quiet
        self._begin = self._said = time.monotonic()
        self._before = -1  # done when it began

    def at(self, done: int, total: int) -> None:
        """``done`` of ``total``; what is done at the first call was found, not computed."""
        if self._before < 0:
            self._before, self._begin = done, time.monotonic()
            if done:
                note_line(f"{done} of {total} {self._things} are done already", quiet=self._quiet)
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(self._verb, total=total)
            self._bar.update(self._task, completed=done)
        elif time.monotonic() - self._said >= _EVERY_S:
            self._said = time.monotonic()
            rate = (done - self._before) / (self._said - self._begin)
            left = f", about {(total - done) / rate:.0f} s left" if rate else ""
            note_line(f"{self._verb}: {done} of {total} {self._things}{left}", quiet=self._quiet)


def _bar(verb: str, things: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(things),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
