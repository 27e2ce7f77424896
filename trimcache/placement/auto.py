"""The default algorithm: the best of what there is, never below any of it."""

from __future__ import annotations

import time
from dataclasses import replace

from trimcache.placement.gen import gen
from trimcache.placement.independent import independent
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["auto"]


def auto(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """The better of Gen and Independent Caching by exact hit ratio; Gen on a tie.

    Gen is greedy, so on some instances the baseline beats it; here it cannot.
    """
    begin = time.perf_counter()
    best = max((gen(problem), independent(problem)), key=lambda placement: placement.hit_ratio)
    return replace(best, bound=best.upper_bound, algorithm="auto", seconds=time.perf_counter() - begin)
