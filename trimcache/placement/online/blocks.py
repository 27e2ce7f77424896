"""What a cache is charged for: the atoms of the models, or, without sharing, each model as one block of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache._atoms import transpose
from trimcache.graph import ModelBlockGraph
from trimcache.placement.online._kernels import Blocks, Log, Resident

__all__ = ["charged_blocks", "empty_cache", "empty_log", "frozen", "trunks"]


def charged_blocks(graph: ModelBlockGraph, sharing: bool) -> Blocks:
    """The incidence that a cache is charged by.

    With sharing an atom is stored once however many resident models hold it. Without, a model takes all its bytes
    (``model_bytes``, never less than its blocks) whatever else is resident.
    """
    if sharing:
        atoms = graph.atoms()
        ptr, rows, atom_bytes, alone = atoms.indptr, atoms.indices, atoms.atom_bytes, graph.closed_bytes()
    else:
        ptr, rows = np.arange(graph.n_models + 1), np.arange(graph.n_models, dtype=np.int32)
        alone = np.maximum(graph.model_bytes, graph.closed_bytes())
        atom_bytes = alone
    back_ptr, back = transpose(ptr, rows, atom_bytes.size)
    return Blocks(
        frozen(ptr, np.int64),
        frozen(rows, np.int32),
        frozen(atom_bytes, np.int64),
        frozen(back_ptr, np.int64),
        frozen(back, np.int32),
        frozen(alone, np.int64),
    )


def empty_cache(blocks: Blocks) -> Resident:
    """Nothing resident."""
    n_models, n_atoms = blocks.alone.size, blocks.atom_bytes.size
    return Resident(
        np.zeros(n_models, np.bool_),
        np.zeros(n_atoms, np.int32),
        np.zeros(n_atoms, np.int64),
        np.zeros(n_models, np.int64),
        np.zeros(1, np.int64),
    )


def empty_log(n_requests: int) -> Log:
    """No hits, nothing written, nothing evicted."""
    return Log(np.zeros(n_requests, np.bool_), np.zeros(n_requests, np.int64), np.zeros(n_requests, np.int64))


def trunks(blocks: Blocks, most: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """CSR of at most ``most`` trunks: for a shared atom, all atoms that every one of its models holds.

    Those atoms are taken that save most, ``atom_bytes * (degree - 1)``; equal trunks once.
    """
    degree = np.diff(blocks.back_ptr)
    saved = blocks.atom_bytes * np.maximum(degree - 1, 0).astype(np.float64)
    order = np.argsort(-saved, kind="stable")[: max(most, 0)]
    found: dict[bytes, NDArray[np.int32]] = {}
    for a in order[saved[order] > 0]:
        models = blocks.back[blocks.back_ptr[a] : blocks.back_ptr[a + 1]]
        held = np.concatenate([blocks.atoms[blocks.ptr[i] : blocks.ptr[i + 1]] for i in models])
        atoms, times = np.unique(held, return_counts=True)
        trunk = atoms[times == models.size].astype(np.int32)
        found.setdefault(trunk.tobytes(), trunk)
    ends = np.cumsum([0, *(trunk.size for trunk in found.values())])
    return frozen(ends, np.int64), frozen(np.concatenate([np.zeros(0, np.int32), *found.values()]), np.int32)


def frozen(array: Any, dtype: type[np.generic]) -> Any:
    """A contiguous read-only view: every kernel is compiled for one type of argument."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view
