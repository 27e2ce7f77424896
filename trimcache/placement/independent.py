"""Independent Caching, the paper's baseline without sharing (section 2)."""

from __future__ import annotations

import time

from trimcache.placement._greedy import charge_full_models, greedy_by_gain
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["independent"]


def independent(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """Independent Caching: Gen's greedy, but every model is charged all its bytes (``model_bytes``).

    Its ``used_bytes`` is still the union of blocks, so it is comparable and never above what was charged. Ties as in
    Gen; ``seed`` and ``time_limit_s`` change nothing. Guarantee: none in the sharing problem, and for equal sizes
    without sharing 1/2. Complexity: O(E + P log P).

    Reference: Qu et al., TrimCaching, arXiv 2404.14204, the baseline of the evaluation.
    """
    begin = time.perf_counter()
    held = greedy_by_gain(problem.instance, charge_full_models(problem.graph))
    return Placement(problem, held, "independent", time.perf_counter() - begin)
