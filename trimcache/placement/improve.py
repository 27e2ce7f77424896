"""What ``auto`` and ``search`` share: start from the best greedy, then improve placement and bound, each on a core of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from trimcache.placement._state import State, grid_steps
from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.evaluate import Held
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.prove import STEPS, Prover
from trimcache.placement.resolve import best_start, to_fixpoint
from trimcache.placement.search import _CELLS, Budget, RuinAndRecreate
from trimcache.placement.tree import sharing_tree_of

__all__ = ["Progress", "improve"]

Progress = Callable[[float, float], None]
"""Called with (hit ratio, upper bound) whenever either is better."""

_ROUNDS = 8  # where no time is given
_FIRST_STEPS, _FIRST_SHARE = 60, 0.15  # of the bound and of the time, before prices guide the search
_SLICE_S = 0.05  # between two looks at the bound
_UNTIMED_TREES = (
    15_000_000  # nodes of the trees of all groups of servers, priced again and again where no time is given: about a second or two
)


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
    held, _ = best_start(problem, lambda _, served: watch.see(served, instance.ceiling_weight))
    state.load(held)
    stop = None if time_limit_s is None else begin + time_limit_s
    to_fixpoint(state, stop)
    extra = {"crossing_share": tree.crossing_share}
    if state.served >= instance.ceiling_weight:
        return state.held(), instance.ceiling_weight, extra
    lagrangian = LagrangianBound(instance)
    prover = Prover(lagrangian, gap)
    ruin = RuinAndRecreate(state, seed)

    def closed() -> bool:
        watch.see(state.served, lagrangian.weight)
        if prover.finished:
            return True
        if target_weight is not None and (state.served >= target_weight or lagrangian.weight < target_weight):
            return True
        return lagrangian.weight - state.served <= gap * lagrangian.weight

    def enough() -> int:
        return lagrangian.weight if target_weight is None else min(lagrangian.weight, target_weight)

    steps = _untimed_steps(lagrangian)
    early = None if stop is None or time_limit_s is None else min(stop, time.perf_counter() + _FIRST_SHARE * time_limit_s)
    lagrangian.run(state.served, stop=early, max_steps=_FIRST_STEPS if stop is not None else steps[0], gap=gap)
    with ThreadPoolExecutor(1) as pool:
        if stop is None:
            tries = Budget.of(state, None).tries // _ROUNDS
            for turn in range(_ROUNDS):
                if closed():
                    break
                ruin.price, target = lagrangian.price, enough()  # before the bound moves: the same in every run
                step = pool.submit(prover.step, state.served, steps=steps[1])
                ruin.run(Budget(None, tries), target)
                step.result()
                if turn == _ROUNDS // 2 and not closed():
                    prover.combine(state.served, state.x)
                    _take(state, prover)
        else:
            best, done = [(state.served, state.x.copy())], False
            proof = pool.submit(prover.until, stop, lambda: best[0], lambda: done)
            try:
                while not closed() and time.perf_counter() < stop:
                    ruin.price = lagrangian.price
                    ruin.run(Budget(min(stop, time.perf_counter() + _SLICE_S), 0), enough())
                    _take(state, prover)
                    if state.served > best[0][0]:
                        best[0] = (state.served, state.x.copy())
            finally:
                done = True
            proof.result()
            _take(state, prover)
    watch.see(state.served, lagrangian.weight)
    return state.held(), lagrangian.weight, extra


def _untimed_steps(lagrangian: LagrangianBound) -> tuple[int, int]:
    """Steps of the bound before the search, and in each round beside it, where no time is given: by size alone, as the tries are."""
    affordable = _UNTIMED_TREES // max(1, lagrangian.tree.n_nodes * len(lagrangian.groups))
    return int(np.clip(affordable // 3, 2, _FIRST_STEPS)), int(np.clip(affordable // (2 * _ROUNDS), 1, STEPS))


def _take(state: State, prover: Prover) -> None:
    """The placements that proving came upon, if they are better."""
    while prover.found:
        found = prover.found.popleft()
        saved = state.save()
        state.load(state.instance.with_pins([np.flatnonzero(row).astype(np.int32) for row in found]))
        to_fixpoint(state)
        if state.served < saved[2]:
            state.restore(saved)
