"""What a channel is, and channels by name."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import UsageError
from trimcache.network._values import nearest, refuse_unknown
from trimcache.network.channels.power_law import PowerLaw
from trimcache.network.channels.tr38901 import UrbanMacro, UrbanMicro

__all__ = ["Channel", "channel", "channel_names"]


class Channel(Protocol):
    """The face of every channel model, a frozen dataclass of its parameters."""

    name: ClassVar[str]

    def gain(self, distance_m: NDArray[np.float64], server: NDArray[np.int64], user: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
        """Mean power gain of n links, linear, line of sight and shadowing included.

        Args:
            distance_m: float64[n] on the ground, at least 1.
            server, user: int64[n], indices from 0, below 2**32. Chance is a hash of (seed, server, user), so it stays as it is when
                servers or users are added.
            seed: a whole number >= 0.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """``{"name": ..., parameters...}``, read back by ``channel(**...)``."""
        ...


_CHANNELS: dict[str, type[PowerLaw] | type[UrbanMicro] | type[UrbanMacro]] = {
    each.name: each for each in (PowerLaw, UrbanMacro, UrbanMicro)
}


def channel_names() -> tuple[str, ...]:
    """Every name that ``channel`` takes, sorted."""
    return tuple(sorted(_CHANNELS))


def channel(name: str, **parameters: Any) -> Channel:
    """The channel model called ``name`` with these parameters, the others at their defaults.

    >>> channel("umi", carrier_hz=28e9, shadowing=False).to_dict()["server_height_m"]
    10.0

    Raises:
        UsageError: an unknown name or parameter, with the nearest one.
        NetworkError: a parameter outside its range.
    """
    kind = _CHANNELS.get(name)
    if kind is None:
        raise UsageError(f"channel {name!r}", "is unknown", nearest(str(name), channel_names()))
    known = [field.name for field in dataclasses.fields(kind)]
    refuse_unknown(parameters, known, f"channel {name!r}: parameter", UsageError)
    return kind(**parameters)
