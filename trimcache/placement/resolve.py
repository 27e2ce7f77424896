"""Re-solving: server by server to a fixpoint, from the best greedy."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from trimcache.placement._greedy import charge_full_models, charge_missing_atoms, greedy_by_gain, greedy_by_ratio, index_pairs
from trimcache.placement._state import State
from trimcache.placement.evaluate import Held, served_weight
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["best_start", "resolve", "to_fixpoint"]


def resolve(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """Start from the best of Gen, Gen per byte, Independent Caching and Spec by the tree; then re-solve each server with the others
    as they are, again and again, until no server gains.

    A server's step is the tree's knapsack with a fill by exact recount; its old models stay unless the new are worth
    more. ``seed`` changes nothing; after ``time_limit_s`` it stops between two servers.

    Guarantee: never below any of its starts, so 1/2 of the optimum where sharing is laminar (up to the grid). Complexity: that of its
    starts, and O(M (I + J) C) a round.

    Reference: successive greedy of Qu et al., TrimCaching, arXiv 2404.14204, iterated (ours).
    """
    begin = time.perf_counter()
    stop = None if time_limit_s is None else begin + time_limit_s
    state = State(problem.instance)
    state.load(best_start(problem)[0])
    to_fixpoint(state, stop)
    extra = {"crossing_share": state.tree.crossing_share}
    return Placement(problem, state.held(), "resolve", time.perf_counter() - begin, extra=extra)


def best_start(problem: PlacementProblem, on_start: Callable[[str, int], None] | None = None) -> tuple[Held, int]:
    """The best placement of the greedy algorithms and of Spec by the tree, with its exact weight."""
    from trimcache.placement.spec_tree import spec_tree

    instance = problem.instance
    cost = charge_missing_atoms(problem.graph)
    index = index_pairs(instance)
    starts: list[tuple[str, Callable[[], Held]]] = [
        ("gen", lambda: greedy_by_gain(instance, cost, index)),
        ("gen-ratio", lambda: greedy_by_ratio(instance, cost, index)),
        ("independent", lambda: greedy_by_gain(instance, charge_full_models(problem.graph), index)),
        ("spec-tree", lambda: spec_tree(problem).held),
    ]
    best, weight = starts[0][1](), -1
    for n, (name, make) in enumerate(starts):
        held = best if n == 0 else make()
        served = served_weight(problem, held)
        if on_start is not None:
            on_start(name, served)
        if served > weight:
            best, weight = held, served
    return best, weight


def to_fixpoint(state: State, stop: float | None = None) -> None:
    """Re-solve servers in index order until a whole round changes nothing, or ``stop`` (``time.perf_counter``) is reached."""
    idle, m = 0, 0
    n_servers = state.instance.problem.n_servers
    while idle < n_servers:
        if stop is not None and time.perf_counter() >= stop:
            return
        idle = 0 if state.solve(np.array([m]), keep=True) else idle + 1
        m = (m + 1) % n_servers
