"""One server's best set where sharing crosses the tree: branch and bound, with the tree's knapsack where its shares are about right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._greedy import charge_missing_atoms
from trimcache.placement._instance import Instance
from trimcache.placement._jit import read_only
from trimcache.placement._kernels_crossing import BEST, BOUND, OPEN, ROOM, branch
from trimcache.placement._kernels_tree import price_servers
from trimcache.placement.tree import SharingTree

__all__ = ["CrossingServers"]

_MOST_SHARES = 4_000_000  # numbers kept: beyond, each server starts from the shares of the one before


class CrossingServers:
    """The servers of an instance, each a knapsack over a tree that X atoms cross: E of its nodes charge them.

    Guarantee: what is found fits, and no set is worth more than the bound; they meet unless ``most`` states were too few or the grid of
    the knapsack too coarse. Complexity: exponential in X at worst; a state takes O(N + E x depth).

    Attributes:
        most: states that may be looked into for one server and its values.
    """

    def __init__(self, tree: SharingTree, instance: Instance, most: int, table: NDArray[np.float64]) -> None:
        n_models = instance.problem.n_models
        entry = np.flatnonzero(tree.crosses[tree.charge_atoms])
        entry = entry[np.argsort(tree.charge_atoms[entry], kind="stable")]
        atoms, count = np.unique(tree.charge_atoms[entry], return_counts=True)
        base = tree.charges(instance, crossing=False)
        size = np.repeat(instance.problem.graph.atoms().atom_bytes[atoms][None, :], len(base), axis=0)
        for m, there in instance.resident.items():
            size[m, np.isin(atoms, there)] = 0
        cost = charge_missing_atoms(instance.problem.graph)
        self.most, self._free = most, instance.free_bytes
        self._n_atoms, self._n_nodes, self._n_servers = atoms.size, tree.n_nodes, instance.problem.n_servers
        self._tree = read_only(tree.parent, np.int32), read_only(tree.end, np.int32), read_only(tree.model, np.int32)
        self._base, self._size = read_only(base.reshape(-1), np.int64), read_only(size.reshape(-1), np.int64)
        self._groups = read_only(np.concatenate(([0], np.cumsum(count))), np.int64), read_only(tree.charging_node[entry], np.int64)
        self._exact: tuple[Any, ...] = (*cost.arrays(), read_only(cost.start(instance)[0].reshape(-1), np.uint8))
        rows = self._n_servers if self._n_servers * entry.size <= _MOST_SHARES else 1
        self._share = np.tile(np.repeat(size[0] / np.maximum(count, 1), count), rows)  # equal at first
        self._memo = np.zeros(6)
        self._bound, self._decided = np.empty(2 * most), np.zeros((2 * most + 1) * atoms.size, dtype=np.int64)
        self._scratch, self._charge, self._table = np.empty(6 * tree.n_nodes), np.empty(tree.n_nodes, dtype=np.int64), table
        self._take, self._copies = np.zeros((1, n_models), dtype=np.uint8), np.zeros(n_models)
        self._models = read_only(np.arange(n_models), np.int32), read_only([0, n_models], np.int64)
        self._nothing, self._solved = read_only(np.zeros(0), np.float64), np.empty(1)

    def solve(self, server: int, value: NDArray[np.float64], known: NDArray[np.uint8], steps: int) -> tuple[int, int]:
        """The best set of ``server`` for ``value`` float64[I] (whole numbers) replaces ``known`` uint8[I], which fits.

        Args:
            steps: the grid of the knapsack.

        Returns:
            The value of the set, and a bound on that of any set.
        """
        memo, value = self._memo, read_only(value, np.float64)
        memo[:] = 0
        memo[BEST], memo[OPEN] = value @ known, 1
        self._bound[0] = np.inf
        self._decided[: self._n_atoms] = 0
        n_shares = self._groups[1].size
        row, cross_row = (server * n if stored.size > n else 0 for stored, n in ((self._base, self._n_nodes), (self._size, self._n_atoms)))
        rows = row, *self._groups, self._size, cross_row, self._share, server * n_shares if self._share.size > n_shares else 0
        take = self._take[0]
        solved = self._nothing
        while branch(
            value, self._tree[0], self._tree[2], self._base, *rows, int(self._free[server]), server, self._n_servers, *self._exact, solved,
            memo, self._bound, self._decided, self._scratch, self._charge, take, known,
        ):  # fmt: skip
            self._solved[0] = self._knapsack(value, int(memo[ROOM]), steps)
            solved = read_only(self._solved, np.float64)
        return int(memo[BEST]), int(memo[BOUND])

    def _knapsack(self, value: NDArray[np.float64], room: int, steps: int) -> float:
        models, ends = self._models
        worth = price_servers(
            value, models, ends, models, *self._tree, read_only(self._charge, np.int64), self._nothing, read_only([room], np.int64),
            steps, self._take, self._copies, self._table,
        )  # fmt: skip
        return float(worth)
