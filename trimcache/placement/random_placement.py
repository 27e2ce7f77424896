"""Random placement: the baseline of chance (paper, section 2)."""

from __future__ import annotations

import time

import numpy as np

from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement

__all__ = ["random_placement"]


def random_placement(problem: PlacementProblem, *, seed: int = 0, time_limit_s: float | None = None) -> Placement:
    """Each server takes the models asked of it in a random order, every one that still fits, each block paid once.

    ``time_limit_s`` changes nothing. Guarantee: none. Complexity: O(M sum of the models' atoms).

    Reference: Qu et al., TrimCaching, arXiv 2404.14204, a baseline of the evaluation.
    """
    begin = time.perf_counter()
    instance, atoms = problem.instance, problem.graph.atoms()
    classes = instance.classes
    rng = np.random.default_rng(seed)
    rows = []
    for m in range(problem.n_servers):
        held = np.zeros(atoms.n_atoms, dtype=bool)
        held[instance.resident.get(m, atoms.indices[:0])] = True
        free, row = int(instance.free_bytes[m]), []
        asked = np.unique(classes.model[classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]])
        for i in rng.permutation(asked).tolist():
            mine = atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]]
            missing = mine[~held[mine]]
            need = int(atoms.atom_bytes[missing].sum())
            if need <= free:
                free -= need
                held[missing] = True
                row.append(i)
        rows.append(row)
    return Placement(problem, instance.with_pins(rows), "random", time.perf_counter() - begin)
