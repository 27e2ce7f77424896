"""Atoms: blocks held by exactly the same set of models, merged. Exact, lossless, vectorised.

Two blocks of one atom are on a server together or not at all, whatever is placed, so an atom is one block to every
placement algorithm, and there are far fewer of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Atoms", "build_atoms", "mix64", "set_hashes", "sorted_unique", "transpose"]

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Atoms:
    """The atoms of a graph: A atoms over I models and J blocks, in order of their first block; arrays read-only.

    Attributes:
        atom_bytes: int64[A], the sum of the atom's blocks.
        atom_of_block: int32[J].
        indptr, indices: int64[I+1], int32[nnz]: atoms of each model, ascending.
        degree: int64[A], how many models hold the atom (1: specific, 2 or more: shared).
    """

    atom_bytes: NDArray[np.int64]
    atom_of_block: NDArray[np.int32]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    degree: NDArray[np.int64]

    @property
    def n_atoms(self) -> int:
        """A, the number of atoms."""
        return int(self.atom_bytes.size)

    def transposed(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """CSR atoms -> models: ``indptr`` int64[A+1] and ascending ``indices`` int32[nnz]."""
        return transpose(self.indptr, self.indices, self.n_atoms)


def transpose(indptr: NDArray[np.int64], indices: NDArray[np.int32], n_columns: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The transposed CSR pattern: ``indptr`` int64[n_columns+1] and ascending row ``indices`` int32[nnz]."""
    # One sort of machine words, column above row, is many times faster than a stable argsort.
    entries = indices.astype(np.int64) << 32
    entries |= np.repeat(np.arange(indptr.size - 1, dtype=np.int64), np.diff(indptr))
    entries.sort()
    ends = np.zeros(n_columns + 1, dtype=np.int64)
    np.cumsum(np.bincount(indices, minlength=n_columns), out=ends[1:])
    return _read_only(ends), _read_only(entries.astype(np.int32))  # the low half is the row


def sorted_unique(values: NDArray[T]) -> NDArray[T]:
    """The distinct ``values``, ascending: a sort, many times faster here than numpy's hash-based ``unique``."""
    ordered = np.sort(values)
    new = np.ones(ordered.size, dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def set_hashes(indptr: NDArray[np.int64], indices: NDArray[np.int32], seed: int) -> NDArray[np.uint64]:
    """uint64[n, 2]: a 128-bit hash of each row's *set* of indices; rows must not be empty.

    Each index is mixed to 128 bits and the row's values are added modulo 2**64, so order does not matter.
    """
    n_rows = indptr.size - 1
    if n_rows == 0:
        return np.zeros((0, 2), dtype=np.uint64)
    universe = np.arange(int(indices.max()) + 1, dtype=np.uint64)
    columns = [np.add.reduceat(mix64(universe, 2 * seed + lane)[indices], indptr[:-1]) for lane in (1, 2)]
    return np.stack(columns, axis=1)


def mix64(values: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """splitmix64 (Steele, Lea, Flood 2014) of ``values``, in a sequence of its own for each ``salt``."""
    offset = np.uint64((salt * 0xD1342543DE82EF95) % 2**64)
    z = values * np.uint64(0x9E3779B97F4A7C15) + offset
    for _ in range(2):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return z


def build_atoms(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    block_bytes: NDArray[np.int64],
    transposed: tuple[NDArray[np.int64], NDArray[np.int32]],
) -> Atoms:
    """Group blocks by the set of models that hold them.

    Blocks are grouped by a hash of that set, then every block's set is compared with its group's first one, element
    by element; in the (practically impossible) case of a collision another hash is tried. So the result is exact.
    """
    holders_ptr, holders = transposed
    degree = np.diff(holders_ptr)
    n_blocks = block_bytes.size
    if n_blocks == 0:
        empty = np.zeros(0, dtype=np.int64)
        nothing = np.zeros(0, dtype=np.int32)
        return Atoms(empty, nothing, indptr, nothing, empty)
    entry_block = np.repeat(np.arange(n_blocks), degree)
    within = np.arange(holders.size) - holders_ptr[entry_block]
    seed = 0
    while True:
        hashes = set_hashes(holders_ptr, holders, seed)
        first, group = _first_seen(hashes, degree)
        leader = first[group]
        same = bool((degree == degree[leader]).all())
        if same and bool((holders == holders[holders_ptr[leader[entry_block]] + within]).all()):
            break
        seed += 1
    atom_bytes = np.zeros(first.size, dtype=np.int64)
    np.add.at(atom_bytes, group, block_bytes)
    # A model holds an atom exactly when it holds the atom's first block; groups are numbered in that block's order,
    # so keeping the leaders' entries of each (ascending) row keeps rows ascending.
    keep = leader[indices] == indices
    counts = np.concatenate(([0], np.cumsum(keep)))
    return Atoms(
        _read_only(atom_bytes),
        _read_only(group.astype(np.int32)),
        _read_only(counts[indptr]),
        _read_only(group[indices[keep]].astype(np.int32)),
        _read_only(degree[first]),
    )


def _first_seen(hashes: NDArray[np.uint64], degree: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups of equal (hash, degree), numbered by first member: ``first`` [G] and ``group`` [J]."""
    order = np.lexsort((np.arange(degree.size), degree, hashes[:, 1], hashes[:, 0]))
    keys, sizes = hashes[order], degree[order]
    new = np.ones(order.size, dtype=bool)
    new[1:] = (keys[1:] != keys[:-1]).any(axis=1) | (sizes[1:] != sizes[:-1])
    sorted_first = order[new]
    rank = np.empty(sorted_first.size, dtype=np.int64)
    rank[np.argsort(sorted_first)] = np.arange(sorted_first.size)
    group = np.empty(order.size, dtype=np.int64)
    group[order] = rank[np.cumsum(new) - 1]
    return np.sort(sorted_first), group


def _read_only(array: NDArray[T]) -> NDArray[T]:
    array.flags.writeable = False
    return array
