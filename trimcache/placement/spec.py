"""TrimCaching Spec, the paper's algorithm for a small fixed number of shared blocks (section 2)."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import ProblemError
from trimcache.placement._greedy import charge_missing_atoms
from trimcache.placement._jit import read_only
from trimcache.placement._kernels_spec import spec_server
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["EPSILON", "MAX_UNIONS", "spec"]

EPSILON = 0.1
"""The paper's eps (our reading of its setting)."""

MAX_UNIONS = 100_000
"""Combinations of shared blocks of one server at most."""


def spec(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None, eps: float = EPSILON) -> Placement:
    """TrimCaching Spec: servers one after another in index order, each by a knapsack for every combination of shared blocks.

    The value of a model is the demand that it newly serves given the earlier servers. For each combination N of shared
    blocks that fits, models whose shared blocks lie inside N compete for what N leaves, with their specific bytes as
    weights, by a dynamic program over values rounded with ``eps``; the best N is kept. Only unions of shared blocks that some set of
    models needs are visited (the others cannot be better). ``seed`` and ``time_limit_s`` change nothing.

    Guarantee: (1 - eps) / (2 - eps) of the optimum, so (1 - eps) / 2. Complexity: O(M U I^2 V / eps), U unions, V the
    summed values over the largest: exponential where sharing is general. Refuses above ``MAX_UNIONS``.

    Reference: Qu et al., TrimCaching, arXiv 2404.14204, the algorithm for the special case.

    Raises:
        ProblemError: a server has more than ``MAX_UNIONS`` unions of shared blocks.
    """
    begin = time.perf_counter()
    instance, classes = problem.instance, problem.instance.classes
    cost = charge_missing_atoms(problem.graph)
    resident, free = cost.start(instance)
    served = np.zeros(classes.n_classes, dtype=bool)
    rows: list[NDArray[np.int64]] = []
    for m in range(problem.n_servers):
        mine = classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]
        mine = mine[~served[mine]]
        value = np.zeros(problem.n_models, dtype=np.int64)
        np.add.at(value, classes.model[mine], classes.weight[mine])
        models = np.flatnonzero((value > 0) & (cost.private_bytes <= free[m]))
        needs = []
        for i in models.tolist():
            atoms = cost.shared_atoms[cost.shared_ptr[i] : cost.shared_ptr[i + 1]]
            needs.append(frozenset(atoms[resident[atoms, m] == 0].tolist()))
        inside, room = _unions(needs, cost.shared_bytes, int(free[m]), m)
        chosen = spec_server(
            read_only(inside.reshape(-1), np.uint8), read_only(room, np.int64), read_only(value[models], np.int64),
            read_only(cost.private_bytes[models], np.int64), models.size, read_only(np.array([eps]), np.float64),
        )  # fmt: skip
        rows.append(models[chosen.astype(bool)])
        served[mine[np.isin(classes.model[mine], rows[-1])]] = True
    return Placement(problem, instance.with_pins([row.tolist() for row in rows]), "spec", time.perf_counter() - begin)


def _unions(
    needs: list[frozenset[int]], shared_bytes: NDArray[np.int64], free: int, server: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Every union of needs that fits: which needs lie inside it, uint8[U, n], and what it leaves, int64[U]."""
    atoms = sorted(frozenset().union(*needs))
    bit = {atom: 1 << n for n, atom in enumerate(atoms)}
    size = [int(shared_bytes[atom]) for atom in atoms]
    masks = [sum(bit[atom] for atom in need) for need in needs]
    found = {0: 0}  # union -> bytes
    for mask in sorted(set(masks)):
        for union, nbytes in list(found.items()):
            new = mask & ~union
            if not new or union | mask in found:
                continue
            more = nbytes
            while new:
                low = new & -new
                more += size[low.bit_length() - 1]
                new ^= low
            if more <= free:
                found[union | mask] = more
        if len(found) > MAX_UNIONS:
            problem = f"more than {MAX_UNIONS} combinations of shared blocks at server {server}"
            raise ProblemError("algorithm 'spec'", problem, "use spec-tree, which needs none, or auto")
    order = {mask: n for n, mask in enumerate(sorted(set(masks)))}
    column = np.array([order[mask] for mask in masks], dtype=np.int64)
    table = np.zeros((len(found), len(order)), dtype=np.uint8)
    for mask, n in order.items():
        table[:, n] = [mask & ~union == 0 for union in found]
    return table[:, column], free - np.fromiter(found.values(), dtype=np.int64, count=len(found))
