"""Latency of the paper (section 1) and the reach that follows from it, in compressed form.

A user's latency is ``model_bytes * a[m, k] + t``: seconds a byte ``a`` depend on the server and the user only. So for
one user the servers that are in time for a model are those with the smallest ``a``: sorting them once and searching
gives the reach of every request, and nothing of size M x K x I is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimcache._atoms import mix64
from trimcache.network.channel import covered, downlink_bps
from trimcache.placement.demand import Demand
from trimcache.placement.reach import Reach

if TYPE_CHECKING:
    from trimcache.network.edge_network import EdgeNetwork

__all__ = ["deadlines_s", "reach", "seconds_per_byte"]

_DEADLINE_STREAM = np.uint64(0xD1B54A32D192ED03)  # keeps these draws apart from those of demand for one seed
_CHUNK_ENTRIES = 4_000_000  # server-user pairs worked on at once: about 100 MB of temporary arrays


def seconds_per_byte(network: EdgeNetwork) -> NDArray[np.float64]:
    """float64[M, K]: ``a[m, k]``, infinite where server m cannot deliver to user k at all.

    Direct, m covers k: ``8 / C_mk``. Relayed, m does not: the least of ``8 / C_mm' + 8 / C_m'k`` over servers m' that
    cover k. For small networks; ``reach`` works through users in slices.
    """
    return _seconds_per_byte(network, _covered_users(network), slice(0, network.n_users))


def deadlines_s(
    network: EdgeNetwork, user: NDArray[np.int32], model: NDArray[np.int32], model_bytes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """float64[R]: deadline of each request: uniform in [low, high], plus ``8 * model_bytes / deadline_bps`` if set.

    The draw is a hash of (seed, user, model), so a request keeps its deadline in larger networks and catalogs.
    ``model_bytes`` is that of each request.
    """
    low, high = network.deadline_low_s, network.deadline_high_s
    pair = (user.astype(np.uint64) << np.uint64(32)) | model.astype(np.uint64)
    uniform = (mix64(pair ^ _DEADLINE_STREAM, network.seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    deadline = low + (high - low) * uniform
    return deadline if network.deadline_bps is None else deadline + 8.0 * model_bytes / network.deadline_bps


def reach(network: EdgeNetwork, demand: Demand, model_bytes: NDArray[np.int64]) -> Reach:
    """Request -> servers whose latency is at most the deadline.

    Args:
        demand: the requests; its users are those of the network.
        model_bytes: int64[I], what fetching each model moves (all its bytes: sharing saves storage, not air time).
    """
    size = model_bytes[demand.model].astype(np.float64)
    budget = deadlines_s(network, demand.user, demand.model, model_bytes[demand.model])
    counts = np.zeros(demand.n_requests, dtype=np.int64)
    parts: list[NDArray[np.int32]] = []
    for users in _slices(network):
        begin, end = np.searchsorted(demand.user, (users.start, users.stop))
        if begin == end:
            continue
        slope = _seconds_per_byte(network, _covered_users(network), users).T
        order = np.argsort(slope, axis=1, kind="stable").astype(np.int32)
        ascending = np.take_along_axis(slope, order, axis=1)
        row = demand.user[begin:end] - users.start
        n = _prefix(ascending, row, size[begin:end], budget[begin:end], network.inference_s)
        counts[begin:end] = n
        within = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
        parts.append(order[np.repeat(row, n), within])
    indptr = np.concatenate(([0], np.cumsum(counts)))
    return Reach(network.n_servers, indptr, np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32))


def _prefix(
    ascending: NDArray[np.float64],
    row: NDArray[np.int32],
    size: NDArray[np.float64],
    budget: NDArray[np.float64],
    inference_s: float,
) -> NDArray[np.int64]:
    """int64[R]: how many of the user's servers, best first, are in time; a bisection of all requests together.

    The test is the definition itself, ``size * a + t <= deadline``. It is monotone in ``a`` also in floating point,
    so the count is exactly what testing every server would give.
    """
    low = np.zeros(row.size, dtype=np.int64)
    high = np.full(row.size, ascending.shape[1], dtype=np.int64)
    while bool((low < high).any()):
        middle = np.minimum((low + high) // 2, ascending.shape[1] - 1)
        slope = ascending[row, middle]
        with np.errstate(invalid="ignore"):  # 0 bytes at an infinite slope: no link delivers nothing either
            in_time = np.isfinite(slope) & (size * slope + inference_s <= budget)
        active = low < high
        low = np.where(active & in_time, middle + 1, low)
        high = np.where(active & ~in_time, middle, high)
    return low


def _slices(network: EdgeNetwork) -> Iterator[slice]:
    step = max(1, _CHUNK_ENTRIES // max(1, network.n_servers))
    for start in range(0, network.n_users, step):
        yield slice(start, min(start + step, network.n_users))


def _covered_users(network: EdgeNetwork) -> NDArray[np.int64]:
    """int64[M]: |K_m|, the users that each server covers."""
    total = np.zeros(network.n_servers, dtype=np.int64)
    for users in _slices(network):
        total += covered(network, users).sum(axis=1)
    return total


def _seconds_per_byte(network: EdgeNetwork, covered_users: NDArray[np.int64], users: slice) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        direct = 8.0 / downlink_bps(network, covered_users, users)  # infinite outside coverage
        if network.n_servers < 2:
            return np.asarray(direct)
        hop = 8.0 / network.backhaul_matrix_bps() if network.backhaul_bps.ndim else 8.0 / network.backhaul_bps
    if hop.ndim == 0:
        relayed = hop + direct.min(axis=0, keepdims=True)
    else:
        relayed = np.full_like(direct, np.inf)
        for via in range(network.n_servers):
            relayed = np.minimum(relayed, hop[:, via, None] + direct[None, via, :])
    return np.asarray(np.where(np.isfinite(direct), direct, relayed))
