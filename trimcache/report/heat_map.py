"""Who shares how many bytes with whom, in an order that puts models side by side that share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimcache.sharing.pairs import shared_pairs

if TYPE_CHECKING:
    from trimcache.graph import ModelBlockGraph

__all__ = ["MOST_MODELS", "HeatMap", "heat_map"]

MOST_MODELS = 1200  # rows that still have a pixel each on a large screen; a page of these keeps within its size whatever they share


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Bytes that pairs of models share, for N of the I models.

    Attributes:
        models: int64[N], indices of the models shown, in clustered order.
        shared_bytes: int64[N, N], symmetric: bytes of the blocks that both hold, each once; the diagonal is what a model holds.
        left_out: how many models are not shown: beyond ``MOST_MODELS``, those that share least.
    """

    models: NDArray[np.int64]
    shared_bytes: NDArray[np.int64]
    left_out: int

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Places ``i < j`` in ``models`` of pairs that share something, and their bytes; most bytes first."""
        i, j = np.nonzero(np.triu(self.shared_bytes, 1))
        nbytes = self.shared_bytes[i, j]
        order = np.argsort(-nbytes, kind="stable")
        return i[order], j[order], nbytes[order]

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain values: the models in clustered order by name, and the pairs that share something by place in that order."""
        i, j, nbytes = self.pairs()
        return {
            "models": [names[k] for k in self.models.tolist()],
            "left_out": self.left_out,
            "i": i.tolist(),
            "j": j.tolist(),
            "shared_bytes": nbytes.tolist(),
        }


def heat_map(graph: ModelBlockGraph, most_models: int = MOST_MODELS) -> HeatMap:
    """The sharing of every two models, clustered; all blocks count, tokenizers and constants too."""
    chosen = np.arange(graph.n_models)
    if graph.n_models > most_models:
        shared = graph.closed_bytes() - graph.exclusive_bytes()
        chosen = np.sort(np.argsort(-shared, kind="stable")[:most_models])
    matrix = shared_pairs(graph).matrix(chosen)
    order = _leaves(matrix)
    return HeatMap(chosen[order], matrix[np.ix_(order, order)], graph.n_models - chosen.size)


def _leaves(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Models in the order of the leaves of average linkage; distance: what two models do not share of the smaller one."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    n = len(matrix)
    if n < 3:
        return np.arange(n)
    i, j = np.triu_indices(n, 1)
    held = np.diagonal(matrix)
    smaller = np.maximum(np.minimum(held[i], held[j]), 1)
    return np.asarray(leaves_list(linkage(1 - matrix[i, j] / smaller, method="average")), dtype=np.int64)
