"""An edge network: servers, users and links, with everything needed to tell who can be served in time."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import NetworkError, ProblemError, UsageError
from trimcache.network._checks import checked
from trimcache.network._values import nearest, number, whole
from trimcache.network.coverage import count_covered
from trimcache.network.presets import preset as preset_numbers
from trimcache.network.presets import preset_counts

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph
    from trimcache.network.channels import Channel
    from trimcache.network.links import Links
    from trimcache.network.tables import LinkTable
    from trimcache.placement.demand import Demand
    from trimcache.placement.problem import PlacementProblem

__all__ = ["EdgeNetwork"]

_SERVERS, _USERS = 1, 2  # random streams: servers and users are drawn apart, so neither moves the other
_MOST = 10**7  # servers or users: far beyond any use, short of what no memory holds
_CAPACITY_BYTES = 10**9  # Q of the paper's setting (assumption), where neither network nor caller says


@dataclass(frozen=True, eq=False, kw_only=True)
class EdgeNetwork:
    """M edge servers and K users, frozen; their links follow from places and a channel, or are a table.

    A user may be one person or a group; "one or each" is one number for all, or one a server or user.

    Attributes:
        server_names, user_names: M and K unique names.
        server_positions_m, user_positions_m: float64[M, 2] and float64[K, 2]. With a table they are for drawing only, and may be None.
        links: the table of rates and latencies; None: they follow from the geometry.
        channel: mean power gain over distance. This and the next five play no part with a table.
        coverage_radius_m: a server covers the users within this distance; one or each.
        bandwidth_hz, power_dbm: of a server, shared by its active users; one or each.
        noise_dbm_per_hz: noise power density.
        active_probability: ``pA``, the chance that a covered user is active.
        backhaul_bps: one rate between any two servers, or float64[M, M] from server to server (the diagonal is ignored; 0: no link).
        backhaul_latency_s: what every relay over a link takes beside its bytes, in the same forms.
        relays: ``"one-hop"``: a server reaches a user by one link to a server of the user; ``"shortest-path"``: by several, too.
        deadline_low_s, deadline_high_s: the deadline of a request is uniform between them ...
        deadline_bps: ... plus ``8 * model_bytes / deadline_bps``, unless None; all three one or each.
        inference_s: on-device inference time, counted against the deadline; one or each.
        user_weight: float64[K], how much a user asks for, on any scale. It does not change rates.
        capacity_bytes: int64[M], or None if it is not a part of the network.
        seed: of deadlines and of the channel's chances, and of the positions in a preset.
        preset_name: the preset that its numbers came from, or None.

    Raises:
        NetworkError: shapes that disagree, repeated names, or a number outside its range.
    """

    server_names: tuple[str, ...]
    user_names: tuple[str, ...]
    server_positions_m: NDArray[np.float64] | None
    user_positions_m: NDArray[np.float64] | None
    links: LinkTable | None = None
    channel: Channel
    coverage_radius_m: NDArray[np.float64]
    bandwidth_hz: NDArray[np.float64]
    power_dbm: NDArray[np.float64]
    noise_dbm_per_hz: float
    active_probability: float
    backhaul_bps: NDArray[np.float64]
    backhaul_latency_s: NDArray[np.float64]
    relays: str
    deadline_low_s: NDArray[np.float64]
    deadline_high_s: NDArray[np.float64]
    deadline_bps: NDArray[np.float64] | None
    inference_s: NDArray[np.float64]
    user_weight: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.ones(()))
    capacity_bytes: NDArray[np.int64] | None = None
    seed: int = 0
    preset_name: str | None = None

    def __post_init__(self) -> None:
        for name, value in checked({field.name: getattr(self, field.name) for field in dataclasses.fields(self)}).items():
            object.__setattr__(self, name, value)

    @property
    def n_servers(self) -> int:
        """M."""
        return len(self.server_names)

    @property
    def n_users(self) -> int:
        """K."""
        return len(self.user_names)

    @cached_property
    def covered_users(self) -> NDArray[np.int64]:
        """int64[M]: |K_m|, the users that each server serves directly."""
        if self.links is not None:
            return np.bincount(self.links.server, minlength=self.n_servers)
        return count_covered(*self.places_m(), self.coverage_radius_m)

    @property
    def has_fixed_latency(self) -> bool:
        """Whether some link takes time beside its bytes, so that the order of servers depends on the size of a model."""
        return bool(self.backhaul_latency_s.any()) or (self.links is not None and bool(self.links.latency_s.any()))

    def places_m(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions of servers and of users; NetworkError if there are none."""
        if self.server_positions_m is None or self.user_positions_m is None:
            raise NetworkError("network", "has no positions, its links are a table", "use a network with places")
        return self.server_positions_m, self.user_positions_m

    def mean_links(self, users: slice = slice(None)) -> Links:
        """Direct links to some users at expected rates; see ``trimcache.network.links``."""
        from trimcache.network.links import mean_links

        return mean_links(self, users)

    # -- made from ------------------------------------------------------------------------------------------------

    @classmethod
    def preset(
        cls, name: str = "paper", *, n_servers: int | None = None, n_users: int | None = None, seed: int = 0, **overrides: Any
    ) -> EdgeNetwork:
        """A named setting with servers and users uniform in a square.

        ``overrides`` replaces any number of the preset, for example ``backhaul_bps=1e9`` or ``area_m=400``. Servers
        and users are drawn one after another from streams of their own: with the same seed a larger network keeps
        the servers and users of the smaller one. None: as many as the preset says, 10 and 30 in most.

        Raises:
            UsageError: an unknown preset or override, named with the nearest valid one.
            NetworkError: a number outside its range.
        """
        numbers = preset_numbers(name)
        for key in overrides:
            if key not in numbers:
                raise UsageError(f"network parameter {key!r}", "is unknown", nearest(key, numbers))
        usual = preset_counts(name)
        counts = (usual[0] if n_servers is None else n_servers, usual[1] if n_users is None else n_users)
        for what, count in zip(("servers", "users"), counts, strict=True):
            if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
                raise UsageError(f"number of {what} {count!r}", "is not a whole number >= 0", "give for example 10")
            if count > _MOST:
                raise UsageError(f"number of {what} {count}", "is more than can be drawn", f"give at most {_MOST}")
        area_m = number(overrides.pop("area_m", numbers.pop("area_m")), "area_m")
        numbers.pop("area_m", None)
        if area_m <= 0:
            raise NetworkError("area_m", f"{area_m} is not positive", "give metres > 0")
        seed = whole(seed, "seed")
        return cls(
            server_names=tuple(f"server-{m}" for m in range(counts[0])),
            user_names=tuple(f"user-{k}" for k in range(counts[1])),
            server_positions_m=np.random.default_rng([seed, _SERVERS]).random((counts[0], 2)) * area_m,
            user_positions_m=np.random.default_rng([seed, _USERS]).random((counts[1], 2)) * area_m,
            seed=seed,
            preset_name=name,
            **with_channel(numbers, overrides),
        )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], subject: str = "network") -> EdgeNetwork:
        """A network from plain values: what ``to_dict`` gave, or the keys of a network file (docs/networks.md) that name no file.

        Raises:
            NetworkError: an unknown key (named, with the nearest valid one), a missing one, or a wrong value.
        """
        from trimcache.network.network_file import network_from

        return network_from(document, subject)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> EdgeNetwork:
        """A network from a TOML file, see docs/networks.md; NetworkError names the file and the fix."""
        from trimcache.network.network_file import read_network

        return read_network(path)

    def to_dict(self) -> dict[str, Any]:
        """Plain values (lists, numbers, strings) that ``from_dict`` reads back to an equal network."""
        from trimcache.network.network_file import plain_values

        return plain_values(self)

    def with_users(self, user_positions_m: ArrayLike) -> EdgeNetwork:
        """The same servers and users, the users moved to float64[K, 2]; deadlines and chances of the channel keep their draw.

        Raises:
            NetworkError: the links are a table, or the positions are of another shape.
        """
        self.places_m()
        if self.links is not None:
            raise NetworkError("network", "has a table of links, which does not change with places", "use a network with a channel")
        return dataclasses.replace(self, user_positions_m=cast("NDArray[np.float64]", user_positions_m))

    # -- what placement needs ---------------------------------------------------------------------------------------

    def problem(
        self,
        graph: ModelBlockGraph,
        capacity_bytes: int | ArrayLike | None = None,
        zipf: float = 0.8,
        seed: int = 0,
        *,
        ranking: str = "user",
        requests_per_user: int | None = None,
        demand: Demand | None = None,
    ) -> PlacementProblem:
        """The placement problem of this network for the models of ``graph``, under Zipf demand, their own, or one that is given.

        Args:
            capacity_bytes: one capacity, or one a server; None: the network's own, else 10**9.
            zipf, seed, ranking, requests_per_user: the demand; see ``trimcache.network.demand.zipf_demand``. The ranking
                ``"weights"`` is no law: every user asks for a model as often as ``graph.popularity`` says. Users count by their weight.
            demand: instead of the four, for example of ``trimcache.network.demand_table.demand_from_table``.

        Raises:
            ProblemError: an unknown ranking, a popularity that is needed and missing, no request at all, demand of other users.
        """
        from trimcache.network.demand import weighted_demand, zipf_demand
        from trimcache.network.latency import reach
        from trimcache.placement.problem import PlacementProblem

        if demand is not None:
            if demand.n_users != self.n_users:
                raise ProblemError("demand", f"has {demand.n_users} users, the network {self.n_users}", "give one of this network")
        elif ranking == "weights":
            if graph.popularity is None:
                raise ProblemError("ranking 'weights'", "needs popularities, the graph has none", "use 'user'")
            demand = weighted_demand(self.n_users, graph.popularity, user_weight=self.user_weight)
        else:
            demand = zipf_demand(
                self.n_users,
                graph.n_models,
                zipf,
                seed=whole(seed, "seed"),
                ranking=ranking,
                popularity=graph.popularity,
                requests_per_user=requests_per_user,
                user_weight=self.user_weight,
            )
        if capacity_bytes is None:
            capacity_bytes = _CAPACITY_BYTES if self.capacity_bytes is None else self.capacity_bytes
        return PlacementProblem(graph, capacity_bytes, demand, reach(self, demand, graph.model_bytes))

    def __repr__(self) -> str:
        return f"EdgeNetwork({self.preset_name or 'own'}, {self.n_servers} servers, {self.n_users} users)"


def with_channel(numbers: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of a preset and those given in their place, with one channel instead of the numbers of the power law.

    Raises:
        NetworkError: numbers of the power law beside another channel.
    """
    values = {**numbers, **given}
    law = {name: values.pop(name) for name in ("path_gain", "path_loss_exponent") if name in values}
    if values["channel"] is None:
        values["channel"] = {"name": "power-law", "path_gain": law["path_gain"], "exponent": law["path_loss_exponent"]}
    else:
        for name in law:
            if name in given:
                raise NetworkError(name, "is a number of the power law, and the channel is another", "give the parameters in channel")
    return values
