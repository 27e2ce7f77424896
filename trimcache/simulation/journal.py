"""The journal of a simulation: finished topologies, one a line, so that a killed run goes on where it stopped.

The first line defines the simulation; each further one holds the rows of one task. Lines are only ever appended, and only by
the process that started the run. A kill can tear the last line; it is then cut off and its topology computed again.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from trimcache.errors import SimulationError

__all__ = ["Journal", "journal_path"]

Task = tuple[int, int]
"""Index of the setting, and seed."""


def journal_path(results: Path) -> Path:
    """Where the journal of these results lies: beside them."""
    return results.with_name(f"{results.name}.journal")


class Journal:
    """An open journal, locked against a second run.

    Attributes:
        done: what the tasks finished so far gave, by task.

    Raises:
        SimulationError: it belongs to another simulation, is in use, or cannot be read or written.
    """

    def __init__(self, path: Path, definition: Mapping[str, Any]) -> None:
        self.path = path
        self.done: dict[Task, Any] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise SimulationError(str(path), f"cannot be opened ({error.strerror})", "choose another place for the results") from error
        try:
            self._lock()
            self._load(json.loads(json.dumps(definition)))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, task: Task, rows: Any) -> None:
        """Keep what a task gave."""
        self._append({"task": list(task), "rows": rows})
        self.done[task] = rows

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SimulationError(str(self.path), "is in use by another run", "wait for it, or choose another -o") from error

    def _load(self, definition: Any) -> None:
        self._file.seek(0)
        whole, lines = 0, self._file.read().split(b"\n")
        for n, line in enumerate(lines[:-1]):
            try:
                entry = json.loads(line)
                if n:
                    self.done[int(entry["task"][0]), int(entry["task"][1])] = entry["rows"]
            except (ValueError, KeyError, TypeError) as error:
                raise SimulationError(str(self.path), f"is damaged in line {n + 1}", "delete it to start anew") from error
            if n == 0 and entry != definition:
                raise SimulationError(str(self.path), f"holds another simulation: {_difference(entry, definition)}",
                                      "choose another -o, or delete it to start anew")  # fmt: skip
            whole += len(line) + 1
        self._file.truncate(whole)
        if not whole:
            self._append(definition)

    def _append(self, entry: Any) -> None:
        try:
            self._file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise SimulationError(
                str(self.path), f"cannot be written ({error.strerror})", "make room and run the same command again"
            ) from error


def _difference(old: Any, new: Any) -> str:
    """What two definitions differ in, in a few words."""
    if not isinstance(old, dict):
        return "it is no journal"
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if keys == ["settings"] and len(old["settings"]) == len(new["settings"]):
        pairs = zip(old["settings"], new["settings"], strict=True)
        names = dict.fromkeys(name for a, b in pairs for name in {**a, **b} if a.get(name) != b.get(name))
        return f"{', '.join(names)} changed"
    return f"{', '.join(keys)} changed"
