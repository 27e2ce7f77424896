"""Outdoor urban channels of 3GPP TR 38.901 (releases 17 and 18; 0.5 to 100 GHz): line of sight, path loss, shadowing.

Sources, by table of the report: 7.4.2-1 line-of-sight probability; 7.4.1-1 path loss and the standard deviation of shadowing, with its
note 1 on breakpoint distance and effective environment height. ``fc`` is in GHz, distances and heights in metres, losses in dB.

Not modelled: users indoors or in cars (7.4.3), antenna gains (both ends isotropic; add them to the power of a server), and the
spatial correlation of shadowing and line of sight (7.4.4, 7.6.3): both are drawn once for each pair of server and user, independently
of every other pair, and a user who moves keeps them. So a user is out of sight of a server beyond some distance of the pair's own, and
two users side by side are as different as two far apart.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import NetworkError
from trimcache.network._values import nearest
from trimcache.network.channels._hashed import normal, uniform
from trimcache.network.channels._parameters import number

__all__ = ["LOS", "MAX_DISTANCE_M", "MIN_DISTANCE_M", "UrbanMacro", "UrbanMicro"]

MIN_DISTANCE_M, MAX_DISTANCE_M = 10.0, 5000.0  # the range of table 7.4.1-1, on the ground; taken as the nearer end outside it
LOS = ("random", "always", "never")

_SPEED_OF_LIGHT = 3.0e8  # as note 1 of table 7.4.1-1 has it
_NEAR_M = 18.0  # up to here every user is in sight, and the environment is 1 m high
_LINE_OF_SIGHT, _SHADOWING, _HEIGHT, _WHICH_HEIGHT = 0x9F1C3D5B7A2E4681, 0x6C8E9CF570932BD5, 0xA24BAED4963EE407, 0x3C6EF372FE94F82A

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class _Numbers(NamedTuple):
    """One scenario's numbers of tables 7.4.1-1 and 7.4.2-1, in dB.

    Up to the breakpoint distance ``los_db + los_slope log10(d3D) + 20 log10(fc)``; beyond it
    ``los_db + 40 log10(d3D) + 20 log10(fc) - far_slope log10(dBP^2 + (hBS - hUT)^2)``. Out of sight the larger of that and
    ``nlos_db + nlos_slope log10(d3D) + nlos_carrier_slope log10(fc) - nlos_height_slope (hUT - 1.5)``.
    """

    los_db: float
    los_slope: float
    far_slope: float
    los_sigma_db: float
    nlos_db: float
    nlos_slope: float
    nlos_carrier_slope: float
    nlos_height_slope: float
    nlos_sigma_db: float
    sight_m: float  # line of sight fades as exp(-d / this)


@dataclass(frozen=True)
class _Urban:
    """What the two scenarios share; see them for the attributes."""

    name: ClassVar[str]
    numbers: ClassVar[_Numbers]
    carrier_hz: float = 3.5e9
    server_height_m: float = 10.0
    user_height_m: float = 1.5
    shadowing: bool = True
    los: str = "random"

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("carrier_hz", number(self.carrier_hz, "carrier_hz", 0.5e9, 100e9))
        put("user_height_m", number(self.user_height_m, "user_height_m", 1.5, 22.5))
        # Effective heights, above the environment, must be positive.
        put("server_height_m", number(self.server_height_m, "server_height_m", self._highest_environment_m(), above=True))
        if not isinstance(self.shadowing, bool | np.bool_):
            raise NetworkError("shadowing", f"{self.shadowing!r} is neither true nor false", "give true or false")
        put("shadowing", bool(self.shadowing))
        if self.los not in LOS:
            raise NetworkError(f"los {self.los!r}", "is unknown", nearest(str(self.los), LOS))

    def gain(self, distance_m: Floats, server: Indices, user: Indices, seed: int) -> Floats:
        """float64[n]: mean power gain, linear, of n links at these ground distances, line of sight and shadowing drawn for each pair."""
        sight = self.in_sight(distance_m, server, user, seed)
        loss_db = self.path_loss_db(distance_m, sight, self._environment_m(distance_m, server, user, seed))
        if self.shadowing:
            sigma_db = np.where(sight, self.numbers.los_sigma_db, self.numbers.nlos_sigma_db)
            loss_db += sigma_db * normal(server, user, seed, _SHADOWING)
        return np.asarray(10.0 ** (loss_db / -10.0))

    def in_sight(self, distance_m: Floats, server: Indices, user: Indices, seed: int) -> NDArray[np.bool_]:
        """bool[n]: whether each link has line of sight."""
        if self.los != "random":
            return np.full(np.shape(distance_m), self.los == "always")
        return np.asarray(uniform(server, user, seed, _LINE_OF_SIGHT) < self.los_probability(distance_m))

    def los_probability(self, distance_m: ArrayLike) -> Floats:
        """float64: probability of line of sight at these ground distances (table 7.4.2-1), whatever ``los`` is."""
        ground_m = _in_range(distance_m)
        share = np.minimum(_NEAR_M / ground_m, 1.0)
        return np.asarray(share + np.exp(-ground_m / self.numbers.sight_m) * (1.0 - share))

    def path_loss_db(self, distance_m: ArrayLike, in_sight: ArrayLike, environment_m: ArrayLike = 1.0) -> Floats:
        """float64: path loss in dB without shadowing (table 7.4.1-1); the arguments broadcast.

        Args:
            distance_m: on the ground; taken as 10 m below, and as 5 km above the range of the table.
            in_sight: whether there is line of sight.
            environment_m: ``hE``, the effective environment height.
        """
        n = self.numbers
        ground_m = _in_range(distance_m)
        rise_m = self.server_height_m - self.user_height_m
        distance = np.log10(np.hypot(ground_m, rise_m))
        carrier = np.log10(self.carrier_hz / 1e9)
        breakpoint_m = self.breakpoint_m(environment_m)
        far = 40.0 * distance - n.far_slope * np.log10(breakpoint_m**2 + rise_m**2)
        los = n.los_db + 20.0 * carrier + np.where(ground_m <= breakpoint_m, n.los_slope * distance, far)
        nlos = n.nlos_db + n.nlos_slope * distance + n.nlos_carrier_slope * carrier - n.nlos_height_slope * (self.user_height_m - 1.5)
        return np.asarray(np.where(in_sight, los, np.maximum(los, nlos)))

    def breakpoint_m(self, environment_m: ArrayLike = 1.0) -> Floats:
        """float64: breakpoint distance ``4 (hBS - hE) (hUT - hE) fc / c``, on the ground, with ``fc`` in Hz."""
        height_m = np.asarray(environment_m, dtype=np.float64)
        return np.asarray(4.0 * (self.server_height_m - height_m) * (self.user_height_m - height_m) * self.carrier_hz / _SPEED_OF_LIGHT)

    def to_dict(self) -> dict[str, Any]:
        """The name and the parameters, as ``channel(**...)`` takes them."""
        return {"name": self.name, **dataclasses.asdict(self)}

    def _environment_m(self, distance_m: Floats, server: Indices, user: Indices, seed: int) -> Floats:
        """float64, broadcasts to the links: ``hE`` of each."""
        return np.ones(1)

    def _highest_environment_m(self) -> float:
        return 1.0


@dataclass(frozen=True)
class UrbanMicro(_Urban):
    """UMi-Street Canyon: servers at the height of street lamps, below the roofs.

    Attributes:
        carrier_hz: carrier frequency, 0.5 to 100 GHz; 3.5 GHz, the usual mid band of 5G, is our choice.
        server_height_m: ``hBS``; the report fits its numbers to 10 m, other heights above 1 m extrapolate.
        user_height_m: ``hUT``, 1.5 to 22.5 m.
        shadowing: whether the log-normal shadowing of each link is drawn: 4 dB in sight, 7.82 dB out of it.
        los: ``"random"`` draws line of sight by its probability, ``"always"`` and ``"never"`` fix it.

    Ground distances below 10 m and above 5 km are taken as 10 m and 5 km. So the gain no longer falls beyond 5 km: keep the coverage
    radius below it.

    Raises:
        NetworkError: a number outside its range, or an unknown ``los``.
    """

    name: ClassVar[str] = "umi"
    numbers: ClassVar[_Numbers] = _Numbers(32.4, 21.0, 9.5, 4.0, 22.4, 35.3, 21.3, 0.3, 7.82, sight_m=36.0)


@dataclass(frozen=True)
class UrbanMacro(_Urban):
    """UMa: servers on the roofs.

    The attributes are those of ``UrbanMicro``, but for these numbers: ``server_height_m`` is 25 m in the report, shadowing is 4 dB in
    sight and 6 dB out of it.

    Users up to 13 m high have an environment height of 1 m and the plain line-of-sight probability. Above, as the report says, line of
    sight is likelier, and the environment height of each link is drawn: 1 m, or one of 12, 15, ... up to ``hUT - 1.5``; the server must
    stand above them.
    """

    name: ClassVar[str] = "uma"
    numbers: ClassVar[_Numbers] = _Numbers(28.0, 22.0, 9.0, 4.0, 13.54, 39.08, 20.0, 0.6, 6.0, sight_m=63.0)
    server_height_m: float = 25.0

    def los_probability(self, distance_m: ArrayLike) -> Floats:
        """float64: probability of line of sight at these ground distances (table 7.4.2-1), whatever ``los`` is.

        For the highest users the table's product is up to 0.6 % above 1 just beyond 18 m; it is cut there.
        """
        return np.minimum(super().los_probability(distance_m) * (1.0 + self._height_term(distance_m)), 1.0)

    def _height_term(self, distance_m: ArrayLike) -> Floats:
        """``C(d2D, hUT)`` of note 1, which is also the term ``C'(hUT) 5/4 (d2D / 100)^3 exp(-d2D / 150)`` of table 7.4.2-1."""
        ground_m = _in_range(distance_m)
        height = max(0.0, (self.user_height_m - 13.0) / 10.0) ** 1.5
        return np.where(ground_m <= _NEAR_M, 0.0, height * 1.25 * (ground_m / 100.0) ** 3 * np.exp(-ground_m / 150.0))

    def _environment_m(self, distance_m: Floats, server: Indices, user: Indices, seed: int) -> Floats:
        n_heights = int((self._highest_environment_m() - 12.0) // 3.0) + 1
        if n_heights < 1:
            return np.ones(1)
        low = uniform(server, user, seed, _HEIGHT) < 1.0 / (1.0 + self._height_term(distance_m))
        drawn_m = 12.0 + 3.0 * np.floor(n_heights * uniform(server, user, seed, _WHICH_HEIGHT))
        return np.where(low, 1.0, drawn_m)

    def _highest_environment_m(self) -> float:
        return self.user_height_m - 1.5 if self.user_height_m >= 13.5 else 1.0


def _in_range(distance_m: ArrayLike) -> Floats:
    return np.clip(np.asarray(distance_m, dtype=np.float64), MIN_DISTANCE_M, MAX_DISTANCE_M)
