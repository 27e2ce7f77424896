"""What is left to decide once pins are placed and forbidden pairs are taken out: what every algorithm works on.

Requests that a pinned model serves are gone, forbidden pairs are out of reach, and pinned blocks are paid. So no
algorithm and no bound has to know of pins; each adds its choice to ``pinned``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimcache._atoms import set_hashes, transpose
from trimcache.placement._pairs import rows_of

if TYPE_CHECKING:
    from trimcache.placement.problem import PlacementProblem

__all__ = ["Classes", "Instance", "make_instance"]


@dataclass(frozen=True, eq=False)
class Classes:
    """Requests of one model with one and the same set of servers, merged: they are served together or not at all.

    Attributes:
        model, weight: int32[R], int64[R], ascending by model; every weight > 0.
        ptr, servers: CSR class -> servers, ascending (in ``rows`` in any order): int64[R+1], int32[n].
        server_ptr, server_classes: the transpose, server -> classes, ascending: int64[M+1], int32[n].
    """

    model: NDArray[np.int32]
    weight: NDArray[np.int64]
    ptr: NDArray[np.int64]
    servers: NDArray[np.int32]
    server_ptr: NDArray[np.int64]
    server_classes: NDArray[np.int32]

    @property
    def n_classes(self) -> int:
        """R, the number of classes."""
        return int(self.weight.size)


@dataclass(frozen=True, eq=False)
class Instance:
    """The undecided part of a problem.

    Attributes:
        problem: the problem.
        model, weight: int32[R], int64[R]: requests that no pinned model serves.
        start, stop, pool: the servers that may serve request ``r``: ``pool[start[r]:stop[r]]``.
        pinned: CSR server -> pinned models.
        pinned_weight: exact demand that the pinned models serve.
        free_bytes: int64[M], what pinned models leave.
        resident: per server with pins, the shared *and* private atoms that these put there.
    """

    problem: PlacementProblem
    model: NDArray[np.int32]
    weight: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    pool: NDArray[np.int32]
    pinned: tuple[NDArray[np.int64], NDArray[np.int32]]
    pinned_weight: int
    free_bytes: NDArray[np.int64]
    resident: dict[int, NDArray[np.int32]]

    @cached_property
    def ceiling_weight(self) -> int:
        """Exact demand served if every server held every model that it may hold: a bound on any placement."""
        return self.pinned_weight + int(self.weight[self.stop > self.start].sum())

    @cached_property
    def n_entries(self) -> int:
        """Pairs (request, server) in reach."""
        return int((self.stop - self.start).sum())

    def with_pins(self, models: list[NDArray[np.int32]] | list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """CSR server -> models of a choice (one list a server) together with the pins."""
        count = max(self.problem.n_models, 1)
        keys = [np.asarray(row, dtype=np.int64) + m * count for m, row in enumerate(models)]
        return rows_of(np.unique(np.concatenate([self.problem.pinned, *keys])), self.problem.n_servers, self.problem.n_models)

    @cached_property
    def rows(self) -> Classes:
        """The same as ``classes`` with each request a class of its own: made several times faster, for one pass over large problems."""
        from trimcache.placement._greedy import index_pairs

        pairs = index_pairs(self)
        servers = pairs.server[pairs.row_pair]
        server_ptr, server_rows = transpose(pairs.row_ptr, servers, self.problem.n_servers)
        model = pairs.model[pairs.row_pair[pairs.row_ptr[:-1]]]
        return Classes(model, pairs.row_weight, pairs.row_ptr, servers, server_ptr, server_rows)

    @cached_property
    def classes(self) -> Classes:
        """The requests merged; for sizes whose reach fits as a list."""
        length = np.where(self.weight > 0, self.stop - self.start, 0)
        rows = np.flatnonzero(length)
        rows = rows[np.argsort(self.model[rows], kind="stable")]
        length = length[rows]
        ends = np.concatenate(([0], np.cumsum(length))).astype(np.int64)
        within = np.arange(int(ends[-1])) - np.repeat(ends[:-1], length)
        servers = self.pool[np.repeat(self.start[rows], length) + within].astype(np.int64)
        n_servers = self.problem.n_servers
        servers = (np.sort(np.repeat(np.arange(rows.size), length) * max(n_servers, 1) + servers) % max(n_servers, 1)).astype(np.int32)
        model, weight = self.model[rows], self.weight[rows]
        first, group = _equal_rows(model, ends, servers)
        merged = np.zeros(first.size, dtype=np.int64)
        np.add.at(merged, group, weight)
        size = length[first]
        ptr = np.concatenate(([0], np.cumsum(size))).astype(np.int64)
        entry = np.repeat(ends[first], size) + np.arange(int(ptr[-1])) - np.repeat(ptr[:-1], size)
        kept = servers[entry]
        by_server = np.argsort(kept, kind="stable")
        server_ptr = np.concatenate(([0], np.cumsum(np.bincount(kept, minlength=n_servers)))).astype(np.int64)
        classes = np.repeat(np.arange(first.size, dtype=np.int32), size)[by_server]
        return Classes(model[first], merged, ptr, kept, server_ptr, classes)


def _equal_rows(
    model: NDArray[np.int32], ends: NDArray[np.int64], servers: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups of rows with one model and one set of servers: the first row of each, ascending, and each row's group.

    Rows are grouped by a 128-bit hash and compared with their group's first, so the result is exact.
    """
    n = model.size
    if n == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    hashes = set_hashes(ends, servers, 0)
    order = np.lexsort((np.arange(n), hashes[:, 1], hashes[:, 0], model))
    new = np.ones(n, dtype=bool)
    new[1:] = (hashes[order][1:] != hashes[order][:-1]).any(axis=1) | (model[order][1:] != model[order][:-1])
    leader = np.empty(n, dtype=np.int64)
    leader[order] = order[new][np.cumsum(new) - 1]
    length = np.diff(ends)
    same = length == length[leader]
    row = np.repeat(np.arange(n), length)
    within = np.arange(servers.size) - ends[row]
    at = np.minimum(ends[leader[row]] + within, servers.size - 1)
    same &= np.add.reduceat(servers[at] != servers, ends[:-1]) == 0
    leader = np.where(same, leader, np.arange(n))
    first = np.unique(leader)
    return first, np.searchsorted(first, leader)


def make_instance(problem: PlacementProblem) -> Instance:
    """Place the pins and take out what is forbidden. O(R) without either, O(E log n) with."""
    demand, graph = problem.demand, problem.graph
    start, stop, pool = problem.reach.lists()
    pinned = problem.pinned_models()
    if not problem.pinned.size and not problem.forbidden.size:
        return Instance(problem, demand.model, demand.weight, start, stop, pool, pinned, 0, problem.capacity_bytes, {})
    length = stop - start
    request = np.repeat(np.arange(length.size), length)
    within = np.arange(request.size) - np.repeat(np.cumsum(length) - length, length)
    servers = pool[start[request] + within]
    keys = servers.astype(np.int64) * max(problem.n_models, 1) + demand.model[request]
    served = np.zeros(demand.n_requests, dtype=bool)
    served[request[np.isin(keys, problem.pinned)]] = True
    keep = ~np.isin(keys, problem.forbidden) & ~served[request]
    rank = np.cumsum(~served) - 1
    left = np.bincount(rank[request[keep]], minlength=int((~served).sum()))
    ends = np.concatenate(([0], np.cumsum(left))).astype(np.int64)
    free = problem.capacity_bytes.copy()
    resident = {}
    atoms = graph.atoms()
    for m in np.flatnonzero(np.diff(pinned[0])).tolist():
        held = pinned[1][pinned[0][m] : pinned[0][m + 1]]
        resident[m] = np.unique(np.concatenate([atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]] for i in held]))
        free[m] -= int(atoms.atom_bytes[resident[m]].sum())
    return Instance(
        problem, demand.model[~served], demand.weight[~served], ends[:-1], ends[1:], servers[keep], pinned,
        int(demand.weight[served].sum()), free, resident,
    )  # fmt: skip
