"""TrimCaching Gen, the paper's greedy for any sharing (section 2)."""

from __future__ import annotations

import time

from trimcache.placement._greedy import charge_missing_atoms, greedy_by_gain
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["gen"]


def gen(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """TrimCaching Gen: repeatedly place the feasible pair (server, model) with the largest gain in hit ratio.

    A model costs a server only the blocks that it lacks. Stops when nothing fits or gains. Ties go to the lowest
    server, then the lowest model, so the result is unique; ``seed`` and ``time_limit_s`` change nothing. The paper names no rule for ties,
    and where most servers reach most users most steps are ties: broken at random, they leave Gen up to 7 % lower
    (docs/benchmarks-placement.md).

    Guarantee: at least U(OPT) / Gamma, Gamma the largest feasible number of placements. Complexity: O(E + P log P),
    E entries of reach, P pairs with a request in reach, plus the shared atoms of the pairs tried.

    Reference: Qu et al., TrimCaching, arXiv 2404.14204, the algorithm for the general case.
    """
    begin = time.perf_counter()
    held = greedy_by_gain(problem.instance, charge_missing_atoms(problem.graph))
    return Placement(problem, held, "gen", time.perf_counter() - begin)
