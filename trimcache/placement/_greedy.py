"""The greedy that Gen and Independent Caching share: only what a model costs a server differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache._atoms import transpose
from trimcache.graph import ModelBlockGraph
from trimcache.placement import _kernels
from trimcache.placement._instance import Instance
from trimcache.placement._kernels import read_only
from trimcache.placement._pairs import rows_of
from trimcache.placement.evaluate import Held

__all__ = ["Cost", "PairIndex", "charge_full_models", "charge_missing_atoms", "greedy_by_gain", "greedy_by_ratio", "index_pairs"]

_BATCH = 50_000  # pairs on the heap at once: 12 bytes each, within a core's cache


@dataclass(frozen=True, eq=False)
class Cost:
    """What placing a model takes: private bytes, plus each of its shared atoms that the server lacks.

    Attributes:
        private_bytes: int64[I].
        shared_ptr, shared_atoms: CSR model -> shared atoms, int64[I+1] and int32[n].
        shared_bytes: int64[S].
        rank: int64[A], number of each atom among the shared ones, -1 for private ones; None: nothing is shared.
    """

    private_bytes: NDArray[np.int64]
    shared_ptr: NDArray[np.int64]
    shared_atoms: NDArray[np.int32]
    shared_bytes: NDArray[np.int64]
    rank: NDArray[np.int64] | None = None

    def start(self, instance: Instance) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """What servers hold and have free when only pins are placed: uint8[S, M], int64[M]."""
        resident = np.zeros((self.shared_bytes.size, instance.problem.n_servers), dtype=np.uint8)
        if self.rank is None:  # every pinned model pays in full
            ends, models = instance.pinned
            paid = np.concatenate(([0], np.cumsum(self.private_bytes[models])))
            return resident, instance.problem.capacity_bytes - (paid[ends[1:]] - paid[ends[:-1]])
        for m, atoms in instance.resident.items():
            rank = self.rank[atoms]
            resident[rank[rank >= 0], m] = 1
        return resident, instance.free_bytes.copy()

    def arrays(self) -> tuple[Any, Any, Any, Any]:
        """``private_bytes``, ``shared_ptr``, ``shared_atoms``, ``shared_bytes``, as kernels take them."""
        return (
            read_only(self.private_bytes, np.int64), read_only(self.shared_ptr, np.int64), read_only(self.shared_atoms, np.int32),
            read_only(self.shared_bytes, np.int64),
        )  # fmt: skip


def charge_missing_atoms(graph: ModelBlockGraph) -> Cost:
    """Sharing: an atom of one model is private to it, the others are paid once a server. Made once a graph."""
    known: Cost | None = graph.__dict__.get("_missing_atoms_cost")
    if known is None:
        known = _missing_atoms_cost(graph)
        object.__setattr__(graph, "_missing_atoms_cost", known)
    return known


def _missing_atoms_cost(graph: ModelBlockGraph) -> Cost:
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
        np.where(shared, rank, -1),
    )


def charge_full_models(graph: ModelBlockGraph) -> Cost:
    """No sharing: each model pays all its bytes, never less than its blocks take."""
    nothing = np.zeros(0, dtype=np.int64)
    full = np.maximum(graph.model_bytes, graph.closed_bytes())
    return Cost(full, np.zeros(graph.n_models + 1, dtype=np.int64), nothing.astype(np.int32), nothing)


@dataclass(frozen=True, eq=False)
class PairIndex:
    """Pairs (server, model) with a request between them, as ``_kernels.index_pairs`` returns them; ``gain`` is not to be changed."""

    row_weight: NDArray[np.int64]
    row_ptr: NDArray[np.int64]
    row_pair: NDArray[np.int32]
    server: NDArray[np.int32]
    model: NDArray[np.int32]
    pair_ptr: NDArray[np.int64]
    pair_rows: NDArray[np.int32]
    gain: NDArray[np.int64]


def index_pairs(instance: Instance) -> PairIndex:
    """The pairs of an instance: O(R + E)."""
    arrays = _kernels.index_pairs(
        read_only(instance.model, np.int32),
        read_only(instance.start, np.int64),
        read_only(instance.stop, np.int64),
        read_only(instance.pool, np.int32),
        read_only(instance.weight, np.int64),
        instance.problem.n_servers,
        instance.problem.n_models,
    )
    return PairIndex(*arrays)


def greedy_by_gain(instance: Instance, cost: Cost, index: PairIndex | None = None) -> Held:
    """The placement of the greedy by largest gain under ``cost``, with the pins."""
    return _greedy(_kernels.greedy, instance, cost, index, _BATCH)


def greedy_by_ratio(instance: Instance, cost: Cost, index: PairIndex | None = None) -> Held:
    """The placement of the greedy by largest gain per new byte under ``cost``, with the pins."""
    from trimcache.placement._kernels_ratio import greedy_ratio

    n_shared = cost.shared_bytes.size
    holders_ptr, holders = transpose(cost.shared_ptr, cost.shared_atoms, n_shared)
    tail = (read_only(holders_ptr, np.int64), read_only(holders, np.int32), instance.problem.n_models)
    return _greedy(greedy_ratio, instance, cost, index, *tail)


def _greedy(kernel: Any, instance: Instance, cost: Cost, index: PairIndex | None, *tail: Any) -> Held:
    pairs = index_pairs(instance) if index is None else index
    resident, free = cost.start(instance)
    placed = kernel(
        read_only(pairs.row_weight, np.int64),
        read_only(pairs.row_ptr, np.int64),
        read_only(pairs.row_pair, np.int32),
        read_only(pairs.server, np.int32),
        read_only(pairs.model, np.int32),
        read_only(pairs.pair_ptr, np.int64),
        read_only(pairs.pair_rows, np.int32),
        pairs.gain if index is None else pairs.gain.copy(),
        free,
        resident,
        *cost.arrays(),
        *tail,
    )
    problem = instance.problem
    keys = pairs.server[placed].astype(np.int64) * max(problem.n_models, 1) + pairs.model[placed]
    return rows_of(np.sort(np.concatenate([keys, problem.pinned])), problem.n_servers, problem.n_models)
