"""An edge network: servers, users and links, with everything needed to tell who can be served in time."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import NetworkError, UsageError
from trimcache.network.presets import preset as preset_numbers

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph
    from trimcache.placement.problem import PlacementProblem

__all__ = ["EdgeNetwork"]

_SERVERS, _USERS = 1, 2  # random streams: servers and users are drawn apart, so neither moves the other


@dataclass(frozen=True, eq=False)
class EdgeNetwork:
    """M edge servers and K users in the plane, frozen.

    Attributes:
        server_names: M unique names.
        server_positions_m, user_positions_m: float64[M, 2] and float64[K, 2].
        coverage_radius_m: a server covers the users within this distance.
        bandwidth_hz, power_dbm: of each server, shared by its active users.
        noise_dbm_per_hz: noise power density.
        path_gain, path_loss_exponent: ``g0`` and ``a0`` of the path loss ``g0 d^-a0``.
        active_probability: ``pA``, the chance that a covered user is active.
        backhaul_bps: one rate between any two servers, or float64[M, M] from server to server (the diagonal is
            ignored; 0: no link).
        deadline_low_s, deadline_high_s: the deadline of a request is uniform between them ...
        deadline_bps: ... plus ``8 * model_bytes / deadline_bps``, unless None.
        inference_s: on-device inference time, counted against the deadline.
        seed: of the deadlines, and of the positions in a preset.
        preset_name: the preset it came from, or None.

    Raises:
        NetworkError: shapes that disagree, repeated names, or a number outside its range.
    """

    server_names: tuple[str, ...]
    server_positions_m: NDArray[np.float64]
    user_positions_m: NDArray[np.float64]
    coverage_radius_m: float
    bandwidth_hz: float
    power_dbm: float
    noise_dbm_per_hz: float
    path_gain: float
    path_loss_exponent: float
    active_probability: float
    backhaul_bps: NDArray[np.float64]
    deadline_low_s: float
    deadline_high_s: float
    deadline_bps: float | None = None
    inference_s: float = 0.0
    seed: int = 0
    preset_name: str | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("server_names", tuple(str(name) for name in self.server_names))
        for name in ("server_positions_m", "user_positions_m", "backhaul_bps"):
            put(name, _array(getattr(self, name), name))
        for name in _NUMBERS:
            value = getattr(self, name)
            if not (name == "deadline_bps" and value is None):
                put(name, _number(value, name))
        put("seed", _seed(self.seed))
        _validate(self)

    @property
    def n_servers(self) -> int:
        """M."""
        return len(self.server_names)

    @property
    def n_users(self) -> int:
        """K."""
        return int(self.user_positions_m.shape[0])

    def backhaul_matrix_bps(self) -> NDArray[np.float64]:
        """float64[M, M]: rate from server to server."""
        return np.asarray(np.broadcast_to(self.backhaul_bps, (self.n_servers, self.n_servers)))

    # -- made from ------------------------------------------------------------------------------------------------

    @classmethod
    def preset(cls, name: str = "paper", *, n_servers: int = 10, n_users: int = 30, seed: int = 0, **overrides: Any) -> EdgeNetwork:
        """A named setting with servers and users uniform in a square.

        ``overrides`` replaces any number of the preset, for example ``backhaul_bps=1e9`` or ``area_m=400``. Servers
        and users are drawn one after another from streams of their own: with the same seed a larger network keeps
        the servers and users of the smaller one.

        Raises:
            UsageError: an unknown preset or override, named with the nearest valid one.
        """
        numbers = preset_numbers(name)
        for key in overrides:
            if key not in numbers:
                raise UsageError(f"network parameter {key!r}", "is unknown", _nearest(key, numbers))
        numbers |= overrides
        for what, count in (("servers", n_servers), ("users", n_users)):
            if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
                raise UsageError(f"number of {what} {count!r}", "is not a whole number >= 0", "give for example 10")
        area_m = _number(numbers.pop("area_m"), "area_m")
        if area_m <= 0:
            raise NetworkError("area_m", f"{area_m} is not positive", "give metres > 0")
        seed = _seed(seed)
        return cls(
            server_names=tuple(f"server-{m}" for m in range(n_servers)),
            server_positions_m=np.random.default_rng([seed, _SERVERS]).random((n_servers, 2)) * area_m,
            user_positions_m=np.random.default_rng([seed, _USERS]).random((n_users, 2)) * area_m,
            seed=seed,
            preset_name=name,
            **numbers,
        )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], subject: str = "network") -> EdgeNetwork:
        """A network from plain values: what ``to_dict`` gave, or a preset by name with ``n_servers`` and ``n_users``.

        Raises:
            NetworkError: an unknown key (named, with the nearest valid one), a missing one, or a wrong value.
        """
        try:
            if "server_positions_m" not in document and "user_positions_m" not in document:
                return cls._from_preset(document)
            fields = [f.name for f in dataclasses.fields(cls)]
            _refuse_unknown(document, fields)
            values = dict(document)
            numbers = preset_numbers(str(values.get("preset_name") or "paper"))
            numbers.pop("area_m")
            values = numbers | values
            values.setdefault("server_names", [f"server-{m}" for m in range(len(values.get("server_positions_m", ())))])
            for name in ("server_positions_m", "user_positions_m"):
                if name not in values:
                    raise NetworkError(name, "is missing", "give one [x, y] a row, in metres")
            return cls(**values)
        except (NetworkError, UsageError) as error:
            if error.subject == subject:
                raise
            raise NetworkError(subject, f"{error.subject} {error.problem}", error.fix) from error

    @classmethod
    def _from_preset(cls, document: Mapping[str, Any]) -> EdgeNetwork:
        values = dict(document)
        name = str(values.pop("preset_name", None) or "paper")
        _refuse_unknown(values, [*preset_numbers(name), "n_servers", "n_users", "seed", "preset_name"])
        return cls.preset(name, **values)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> EdgeNetwork:
        """A network from a TOML file with the keys of ``from_dict``; NetworkError names the file and the fix."""
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NetworkError(str(path), "does not exist", "check the path, or use a preset") from error
        except OSError as error:
            raise NetworkError(str(path), f"cannot be read ({error.strerror})", "check the file") from error
        except ValueError as error:  # TOML and UTF-8 errors
            raise NetworkError(str(path), f"is not TOML ({error})", "see docs/formats.md, Network") from error
        return cls.from_dict(document, str(path))

    def to_dict(self) -> dict[str, Any]:
        """Plain values (lists, numbers, strings) that ``from_dict`` reads back to an equal network."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        arrays = {name: value.tolist() for name, value in values.items() if isinstance(value, np.ndarray)}
        return values | arrays | {"server_names": list(self.server_names)}

    # -- what placement needs ---------------------------------------------------------------------------------------

    def problem(
        self,
        graph: ModelBlockGraph,
        capacity_bytes: int | Any = 10**9,
        zipf: float = 0.8,
        seed: int = 0,
        *,
        ranking: str = "user",
        requests_per_user: int | None = None,
    ) -> PlacementProblem:
        """The placement problem of this network for the models of ``graph`` under Zipf demand.

        Args:
            capacity_bytes: one capacity, or one a server.
            zipf, seed, ranking, requests_per_user: the demand; see ``trimcache.network.demand.zipf_demand``.
        """
        from trimcache.network.demand import zipf_demand
        from trimcache.network.latency import reach
        from trimcache.placement.problem import PlacementProblem

        demand = zipf_demand(
            self.n_users,
            graph.n_models,
            zipf,
            seed=_seed(seed),
            ranking=ranking,
            popularity=graph.popularity,
            requests_per_user=requests_per_user,
        )
        return PlacementProblem(graph, capacity_bytes, demand, reach(self, demand, graph.model_bytes))

    def __repr__(self) -> str:
        return f"EdgeNetwork({self.preset_name or 'own'}, {self.n_servers} servers, {self.n_users} users)"


_POSITIVE = ("bandwidth_hz", "path_gain")
_NOT_NEGATIVE = ("coverage_radius_m", "path_loss_exponent", "deadline_low_s", "deadline_high_s", "inference_s")
_NUMBERS = (*_POSITIVE, *_NOT_NEGATIVE, "power_dbm", "noise_dbm_per_hz", "active_probability", "deadline_bps")


def _validate(network: EdgeNetwork) -> None:
    names = network.server_names
    if len(set(names)) != len(names) or "" in names:
        raise NetworkError("server_names", "holds an empty or repeated name", "name every server once")
    for what, shape in (("server_positions_m", (len(names), 2)), ("user_positions_m", (network.n_users, 2))):
        if getattr(network, what).shape != shape:
            raise NetworkError(what, f"has shape {getattr(network, what).shape}, not {shape}", "give [x, y] a row")
    for what in _POSITIVE:
        if getattr(network, what) <= 0:
            raise NetworkError(what, f"{getattr(network, what)} is not positive", "give a number > 0")
    for what in _NOT_NEGATIVE:
        if getattr(network, what) < 0:
            raise NetworkError(what, f"{getattr(network, what)} is negative", "give a number >= 0")
    if not 0 <= network.active_probability <= 1:
        raise NetworkError("active_probability", f"{network.active_probability} is no probability", "give 0 to 1")
    if network.deadline_high_s < network.deadline_low_s:
        raise NetworkError("deadline_high_s", "is below deadline_low_s", "give low <= high")
    if network.deadline_bps is not None and network.deadline_bps <= 0:
        raise NetworkError("deadline_bps", f"{network.deadline_bps} is not positive", "give bit/s > 0, or leave it out")
    if network.backhaul_bps.shape not in ((), (len(names), len(names))):
        shape = network.backhaul_bps.shape
        raise NetworkError("backhaul_bps", f"has shape {shape}", "give one rate, or servers x servers")
    if network.backhaul_bps.size and network.backhaul_bps.min() < 0:
        raise NetworkError("backhaul_bps", "holds a negative rate", "give bit/s >= 0")


def _refuse_unknown(document: Mapping[str, Any], known: Iterable[str]) -> None:
    known = list(known)
    for key in document:
        if key not in known:
            raise NetworkError(f"key {key!r}", "is unknown", _nearest(key, known))


def _nearest(key: str, known: Iterable[str]) -> str:
    known = list(known)
    near = get_close_matches(key, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _array(value: Any, what: str) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise NetworkError(what, "is not an array of numbers", "give numbers in rows of one length") from error
    if what.endswith("positions_m") and array.size == 0:
        array = array.reshape(0, 2)
    if not np.isfinite(array).all():
        raise NetworkError(what, "holds NaN or infinity", "give finite numbers")
    array.flags.writeable = False
    return array


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise NetworkError(what, f"{value!r} is not a number", "give a number")
    if not np.isfinite(value):
        raise NetworkError(what, f"{value} is not finite", "give a finite number")
    return float(value)


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise NetworkError("seed", f"{value!r} is not a whole number >= 0", "give for example 0")
    return int(value)
