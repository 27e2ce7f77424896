"""Combining whole sets of models, one a server: a restricted program over the sets found so far."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._instance import Instance
from trimcache.placement._state import State

__all__ = ["best_combination", "fitting_sets"]


def best_combination(
    instance: Instance, sets: list[list[NDArray[np.bool_]]], best_known: int, time_limit_s: float | None, node_limit: int | None = None
) -> list[NDArray[np.bool_]] | None:
    """One of the given sets for each server, so that together they serve most; None if the solver finds nothing better.

    Args:
        sets: per server, sets bool[I] that fit it.
        best_known: exact weight that is already served; combinations below it are of no use.
        time_limit_s, node_limit: of the solver (HiGHS, ``scipy.optimize.milp``).
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    classes, n_servers = instance.classes, instance.problem.n_servers
    server = np.repeat(np.arange(n_servers), [len(row) for row in sets])
    flat = [one for row in sets for one in row]
    if not flat or not classes.n_classes:
        return None
    rows, columns = [], []
    for place, (m, chosen) in enumerate(zip(server.tolist(), flat, strict=True)):
        mine = classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]
        served = mine[chosen[classes.model[mine]]]
        rows.append(served)
        columns.append(np.full(served.size, place))
    n_z, n_y = len(flat), classes.n_classes
    row, column = np.concatenate(rows), np.concatenate(columns)
    row = np.concatenate([row, np.arange(n_y), n_y + server])
    column = np.concatenate([column, n_z + np.arange(n_y), np.arange(n_z)])
    value = np.concatenate([np.full(row.size - n_y - n_z, -1.0), np.ones(n_y + n_z)])
    matrix = csr_matrix((value, (row, column)), shape=(n_y + n_servers, n_z + n_y))
    upper = np.concatenate([np.zeros(n_y), np.ones(n_servers)])
    scale = float(classes.weight.sum())
    objective = np.concatenate([np.zeros(n_z), -classes.weight / scale])
    options: dict[str, Any] = {"mip_rel_gap": 1e-6}
    if time_limit_s is not None:
        options["time_limit"] = max(0.01, time_limit_s)
    if node_limit is not None:
        options["node_limit"] = node_limit
    whole = np.concatenate([np.ones(n_z), np.zeros(n_y)])
    result = milp(
        objective, constraints=LinearConstraint(matrix, -np.inf, upper), bounds=Bounds(0.0, 1.0), integrality=whole, options=options
    )
    if result.x is None or -result.fun * scale + instance.pinned_weight <= best_known:
        return None
    chosen_sets = [np.zeros(instance.problem.n_models, dtype=bool) for _ in range(n_servers)]
    for column_index in np.flatnonzero(result.x[:n_z] > 0.5).tolist():
        chosen_sets[int(server[column_index])] = flat[column_index]
    return chosen_sets


def fitting_sets(state: State, found: list[dict[bytes, int]], most: int) -> list[list[NDArray[np.bool_]]]:
    """The newest ``most`` sets of each server (packed bits -> when last seen) that really fit, unpacked.

    Pricing counts sizes from below, so a set may be a little too large: it then loses its least asked models.
    """
    instance = state.instance
    atoms, classes = instance.problem.graph.atoms(), instance.classes
    n_models = instance.problem.n_models
    asked = np.zeros(n_models)
    np.add.at(asked, classes.model, classes.weight.astype(np.float64))
    result = []
    for m, seen in enumerate(found):
        held = np.zeros(atoms.n_atoms, dtype=bool)
        held[instance.resident.get(m, atoms.indices[:0])] = True
        kept: dict[bytes, NDArray[np.bool_]] = {}
        for packed in sorted(seen, key=lambda key: (-seen[key], key))[:most]:
            chosen = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=n_models).astype(bool)
            while _bytes(atoms, chosen, held) > instance.free_bytes[m]:
                models = np.flatnonzero(chosen)
                chosen[models[int(asked[models].argmin())]] = False
            kept[chosen.tobytes()] = chosen
        result.append(list(kept.values()))
    return result


def _bytes(atoms: Any, chosen: NDArray[np.bool_], held: NDArray[np.bool_]) -> int:
    need = np.zeros(atoms.n_atoms, dtype=bool)
    for i in np.flatnonzero(chosen).tolist():
        need[atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]]] = True
    return int(atoms.atom_bytes[need & ~held].sum())
