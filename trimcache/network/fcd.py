"""Floating-car data of SUMO: where vehicles were, time after time, read from file without holding it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import NetworkError, UsageError
from trimcache.network._fcd_rows import MAX_USERS, Timestep, read_table
from trimcache.network._fcd_xml import read_xml
from trimcache.network.mobility import Area, Slot, slot_times

__all__ = ["FloatingCarData"]

_FORMS = (".xml", ".csv", ".parquet", ".pq")


@dataclass(frozen=True)
class FloatingCarData:
    """One file of floating-car data, looked through once: its users, when and where they are.

    The format is that of ``sumo --fcd-output FILE`` (https://sumo.dlr.de/docs/Simulation/Output/FCDOutput.html): ``.xml``, ``.csv``
    or ``.parquet``, XML and CSV also with ``.gz``; coordinates in metres. Vehicles and persons come and go: who is absent asks for nothing.

    Attributes:
        user_names: ids in order of appearance; the K users.
        first_s, last_s: times of the first timestep at which somebody is there, and of the last timestep, by the file's clock.
        area: the smallest rectangle around all places.
        start_s: where slot 0 lies on the file's clock; ``first_s`` unless chosen.
    """

    path: Path
    user_names: tuple[str, ...] = field(repr=False)
    first_s: float
    last_s: float
    area: Area
    start_s: float

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], start_s: float | None = None) -> FloatingCarData:
        """Look through the whole file: what is wrong with it is said now, not in the middle of a simulation.

        Args:
            start_s: begin there on the file's clock, to leave out a warm-up.

        Raises:
            NetworkError: the file cannot be read, breaks the format, is cut off, or holds nobody: one line with the place.
            UsageError: another ending, or a start outside the file's times.
        """
        file = Path(path)
        if not any(suffix.lower() in _FORMS for suffix in file.suffixes[-2:]):
            raise UsageError(str(file), "is no kind of floating-car data", f"give {', '.join(_FORMS)}, or .xml.gz")
        users: dict[str, None] = {}
        first_s: float | None = None
        last_s = np.nan
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        for step in _timesteps(file):
            users.update(dict.fromkeys(step.ids))
            if len(users) > MAX_USERS:
                raise NetworkError(f"{file} {step.where}", f"has more than {MAX_USERS} vehicles", "cut the file")
            if step.ids:
                first_s = step.time_s if first_s is None else first_s
                low, high = np.minimum(low, step.places_m.min(axis=0)), np.maximum(high, step.places_m.max(axis=0))
            last_s = step.time_s
        if first_s is None:
            raise NetworkError(str(file), "holds no vehicle at any time", "give one with vehicles")
        if start_s is not None and not first_s <= start_s <= last_s:
            raise UsageError(f"start {start_s:g} s", f"is outside {file}", f"give {first_s:g} to {last_s:g}")
        area = Area(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        return cls(file, tuple(users), first_s, last_s, area, first_s if start_s is None else start_s)

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def duration_s(self) -> float:
        """Seconds from slot 0 to the last timestep."""
        return self.last_s - self.start_s

    def slots(self, start_m: object, area: object, duration_s: float, slot_s: float, seed: int) -> Iterator[Slot]:
        """Places in slots of ``slot_s`` seconds: those of the latest timestep that is not after the slot's begin.

        The file is read along, once more, and O(K) is held. It may end early: then so do the slots.

        Raises:
            NetworkError: as ``from_file``, if the file has changed since.
        """
        numbers = slot_times(duration_s, slot_s)
        index = {name: k for k, name in enumerate(self.user_names)}
        steps = _timesteps(self.path)
        coming = next(steps, None)
        places = np.full((len(index), 2), np.nan)
        for n in numbers:
            now_s = self.start_s + n * slot_s
            latest: Timestep | None = None
            while coming is not None and coming.time_s <= now_s + 1e-6:
                latest, coming = coming, next(steps, None)
            if latest is not None:
                places = self._places(latest, index)
            yield Slot(n * slot_s, places)
            if coming is None and now_s >= self.last_s:
                return

    def _places(self, step: Timestep, index: dict[str, int]) -> NDArray[np.float64]:
        places = np.full((len(index), 2), np.nan)
        try:
            places[[index[name] for name in step.ids]] = step.places_m
        except KeyError as error:
            raise NetworkError(f"{self.path} {step.where}", f"has the new vehicle {error.args[0]!r}", "it changed: read it again") from None
        return places


def _timesteps(path: Path) -> Iterator[Timestep]:
    """Of any form; NetworkError unless times rise."""
    form = next(suffix for suffix in map(str.lower, reversed(path.suffixes[-2:])) if suffix in _FORMS)
    before = -np.inf
    try:
        for step in read_xml(path) if form == ".xml" else read_table(path):
            if not step.time_s > before:
                raise NetworkError(f"{path} {step.where}", f"time {step.time_s:g} comes after {before:g}", "sort the file by time")
            before = step.time_s
            yield step
    except FileNotFoundError:
        raise NetworkError(str(path), "does not exist", "check the path") from None
    except OSError as error:
        raise NetworkError(str(path), f"cannot be read ({error.strerror or error})", "check the file") from error
