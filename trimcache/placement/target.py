"""The least capacity, the same on every server, that reaches a hit ratio."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimcache.errors import ProblemError, UsageError
from trimcache.placement.improve import improve
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["CapacityTarget", "least_capacity"]

_PROBES = 18  # of one bisection at most


@dataclass(frozen=True, eq=False)
class CapacityTarget:
    """The answer to "how much storage does this hit ratio take".

    Attributes:
        hit_ratio: the one asked for.
        capacity_bytes: a uniform capacity that reaches it, the least found.
        proven_bytes: no capacity below this reaches it.
        placement: reaches it with ``capacity_bytes``.
    """

    hit_ratio: float
    capacity_bytes: int
    proven_bytes: int
    placement: Placement

    @property
    def closed(self) -> bool:
        """Whether ``capacity_bytes`` is proven to be the least."""
        return self.proven_bytes >= self.capacity_bytes


def least_capacity(
    problem: PlacementProblem,
    hit_ratio: float,
    *,
    seed: int = 0,
    time_limit_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CapacityTarget:
    """Bisect the capacity: a placement that reaches ``hit_ratio`` proves that enough, a bound below it proves more is needed.

    Each probe is ``improve`` with its share of the time, stopped as soon as it is decided. A placement found proves that
    as many bytes as its fullest server uses are enough. Where neither a placement nor a bound decides, the interval
    [proven_bytes, capacity_bytes] stays open.

    Args:
        problem: its capacities are not used.
        hit_ratio: in (0, 1].
        progress: called with (proven_bytes, capacity_bytes) after each probe.

    Guarantee: both ends are proven. Complexity: up to 36 times that of ``auto``.

    Reference: the capacity constraint of P1.1 in Qu et al., TrimCaching, arXiv 2404.14204, turned round (ours).

    Raises:
        UsageError: a hit ratio outside (0, 1].
        ProblemError: it is above what is attainable with any capacity.
    """
    if not 0 < hit_ratio <= 1:
        raise UsageError("target hit ratio", f"{hit_ratio} is not in (0, 1]", "give for example 0.6")
    begin = time.perf_counter()
    total = problem.demand.total
    goal = int(np.ceil(hit_ratio * total - 1e-9 * total)) if total else 1
    enough = max(problem.graph.unique_bytes, 1)
    everything = problem.changed(capacity_bytes=enough)
    ceiling = everything.instance.ceiling_weight
    if ceiling < goal:
        reachable = ceiling / total if total else 0.0
        raise ProblemError(f"target hit ratio {hit_ratio}", f"is above {reachable:.4f}, what any capacity attains", "ask for less")
    ends, pinned = problem.pinned_models()
    pins = [problem.graph.set_bytes(pinned[ends[m] : ends[m + 1]].tolist()) for m in range(problem.n_servers)]
    low = max(pins, default=0) - 1  # proven too little (pins alone need more, or it is negative)
    share = None if time_limit_s is None else time_limit_s / (2 * _PROBES)
    best = _reached(everything, goal, seed, share)[0]
    if best is None:  # a server that holds everything serves everything
        best = Placement(everything, everything.instance.with_pins(_all_allowed(everything)), "target", 0.0)
    high = max(int(best.used_bytes.max(initial=0)), low + 1)

    def probe(capacity: int) -> tuple[bool, bool]:
        nonlocal best, high, low
        found, bound = _reached(problem.changed(capacity_bytes=capacity), goal, seed, share)
        if found is not None:
            best, high = found, max(int(found.used_bytes.max(initial=0)), low + 1)
        elif bound < goal:
            low = max(low, capacity)
        if progress is not None:
            progress(low + 1, high)
        return found is not None, bound < goal

    doubtful = low
    for _ in range(_PROBES):  # the least that is found
        if high - doubtful <= max(1, high // 5000):
            break
        middle = (doubtful + high) // 2
        if not probe(middle)[0]:
            doubtful = middle
    unproven = high
    if low < high - 1:
        probe(high - 1)
    for _ in range(_PROBES):  # the most that is proven
        unproven = min(unproven, high)
        if unproven - low <= max(1, high // 5000):
            break
        middle = (low + unproven) // 2
        if not probe(middle)[1]:
            unproven = middle
    exact = problem.changed(capacity_bytes=high)
    placed = Placement(exact, best.held, "target", time.perf_counter() - begin)
    return CapacityTarget(hit_ratio, high, low + 1, placed)


def _reached(problem: PlacementProblem, goal: int, seed: int, time_limit_s: float | None) -> tuple[Placement | None, int]:
    held, bound, _ = improve(problem, seed=seed, time_limit_s=time_limit_s, target_weight=goal)
    placed = Placement(problem, held, "target", 0.0)
    reached = round(placed.hit_ratio * problem.demand.total) >= goal
    return (placed if reached else None), bound


def _all_allowed(problem: PlacementProblem) -> list[list[int]]:
    barred = set(problem.forbidden.tolist())
    count = problem.n_models
    return [[i for i in range(count) if m * count + i not in barred] for m in range(problem.n_servers)]
