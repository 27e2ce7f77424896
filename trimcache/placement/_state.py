"""Servers' contents while algorithms improve them: arrays for the compiled loops over the sharing tree."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._greedy import charge_missing_atoms
from trimcache.placement._instance import Classes, Instance
from trimcache.placement._jit import read_only
from trimcache.placement._kernels_tree import solve_servers
from trimcache.placement.crossing import CrossingServers
from trimcache.placement.evaluate import Held
from trimcache.placement.tree import SharingTree, sharing_tree_of

__all__ = ["State", "grid_steps", "most_states"]

_CELLS = 400_000  # of the knapsack's table: 3 MB, a fraction of a millisecond
_FEWEST_STEPS, _MOST_STEPS = 400, 8192
_MOST_STATES, _MOST_NODES = 10, 20_000  # of a branch and bound where sharing crosses, and of the trees of all its states together


def grid_steps(n_nodes: int, cells: int = _CELLS, most: int = _MOST_STEPS) -> int:
    """Steps of capacity for a tree: as fine as the table of ``cells`` allows, at least 400 and at most ``most``."""
    return max(_FEWEST_STEPS, min(cells // max(n_nodes, 1), most))


def most_states(tree: SharingTree, most: int = _MOST_STATES, nodes: int = _MOST_NODES, least: int = 0) -> int:
    """States of a branch and bound over crossing atoms: ``most`` if everything crosses, fewer in a large tree; 0: nothing crosses.

    Where little crosses, what the shares miss is little, and a state costs the same.
    """
    return max(min(nodes // max(tree.n_nodes, 1), math.ceil(most * tree.crossing_share)), least) if tree.crossing_bytes else 0


def _kernel_arguments(instance: Instance, classes: Classes) -> tuple[Any, ...]:
    """What every call of ``solve_servers`` takes and none changes, made once for the classes: half of solving a small problem."""
    known: tuple[Any, ...] | None = classes.__dict__.get("_kernel_arguments")
    if known is not None:
        return known
    tree, cost = sharing_tree_of(instance), charge_missing_atoms(instance.problem.graph)
    resident, _ = cost.start(instance)
    demand = (
        read_only(classes.model, np.int32), read_only(classes.weight, np.int64), read_only(classes.server_ptr, np.int64),
        read_only(classes.server_classes, np.int32), read_only(tree.parent, np.int32), read_only(tree.end, np.int32),
        read_only(tree.model, np.int32), read_only(tree.charges(instance).reshape(-1), np.int64),
    )  # fmt: skip
    exact = (*cost.arrays(), read_only(resident.reshape(-1), np.uint8))
    made = (demand, read_only(np.zeros(0), np.float64), read_only(instance.free_bytes, np.int64), exact)
    object.__setattr__(classes, "_kernel_arguments", made)
    return made


class State:
    """What each server holds beyond its pins, and how many servers serve each class; changed in place.

    Attributes:
        classes: the demand, merged if not given. x: uint8[M, I]. count: int32[R], servers that serve each class of requests.
        served: exact weight served, pins included.
    """

    def __init__(self, instance: Instance, steps: int | None = None, classes: Classes | None = None) -> None:
        problem, classes = instance.problem, instance.classes if classes is None else classes
        self.classes = classes
        tree = sharing_tree_of(instance)
        self.instance, self.tree = instance, tree
        self.steps = grid_steps(tree.n_nodes) if steps is None else steps
        self.x = np.zeros((problem.n_servers, problem.n_models), dtype=np.uint8)
        self.count = np.zeros(classes.n_classes, dtype=np.int32)
        self.served = instance.pinned_weight
        self._demand, self._no_toll, self._free, self._exact = _kernel_arguments(instance, classes)
        self._table = np.empty((tree.n_nodes + 1) * (self.steps + 1))
        most = most_states(tree)
        self._crossing = CrossingServers(tree, instance, most, self._table) if most else None

    def load(self, held: Held) -> State:
        """Hold this placement instead (pins need not be left out)."""
        problem = self.instance.problem
        self.x[:] = 0
        self.x[np.repeat(np.arange(problem.n_servers), np.diff(held[0])), held[1]] = 1
        self.x[np.divmod(problem.pinned, max(problem.n_models, 1))] = 0
        self._recount()
        return self

    def clear(self, servers: Iterable[int]) -> None:
        """Take everything but pins off some servers."""
        classes = self.classes
        for m in servers:
            mine = classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]
            mine = mine[self.x[m, classes.model[mine]] > 0]
            self.count[mine] -= 1
            self.served -= int(classes.weight[mine[self.count[mine] == 0]].sum())
            self.x[m] = 0

    def solve(self, servers: Any, *, keep: bool, toll: NDArray[np.float64] | None = None) -> int:
        """Solve servers one after another (``solve_servers``); the change of served weight, which is applied."""
        change = self._solve(servers, int(keep), self._demand, toll)
        self.served += change
        return change

    def solve_by(self, servers: Any, worth: NDArray[np.int64]) -> None:
        """Solve servers one after another as if serving class ``r`` were worth ``worth[r]``; what they held is dropped."""
        self._solve(servers, 0, (self._demand[0], read_only(worth, np.int64), *self._demand[2:]), None)
        self.served = self.instance.pinned_weight + int(self.classes.weight[self.count > 0].sum())

    def _solve(self, servers: Any, keep: int, demand: tuple[Any, ...], toll: NDArray[np.float64] | None) -> int:
        branching = self._crossing is not None and toll is None
        change = 0
        for part in np.asarray(servers)[:, None] if branching else (servers,):
            change += solve_servers(
                read_only(part, np.int32), keep, *demand, self._no_toll if toll is None else read_only(toll.reshape(-1), np.float64),
                self._free, self.steps, *self._exact, self.x, self.count, self._table,
            )  # fmt: skip
            if branching:
                change += self._branch(int(part[0]), demand[1])
        return int(change)

    def _branch(self, m: int, weight: NDArray[np.int64]) -> int:
        """Put a better set on a server, by branch and bound, if there is one: by how much it serves more ``weight``."""
        assert self._crossing is not None
        classes, held = self.classes, self.x[m]
        mine = classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]
        model = classes.model[mine]
        others = self.count[mine] - held[model]
        value = np.bincount(model, weights=np.where(others == 0, weight[mine], 0), minlength=held.size).astype(np.float64)
        held[value == 0] = 0  # serves nothing that others do not, and takes room
        before = value @ held
        better, _ = self._crossing.solve(m, value, held, self.steps)
        self.count[mine] = others + held[model]
        return better - int(before)

    def save(self) -> tuple[NDArray[np.uint8], NDArray[np.int32], int]:
        """A copy to come back to."""
        return self.x.copy(), self.count.copy(), self.served

    def restore(self, saved: tuple[NDArray[np.uint8], NDArray[np.int32], int]) -> None:
        """Come back to a copy."""
        self.x[:], self.count[:], self.served = saved

    def held(self) -> Held:
        """The placement, pins included."""
        problem, table = self.instance.problem, self.x
        if problem.pinned.size:
            table = table.copy()
            table.reshape(-1)[problem.pinned] = 1
        server, model = np.nonzero(table)
        return np.searchsorted(server, np.arange(problem.n_servers + 1)), model.astype(np.int32)

    def _recount(self) -> None:
        classes = self.classes
        self.count[:] = 0
        for m in range(self.instance.problem.n_servers):
            mine = classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]
            self.count[mine] += self.x[m, classes.model[mine]]
        self.served = self.instance.pinned_weight + int(classes.weight[self.count > 0].sum())
