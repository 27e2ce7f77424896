"""Progress of a scan on stderr: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """A bar of rich on stderr, if that is a terminal and nobody asked for quiet; rich is imported only then.

    Use as a context manager: the bar is shown inside. ``make`` gives the bar.
    """

    def __init__(self, make: Callable[[], Progress], *, quiet: bool) -> None:
        self._bar = make() if sys.stderr.isatty() and not quiet else None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()


class ScanProgress(Bar):
    """Bytes with rate and remaining time (:class:`trimcache.scanning.run.Progress`)."""

    def __init__(self, verb: str = "scanning", *, quiet: bool) -> None:
        super().__init__(lambda: _bar(verb), quiet=quiet)

    def start(self, n_parts: int, nbytes: int) -> None:
        if self._bar is not None:
            self._task = self._bar.add_task("bytes", total=nbytes, part=f"{n_parts} models")

    def advance(self, nbytes: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, nbytes)

    def part_done(self, name: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, part=name)


def _bar(verb: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn(verb),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[part]}", markup=False),
        console=Console(file=sys.stderr),
        transient=True,
    )
