"""Small problems solved to the end: every set of models that fits and can matter, then the best choice among them.

A server holds, without loss, a set to which nothing can be added. Where a server holds only a few models of a small library there are
hundreds or thousands of such sets, and an integer program over all of them is the whole problem, without knapsacks: its bound
is much tighter than that of prices. Prices thin it out first: a placement with set S on server m serves at most ::

    L(price) - (the best set of m at these prices - S at these prices)

so sets for which that is not above the best known placement are left out.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._instance import Instance
from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.columns import best_combination

__all__ = ["Packings"]

_MOST_MODELS = 64  # beyond, there are far too many sets
_MOST_SETS = 20_000  # of one room
_MOST_CALLS = 400_000  # of the enumeration: about a second
_SLACK = 1e-6  # the solver's own tolerances, added to the bound that it reports


class Packings:
    """All maximal sets of each room, once; ``solve`` when the prices are good. ``sets`` is None where there are too many."""

    def __init__(self, lagrangian: LagrangianBound, stop: float | None = None) -> None:
        self._lagrangian = lagrangian
        instance = lagrangian.instance
        asked = np.unique(instance.classes.model)
        self.sets: dict[tuple[int, bytes], NDArray[np.bool_]] | None = {} if asked.size <= _MOST_MODELS else None
        for group in lagrangian.groups:
            if self.sets is None or group.room in self.sets:
                continue
            found = _maximal_sets(instance, group.servers[0], asked.tolist(), stop)
            if found is None:
                self.sets = None
            else:
                self.sets[group.room] = found

    def solve(
        self, best_known: int, time_limit_s: float | None, node_limit: int | None = None, most: int | None = None
    ) -> list[NDArray[np.bool_]] | None:
        """The best choice of sets if it serves more than ``best_known``; lowers the bound's ``weight`` by what is proven.

        Args:
            most: give up when more sets than that can matter.
        """
        lagrangian, instance = self._lagrangian, self._lagrangian.instance
        if self.sets is None:
            return None
        classes, price = instance.classes, lagrangian.price
        bound = lagrangian.evaluate(price)
        kept = []
        for n, group in enumerate(lagrangian.groups):
            value = np.zeros(instance.problem.n_models)
            np.add.at(value, classes.model[group.classes], price[group.classes])
            table = self.sets[group.room]
            best = float(value @ lagrangian.best_set(n))
            table = table[bound - best + table @ value > best_known]
            reached = np.zeros(instance.problem.n_models, dtype=bool)
            reached[classes.model[group.classes]] = True
            kept.append(np.unique(table & reached, axis=0))
        if not all(map(len, kept)):  # a server for which no set can be part of anything better
            lagrangian.weight = best_known
            return None
        if most is not None and sum(map(len, kept)) > most:
            return None
        chosen, proven = best_combination(instance, lagrangian.groups, kept, best_known, time_limit_s, node_limit)
        if np.isfinite(proven):
            slack = _SLACK * float(classes.weight.sum())
            lagrangian.weight = max(best_known, min(lagrangian.weight, int(proven + slack) + 1))
        return chosen


def _maximal_sets(instance: Instance, server: int, models: list[int], stop: float | None) -> NDArray[np.bool_] | None:
    """bool[n, I]: the sets of ``models`` that fit ``server`` and to which none of them can be added; None: too many."""
    atoms = instance.problem.graph.atoms()
    size = atoms.atom_bytes.tolist()
    present = set(instance.resident.get(server, atoms.indices[:0]).tolist())
    need = {i: [a for a in atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]].tolist() if a not in present] for i in models}
    order = sorted(models, key=lambda i: (-sum(size[a] for a in need[i]), i))
    room = int(instance.free_bytes[server])
    found: list[list[int]] = []
    calls = 0
    # (position in the order, models taken, blocks held, bytes left, models left out that fitted then)
    stack: list[tuple[int, list[int], frozenset[int], int, list[int]]] = [(0, [], frozenset(), room, [])]
    while stack:
        at, taken, held, left, out = stack.pop()
        calls += 1
        if calls > _MOST_CALLS or len(found) > _MOST_SETS:
            return None
        if stop is not None and calls % 1024 == 0 and time.perf_counter() >= stop:
            return None
        while at < len(order):
            i = order[at]
            at += 1
            missing = sum(size[a] for a in need[i] if a not in held)
            if missing > left:
                continue
            if missing:  # without it, unless it costs nothing
                stack.append((at, taken, held, left, [*out, i]))
            taken, held, left = [*taken, i], held.union(need[i]), left - missing
        if all(sum(size[a] for a in need[i] if a not in held) > left for i in out):
            found.append(taken)
    table = np.zeros((len(found), instance.problem.n_models), dtype=bool)
    for row, taken in zip(table, found, strict=True):
        row[taken] = True
    return table
