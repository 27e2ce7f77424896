"""What a relay between two servers costs, in seconds a byte and in fixed seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trimcache.network.edge_network import EdgeNetwork

__all__ = ["RELAYS", "Hops", "hops_of"]

RELAYS = ("one-hop", "shortest-path")

_SAME = 1e-12  # relative: two paths whose costs differ by rounding are one


class Hops(NamedTuple):
    """Server (row) to server (column) takes ``slope * bytes + fixed_s`` for models of at most ``last_bytes``.

    ``slope`` (seconds a byte) and ``fixed_s`` are float64[M, M]; where there is no way ``slope`` is infinite and ``fixed_s`` 0.
    """

    last_bytes: float
    slope: NDArray[np.float64]
    fixed_s: NDArray[np.float64]


def hops_of(network: EdgeNetwork, sizes: NDArray[np.float64]) -> list[Hops]:
    """Hops for models of these ``sizes`` (float64[n], ascending, each once), by ranges of size, ascending.

    ``"one-hop"``: the link itself, the paper's rule. ``"shortest-path"``: the path of least time; a server on it stores and forwards, so
    the times of its links add up. With fixed latencies that path depends on the size of the model: a pair's least time is then the lower
    envelope of its paths' lines, which is concave in the size, so a path that is the best at two sizes is so between them, and halving
    where the ends differ finds every piece. Each piece is one run of Dijkstra from every server (``scipy.sparse.csgraph``).
    """
    shape = (network.n_servers, network.n_servers)
    with np.errstate(divide="ignore"):
        slope = np.broadcast_to(8.0 / network.backhaul_bps, shape)
    fixed_s = np.where(np.isfinite(slope), network.backhaul_latency_s, 0.0)
    last = float(sizes[-1]) if sizes.size else 0.0
    if network.relays == "one-hop" or network.backhaul_bps.ndim == 0 or network.n_servers < 2:
        return [Hops(last, slope, fixed_s)]
    if not fixed_s.any():
        return [Hops(last, *_shortest(slope, fixed_s, 1.0))]
    found: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def at(index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if index not in found:
            found[index] = _shortest(slope, fixed_s, float(sizes[index]))
        return found[index]

    pieces: list[Hops] = []
    todo = [(0, sizes.size - 1)] if sizes.size else []
    while todo:
        low, high = todo.pop()
        if all(np.allclose(one, other, rtol=_SAME, atol=0.0) for one, other in zip(at(low), at(high), strict=True)):
            pieces.append(Hops(float(sizes[high]), *at(low)))
        else:
            middle = (low + high) // 2
            todo += [(middle + 1, high), (low, middle)]  # the lower half is taken first
    return pieces


def _shortest(slope: NDArray[np.float64], fixed_s: NDArray[np.float64], nbytes: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope and fixed seconds, float64[M, M], of the path that is fastest for a model of ``nbytes``."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import shortest_path

    n_servers = slope.shape[0]
    link = np.isfinite(slope)
    np.fill_diagonal(link, False)
    source, target = np.nonzero(link)
    # Nothing to send takes no time over any link: the least number of links then decides, as in the limit of small models.
    seconds = nbytes * slope[link] + fixed_s[link]
    graph = csr_array((np.maximum(seconds, np.finfo(np.float64).tiny), (source, target)), shape=(n_servers, n_servers))
    _, before = shortest_path(graph, method="D", return_predecessors=True)
    total, fixed = np.full((n_servers, n_servers), np.inf), np.zeros((n_servers, n_servers))
    np.fill_diagonal(total, 0.0)
    done = np.eye(n_servers, dtype=np.bool_)
    row, column = np.nonzero(before >= 0)
    while row.size:  # once for each number of links that a path has
        via = before[row, column]
        ready = done[row, via]
        a, b, v = row[ready], column[ready], via[ready]
        total[a, b], fixed[a, b] = total[a, v] + slope[v, b], fixed[a, v] + fixed_s[v, b]
        done[a, b] = True
        row, column = row[~ready], column[~ready]
    return total, fixed
