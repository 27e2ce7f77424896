"""Lowering the bound, by whatever pays at the problem's size, and the placements that come out on the way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.columns import best_combination, fitting_sets
from trimcache.placement.master import is_small, mixed_sets_pay, reprice
from trimcache.placement.packings import Packings

__all__ = ["STEPS", "Prover"]

STEPS = 20  # of Polyak between two looks at the clock
_FOUND_SETS = 150  # of a group of servers in a program over those that pricing met
_FOUND_S = 2.0  # below this such a program is not worth its start-up
_PROGRAM_S = 0.3  # the shortest time that a program over all sets that matter is started for
_MARGIN_S = 0.15  # by how much a solver may pass its time
_SETS_A_SECOND, _MOST_SETS = 2_000, 20_000  # that a program is made of: with more, its solver passes its time by far
_FEW_SETS = 300  # a program of so few ends in a tenth of a second: no need to wait for a better placement, which leaves fewer
_SETTLED_S, _LOOK_S = 0.15, 0.01  # a placement that has not got better for so long is taken for settled; between two looks at it
_UNTIMED_NODES, _UNTIMED_SETS = 20, 1_000  # of an integer program where no time is given


class Prover:
    """Prices by Polyak steps, then by linear programs; where these can prove no more, an integer program over sets.

    Attributes:
        lagrangian: the prices and the bound.
        found: placements that serve more than was known, sets of models by server; taken out by whoever uses them, in any thread.
        finished: no placement is better than the best known or ``found``, up to the solver's tolerance.
    """

    def __init__(self, lagrangian: LagrangianBound, gap: float) -> None:
        self.lagrangian = lagrangian
        self.found: deque[list[NDArray[np.bool_]]] = deque()
        self.finished = False
        self._gap = gap

    def step(self, best_known: int, *, steps: int = STEPS, stop: float | None = None) -> bool:
        """A few steps; whether there was anything left to do."""
        lagrangian, before = self.lagrangian, self.lagrangian.steps
        lagrangian.run(best_known, max_steps=steps, stop=stop, gap=self._gap, refine=True)
        if mixed_sets_pay(lagrangian):
            reprice(lagrangian, best_known, stop=stop, rounds=3 if stop is None else 20, gap=self._gap)
        return lagrangian.steps > before

    def until(self, stop: float, best: Callable[[], tuple[int, NDArray[np.uint8]]], over: Callable[[], bool]) -> None:
        """Go on until the time ``stop`` (``time.perf_counter``) or ``over()``; ``best()`` is the best placement known at the time."""
        import scipy.optimize  # noqa: F401  (takes up to a second when it is first needed: not near the end)

        while time.perf_counter() < stop and not over():
            if not self.step(best()[0], stop=stop):
                self._decide(stop, best, over)
                return

    def _decide(self, stop: float, best: Callable[[], tuple[int, NDArray[np.uint8]]], over: Callable[[], bool]) -> None:
        """Integer programs, when prices can prove no more: over all sets that matter, as soon as these are few enough."""
        packings, known, since, combined = Packings(self.lagrangian), -1, 0.0, False
        sets: list[NDArray[np.bool_]] | None = None
        most = _MOST_SETS  # after a program that did not end: another one only for half as many sets
        while not over() and not self.finished:
            now = time.perf_counter()
            left = stop - now - _MARGIN_S
            if left < _PROGRAM_S:
                return
            served, x = best()
            if served > known:
                known, since = served, now
                sets = packings.sets(known, _MOST_SETS)
            number = sum(map(len, sets or ()))
            settled = now - since >= _SETTLED_S
            if sets is not None and number <= min(most, _SETS_A_SECOND * left) and (settled or number <= _FEW_SETS):
                self._offer(packings.solve(known, sets, left))
                self.finished, most = packings.solved, number // 2
            elif sets is None and settled and left >= _FOUND_S and not combined:
                self.combine_found(known, x, left)
                combined = True
            else:
                time.sleep(_LOOK_S)

    def _offer(self, chosen: list[NDArray[np.bool_]] | None) -> None:
        if chosen is not None:
            self.found.append(chosen)

    def combine(self, best_known: int, x: NDArray[np.uint8]) -> None:
        """Once, without a clock: an integer program over all sets that matter if these are few, else over those met and those of ``x``."""
        packings = Packings(self.lagrangian)
        sets = packings.sets(best_known, _UNTIMED_SETS)
        if sets is None:
            self.combine_found(best_known, x, node_limit=_UNTIMED_NODES)
        else:
            self._offer(packings.solve(best_known, sets, node_limit=_UNTIMED_NODES))
            self.finished = packings.solved

    def combine_found(
        self, best_known: int, x: NDArray[np.uint8], time_limit_s: float | None = None, node_limit: int | None = None
    ) -> None:
        """An integer program over the sets that pricing has met and those of ``x``: better placements, no bound."""
        lagrangian = self.lagrangian
        if not is_small(lagrangian):
            return
        for group, seen in zip(lagrangian.groups, lagrangian.columns, strict=True):
            for row in np.packbits(x[group.servers], axis=1):
                seen[row.tobytes()] = lagrangian.steps + 1
        sets = fitting_sets(lagrangian.instance, lagrangian.groups, lagrangian.columns, _FOUND_SETS)
        self._offer(best_combination(lagrangian.instance, lagrangian.groups, sets, best_known, time_limit_s, node_limit)[0])
