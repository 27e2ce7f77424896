"""The paper's path loss."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trimcache.network.channels._parameters import number

__all__ = ["PowerLaw"]


@dataclass(frozen=True)
class PowerLaw:
    """Mean power gain ``g0 d^-a0`` at ``d`` metres: no chance in it, nothing but distance counts.

    Attributes:
        path_gain: ``g0``, the gain at 1 m, linear; 1 is our reading of the paper's setting (assumption).
        exponent: ``a0``; 4 is our reading of the paper's setting (assumption), 2 is free space.

    Raises:
        NetworkError: a gain that is not positive, or a negative exponent.
    """

    name: ClassVar[str] = "power-law"
    path_gain: float = 1.0
    exponent: float = 4.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "path_gain", number(self.path_gain, "path_gain", 0, above=True))
        object.__setattr__(self, "exponent", number(self.exponent, "path-loss exponent", 0))

    def gain(self, distance_m: NDArray[np.float64], server: NDArray[np.int64], user: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
        """float64[n]: mean power gain of n links at these ground distances; ``server``, ``user`` and ``seed`` play no part."""
        return np.asarray(self.path_gain * distance_m**-self.exponent)

    def to_dict(self) -> dict[str, Any]:
        """The name and the parameters, as ``channel(**...)`` takes them."""
        return {"name": self.name, **dataclasses.asdict(self)}
