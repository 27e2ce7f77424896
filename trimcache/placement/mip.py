"""The whole problem as one mixed integer program: optimal where it ends, a bound where it does not."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.placement._greedy import charge_missing_atoms
from trimcache.placement._instance import Instance
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["mip", "mip_bound"]

_SLACK = 1e-6  # the solver's own tolerances, added to the bound that it reports


def mip(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """Solve P1.1 as a mixed integer program with HiGHS (``scipy.optimize.milp``).

    Variables: x[m, i]; a shared atom is on a server (z[m, j]); a class of requests is served (y[r] <= sum of x in reach).
    The answer is recounted exactly; what a solver's tolerance let over a capacity is taken off. ``seed`` changes nothing.

    Guarantee: optimal up to the solver's tolerance (1e-6 of the demand, added to the bound) where it ends in time; else the bound that
    it has proven. Complexity: exponential; it closes tiny and roomy cases.

    Reference: problem P1.1 of Qu et al., TrimCaching, arXiv 2404.14204.
    """
    begin = time.perf_counter()
    bound, held = _solve(problem.instance, time_limit_s)
    return Placement(problem, problem.instance.with_pins(held), "mip", time.perf_counter() - begin, bound)


def mip_bound(problem: PlacementProblem, time_limit_s: float | None = None) -> float:
    """The bound that HiGHS proves on the hit ratio, tolerance added: a cross-check of ``bounds``."""
    return _solve(problem.instance, time_limit_s)[0]


def _solve(instance: Instance, time_limit_s: float | None) -> tuple[float, list[list[int]]]:
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    problem, classes, total = instance.problem, instance.classes, instance.problem.demand.total
    nothing: list[list[int]] = [[] for _ in range(problem.n_servers)]
    if not classes.n_classes or not total:
        return (instance.pinned_weight / total if total else 0.0), nothing
    cost = charge_missing_atoms(problem.graph)
    resident, free = cost.start(instance)
    class_of, server_of = np.repeat(np.arange(classes.n_classes), np.diff(classes.ptr)), classes.servers
    keys = server_of.astype(np.int64) * problem.n_models + classes.model[class_of]
    pairs, pair_of = np.unique(keys, return_inverse=True)
    server, model = np.divmod(pairs, problem.n_models)
    shared = [cost.shared_atoms[cost.shared_ptr[i] : cost.shared_ptr[i + 1]] for i in model]
    links = [(p, int(server[p]), int(a)) for p, row in enumerate(shared) for a in row if not resident[a, server[p]]]
    atom_keys = np.array([m * cost.shared_bytes.size + a for _, m, a in links], dtype=np.int64)
    atoms, atom_of = np.unique(atom_keys, return_inverse=True)
    n_x, n_z, n_y = pairs.size, atoms.size, classes.n_classes
    rows: list[Any] = []
    columns: list[Any] = []
    values: list[Any] = []

    def put(row: NDArray[Any], column: NDArray[Any], value: Any) -> None:
        rows.append(row)
        columns.append(column)
        values.append(np.broadcast_to(np.asarray(value, dtype=np.float64), row.shape))

    put(np.arange(n_y), n_x + n_z + np.arange(n_y), 1.0)  # y <= sum of x
    put(class_of, pair_of, -1.0)
    link = n_y + np.arange(len(links))  # x <= z
    put(link, np.array([p for p, _, _ in links], dtype=np.int64), 1.0)
    put(link, n_x + atom_of, -1.0)
    scale = 1.0 / np.maximum(free, 1)  # capacity
    base = n_y + len(links)
    put(base + server, np.arange(n_x), cost.private_bytes[model] * scale[server])
    if n_z:
        atom_server, atom = np.divmod(atoms, cost.shared_bytes.size)
        put(base + atom_server, n_x + np.arange(n_z), cost.shared_bytes[atom] * scale[atom_server])
    upper = np.concatenate([np.zeros(base), np.where(free > 0, free * scale, np.minimum(free, 0))])
    shape = (base + problem.n_servers, n_x + n_z + n_y)
    matrix = csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    objective = np.concatenate([np.zeros(n_x + n_z), -classes.weight / total])
    options: dict[str, Any] = {"mip_rel_gap": 0.0}
    if time_limit_s is not None:
        options["time_limit"] = float(time_limit_s)
    limits = LinearConstraint(matrix, -np.inf, upper)
    whole = np.concatenate([np.ones(n_x + n_z), np.zeros(n_y)])
    result = milp(objective, constraints=limits, bounds=Bounds(0.0, 1.0), integrality=whole, options=options)
    proven = instance.ceiling_weight / total
    if result.mip_dual_bound is not None and np.isfinite(result.mip_dual_bound):
        proven = min(proven, instance.pinned_weight / total - float(result.mip_dual_bound) + _SLACK)
    held = nothing
    if result.x is not None:
        for p in np.flatnonzero(result.x[:n_x] > 0.5).tolist():
            held[int(server[p])].append(int(model[p]))
        for m, row in enumerate(held):
            while row and problem.graph.set_bytes([*row, *_pinned(instance, m)]) > problem.capacity_bytes[m]:
                row.pop()
    return proven, held


def _pinned(instance: Instance, server: int) -> list[int]:
    ends, models = instance.pinned
    rows: list[int] = models[ends[server] : ends[server + 1]].tolist()
    return rows
