"""Users that move: random waypoint and random direction, slot by slot.

Both are described in T. Camp, J. Boleng, V. Davies, *A survey of mobility models for ad hoc network research*, Wireless
Communications and Mobile Computing 2(5), 2002. Every number a user draws is a hash of (seed, user, leg), and places
follow continuous time: users added later leave others as they were, and a shorter slot shows the same walks more often.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trimcache._atoms import mix64
from trimcache.errors import NetworkError, UsageError
from trimcache.network._values import nearest

__all__ = ["SPEED_CLASSES", "Area", "Mobility", "RandomDirection", "RandomWaypoint", "Slot", "SpeedClass", "mobility", "slot_times"]

_STREAM = 0x5EED_0F_3A1C5  # keeps these draws apart from those of demand and deadlines for one seed
_CLASS, _X, _Y, _SPEED, _X_FROM, _Y_FROM, _ACCEPT, _ALONG, _REST, _X_REST, _Y_REST = range(11)  # what a draw is for
_MAX_SLOTS = 10_000_000


class Area(NamedTuple):
    """A rectangle in metres."""

    low_x: float
    low_y: float
    high_x: float
    high_y: float

    @classmethod
    def square(cls, side_m: float) -> Area:
        """From the origin, as the presets have it."""
        return cls(0.0, 0.0, side_m, side_m)

    @classmethod
    def around(cls, *places_m: NDArray[np.float64]) -> Area:
        """The smallest that holds all these places, float64[n, 2] each.

        Raises:
            NetworkError: no places, or all on one horizontal or vertical line.
        """
        places = np.concatenate(places_m)
        if not len(places):
            raise NetworkError("area", "no server and no user to draw it around", "give the side of the square")
        return cls(*places.min(axis=0).tolist(), *places.max(axis=0).tolist()).checked()

    def checked(self) -> Area:
        """Itself; NetworkError unless both sides are positive and finite."""
        if not (np.isfinite(self).all() and self.high_x > self.low_x and self.high_y > self.low_y):
            raise NetworkError("area", f"{tuple(self)} is no rectangle users can move in", "give sides > 0 in metres")
        return self


class Slot(NamedTuple):
    """Where users are at one time: ``time_s`` counts from 0; ``positions_m`` float64[K, 2], NaN for a user who is absent."""

    time_s: float
    positions_m: NDArray[np.float64]


class Mobility(Protocol):
    """How users move."""

    @property
    def name(self) -> str:
        """As ``mobility`` takes it."""
        ...

    @property
    def user_names(self) -> tuple[str, ...] | None:
        """The users, where it brings its own; None: it moves those of the network."""
        ...

    def slots(self, start_m: NDArray[np.float64], area: Area, duration_s: float, slot_s: float, seed: int) -> Iterator[Slot]:
        """Slots 0, 1, ... of ``slot_s`` seconds; the users start at ``start_m`` float64[K, 2] (ignored if it brings its own)."""
        ...


@dataclass(frozen=True)
class SpeedClass:
    """Users of one kind: each leg's speed is uniform in [low, high] m/s; ``share`` is relative to the other classes'.

    Raises:
        NetworkError: not 0 < low <= high, or a negative share. (From speed 0 a random waypoint never arrives, and the
            mean speed decays to 0 for ever: J. Yoon, M. Liu, B. Noble, *Random waypoint considered harmful*, INFOCOM 2003.)
    """

    name: str
    low_mps: float
    high_mps: float
    share: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.low_mps <= self.high_mps < np.inf):
            raise NetworkError(f"speeds of {self.name!r}", f"{self.low_mps} to {self.high_mps} m/s", "give 0 < low <= high")
        if not 0 <= self.share < np.inf:
            raise NetworkError(f"share of {self.name!r}", f"{self.share} is not a number >= 0", "give for example 1")


SPEED_CLASSES = (SpeedClass("pedestrian", 0.5, 1.8), SpeedClass("bike", 2.0, 8.0), SpeedClass("vehicle", 5.5, 20.0))
"""The paper's three speed classes (our reading); equal shares are an assumption."""


def slot_times(duration_s: float, slot_s: float) -> range:
    """The numbers of the slots that begin within ``duration_s``: 2 h of 5 s are 1,440. UsageError for spans that make none."""
    if not (0 < slot_s < np.inf and slot_s <= duration_s < np.inf and duration_s / slot_s <= _MAX_SLOTS):
        raise UsageError("slots", f"{duration_s} s in slots of {slot_s} s", f"give 1 to {_MAX_SLOTS} slots, for example 2h of 5s")
    return range(int(duration_s / slot_s * (1 + 1e-12)))


@dataclass(frozen=True)
class _RandomMobility(ABC):
    """Legs in straight lines, drawn one by one for each user, each followed by a pause."""

    classes: Sequence[SpeedClass] = SPEED_CLASSES
    pause_s: float = 0.0
    name: ClassVar[str]
    user_names: ClassVar[None] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if not sum(kind.share for kind in self.classes) > 0:
            raise NetworkError("speed classes", "have no share", "give one of them a share > 0")
        if not 0 <= self.pause_s < np.inf:
            raise NetworkError("pause_s", f"{self.pause_s} is not a number >= 0", "give seconds")

    def class_of(self, n_users: int, seed: int) -> NDArray[np.int64]:
        """int64[K]: each user's speed class, for good; an index into ``classes``."""
        ends = np.cumsum([kind.share for kind in self.classes])
        drawn = _uniform(_keys(n_users, seed), np.zeros(n_users, np.uint64), _CLASS) * ends[-1]
        return np.asarray(np.minimum(np.searchsorted(ends, drawn, side="right"), ends.size - 1))

    def slots(self, start_m: NDArray[np.float64], area: Area, duration_s: float, slot_s: float, seed: int) -> Iterator[Slot]:
        """The users of ``start_m`` (float64[K, 2], inside the area), walking; O(K) memory whatever the duration.

        Raises:
            NetworkError: an area without extent, or a user outside it.
            UsageError: no slot at all.
        """
        numbers = slot_times(duration_s, slot_s)
        legs = _Legs(self, np.array(start_m, dtype=np.float64).reshape(-1, 2), area.checked(), seed)
        return (Slot(n * slot_s, legs.places_at(n * slot_s)) for n in numbers)

    @abstractmethod
    def _leg(self, legs: _Legs, users: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The next leg of these users: where to, float64[n, 2] from where they are, and for how many seconds, float64[n]."""

    def _begin(self, legs: _Legs) -> None:  # noqa: B027  (most start where they stand)
        """Change the state at time 0."""


@dataclass(frozen=True)
class RandomWaypoint(_RandomMobility):
    """To a uniform point of the area in a straight line at a speed of the user's class, a pause, and on to the next.

    Users gather in the middle: the stationary places are not uniform, and slow legs last longer, so the mean speed falls
    until that distribution is reached (Yoon, Liu, Noble 2003). With ``steady_state`` every user begins in it, ``start_m`` counting
    for nothing: W. Navidi, T. Camp, *Stationary distributions for the random waypoint mobility model*, IEEE Transactions on
    Mobile Computing 3(1), 2004, done for each class.
    """

    steady_state: bool = False
    name: ClassVar[str] = "random-waypoint"

    def _leg(self, legs: _Legs, users: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        step = legs.point(users, _X, _Y) - legs.start[users]
        return step, np.hypot(*step.T) / legs.speed(users)

    def _begin(self, legs: _Legs) -> None:
        if not self.steady_state:
            return
        everybody = np.arange(legs.start.shape[0])
        low, high = legs.low_mps, legs.high_mps
        # A user is met on a leg with a probability proportional to its length (here by rejection) over its speed.
        origin, goal = np.empty_like(legs.start), np.empty_like(legs.start)
        drawing = everybody
        while drawing.size:
            legs.number[drawing] += np.uint64(1)
            origin[drawing], goal[drawing] = legs.point(drawing, _X_FROM, _Y_FROM), legs.point(drawing, _X, _Y)
            length = np.hypot(*(goal - origin)[drawing].T)
            drawing = drawing[legs.draw(drawing, _ACCEPT) * np.hypot(*legs.side) >= length]
        along = legs.draw(everybody, _ALONG)[:, None]
        legs.start[:], legs.step[:] = origin + along * (goal - origin), (1.0 - along) * (goal - origin)
        speed = low * (high / low) ** legs.draw(everybody, _SPEED)  # density proportional to 1 / speed
        legs.travel_s[:] = np.hypot(*legs.step.T) / speed
        legs.end_s[:] = legs.travel_s + self.pause_s
        if self.pause_s:
            self._rest(legs)

    def _rest(self, legs: _Legs) -> None:
        """In the stationary state some users are met in a pause, at a uniform place."""
        low, high = legs.low_mps, legs.high_mps
        with np.errstate(invalid="ignore"):
            slowness = np.where(high > low, np.log(high / low) / (high - low), 1.0 / low)  # mean of 1 / speed
        share = self.pause_s / (self.pause_s + mean_distance_m(*legs.side.tolist()) * slowness)
        drawn = legs.draw(np.arange(low.size), _REST)
        resting = np.flatnonzero(drawn < share)
        legs.start[resting], legs.step[resting] = legs.point(resting, _X_REST, _Y_REST), 0.0
        legs.travel_s[resting], legs.end_s[resting] = 0.0, self.pause_s * (drawn / share)[resting]  # uniform in the pause


@dataclass(frozen=True)
class RandomDirection(_RandomMobility):
    """In a uniform direction at a speed of the user's class for an exponential time, reflected at the border, and on in another.

    Places are uniform at every time if they are at first (the presets' are), and speeds do not decay: P. Nain, D. Towsley,
    B. Liu, Z. Liu, *Properties of random direction models*, INFOCOM 2005. (In the survey's variant users walk to the
    border before they turn.)

    Args:
        leg_s: mean duration of a leg in seconds (assumption).
    """

    leg_s: float = 60.0
    name: ClassVar[str] = "random-direction"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.leg_s < np.inf:
            raise NetworkError("leg_s", f"{self.leg_s} is not positive", "give seconds, for example 60")

    def _leg(self, legs: _Legs, users: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        duration_s = -self.leg_s * np.log1p(-legs.draw(users, _X))
        angle = 2.0 * np.pi * legs.draw(users, _Y)
        length = legs.speed(users) * duration_s
        return np.stack((length * np.cos(angle), length * np.sin(angle)), axis=1), duration_s


class _Legs:
    """Where each of K users is on which leg: from ``start`` by ``step`` in ``travel_s``, the next leg at ``end_s``."""

    def __init__(self, model: _RandomMobility, start_m: NDArray[np.float64], area: Area, seed: int) -> None:
        corners = np.array(area).reshape(2, 2)
        self.low, self.side = corners[0], corners[1] - corners[0]
        outside = np.flatnonzero(~((start_m >= corners[0]) & (start_m <= corners[1])).all(axis=1))
        if outside.size:
            where = f"starts at {start_m[outside[0]].tolist()}, outside the area {tuple(area)}"
            raise NetworkError(f"user {outside[0]}", where, "give a larger area")
        self.model, self.start = model, start_m
        n_users = start_m.shape[0]
        self.keys = _keys(n_users, seed)
        kind = model.class_of(n_users, seed)
        self.low_mps = np.array([c.low_mps for c in model.classes])[kind]
        self.high_mps = np.array([c.high_mps for c in model.classes])[kind]
        self.number = np.zeros(n_users, dtype=np.uint64)
        self.step = np.zeros((n_users, 2))
        self.begin_s, self.travel_s, self.end_s = np.zeros((3, n_users))
        model._begin(self)

    def draw(self, users: NDArray[np.int64], purpose: int) -> NDArray[np.float64]:
        """Uniform in [0, 1), one for each user, leg and purpose."""
        return _uniform(self.keys[users], self.number[users], purpose)

    def speed(self, users: NDArray[np.int64]) -> NDArray[np.float64]:
        """m/s, uniform in the range of each user's class."""
        low = self.low_mps[users]
        return np.asarray(low + (self.high_mps[users] - low) * self.draw(users, _SPEED))

    def point(self, users: NDArray[np.int64], x: int, y: int) -> NDArray[np.float64]:
        """float64[n, 2]: uniform in the area."""
        return np.asarray(self.low + self.side * np.stack((self.draw(users, x), self.draw(users, y)), axis=1))

    def places_at(self, time_s: float) -> NDArray[np.float64]:
        """float64[K, 2] at a time that is not before the last one asked for."""
        while (due := np.flatnonzero(self.end_s <= time_s)).size:
            self.start[due] = self._folded(self.start[due] + self.step[due])
            self.begin_s[due] = self.end_s[due]
            self.number[due] += np.uint64(1)
            self.step[due], self.travel_s[due] = self.model._leg(self, due)
            self.end_s[due] = self.begin_s[due] + self.travel_s[due] + self.model.pause_s
        with np.errstate(divide="ignore", invalid="ignore"):
            walked = np.fmin((time_s - self.begin_s) / self.travel_s, 1.0)
        return self._folded(self.start + walked[:, None] * self.step)

    def _folded(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reflected at the borders as often as it takes: a straight line in the plane is a reflected one in the area."""
        offset = (places - self.low) % (2.0 * self.side)
        offset = np.where(offset > self.side, 2.0 * self.side - offset, offset)
        return np.asarray(np.clip(self.low + offset, self.low, self.low + self.side))


def mean_distance_m(width_m: float, height_m: float) -> float:
    """The mean distance of two uniform points of a rectangle (L. Santaló, *Integral Geometry and Geometric Probability*, 1976)."""
    a, b, d = width_m, height_m, float(np.hypot(width_m, height_m))
    logs = b * b / a * np.log((a + d) / b) + a * a / b * np.log((b + d) / a)
    return float((a**3 / b**2 + b**3 / a**2 + d * (3 - a**2 / b**2 - b**2 / a**2) + 2.5 * logs) / 15)


def mobility(name_or_path: str) -> Mobility:
    """The model of that name, with its defaults, or the floating-car data in that file.

    Raises:
        UsageError: neither.
        NetworkError: a file that cannot be read.
    """
    models = {model.name: model for model in (RandomWaypoint, RandomDirection)}
    if name_or_path in models:
        return models[name_or_path]()
    if Path(name_or_path).suffix or Path(name_or_path).exists():
        from trimcache.network.fcd import FloatingCarData

        return FloatingCarData.from_file(name_or_path)
    raise UsageError(f"mobility {name_or_path!r}", "is neither a model nor a file", nearest(name_or_path, models))


def _keys(n_users: int, seed: int) -> NDArray[np.uint64]:
    return mix64(np.arange(n_users, dtype=np.uint64), seed)


def _uniform(key: NDArray[np.uint64], leg: NDArray[np.uint64], purpose: int) -> NDArray[np.float64]:
    bits = mix64(key ^ (leg * np.uint64(16) + np.uint64(purpose)), _STREAM)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)
