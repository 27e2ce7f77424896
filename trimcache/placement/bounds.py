"""A proven bound on any placement: Lagrangian relaxation, priced server by server by the tree.

A class of requests is served at most once, whatever the number of copies: ``served[r] <= sum of copies[r]``. With a
price ``0 <= price[r] <= weight[r]`` for each of these constraints the servers fall apart: ::

    L(price) = sum_r (weight[r] - price[r]) + sum_m (the best set of server m when serving r pays price[r])

is at least the optimum for *any* price. Each server's best set is a tree knapsack with sizes rounded down, and a branch and bound where
sharing crosses the tree, so its value is never under-estimated. All numbers are whole, so L is exact.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._instance import Instance
from trimcache.placement._jit import read_only
from trimcache.placement._kernels_tree import price_servers
from trimcache.placement._state import grid_steps, most_states
from trimcache.placement.crossing import CrossingServers
from trimcache.placement.interchangeable import alike
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.tree import sharing_tree_of

__all__ = ["LagrangianBound", "upper_bound"]

_MOST_STATES, _MOST_NODES = 1000, 3_000_000  # of a branch and bound where sharing crosses, and of the trees of all servers' states together
_LATE_S = 0.05  # by how much a step may pass the time
_PATIENCE = 20  # steps without a better bound before the step is shortened


class _Grid(NamedTuple):
    """A grid of sizes: cells of a table, most steps of capacity, and the scale of the first Polyak step on it and of the shortest."""

    cells: int
    most_steps: int
    first: float
    shortest: float


_GRIDS = (
    _Grid(60_000, 8192, 1.0, 1e-2),  # while prices are looked for
    _Grid(1_000_000, 8192, 0.05, 1e-3),  # for the bound that is reported
    _Grid(10_000_000, 32_768, 0.3, 1e-4),  # when that can do little more: a few hundred models are exact in bytes
)


def upper_bound(problem: PlacementProblem, *, steps: int = 300, best_known: float = 0.0) -> float:
    """A proven bound on the hit ratio of any placement of ``problem``, after so many subgradient steps."""
    bound = LagrangianBound(problem.instance)
    bound.run(round(best_known * problem.demand.total), max_steps=steps)
    total = problem.demand.total
    return bound.weight / total if total else 0.0


class LagrangianBound:
    """Prices that are improved step by step, the best bound so far, and the sets that pricing found on the way.

    Guarantee: ``weight`` is never below the optimum. Complexity: a step costs O(M (I + J) C).

    Attributes:
        weight: int, the proven bound on the exact weight of any placement, pins included.
        price: float64[R], the whole-number prices of the best bound.
        groups: the servers that are alike; one of each group is priced.
        columns: per group, the sets that pricing found: packed bits -> the step that saw them last.
        converged: no prices are better than these; set by ``master``.
    """

    def __init__(self, instance: Instance) -> None:
        problem, classes = instance.problem, instance.classes
        tree = sharing_tree_of(instance)
        self.instance, self.tree = instance, tree
        self.weight = instance.ceiling_weight
        self._coarse_weight = 2**62  # the best on the coarse grid, that of ``price``
        self._grids = [grid_steps(tree.n_nodes, grid.cells, grid.most_steps) for grid in _GRIDS]
        self._stage, self._scale = 0, _GRIDS[0].first
        self._weight = classes.weight.astype(np.float64)
        copies = np.diff(classes.ptr)
        self.price = np.floor(self._weight / np.maximum(copies, 1)) if classes.n_classes else self._weight
        self._now = self.price
        self.groups = alike(instance)
        first = [group.servers[0] for group in self.groups]
        charge = tree.charges(instance)
        self._charge = read_only((charge[first] if len(charge) > 1 else charge).reshape(-1), np.int64)
        self._free = read_only(instance.free_bytes[first], np.int64)
        self._ends = read_only(np.cumsum([0, *(group.classes.size for group in self.groups)]), np.int64)
        self._reached = read_only(np.concatenate([classes.server_classes[:0], *(group.classes for group in self.groups)]), np.int32)
        self._alike = [(group, len(group.servers) - 1) for group in self.groups]
        self._no_toll = read_only(np.zeros(0), np.float64)
        self._x = np.zeros((len(self.groups), problem.n_models), dtype=np.uint8)
        self._copies = np.zeros(classes.n_classes)
        self._table = np.empty((tree.n_nodes + 1) * (self._grids[-1] + 1))
        most = most_states(tree, _MOST_STATES, _MOST_NODES // max(len(first), 1), 1)
        self._crossing = CrossingServers(tree, instance, most, self._table) if most else None
        self._refined = 0
        self._took_s = 0.0
        self._idle = 0
        self._direction = np.zeros(classes.n_classes)
        self.columns: list[dict[bytes, int]] = [{} for _ in self.groups]
        self.converged = False
        self.steps = 0

    def evaluate(self, price: NDArray[np.float64], least_stage: int = 0) -> int:
        """L(price), exact, for whole-number prices within [0, weight]; the sets and copies stay in ``_x``, ``_copies``."""
        begin = time.perf_counter()
        grid = self._grids[max(self._stage, least_stage)]
        value = self._price_laminar(price, grid) if self._crossing is None else self._price_crossing(self._crossing, price, grid)
        self._took_s = time.perf_counter() - begin
        return self.instance.pinned_weight + int((self._weight - price).sum()) + value

    def _price_laminar(self, price: NDArray[np.float64], grid: int) -> int:
        classes, tree = self.instance.classes, self.tree
        value = price_servers(
            read_only(price, np.float64), read_only(classes.model, np.int32), self._ends, self._reached,
            read_only(tree.parent, np.int32), read_only(tree.end, np.int32), read_only(tree.model, np.int32), self._charge,
            self._no_toll, self._free, grid, self._x, self._copies, self._table,
        )  # fmt: skip
        for n, (group, others) in enumerate(self._alike):
            if others:  # each takes the same set for the same value
                taken = self._x[n, classes.model[group.classes]]
                self._copies[group.classes] += others * taken
                value += others * float(price[group.classes] @ taken)
        return int(value)

    def _price_crossing(self, crossing: CrossingServers, price: NDArray[np.float64], grid: int) -> int:
        """The same by branch and bound, each server from the set that it took last, which may be worth less than its bound."""
        model, total = self.instance.classes.model, 0
        self._copies[:] = 0
        for group, held in zip(self.groups, self._x, strict=True):
            mine, alike = group.classes, len(group.servers)
            value = np.bincount(model[mine], weights=price[mine], minlength=held.size).astype(np.float64)
            held[value == 0] = 0
            total += alike * crossing.solve(group.servers[0], value, held, grid)[1]
            self._copies[mine] += alike * held[model[mine]]
        return total

    def run(
        self, best_known: int, *, max_steps: int | None = None, stop: float | None = None, gap: float = 0.0, refine: bool = False
    ) -> None:
        """Polyak steps towards ``best_known``, the exact weight of some placement.

        Stops when the bound is within ``gap`` of it, when steps have become too short to matter, after ``max_steps``, or at
        the time ``stop`` (``time.perf_counter``). With ``refine`` the best prices are then priced once on the second grid.
        """
        done = 0
        while not self.converged and (max_steps is None or done < max_steps) and self.in_time(stop):
            if self.weight - best_known <= gap * self.weight:
                break
            if self._scale < _GRIDS[self._stage].shortest and not self.next_grid():  # as good as this grid gets
                break
            done += 1
            self._step(best_known)
        if refine and self._coarse_weight != self._refined and self.weight > best_known and self.in_time(stop, _LATE_S):
            self._refined = self._coarse_weight
            self.weight = min(self.weight, self.evaluate(self.price, 1))

    def next_grid(self) -> bool:
        """Go on with a finer grid of sizes; False if there is none."""
        if self._stage == len(_GRIDS) - 1:
            return False
        self._stage, self._idle = self._stage + 1, 0
        self._scale = _GRIDS[self._stage].first
        return True

    def in_time(self, stop: float | None, late_s: float = 0.0) -> bool:
        """Whether another pricing, which takes as long as the last one, ends at most ``_LATE_S`` after ``stop``, and begins before."""
        now = time.perf_counter()
        return stop is None or (now < stop + late_s and now + self._took_s < stop + _LATE_S)

    def try_prices(self, price: NDArray[np.float64]) -> list[bytes]:
        """Price once at ``price`` (whole numbers within [0, weight]); the sets found, packed. The bound can only fall."""
        bound = self.evaluate(price)
        self.steps += 1
        if bound < self._coarse_weight:
            self._coarse_weight, self.price, self._now = bound, price, price
            self._direction[:] = 0
            self.weight = min(self.weight, bound)
        return self._seen()

    def best_set(self, group: int) -> NDArray[np.uint8]:
        """uint8[I]: what a server of that group holds at the prices evaluated last."""
        row: NDArray[np.uint8] = self._x[group]
        return row

    def _seen(self) -> list[bytes]:
        found = [row.tobytes() for row in np.packbits(self._x, axis=1)]
        for seen, packed in zip(self.columns, found, strict=True):
            seen[packed] = self.steps
        return found

    def _step(self, best_known: int) -> None:
        price = self._now
        bound = self.evaluate(price)
        self.steps += 1
        self._seen()
        if bound < self._coarse_weight:
            self._idle = 0 if self._coarse_weight - bound > 1e-5 * self._coarse_weight else self._idle + 1
            self._coarse_weight, self.price = bound, price
            self.weight = min(self.weight, bound)
        else:
            self._idle += 1
        if self._idle >= _PATIENCE:
            self._idle, self._scale = 0, self._scale * 0.7
            self._now = self.price  # from the best again
            self._direction[:] = 0
            return
        # Only classes below their weight are surely counted as served; at it, being served is worth nothing.
        served = np.minimum(self._copies, 1.0)
        slope = self._copies - np.where(price < self._weight, 1.0, served)
        # A price at an end of its range cannot follow a slope that leads out of it.
        slope[(price <= 0) & (slope > 0)] = 0
        length = float(slope @ slope)
        if length == 0:
            self._scale = 0.0
            return
        inner = float(self._direction @ slope)
        norm = float(self._direction @ self._direction)
        mix = max(0.0, -inner / norm) if norm > 0 else 0.0  # Camerini, Fratta, Maffioli (1975)
        direction = slope + 1.5 * mix * self._direction
        self._direction = direction
        step = self._scale * (bound - best_known) / float(direction @ direction)
        self._now = np.clip(np.rint(price - step * direction), 0, self._weight)
