"""The default algorithm: the best start there is time for, improved, with a proven bound."""

from __future__ import annotations

import time

from trimcache.placement.improve import Progress, improve
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.resolve import best_start
from trimcache.placement.result import Placement

__all__ = ["auto"]

_LARGE = 3_000_000
"""Entries of reach above which only the starts are run: to improve takes minutes there."""

_TINY_MODELS, _TINY_STATES = 10, 50_000  # up to these, trying everything takes 0.1 s at most, mostly a few milliseconds


def auto(
    problem: PlacementProblem,
    *,
    seed: int = 0,
    time_limit_s: float | None = None,
    gap: float = 0.0,
    progress: Progress | None = None,
) -> Placement:
    """The best placement that can be found in the time, never below ``gen``, ``gen-ratio``, ``independent`` or ``spec-tree``.

    By size: tiny cases are tried out; others start from the best of the four, which always run to the end, and are then
    improved by re-solving, ruin and recreate and a combination of all sets found, while the Lagrangian bound falls
    (``improve``); the largest (above 3 million entries of reach) get the best start and the plain bound. It stops at
    ``time_limit_s``, when the bound is within ``gap`` (0: optimal) of the placement, or when an integer program has shown that nothing is
    better (then the gap is the solver's tolerance, 1e-6). Without
    ``time_limit_s`` it makes a number of tries that depends on the size alone: same seed, same placement.

    Guarantee: never below any of its starts, so 1/2 of the optimum where sharing is laminar (up to the grid); ``upper_bound`` is
    proven. Complexity: that of its starts, then O(M (I + J) C) a try or a step of the bound.

    Args:
        gap: stop when (upper_bound - hit_ratio) / upper_bound is at most this.
        progress: called with (hit ratio, upper bound) whenever either improves.
    """
    from trimcache.placement.exhaustive import try_all

    begin = time.perf_counter()
    total = problem.demand.total
    instance = problem.instance
    if instance.n_entries > _LARGE:
        held, _ = best_start(problem)
        return Placement(problem, held, "auto", time.perf_counter() - begin)
    tried = try_all(instance, _TINY_MODELS, _TINY_STATES)
    if tried is not None:
        held, best = tried
        return Placement(problem, held, "auto", time.perf_counter() - begin, best / total if total else 0.0)
    held, bound, extra = improve(problem, seed=seed, time_limit_s=time_limit_s, gap=gap, progress=progress)
    return Placement(problem, held, "auto", time.perf_counter() - begin, bound / total if total else 0.0, extra)
