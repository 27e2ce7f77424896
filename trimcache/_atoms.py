"""Atoms: blocks held by exactly the same set of models, merged. Exact, lossless, vectorised.

Two blocks of one atom are on a server together or not at all, whatever is placed, so an atom is one block to every
placement algorithm, and there are far fewer of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trimcache._graph_slices import row_slices, slices

__all__ = ["Atoms", "build_atoms", "count_each", "mix64", "set_hashes", "sorted_unique", "transpose"]

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
    ends = np.zeros(n_columns + 1, dtype=np.int64)
    np.cumsum(count_each(indices, n_columns), out=ends[1:])
    free = ends[:-1].copy()  # where the next row of each column goes
    rows = np.empty(indices.size, dtype=np.int32)
    for first, end in row_slices(indptr):
        # One sort of machine words, column above row, is many times faster than a stable argsort.
        entries = indices[indptr[first] : indptr[end]].astype(np.int64) << 32
        entries |= np.repeat(np.arange(first, end, dtype=np.int64), np.diff(indptr[first : end + 1]))
        entries.sort()
        column = entries >> 32
        begins = np.flatnonzero(np.diff(column, prepend=-1))
        counts = np.diff(begins, append=column.size)
        columns = column[begins]
        place = np.repeat(free[columns] - begins, counts)
        place += np.arange(column.size)
        rows[place] = entries.astype(np.int32)  # the low half is the row
        free[columns] += counts
    return _read_only(ends), _read_only(rows)


def count_each(values: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """int64[n]: how often each of ``0..n-1`` occurs; unlike bincount, without a wider copy of ``values``."""
    counts = np.zeros(n, dtype=np.int64)
    for piece in slices(values.size):
        np.add.at(counts, values[piece].astype(np.intp), 1)
    return counts


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

    Neighbours of one set are joined first, by comparing them; the runs that are left are grouped by a hash of the set,
    then every run's set is compared with its group's first one, element by element; in the (practically impossible)
    case of a collision another hash is tried. So the result is exact.
    """
    holders_ptr, holders = transposed
    n_blocks = block_bytes.size
    if n_blocks == 0:
        empty = np.zeros(0, dtype=np.int64)
        nothing = np.zeros(0, dtype=np.int32)
        return Atoms(empty, nothing, indptr, nothing, empty)
    begins = _runs(holders_ptr, holders)
    run_ptr, run_holders = _rows(holders_ptr, holders, begins)
    first_run, group = _groups(run_ptr, run_holders)
    atom_bytes = np.zeros(first_run.size, dtype=np.int64)
    np.add.at(atom_bytes, group, np.add.reduceat(block_bytes, begins))
    atom_of_block = np.repeat(group.astype(np.int32), np.diff(begins, append=n_blocks))
    # A model holds an atom exactly when it holds the atom's first block; groups are numbered in that block's order,
    # so keeping the leaders' entries of each (ascending) row keeps rows ascending.
    leads = np.zeros(n_blocks, dtype=bool)
    leads[begins[first_run]] = True
    kept = [piece.start + np.flatnonzero(leads[indices[piece]]) for piece in slices(indices.size)]
    keep = np.concatenate(kept)
    return Atoms(
        _read_only(atom_bytes),
        _read_only(atom_of_block),
        _read_only(np.searchsorted(keep, indptr).astype(np.int64)),
        _read_only(atom_of_block[indices[keep]]),
        _read_only(np.diff(run_ptr)[first_run]),
    )


def _runs(holders_ptr: NDArray[np.int64], holders: NDArray[np.int32]) -> NDArray[np.int64]:
    """The blocks that are the first or are not held by exactly the models that hold the block before them."""
    begins = [np.zeros(1, dtype=np.int64)]
    for first, end in row_slices(holders_ptr[1:]):  # of the blocks from the second on
        degree = np.diff(holders_ptr[first : end + 2])
        before, degree = degree[:-1], degree[1:]
        start, stop = holders_ptr[first + 1], holders_ptr[end + 1]
        # Where the degrees agree, the entry that far back belongs to the block before.
        other = holders[start:stop] != holders[np.arange(start, stop) - np.repeat(degree, degree)]
        begin = (degree != before) | np.logical_or.reduceat(other, holders_ptr[first + 1 : end + 1] - start)
        begins.append(first + 1 + np.flatnonzero(begin))
    return np.concatenate(begins)


def _rows(indptr: NDArray[np.int64], indices: NDArray[np.int32], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The CSR pattern of some ``rows`` of another."""
    starts = indptr[rows]
    counts = indptr[rows + 1] - starts
    ends = np.concatenate(([0], np.cumsum(counts)))
    place = np.repeat(starts - ends[:-1], counts)
    place += np.arange(place.size)
    return ends, indices[place]


def _groups(indptr: NDArray[np.int64], indices: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups of equal rows, none of them empty, numbered by first member: ``first`` [G] and ``group`` of each row."""
    degree = np.diff(indptr)
    row_of_entry = np.repeat(np.arange(degree.size), degree)
    within = np.arange(indices.size) - indptr[row_of_entry]
    seed = 0
    while True:
        first, group = _first_seen(set_hashes(indptr, indices, seed), degree)
        leader = first[group]
        same = bool((degree == degree[leader]).all())
        if same and bool((indices == indices[indptr[leader[row_of_entry]] + within]).all()):
            return first, group
        seed += 1


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
