"""One topology: drawn from its seed, placed by every algorithm, evaluated with and without fading."""

from __future__ import annotations

from typing import Any

from trimcache.errors import TrimcacheError
from trimcache.graph import ModelBlockGraph
from trimcache.placement._jit import compile_kernels, compile_named
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.registry import place
from trimcache.placement.result import Placement
from trimcache.placement.spec import spec
from trimcache.simulation.fading import hit_ratio_under_fading
from trimcache.simulation.setting import Setting

__all__ = ["compile_for", "rows", "solve"]


def rows(setting: Setting, seed: int, graph: ModelBlockGraph) -> list[dict[str, Any]]:
    """The results of every algorithm on the topology ``seed``: one dict of plain values each, in the setting's order.

    Paired: all see the same servers, users, models, deadlines, demand and fading. Everything but ``seconds`` depends on the
    arguments alone, so any row can be made again from its columns (``Setting.from_dict``), unless a time limit is set.

    Returns:
        Every parameter (``Setting.columns``), ``seed``, ``algorithm`` and
        hit_ratio, attainable, upper_bound, gap: on expected rates, as in ``Placement``;
        hit_ratio_fading, attainable_fading: mean over the realisations, None without any;
        used_bytes, n_placed: over all servers; seconds: of placing.

    Raises:
        TrimcacheError: what an algorithm or the network refuses; topology and algorithm are named.
    """
    network = setting.edge_network(seed)
    problem = setting.problem(network, setting.models(graph, seed), seed)
    _ = problem.graph.atoms(), problem.instance.classes  # what all algorithms share is not the first one's time
    placements = [solve(problem, name, setting, seed) for name in setting.algorithms]
    faded: list[float | None] = [None] * (len(placements) + 1)
    if setting.n_realisations:
        faded = hit_ratio_under_fading(problem, network, [*placements, None], setting.n_realisations, seed).mean(axis=1).tolist()
    parameters = setting.columns() | {"n_servers": problem.n_servers, "n_users": problem.n_users, "n_models": problem.n_models}
    return [
        parameters
        | {
            "seed": seed,
            "algorithm": name,
            "hit_ratio": placement.hit_ratio,
            "hit_ratio_fading": of_fading,
            "attainable": placement.attainable,
            "attainable_fading": faded[-1],
            "upper_bound": placement.upper_bound,
            "gap": placement.gap,
            "used_bytes": int(placement.used_bytes.sum()),
            "n_placed": placement.n_placed,
            "seconds": placement.seconds,
        }
        for name, placement, of_fading in zip(setting.algorithms, placements, faded[:-1], strict=True)
    ]


def solve(problem: PlacementProblem, name: str, setting: Setting, seed: int) -> Placement:
    """One placement with the setting's parameters of the algorithm; what it refuses says where."""
    try:
        if name == "spec":
            return spec(problem, seed=seed, eps=setting.epsilon)
        return place(problem, name, seed, setting.time_limit_s, gap=setting.stop_gap)
    except TrimcacheError as error:
        raise type(error)(f"topology {seed}, {error.subject}", error.problem, error.fix) from error


def compile_for(algorithms: tuple[str, ...]) -> None:
    """Compile (or load) what ``rows`` needs: before processes start, so that they need not do it each, nor time it."""
    compile_kernels(algorithms)
    compile_named(["served_in_realisations"])
