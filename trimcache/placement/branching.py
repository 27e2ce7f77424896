"""A sharper bound where the Lagrangian one ends above the placement: branch on whether a class of requests is served.

The Lagrangian bound is that of mixtures of sets on each server. Where a mixture serves a class by half, splitting the
problem into "it is served" and "it is not" takes it away. Branching on requests rather than on x[m, i] is blind to which of several like
servers holds the model, so it works where servers reach the same users over the backhaul.
"""

from __future__ import annotations

import heapq
import time

import numpy as np

from trimcache.placement.bounds import LagrangianBound

__all__ = ["BranchedBound"]

_STEPS = 60  # of each branch at most


class BranchedBound:
    """Leaves that together hold every placement; the bound is that of the highest leaf.

    Guarantee: ``weight`` is never below the optimum. Complexity: a split costs at most 2 x 60 steps of the Lagrangian.
    """

    def __init__(self, root: LagrangianBound) -> None:
        self._leaves: list[tuple[int, int, LagrangianBound]] = [(-root.weight, 0, root)]
        self._made = 0
        self.weight = root.weight

    def run(self, best_known: int, *, stop: float | None, splits: int, gap: float = 0.0) -> None:
        """Split the highest leaf, again and again, until within ``gap`` of ``best_known``, the time ``stop`` or so many splits."""
        for _ in range(splits):
            over = stop is not None and time.perf_counter() >= stop
            if over or not self._leaves or self.weight - best_known <= gap * self.weight:
                return
            _, _, leaf = self._leaves[0]
            doubt = np.minimum(leaf.mean_copies, 1.0)
            doubt = np.minimum(doubt, 1.0 - doubt) * leaf.worth_in_doubt
            if not doubt.size or doubt.max() <= 0:
                return
            index = int(doubt.argmax())
            heapq.heappop(self._leaves)
            for served in (True, False):
                child = leaf.branch(index, served=served)
                child.run(best_known, max_steps=_STEPS, stop=None, gap=gap, refine=True)
                self._made += 1
                heapq.heappush(self._leaves, (-min(child.weight, leaf.weight), self._made, child))
            self.weight = max(best_known, -self._leaves[0][0])
