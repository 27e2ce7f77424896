"""Exhaustive search: the optimum of tiny cases, the truth that everything else is tested against (paper, section 2)."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import ProblemError
from trimcache.placement._instance import Instance
from trimcache.placement.evaluate import Held
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["MAX_MODELS", "MAX_STATES", "exhaustive", "try_all"]

MAX_MODELS = 14
"""Requested models of one server at most: its sets are enumerated one by one."""

MAX_STATES = 1_000_000
"""Combinations weighed for one server at most, each of 8 classes of requests, fewer where there are more classes; and sets looked into
for all servers together."""


def exhaustive(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """The best placement of all, by trying them.

    Every set of models that fits a server is enumerated; servers are then combined one after another, and of
    combinations that serve the same requests one is kept. ``seed`` and ``time_limit_s`` change nothing.

    Guarantee: optimal. Complexity: exponential; refuses above ``MAX_MODELS`` models a server or ``MAX_STATES`` combinations.

    Reference: Qu et al., TrimCaching, arXiv 2404.14204, the exhaustive search of the evaluation.

    Raises:
        ProblemError: the case is too large.
    """
    begin = time.perf_counter()
    tried = try_all(problem.instance, MAX_MODELS, MAX_STATES)
    if tried is None:
        raise ProblemError("exhaustive search", f"takes {MAX_MODELS} models a server and {MAX_STATES} combinations", "use mip or auto")
    held, best = tried
    total = problem.demand.total
    return Placement(problem, held, "exhaustive", time.perf_counter() - begin, best / total if total else 0.0)


def try_all(instance: Instance, max_models: int, max_states: int) -> tuple[Held, int] | None:
    """The optimum, pins included, and its exact weight; None if a server has more models, or servers more combinations."""
    classes, problem = instance.classes, instance.problem
    models_of = [
        np.unique(classes.model[classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]])
        for m in range(problem.n_servers)
    ]
    if any(models.size > max_models for models in models_of) or sum(1 << models.size for models in models_of) > max_states:
        return None
    covers = np.zeros((1, classes.n_classes), dtype=bool)  # classes served, one row a combination
    history: list[tuple[NDArray[np.int64], NDArray[np.int64], list[list[int]]]] = []
    for m, models in enumerate(models_of):
        mine = classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]
        sets = _maximal_sets(instance, m, models.tolist())
        if len(sets) * covers.shape[0] * max(classes.n_classes, 8) > 8 * max_states:
            return None
        served = np.zeros((len(sets), classes.n_classes), dtype=bool)
        for row, chosen in zip(served, sets, strict=True):
            row[mine] = np.isin(classes.model[mine], chosen)
        combined = (covers[:, None, :] | served[None, :, :]).reshape(covers.shape[0] * len(sets), classes.n_classes)
        first = np.zeros(1, dtype=np.int64)
        if combined.size:
            _, first = np.unique(np.packbits(combined, axis=1), axis=0, return_index=True)
        before, which = np.divmod(first, len(sets))
        covers = combined[first]
        history.append((before, which, sets))
    value = covers @ classes.weight
    state = int(value.argmax())
    best = int(value[state]) + instance.pinned_weight
    rows: list[list[int]] = []
    for before, which, sets in reversed(history):
        rows.append(sets[int(which[state])])
        state = int(before[state])
    return instance.with_pins(rows[::-1]), best


def _maximal_sets(instance: Instance, server: int, models: list[int]) -> list[list[int]]:
    """Sets of ``models`` that fit ``server``, but none that a larger one contains."""
    atoms = instance.problem.graph.atoms()
    held = frozenset(instance.resident.get(server, atoms.indices[:0]).tolist())
    rows = [frozenset(atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]].tolist()) - held for i in models]
    size = atoms.atom_bytes.tolist()
    free = int(instance.free_bytes[server])
    fitting = {0}
    union = {0: frozenset[int]()}
    for n, row in enumerate(rows):
        for mask in list(fitting):
            more = union[mask] | row
            if sum(size[a] for a in more) <= free:
                fitting.add(mask | 1 << n)
                union[mask | 1 << n] = more
    every = [1 << n for n in range(len(models))]
    maximal = sorted(mask for mask in fitting if not any(mask & bit == 0 and mask | bit in fitting for bit in every))
    return [[models[n] for n in range(len(models)) if mask >> n & 1] for mask in maximal]
