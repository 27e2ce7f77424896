"""Gen by gain per new byte: the greedy that wins where storage is tight."""

from __future__ import annotations

import time

from trimcache.placement._greedy import charge_missing_atoms, greedy_by_ratio
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["gen_ratio"]


def gen_ratio(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """Repeatedly place the feasible pair (server, model) with the largest gain per byte that the server lacks.

    A pair that costs nothing comes first. Ties (of the ratio in double precision) go to the lowest server, then the
    lowest model; ``seed`` and ``time_limit_s`` change nothing.

    Guarantee: none alone (a tiny model can block a large one), so ``auto`` takes the better of this and ``gen``.
    Complexity: O(E + (P + N) log(P + N)), E entries of reach, P pairs, N <= pairs x shared atoms keys that rose, plus the
    shared atoms of pairs tried.

    Reference: the greedy of Qu et al., TrimCaching, arXiv 2404.14204, general case, with the cost-benefit rule of Khuller, Moss, Naor
    (1999) applied to the bytes that are new.
    """
    begin = time.perf_counter()
    held = greedy_by_ratio(problem.instance, charge_missing_atoms(problem.graph))
    return Placement(problem, held, "gen-ratio", time.perf_counter() - begin)
