"""How many bytes of weights every two models share, exactly, for catalogs in which nearly every two do.

A base with ten thousand children makes fifty million pairs, but few different ones. So models that hold the same shared tensors are one
*profile*, tensors held by the same models one atom, and sums are taken between profiles; pairs of models are written out only on demand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from trimcache._atoms import build_atoms
from trimcache.graph import ModelBlockGraph

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog

Ints = NDArray[np.int64]
Triples = tuple[Ints, Ints, Ints]
_STEP = 1 << 22  # sums held at once
# One multiplication of a dense product (BLAS) costs about a fiftieth of one of a sparse product. Dense products are of doubles: exact
# for whole numbers below 2**53.
_DENSE_GAIN, _EXACT = 50, 2**53


@dataclass(frozen=True, eq=False)
class SharedPairs:
    """Shared bytes between I models of P profiles.

    Attributes:
        names: of the models.
        own_bytes: int64[I], the distinct weights of each model.
        shared_total: int64[I], what each model shares with every other one, added up over the others.
        profile: int64[I]; models of one profile hold the same shared tensors. -1: it shares nothing.
        holds: CSR bool-like int64[P, A], the shared atoms of each profile.
        atom_bytes: int64[A].
    """

    names: tuple[str, ...]
    own_bytes: Ints
    shared_total: Ints
    profile: Ints
    holds: sparse.csr_array
    atom_bytes: Ints

    @property
    def n_profiles(self) -> int:
        """P, the number of profiles."""
        return int(self.holds.shape[0])

    @cached_property
    def members(self) -> tuple[Ints, ...]:
        """Models of each profile, ascending."""
        order = np.argsort(self.profile, kind="stable")
        ends = np.searchsorted(self.profile[order], np.arange(self.n_profiles + 1))
        return tuple(order[ends[p] : ends[p + 1]] for p in range(self.n_profiles))

    @cached_property
    def _weighted(self) -> sparse.csr_array:
        weighted = self.holds.copy()
        weighted.data = self.atom_bytes[weighted.indices]
        return weighted

    @cached_property
    def _held_by(self) -> sparse.csr_array:
        return self.holds.T.tocsr()

    @cached_property
    def n_pairs(self) -> int:
        """Pairs of models that share anything, counted without writing them out."""
        size = np.array([len(members) for members in self.members], np.int64)
        total = 0
        for p, q, _ in self.profile_pairs():
            n = size[p] * np.where(p == q, size[p] - 1, 2 * size[q])
            total += int(n.sum())
        return total // 2

    def profile_pairs(self) -> Iterator[Triples]:
        """``(p, q, bytes)`` in slices: every two profiles ``p <= q`` that share something, themselves included."""
        groups, label = _components(self.holds)
        degree = np.diff(self._held_by.indptr)
        by_group = np.split(np.argsort(label, kind="stable"), np.cumsum(np.bincount(label, minlength=groups))[:-1]) if groups else []
        thin = []
        for rows in by_group:
            atoms = np.unique(self.holds[rows].indices)
            sparse_cost = float((degree[atoms].astype(np.float64) ** 2).sum())
            exact = self.atom_bytes[atoms].astype(np.float64).sum() < _EXACT
            if exact and sparse_cost > 1e6 and sparse_cost * _DENSE_GAIN > len(rows) ** 2 * len(atoms):
                yield from self._dense_pairs(rows, atoms)
            else:
                thin.append(rows)
        if thin:
            yield from self._sparse_pairs(np.sort(np.concatenate(thin)), degree)

    def _dense_pairs(self, rows: Ints, atoms: Ints) -> Iterator[Triples]:
        held = self.holds[rows][:, atoms].toarray().astype(np.float64)
        weighted = held * self.atom_bytes[atoms]
        step = max(1, _STEP // len(rows))
        for first in range(0, len(rows), step):
            sums = weighted[first : first + step] @ held[first:].T
            a, b = np.nonzero(np.triu(sums))
            yield rows[first + a], rows[first + b], sums[a, b].astype(np.int64)

    def _sparse_pairs(self, rows: Ints, degree: NDArray[np.integer]) -> Iterator[Triples]:
        cost = np.zeros(self.n_profiles, np.int64)
        np.add.at(cost, np.repeat(np.arange(self.n_profiles), np.diff(self.holds.indptr)), degree[self.holds.indices])
        slice_of = np.cumsum(cost[rows]) // _STEP
        for chosen in np.split(rows, np.flatnonzero(np.diff(slice_of)) + 1):
            sums = (self._weighted[chosen] @ self._held_by).tocoo()
            p, q = chosen[sums.row], sums.col.astype(np.int64)
            upper = p <= q
            yield p[upper], q[upper], sums.data[upper]

    def profile_row(self, profile: int) -> Ints:
        """int64[P]: what one profile shares with each."""
        row = np.zeros(self.n_profiles, np.int64)
        begin, end = self.holds.indptr[profile : profile + 2]
        for atom in self.holds.indices[begin:end]:
            row[self._held_by.indices[self._held_by.indptr[atom] : self._held_by.indptr[atom + 1]]] += self.atom_bytes[atom]
        return row

    def between(self, one: Ints, other: Ints) -> Ints:
        """int64[n]: what the models ``one[k]`` and ``other[k]``, two different ones, share."""
        p, q = self.profile[one], self.profile[other]
        both = np.flatnonzero((p >= 0) & (q >= 0))
        key, place = np.unique(p[both] * max(self.n_profiles, 1) + q[both], return_inverse=True)
        p, q = np.divmod(key, max(self.n_profiles, 1))
        result = np.zeros(len(one), np.int64)
        result[both] = np.asarray(self._weighted[p].multiply(self.holds[q]).sum(axis=1), np.int64)[place]
        return result

    def slices(self) -> Iterator[Triples]:
        """``(i, j, bytes)`` in slices: every two models ``i < j`` that share something, each pair once, in no particular order."""
        for p, q, shared in self.profile_pairs():
            size = np.array([len(self.members[a]) * len(self.members[b]) for a, b in zip(p.tolist(), q.tolist(), strict=True)], np.int64)
            single = size == 1
            same = p == q
            plain = single & ~same
            if plain.any():
                one = np.array([self.members[a][0] for a in p[plain]]), np.array([self.members[b][0] for b in q[plain]])
                yield np.minimum(*one), np.maximum(*one), shared[plain]
            for a, b, value in zip(p[~single].tolist(), q[~single].tolist(), shared[~single].tolist(), strict=True):
                yield from self._written_out(a, b, value)

    def _written_out(self, p: int, q: int, shared: int) -> Iterator[Triples]:
        ours, theirs = self.members[p], self.members[q]
        step = max(1, _STEP // len(theirs))
        for first in range(0, len(ours), step):
            i, j = np.repeat(ours[first : first + step], len(theirs)), np.tile(theirs, len(ours[first : first + step]))
            if p == q:
                i, j = i[i < j], j[i < j]
            yield np.minimum(i, j), np.maximum(i, j), np.full(len(i), shared, np.int64)

    def arrays(self) -> Triples:
        """All of :meth:`slices` at once, sorted by ``i``, then ``j``; see ``n_pairs`` first."""
        pieces = list(self.slices()) or [(np.zeros(0, np.int64),) * 3]
        i, j, shared = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
        order = np.lexsort((j, i))
        return i[order], j[order], shared[order]

    def matrix(self, models: Sequence[int] | Ints | None = None) -> Ints:
        """int64[n, n]: shared bytes between some models (all if None), ``own_bytes`` on the diagonal."""
        chosen = np.arange(len(self.names)) if models is None else np.asarray(models, np.int64)
        profiles, place = np.unique(self.profile[chosen], return_inverse=True)
        real = profiles[profiles >= 0]
        sums = np.zeros((len(profiles), len(profiles)), np.int64)
        if real.size:
            offset = len(profiles) - len(real)
            sums[offset:, offset:] = (self._weighted[real] @ self.holds[real].T).toarray()
        result: Ints = sums[place][:, place]
        np.fill_diagonal(result, self.own_bytes[chosen])
        return result


def shared_pairs(source: Catalog | ModelBlockGraph) -> SharedPairs:
    """Shared bytes between the models of a catalog (their weights) or of a graph (all of its blocks)."""
    if isinstance(source, ModelBlockGraph):
        graph = source
    else:
        from trimcache.sharing.weights import weight_graph

        graph = weight_graph(source)
    atoms = graph.atoms()
    shared = np.flatnonzero(atoms.degree > 1)
    atom_bytes = atoms.atom_bytes[shared]
    holds = sparse.csr_array(
        (np.ones(len(atoms.indices), np.int64), atoms.indices, atoms.indptr), shape=(graph.n_models, atoms.n_atoms), copy=False
    )[:, shared].tocsr()
    others = atom_bytes * (atoms.degree[shared] - 1)
    total = np.asarray(holds @ others, np.int64)
    sharing = np.flatnonzero(np.diff(holds.indptr) > 0)
    profile = np.full(graph.n_models, -1, np.int64)
    of_profile = sparse.csr_array((0, len(shared)), dtype=np.int64)
    if sharing.size:
        rows = holds[sharing]
        rows.sort_indices()
        columns = rows.T.tocsr()
        columns.sort_indices()
        # Models that hold the same atoms are found as blocks held by the same models are: with models in the place of blocks.
        each = np.ones(len(sharing), np.int64)
        grouped = build_atoms(*_csr(columns), each, _csr(rows))
        profile[sharing] = grouped.atom_of_block
        ones = np.ones(len(grouped.indices), np.int64)
        of_profile = sparse.csr_array((ones, grouped.indices, grouped.indptr), shape=(len(shared), grouped.n_atoms)).T.tocsr()
    return SharedPairs(graph.model_names, graph.closed_bytes(), total, profile, of_profile, atom_bytes)


def _csr(array: sparse.csr_array) -> tuple[Ints, NDArray[np.int32]]:
    return array.indptr.astype(np.int64), array.indices.astype(np.int32)


def _components(holds: sparse.csr_array) -> tuple[int, Ints]:
    """Groups of profiles that some chain of shared atoms ties, and the group of each."""
    n_profiles, n_atoms = holds.shape
    if not n_profiles:
        return 0, np.zeros(0, np.int64)
    held = holds.tocoo()
    size = n_profiles + n_atoms
    ties = sparse.coo_array((np.ones(len(held.row), np.int8), (held.row, held.col + n_profiles)), shape=(size, size))
    _, label = sparse.csgraph.connected_components(ties.tocsr(), directed=False)
    _, numbered = np.unique(label[:n_profiles], return_inverse=True)
    return int(numbered.max()) + 1, numbered.astype(np.int64)
