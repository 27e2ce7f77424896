"""Ruin and recreate: free some servers, solve them again in another order, keep what is not worse."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._state import State
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["Budget", "RuinAndRecreate", "search"]

_BY_PRICE = 0.85  # of the tries
_TOWARDS_WEIGHT = 0.2  # at most so much of a worth is the weight itself, the rest the bound's price
_CELLS = 600_000  # of a table: many solutions are tried, and exact fills make up for the grid


@dataclass
class Budget:
    """When to stop: at a time (``time.perf_counter``), or, without one, after a number of tries that depends on the size alone."""

    stop: float | None
    tries: int

    def over(self, done: int) -> bool:
        """Whether ``done`` tries, or the clock, end it."""
        return time.perf_counter() >= self.stop if self.stop is not None else done >= self.tries

    @classmethod
    def of(cls, state: State, stop: float | None) -> Budget:
        """About a second of tries on one core where no time is given, so the result does not depend on the machine."""
        cost = max(1, state.tree.n_nodes) * state.steps * max(1, state.instance.problem.n_servers // 3)
        return cls(stop, int(np.clip(4e8 // cost, 20, 300)))


class RuinAndRecreate:
    """Tries on one state; ``state`` always holds the best placement found.

    A try frees some servers and solves them one after another. With the weights as values the first takes the cream and the last
    what is left, so where there is a ``price`` (of the bound: what serving a class is worth to the best mixture of sets) most of
    the tries go by it first.

    Attributes:
        price: float64[R] or None, set from outside.
    """

    def __init__(self, state: State, seed: int) -> None:
        self.state = state
        self._rng = np.random.default_rng(seed)
        self.tries = 0
        self.price: NDArray[np.float64] | None = None

    def run(self, budget: Budget, target_weight: int) -> None:
        """Until the budget is over or ``target_weight`` (a bound) is reached."""
        done = 0
        n_servers = self.state.instance.problem.n_servers
        while n_servers > 1 and self.state.served < target_weight and not budget.over(done):
            self._try(n_servers)
            done += 1

    def _try(self, n_servers: int) -> None:
        state, rng = self.state, self._rng
        self.tries += 1
        n = int(rng.integers(2, max(2, n_servers // 2) + 1))
        chosen = rng.permutation(n_servers)[:n].astype(np.int32)
        saved = state.save()
        state.clear(chosen.tolist())
        if self.price is not None and rng.random() < _BY_PRICE:
            share = rng.random() * _TOWARDS_WEIGHT
            state.solve_by(chosen, np.rint((1 - share) * self.price + share * state.instance.classes.weight).astype(np.int64))
        else:
            state.solve(chosen, keep=False)
        state.solve(chosen, keep=True)
        if state.served > saved[2]:
            state.solve(rng.permutation(n_servers).astype(np.int32), keep=True)
        elif state.served < saved[2]:
            state.restore(saved)


def search(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """Re-solve from the best greedy, ruin and recreate, then a choice among all sets that can still matter (``packings``).

    A try frees 2 to M / 2 random servers and solves them one after another in random order; equal or better stays, so the
    placement never gets worse. When prices can prove no more, the sets that they do not rule out, or where these are too many those that
    pricing has met (``columns``), go into one integer program. Without ``time_limit_s`` the number of tries depends on the size
    alone: same seed, same placement.

    Guarantee: never below ``resolve``; 1/2 of the optimum where sharing is laminar (up to the grid). Complexity: O(M (I + J) C) a try.

    Reference: large neighbourhood search over the successive greedy of Qu et al., TrimCaching, arXiv 2404.14204 (ours).
    """
    from trimcache.placement.improve import improve

    begin = time.perf_counter()
    held, bound, extra = improve(problem, seed=seed, time_limit_s=time_limit_s)
    total = problem.demand.total
    return Placement(problem, held, "search", time.perf_counter() - begin, bound / total if total else 0.0, extra)
