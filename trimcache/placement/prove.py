"""Lowering the bound, by whatever pays at the problem's size, and the placements that come out on the way."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.columns import best_combination, fitting_sets
from trimcache.placement.master import is_small, mixed_sets_pay, reprice
from trimcache.placement.packings import Packings

__all__ = ["Prover"]

_STEPS = 20  # of Polyak between two looks at the clock
_MOST_SETS = 150  # of a group of servers in a restricted program
_PROGRAM_S = 2.0  # below this an integer program is not worth its start-up
_MARGIN_S = 0.15  # by how much its solver may pass its time
_TIMED_SETS = 2_500  # beyond, an integer program's solver passes its time by far
_UNTIMED_NODES, _UNTIMED_SETS = 20, 400  # of an integer program where no time is given


class Prover:
    """Prices by Polyak steps, then by linear programs; where these can prove no more, an integer program over sets.

    Attributes:
        lagrangian: the prices and the bound.
        found: sets of models, one a server, that serve more than was known; None where there are none.
    """

    def __init__(self, lagrangian: LagrangianBound, gap: float) -> None:
        self.lagrangian = lagrangian
        self.found: list[NDArray[np.bool_]] | None = None
        self._gap = gap

    def step(self, best_known: int, *, steps: int = _STEPS, stop: float | None = None) -> bool:
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
                break
        if not over():
            self.combine(*best(), stop=stop)

    def combine(self, best_known: int, x: NDArray[np.uint8], *, stop: float | None = None) -> None:
        """An integer program over all maximal sets where these are few, else over those found and those of ``x``."""
        lagrangian = self.lagrangian
        if not is_small(lagrangian) or (stop is not None and stop - time.perf_counter() < _PROGRAM_S):
            return
        nodes = _UNTIMED_NODES if stop is None else None
        packings = Packings(lagrangian, None if stop is None else stop - _PROGRAM_S / 2)
        left = None if stop is None else stop - time.perf_counter() - _MARGIN_S
        if packings.sets is not None:
            self.found = packings.solve(best_known, left, nodes, _UNTIMED_SETS if stop is None else _TIMED_SETS)
            return
        for group, seen in zip(lagrangian.groups, lagrangian.columns, strict=True):
            for row in np.packbits(x[group.servers], axis=1):
                seen[row.tobytes()] = lagrangian.steps + 1
        sets = fitting_sets(lagrangian.instance, lagrangian.groups, lagrangian.columns, _MOST_SETS)
        self.found, _ = best_combination(lagrangian.instance, lagrangian.groups, sets, best_known, left, nodes)
