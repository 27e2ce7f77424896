"""Hit ratio against capacity, over several topologies: the data of the figure that the demo draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.network.edge_network import EdgeNetwork
from trimcache.placement.registry import place

__all__ = ["CurvePoint", "capacity_curve", "suggested_capacities"]


@dataclass(frozen=True)
class CurvePoint:
    """One algorithm on one topology at one capacity; ``used_bytes`` is over all servers."""

    algorithm: str
    capacity_bytes: int
    seed: int
    hit_ratio: float
    attainable: float
    upper_bound: float
    used_bytes: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, one column each."""
        return asdict(self)


def capacity_curve(
    graph: ModelBlockGraph,
    capacities_bytes: Iterable[int],
    algorithms: Sequence[str] = ("gen", "independent"),
    *,
    seeds: Iterable[int] = range(10),
    preset: str = "paper",
    n_servers: int = 10,
    n_users: int = 30,
    zipf: float = 0.8,
    ranking: str = "user",
    progress: Callable[[int, int], None] | None = None,
    **overrides: Any,
) -> list[CurvePoint]:
    """Place ``graph`` at every capacity with every algorithm on one topology a seed.

    Paired: all capacities and algorithms of a seed see the same servers, users, deadlines and demand, so differences
    between them are not noise of the topology.

    Args:
        graph: the models.
        capacities_bytes: the same on every server, each.
        algorithms: names of ``trimcache.placement.algorithm_names()``.
        seeds: one topology each; seeds both network and demand.
        preset, n_servers, n_users, overrides: the network, as in ``EdgeNetwork.preset``.
        zipf, ranking: the demand.
        progress: called with (topologies done, topologies in all).

    Returns:
        A point for each (seed, capacity, algorithm), in that order.

    Raises:
        UsageError: nothing to vary.
    """
    capacities, seed_list = list(capacities_bytes), list(seeds)
    for what, values in (("capacities", capacities), ("algorithms", algorithms), ("seeds", seed_list)):
        if not values:
            raise UsageError(what, "are empty", "give at least one")
    points = []
    for done, seed in enumerate(seed_list, 1):
        network = EdgeNetwork.preset(preset, n_servers=n_servers, n_users=n_users, seed=seed, **overrides)
        problem = network.problem(graph, capacities[0], zipf, seed, ranking=ranking)
        for capacity_bytes in capacities:
            at_capacity = problem.with_capacity(capacity_bytes)
            for name in algorithms:
                placement = place(at_capacity, name, seed=seed)
                points.append(
                    CurvePoint(
                        name,
                        int(capacity_bytes),
                        int(seed),
                        placement.hit_ratio,
                        placement.attainable,
                        placement.upper_bound,
                        int(placement.used_bytes.sum()),
                        placement.seconds,
                    )
                )
        if progress:
            progress(done, len(seed_list))
    return points


def suggested_capacities(graph: ModelBlockGraph, n: int = 12) -> list[int]:
    """``n`` capacities from the smallest model to the whole library once, each larger by one factor.

    Steps are close together where capacity is scarce, for that is where algorithms differ. Fewer if they coincide.
    """
    if graph.n_models == 0:
        return []
    steps = np.geomspace(max(int(graph.closed_bytes().min()), 1), max(graph.unique_bytes, 1), n)
    return sorted({int(np.ceil(step)) for step in steps})
