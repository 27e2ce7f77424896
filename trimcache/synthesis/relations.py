"""Who belongs together, measured: families as the design defines them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import sparse

from trimcache.sharing.families import tied

Weights = Sequence[tuple[int, int, int]]


def weight_overlap(weights: Weights, n_parts: int, n_genes: int) -> dict[tuple[int, int], int]:
    """Bytes that pairs of parts ``(a < b)`` share; ``weights`` are rows ``(part, gene, nbytes)``."""
    part, gene, nbytes = (np.array(column, np.int64) for column in zip(*weights, strict=True)) if weights else (np.zeros(0, np.int64),) * 3
    holds = sparse.csr_matrix((np.ones(len(part), np.int64), (part, gene)), shape=(n_parts, n_genes))
    holds.data[:] = 1  # equal bytes twice in one part are one block
    size = np.zeros(n_genes, np.int64)
    size[gene] = nbytes
    each = np.arange(n_genes)
    weighted = holds @ sparse.csr_matrix((size, (each, each)), shape=(n_genes, n_genes))
    shared = sparse.triu(weighted @ holds.T, k=1).tocoo()
    return {(int(a), int(b)): int(value) for a, b, value in zip(shared.row, shared.col, shared.data, strict=True) if value}


def components(overlap: dict[tuple[int, int], int], weights: Weights, declared: Iterable[tuple[int, int]], n_parts: int) -> list[list[int]]:
    """Parts grouped by edges: enough shared weights, or an adapter and its base."""
    own = np.zeros(n_parts, np.int64)
    for part, _, nbytes in weights:
        own[part] += nbytes
    pairs, shared = list(overlap), np.fromiter(overlap.values(), np.int64, len(overlap))
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    edges = [pair for pair, together in zip(pairs, tied(shared, own[ends[:, 0]], own[ends[:, 1]]), strict=True) if together]
    edges += list(declared)
    a, b = (np.array(column, np.int64) for column in zip(*edges, strict=True)) if edges else (np.zeros(0, np.int64),) * 2
    graph = sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=(n_parts, n_parts))
    count, label = sparse.csgraph.connected_components(graph, directed=False)
    return [np.flatnonzero(label == number).tolist() for number in range(count)]
