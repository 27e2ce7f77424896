"""What ``auto`` and ``search`` share: start from the best greedy, then improve placement and bound by turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from trimcache.placement._state import State, grid_steps
from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.columns import best_combination, fitting_sets
from trimcache.placement.evaluate import Held
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.resolve import best_start, to_fixpoint
from trimcache.placement.search import _CELLS, Budget, RuinAndRecreate
from trimcache.placement.tree import sharing_tree_of

__all__ = ["Progress", "improve"]

Progress = Callable[[float, float], None]
"""Called with (hit ratio, upper bound) whenever either is better."""

_ROUNDS = 8
_COMBINE_FROM_S = 2.5  # below this a solver's start-up is not worth it
_COMBINE_CLASSES = 5_000  # nor is the restricted program above this many classes of requests
_MOST_SETS = 150  # of a server in the restricted program


class _Watch:
    """The best so far, reported when it improves."""

    def __init__(self, problem: PlacementProblem, progress: Progress | None) -> None:
        self._total, self._progress = max(problem.demand.total, 1), progress
        self._last = (-1, 2**62)

    def see(self, weight: int, bound: int) -> None:
        if self._progress is not None and (weight > self._last[0] or bound < self._last[1]):
            self._last = (weight, bound) = (max(weight, self._last[0]), min(bound, self._last[1]))
            self._progress(weight / self._total, bound / self._total)


def improve(
    problem: PlacementProblem,
    *,
    seed: int = 0,
    time_limit_s: float | None = None,
    gap: float = 0.0,
    progress: Progress | None = None,
    target_weight: int | None = None,
) -> tuple[Held, int, dict[str, float]]:
    """The best placement found (pins included), the exact weight that no placement exceeds, and facts about the sharing.

    The starts always run to the end; what follows stops at ``time_limit_s`` (without one: after numbers of tries
    and steps that depend on the size alone), when the bound is within ``gap`` of the placement, or when it is decided whether
    ``target_weight`` can be served.
    """
    begin = time.perf_counter()
    instance = problem.instance
    tree = sharing_tree_of(instance)
    watch = _Watch(problem, progress)
    state = State(instance, grid_steps(tree.n_nodes, _CELLS))
    held, _ = best_start(problem, state, lambda _, served: watch.see(served, instance.ceiling_weight))
    state.load(held)
    stop = None if time_limit_s is None else begin + time_limit_s
    to_fixpoint(state, stop)
    extra = {"crossing_share": tree.crossing_share}
    if state.served >= instance.ceiling_weight:
        return state.held(), instance.ceiling_weight, extra
    lagrangian = LagrangianBound(instance)
    ruin = RuinAndRecreate(state, seed)
    tries = Budget.of(state, None).tries

    def closed() -> bool:
        watch.see(state.served, lagrangian.weight)
        if target_weight is not None and (state.served >= target_weight or lagrangian.weight < target_weight):
            return True
        return lagrangian.weight - state.served <= gap * lagrangian.weight

    for turn in range(_ROUNDS):
        now = time.perf_counter()
        if closed() or (stop is not None and now >= stop):
            break
        share = None if stop is None else (stop - now) / (_ROUNDS - turn)
        lagrangian.run(
            state.served, stop=None if share is None else now + 0.4 * share, max_steps=40 if share is None else None, gap=gap, refine=True
        )
        if closed():
            break
        if turn in (3, 6) and instance.classes.n_classes <= _COMBINE_CLASSES and (time_limit_s is None or time_limit_s >= _COMBINE_FROM_S):
            _combine(state, lagrangian, None if time_limit_s is None else 0.15 * time_limit_s)
        enough = lagrangian.weight if target_weight is None else min(lagrangian.weight, target_weight)
        ruin.run(Budget(None if share is None else now + share, tries // _ROUNDS), enough)
        _remember(state, lagrangian)
    watch.see(state.served, lagrangian.weight)
    return state.held(), lagrangian.weight, extra


def _remember(state: State, lagrangian: LagrangianBound) -> None:
    """The best placement's sets join those of pricing."""
    for m, row in enumerate(np.packbits(state.x, axis=1)):
        lagrangian.columns[m][row.tobytes()] = lagrangian.steps + 1_000_000


def _combine(state: State, lagrangian: LagrangianBound, time_limit_s: float | None) -> None:
    """The best combination of all sets found, if it is better than the placement."""
    _remember(state, lagrangian)
    sets: list[list[Any]] = fitting_sets(state, lagrangian.columns, _MOST_SETS)
    chosen = best_combination(state.instance, sets, state.served, time_limit_s, None if time_limit_s is not None else 50)
    if chosen is None:
        return
    saved = state.save()
    state.load(state.instance.with_pins([np.flatnonzero(row).astype(np.int32) for row in chosen]))
    to_fixpoint(state)
    if state.served < saved[2]:
        state.restore(saved)
