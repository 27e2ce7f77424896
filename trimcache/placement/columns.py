"""Combining whole sets of models, one a server: an integer program over given sets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.graph import Atoms
from trimcache.placement._instance import Instance
from trimcache.placement.interchangeable import Group

__all__ = ["best_combination", "fitting_sets", "set_rows"]

_OPTIMAL = 0  # the status of ``scipy.optimize.milp`` when it has come to its end

Sets = list[NDArray[np.bool_]]
"""Per group of servers bool[n, I]: the sets of models that each of its servers may hold."""


def set_rows(instance: Instance, groups: list[Group], sets: Sets) -> tuple[Any, NDArray[np.int64]]:
    """The constraints of a choice: ``served[r] <= copies[r]`` and one set a server, over the sets of all groups, then the classes.

    Returns:
        A sparse matrix [R + G, Z + R] and the group of each of the Z sets.
    """
    from scipy.sparse import csr_matrix

    classes = instance.classes
    rows, columns = [], []
    group_of = np.repeat(np.arange(len(groups)), [len(table) for table in sets])
    done = 0
    for group, table in zip(groups, sets, strict=True):
        which, served = np.nonzero(table[:, classes.model[group.classes]])
        rows.append(group.classes[served])
        columns.append(done + which)
        done += len(table)
    n_y = classes.n_classes
    row = np.concatenate([*rows, np.arange(n_y), n_y + group_of])
    column = np.concatenate([*columns, done + np.arange(n_y), np.arange(done)])
    value = np.concatenate([np.full(row.size - n_y - done, -1.0), np.ones(n_y + done)])
    return csr_matrix((value, (row, column)), shape=(n_y + len(groups), done + n_y)), group_of


def best_combination(
    instance: Instance,
    groups: list[Group],
    sets: Sets,
    best_known: int,
    time_limit_s: float | None,
    node_limit: int | None = None,
) -> tuple[list[NDArray[np.bool_]] | None, float, bool]:
    """One of the given sets for each server, so that together they serve most.

    Args:
        best_known: exact weight that is already served; combinations up to it are of no use.
        time_limit_s, node_limit: of the solver (HiGHS, ``scipy.optimize.milp``).

    Returns:
        The sets of all servers, None if the solver finds nothing better; the most that any such choice serves, as far as the
        solver has proven it (its tolerances not added); and whether it came to its end.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    classes, n_servers = instance.classes, instance.problem.n_servers
    n_z, n_y = sum(map(len, sets)), classes.n_classes
    if not n_z or not n_y:
        return None, np.inf, False
    matrix, group_of = set_rows(instance, groups, sets)
    size = np.array([len(group.servers) for group in groups], dtype=np.float64)
    scale = float(classes.weight.sum())
    options: dict[str, Any] = {"mip_rel_gap": 1e-7}
    if time_limit_s is not None:
        options["time_limit"] = max(0.01, time_limit_s)
    if node_limit is not None:
        options["node_limit"] = node_limit
    result = milp(
        np.concatenate([np.zeros(n_z), -classes.weight / scale]),
        constraints=LinearConstraint(matrix, -np.inf, np.concatenate([np.zeros(n_y), size])),
        bounds=Bounds(0.0, np.concatenate([size[group_of], np.ones(n_y)])),
        integrality=np.concatenate([np.ones(n_z), np.zeros(n_y)]),
        options=options,
    )
    dual = result.mip_dual_bound
    proven = instance.pinned_weight - dual * scale if dual is not None and np.isfinite(dual) else np.inf
    if result.x is None or -result.fun * scale + instance.pinned_weight <= best_known:
        return None, proven, result.status == _OPTIMAL
    chosen = [np.zeros(instance.problem.n_models, dtype=bool) for _ in range(n_servers)]
    flat = np.concatenate(sets)
    for n, group in enumerate(groups):
        mine = np.flatnonzero(group_of == n)
        copies = np.rint(result.x[mine]).astype(np.int64)
        for m, column in zip(group.servers, np.repeat(mine, copies).tolist(), strict=False):
            chosen[m] = flat[column]
    return chosen, proven, result.status == _OPTIMAL


def fitting_sets(instance: Instance, groups: list[Group], found: list[dict[bytes, int]], most: int) -> Sets:
    """The newest ``most`` sets of each group (packed bits -> when last seen) that really fit, unpacked.

    Pricing may count sizes from below, so a set may be a little too large: it then loses its least asked models.
    """
    atoms, classes = instance.problem.graph.atoms(), instance.classes
    n_models = instance.problem.n_models
    asked = np.zeros(n_models)
    np.add.at(asked, classes.model, classes.weight.astype(np.float64))
    result = []
    for group, seen in zip(groups, found, strict=True):
        held = np.zeros(atoms.n_atoms, dtype=bool)
        held[instance.resident.get(group.servers[0], atoms.indices[:0])] = True
        kept: dict[bytes, NDArray[np.bool_]] = {}
        for packed in sorted(seen, key=lambda key: (-seen[key], key))[:most]:
            chosen = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=n_models).astype(bool)
            while _bytes(atoms, chosen, held) > group.room[0]:
                models = np.flatnonzero(chosen)
                chosen[models[int(asked[models].argmin())]] = False
            kept[chosen.tobytes()] = chosen
        result.append(np.array(list(kept.values()), dtype=bool).reshape(-1, n_models))
    return result


def _bytes(atoms: Atoms, chosen: NDArray[np.bool_], held: NDArray[np.bool_]) -> int:
    need = np.zeros(atoms.n_atoms, dtype=bool)
    for i in np.flatnonzero(chosen).tolist():
        need[atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]]] = True
    return int(atoms.atom_bytes[need & ~held].sum())
