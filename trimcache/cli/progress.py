"""Progress of a scan on stderr: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class ScanProgress:
    """A bar in bytes with rate and remaining time (:class:`trimcache.scan.Progress`)."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (
            TextColumn("scanning"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[part]}", markup=False),
        )
        disabled = quiet or not sys.stderr.isatty()
        self._bar = Progress(*columns, console=Console(file=sys.stderr), transient=True, disable=disabled)
        self._task: TaskID | None = None

    def __enter__(self) -> ScanProgress:
        self._bar.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self._bar.stop()

    def start(self, n_parts: int, nbytes: int) -> None:
        self._task = self._bar.add_task("scan", total=nbytes, part="")

    def advance(self, nbytes: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, nbytes)

    def part_done(self, name: str) -> None:
        if self._task is not None:
            self._bar.update(self._task, part=name)
