"""Small problems solved to the end: every set of models that can still matter, then the best choice among them.

A server holds, without loss, a set to which nothing can be added. Prices rule most of these out: a placement with set S on server
m serves at most ::

    L(price) - (the best set of m at these prices - S at these prices)

so only sets for which that is above the best known placement are listed (``_kernels_sets``). Where prices have done their work these are
hundreds or thousands, and an integer program over all of them is the whole problem, without knapsacks: its bound is much tighter than
that of prices, and where it ends, its best is the optimum (to the solver's tolerance).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._greedy import charge_missing_atoms
from trimcache.placement._jit import read_only
from trimcache.placement._kernels_sets import list_sets
from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.columns import best_combination

__all__ = ["Packings"]

_MOST_NUMBERS = 4_000_000  # of the table of one server's sets, and of the table of its knapsack
_CELLS = 2000  # of the knapsack's grid that guides the listing
_SLACK = 1e-6  # the solver's own tolerances, added to the bound that it reports


class Packings:
    """The sets that can matter, listed anew whenever prices or the best known placement are better.

    Attributes:
        solved: an integer program over all sets that matter has ended: no placement is better than the one known or found, up to the
            solver's tolerance.
    """

    def __init__(self, lagrangian: LagrangianBound) -> None:
        self._lagrangian = lagrangian
        self.solved = False
        instance, tree = lagrangian.instance, lagrangian.tree
        cost = charge_missing_atoms(instance.problem.graph)
        self._tree = read_only(tree.parent, np.int32), read_only(tree.end, np.int32), read_only(tree.model, np.int32)
        self._charge = tree.charges(instance, crossing=False)
        self._exact = (*cost.arrays(), read_only(cost.start(instance)[0].reshape(-1), np.uint8))
        self._cells = max(1, min(_CELLS, _MOST_NUMBERS // (tree.n_nodes + 1)))
        self._table = np.empty((tree.n_nodes + 1) * (self._cells + 2))
        self._work = np.empty(6 * tree.n_nodes + 6, dtype=np.int64)
        self._held = np.empty(cost.shared_bytes.size, dtype=np.int64)
        self._take = np.empty(instance.problem.n_models, dtype=np.uint8)

    def sets(self, best_known: float, most: int) -> list[NDArray[np.bool_]] | None:
        """The sets of each group of servers, bool[n, I], that can be part of serving more than ``best_known``.

        None: they are more than ``most``, or listing them takes too long.
        """
        lagrangian, instance = self._lagrangian, self._lagrangian.instance
        classes, price, n_models = instance.classes, lagrangian.price, instance.problem.n_models
        bound = lagrangian.evaluate(price)
        listed: list[NDArray[np.bool_]] = []
        for n, group in enumerate(lagrangian.groups):
            rows = min(most - sum(map(len, listed)), _MOST_NUMBERS // max(n_models, 1))
            value = np.zeros(n_models)
            np.add.at(value, classes.model[group.classes], price[group.classes])
            allowed = np.zeros(n_models, dtype=np.uint8)
            allowed[classes.model[group.classes]] = 1
            server = group.servers[0]
            found = np.empty((rows, n_models), dtype=np.uint8)
            number = list_sets(
                read_only(value, np.float64), read_only(allowed, np.uint8), *self._tree,
                read_only(self._charge[server if len(self._charge) > 1 else 0], np.int64), int(instance.free_bytes[server]), server,
                self._cells, read_only([best_known - bound + float(value @ lagrangian.best_set(n))], np.float64), *self._exact,
                self._table, self._work, self._held, self._take, found,
            )  # fmt: skip
            if number < 0:
                return None
            listed.append(found[:number].astype(np.bool_))
        return listed

    def solve(
        self, best_known: int, sets: list[NDArray[np.bool_]], time_limit_s: float | None = None, node_limit: int | None = None
    ) -> list[NDArray[np.bool_]] | None:
        """The best choice of ``sets`` (of ``sets(best_known)``) if it serves more than ``best_known``, one row a server.

        Lowers the bound's ``weight`` by what is proven.
        """
        lagrangian, instance = self._lagrangian, self._lagrangian.instance
        if not all(map(len, sets)):  # a server for which no set can be part of anything better
            lagrangian.weight, self.solved = best_known, True
            return None
        chosen, proven, ended = best_combination(instance, lagrangian.groups, sets, best_known, time_limit_s, node_limit)
        if np.isfinite(proven):
            slack = _SLACK * float(instance.classes.weight.sum())
            lagrangian.weight = max(best_known, min(lagrangian.weight, int(proven + slack) + 1))
        self.solved = ended
        return chosen
