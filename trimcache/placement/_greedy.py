"""The greedy that Gen and Independent Caching share: only what a model costs a server differs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimcache.graph import ModelBlockGraph
from trimcache.placement import _kernels
from trimcache.placement._kernels import read_only
from trimcache.placement.evaluate import Held
from trimcache.placement.problem import PlacementProblem

__all__ = ["Cost", "charge_full_models", "charge_missing_atoms", "greedy_by_gain"]


@dataclass(frozen=True, eq=False)
class Cost:
    """What placing a model takes: private bytes, plus each of its shared atoms that the server lacks.

    Attributes:
        private_bytes: int64[I].
        shared_ptr, shared_atoms: CSR model -> shared atoms, int64[I+1] and int32[n].
        shared_bytes: int64[S].
    """

    private_bytes: NDArray[np.int64]
    shared_ptr: NDArray[np.int64]
    shared_atoms: NDArray[np.int32]
    shared_bytes: NDArray[np.int64]


def charge_missing_atoms(graph: ModelBlockGraph) -> Cost:
    """Sharing: an atom of one model is private to it, the others are paid once a server."""
    atoms = graph.atoms()
    shared = atoms.degree >= 2
    rank = np.cumsum(shared) - 1
    keep = shared[atoms.indices]
    kept = np.concatenate(([0], np.cumsum(keep)))
    return Cost(
        graph.exclusive_bytes(),
        kept[atoms.indptr],
        rank[atoms.indices[keep]].astype(np.int32),
        atoms.atom_bytes[shared],
    )


def charge_full_models(graph: ModelBlockGraph) -> Cost:
    """No sharing: each model pays all its bytes, never less than its blocks take."""
    nothing = np.zeros(0, dtype=np.int64)
    full = np.maximum(graph.model_bytes, graph.closed_bytes())
    return Cost(full, np.zeros(graph.n_models + 1, dtype=np.int64), nothing.astype(np.int32), nothing)


def greedy_by_gain(problem: PlacementProblem, cost: Cost) -> Held:
    """The placement of the greedy by largest gain under ``cost``."""
    demand, reach = problem.demand, problem.reach
    indptr, weight = read_only(reach.indptr, np.int64), read_only(demand.weight, np.int64)
    pairs = _kernels.index_pairs(
        read_only(demand.model, np.int32),
        indptr,
        read_only(reach.servers, np.int32),
        weight,
        problem.n_servers,
        problem.n_models,
    )
    server, model, pair_ptr, pair_requests, entry_pair, gain = pairs
    placed = _kernels.greedy(
        read_only(server, np.int32),
        read_only(model, np.int32),
        read_only(pair_ptr, np.int64),
        read_only(pair_requests, np.int32),
        read_only(entry_pair, np.int32),
        read_only(gain, np.int64),
        indptr,
        weight,
        read_only(problem.capacity_bytes, np.int64),
        read_only(cost.private_bytes, np.int64),
        read_only(cost.shared_ptr, np.int64),
        read_only(cost.shared_atoms, np.int32),
        read_only(cost.shared_bytes, np.int64),
    )
    order = np.lexsort((model[placed], server[placed]))
    ends = np.zeros(problem.n_servers + 1, dtype=np.int64)
    np.cumsum(np.bincount(server[placed], minlength=problem.n_servers), out=ends[1:])
    return ends, model[placed][order]
