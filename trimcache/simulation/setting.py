"""One point of a simulation: every number that its results depend on, but the seed and the models."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.network.edge_network import EdgeNetwork
from trimcache.network.presets import preset as preset_numbers
from trimcache.network.presets import preset_counts
from trimcache.placement.registry import algorithm

if TYPE_CHECKING:
    from trimcache.placement.problem import PlacementProblem

__all__ = ["Setting"]

_MODELS = 3  # random stream; 1 and 2 are the network's servers and users


@dataclass(frozen=True)
class Setting:
    """The parameters of one point, the same for all its topologies. A topology is a setting and a seed.

    Attributes:
        preset: the edge network's numbers, by name; ignored with ``network``.
        network: path of an own network file instead. Its sites and users stay; deadlines, demand and fading follow the seed.
        n_servers, n_users: M and K; None: as many as the preset says.
        n_models: I, drawn anew from the catalog for each topology (more of them contain fewer); None: all.
        capacity_bytes: of every server; None: the network's own, else 1 GB.
        zipf, ranking, requests_per_user: the demand, see ``trimcache.network.demand.zipf_demand``; ``"weights"`` is the catalog's own.
        demand: path of a table instead of the three, see ``trimcache.network.demand_table``.
        algorithms: names, each once; all of them see the same topologies.
        time_limit_s: of each placement; None leaves it to the algorithm, and results then do not depend on the machine.
        stop_gap: ``auto`` stops once it is proven that near to the best.
        epsilon: of Spec's rounding.
        n_realisations: fading realisations that each placement is evaluated under; 0: expected rates only.
        overrides: numbers of the network that replace those of the preset or file, by name (``backhaul_bps``, ...).

    Raises:
        UsageError: a number out of range, an unknown preset, override or algorithm (with the nearest name).
    """

    preset: str = "paper"
    network: str | None = None
    n_servers: int | None = None
    n_users: int | None = None
    n_models: int | None = None
    capacity_bytes: int | None = 10**9
    zipf: float = 0.8
    ranking: str = "user"
    requests_per_user: int | None = None
    demand: str | None = None
    algorithms: tuple[str, ...] = ("auto",)
    time_limit_s: float | None = None
    stop_gap: float = 0.0
    epsilon: float = 0.1
    n_realisations: int = 1000
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "algorithms", tuple(self.algorithms))
        overrides = dict(self.overrides)
        if isinstance(overrides.get("channel"), str):
            overrides["channel"] = {"name": overrides["channel"]}
        object.__setattr__(self, "overrides", MappingProxyType(overrides))
        for name, least in (("n_servers", 0), ("n_users", 0), ("n_models", 1), ("capacity_bytes", 0), ("requests_per_user", 1),
                            ("n_realisations", 0)):  # fmt: skip
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least):
                raise UsageError(name, f"{value!r} is not a whole number >= {least}", "give for example 10")
        for name, low, high in (("zipf", 0.0, math.inf), ("stop_gap", 0.0, 1.0), ("epsilon", 0.0, 1.0), ("time_limit_s", 0.0, math.inf)):
            value = getattr(self, name)
            if value is not None and not low <= value < high:
                raise UsageError(name, f"{value!r} is not in [{low:g}, {high:g})", "give a number in that range")
        if not self.algorithms or len(set(self.algorithms)) < len(self.algorithms):
            raise UsageError("algorithms", f"{','.join(self.algorithms) or 'none'} are not one or more different names", "give each once")
        for name in self.algorithms:
            algorithm(name)
        known = self.network_numbers()
        for name in self.overrides:
            if name not in known:
                near = get_close_matches(name, known, n=1, cutoff=0.4)
                raise UsageError(
                    f"parameter {name!r}", "is unknown", f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                )

    def __reduce__(self) -> tuple[Any, ...]:
        """As plain values: a mapping proxy does not travel between processes."""
        return (_from_fields, ({f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | {"overrides": dict(self.overrides)},))

    def network_numbers(self) -> dict[str, Any]:
        """Parameters of the network, that is what ``overrides`` may replace, with their values in the preset or file."""
        if self.network is None:
            return {name: value for name, value in preset_numbers(self.preset).items() if name not in _FIXED}
        own = _read_network(self.network)
        return {f.name: getattr(own, f.name) for f in dataclasses.fields(own) if f.name not in _FIXED}

    # -- as plain values --------------------------------------------------------------------------------------------

    def columns(self) -> dict[str, Any]:
        """Every parameter but the algorithms as a plain value, one column each; a preset's numbers in full."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("algorithms", "overrides")}
        numbers = dict(self.overrides)
        if self.network is not None:
            values |= {"preset": None, "n_servers": None, "n_users": None}
        else:
            counts = dict(zip(("n_servers", "n_users"), preset_counts(self.preset), strict=True))
            values |= {name: count for name, count in counts.items() if values[name] is None}
            numbers = self.network_numbers() | numbers
            if numbers.get("channel") is not None:  # another channel: these have no meaning
                numbers |= {name: None for name in _POWER_LAW if name in numbers}
        return values | {name: _plain(value) for name, value in numbers.items()}

    def to_dict(self) -> dict[str, Any]:
        """``columns`` and the algorithms."""
        return self.columns() | {"algorithms": list(self.algorithms)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any], algorithms: Sequence[str] = ()) -> Setting:
        """The setting of a row of results, or of what ``to_dict`` gave; columns that are no parameters are left out.

        Args:
            row: values by column, with a key ``algorithm`` or ``algorithms`` unless ``algorithms`` are given.
        """
        names = tuple(algorithms) or tuple(row.get("algorithms") or (row["algorithm"],))
        fields_ = {f.name for f in dataclasses.fields(cls)} - {"algorithms", "overrides"}
        values = {name: row[name] for name in fields_ if name in row}
        if values.get("network") is not None:
            for name in ("preset", "n_servers", "n_users"):
                values.pop(name, None)
        plain = cls(**values, algorithms=names)
        overrides = {name: _read(row[name]) for name in plain.network_numbers() if name in row}
        overrides = {name: value for name, value in overrides.items() if value is not None or name not in _POWER_LAW}
        return dataclasses.replace(plain, overrides=overrides)

    # -- what it stands for -----------------------------------------------------------------------------------------

    def edge_network(self, seed: int) -> EdgeNetwork:
        """The network of the topology ``seed``: NetworkError if a number is outside its range."""
        if self.network is None:
            return EdgeNetwork.preset(self.preset, n_servers=self.n_servers, n_users=self.n_users, seed=seed, **self.overrides)
        return dataclasses.replace(_read_network(self.network), seed=seed, **self.overrides)

    def models(self, graph: ModelBlockGraph, seed: int) -> ModelBlockGraph:
        """The models of the topology ``seed``, in catalog order."""
        if self.n_models is None or self.n_models == graph.n_models:
            return graph
        if self.n_models > graph.n_models:
            raise UsageError("models", f"{self.n_models} cannot be drawn from {graph.n_models}", "give at most as many as the catalog has")
        drawn = np.random.default_rng([seed, _MODELS]).permutation(graph.n_models)[: self.n_models]
        return graph.subset(np.sort(drawn).tolist())

    def problem(self, network: EdgeNetwork, graph: ModelBlockGraph, seed: int) -> PlacementProblem:
        """The placement problem of ``graph`` on ``network`` under this setting's demand and capacity."""
        demand = None
        if self.demand is not None:
            from trimcache.network.demand_table import demand_from_table

            demand = demand_from_table(self.demand, network, graph)
        capacity, zipf, per_user = self.capacity_bytes, self.zipf, self.requests_per_user
        return network.problem(graph, capacity, zipf, seed, ranking=self.ranking, requests_per_user=per_user, demand=demand)

    def check(self, graph: ModelBlockGraph) -> None:
        """Raise what every topology would raise, before anything is computed: tried on two servers and two users."""
        if graph.n_models == 0:
            raise UsageError("catalog", "has no models", "scan or generate some")
        models = self.models(graph, 0)
        few = self
        if self.network is None and self.demand is None:
            counts = self.columns()
            few = dataclasses.replace(self, n_servers=min(counts["n_servers"], 2), n_users=min(counts["n_users"], 2))
        few.problem(few.edge_network(0), models, 0)


_POWER_LAW = ("path_gain", "path_loss_exponent")
_FIXED = (
    "server_names",
    "user_names",
    "server_positions_m",
    "user_positions_m",
    "seed",
    "preset_name",
    "links",
    "capacity_bytes",
    "user_weight",
)


def _from_fields(values: dict[str, Any]) -> Setting:
    return Setting(**values)


@lru_cache(maxsize=4)
def _read_network(path: str) -> EdgeNetwork:
    return EdgeNetwork.from_file(path)


def _plain(value: Any) -> Any:
    """A cell of a table: numbers and text as they are, anything else as JSON."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return value if isinstance(value, str | int | float) else json.dumps(value.to_dict() if hasattr(value, "to_dict") else value)


def _read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value
