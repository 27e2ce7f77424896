"""Latency of the paper (section 1), with fixed latencies of links beside it, and the reach that follows, in compressed form.

A download of D bytes over a link takes ``8 D / rate + fixed``. Direct, server m has a link to user k: the time of that link. Relayed, it
has none: the least sum of the way from m to a server m' (``backhaul.py``) and of the link from m' to k, over the servers m' of k.

Without fixed latencies a user's latency is ``model_bytes * a[m, k] + t``: seconds a byte ``a`` depend on the server and the user only. So
for one user the servers that are in time for a model are those with the smallest ``a``: sorting them once and searching gives the reach of
every request (``_orders.py``). With fixed latencies the order depends on the size, and reach is a list for each request. Nothing of size
M x K x I is ever made.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimcache._atoms import mix64
from trimcache.network._orders import Orders, ends_of
from trimcache.network._values import at
from trimcache.network.backhaul import Hops, hops_of
from trimcache.network.coverage import user_slices
from trimcache.network.links import Links, mean_links
from trimcache.placement.demand import Demand
from trimcache.placement.prefix_reach import PrefixReach
from trimcache.placement.reach import Reach

if TYPE_CHECKING:
    from trimcache.network.edge_network import EdgeNetwork

__all__ = ["deadlines_s", "latencies_s", "reach"]

_DEADLINE_STREAM = np.uint64(0xD1B54A32D192ED03)  # keeps these draws apart from those of demand for one seed
_AT_ONCE = 500_000  # times of (request, server) worked on at once


def latencies_s(network: EdgeNetwork, model_bytes: float) -> NDArray[np.float64]:
    """float64[M, K]: seconds in which each server delivers a model of that size to each user, inference time left out.

    Infinite where it cannot, whatever the size. For small networks; ``reach`` works through users and keeps only what is in time.
    """
    size = np.array([float(model_bytes)])
    hops = hops_of(network, size)[0]
    times = []
    for server, slope, fixed_s in _lines_by_user(mean_links(network), network.n_users):
        relay = [(hops.slope[None, :, via], hops.fixed_s[None, :, via]) for via in server.tolist()]
        times.append(_times(size, network.n_servers, server, slope, fixed_s, relay)[0])
    return np.array(times).reshape(network.n_users, network.n_servers).T


def deadlines_s(
    network: EdgeNetwork, user: NDArray[np.int32], model: NDArray[np.int32], model_bytes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """float64[R]: deadline of each request: uniform in [low, high], plus ``8 * model_bytes / deadline_bps`` if set.

    The draw is a hash of (seed, user, model), so a request keeps its deadline in larger networks and catalogs.
    ``model_bytes`` is that of each request.
    """
    low, high = at(network.deadline_low_s, user), at(network.deadline_high_s, user)
    pair = (user.astype(np.uint64) << np.uint64(32)) | model.astype(np.uint64)
    uniform = (mix64(pair ^ _DEADLINE_STREAM, network.seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    deadline = low + (high - low) * uniform
    return deadline if network.deadline_bps is None else deadline + 8.0 * model_bytes / at(network.deadline_bps, user)


def reach(network: EdgeNetwork, demand: Demand, model_bytes: NDArray[np.int64]) -> Reach:
    """Request -> servers whose latency is at most the deadline.

    A ``PrefixReach``, the first so many of the user's own order of servers, where no link has a fixed latency. With one backhaul
    rate all servers that must relay to a user are then equally far from it, so only direct links are looked at: O(K log M + links +
    R log M), and M numbers for a user that is served by relays. With a matrix O(M^2 K).

    With fixed latencies O(R M d) for d links a user, and as many numbers as there are pairs in time.

    Args:
        demand: the requests; its users are those of the network.
        model_bytes: int64[I], what fetching each model moves (all its bytes: sharing saves storage, not air time).
    """
    size = model_bytes[demand.model].astype(np.float64)
    budget = deadlines_s(network, demand.user, demand.model, model_bytes[demand.model])
    if network.has_fixed_latency:
        return _listed(network, demand, size, budget - at(network.inference_s, demand.user))
    inference_s = np.broadcast_to(at(network.inference_s, demand.user), budget.shape)
    hops = hops_of(network, size[:0])[0] if network.backhaul_bps.ndim else None
    count = np.zeros(demand.n_requests, dtype=np.int64)
    row_size = np.zeros(network.n_users, dtype=np.int64)
    parts: list[NDArray[np.int32]] = []
    for users in user_slices(network.n_servers, network.n_users):
        begin, end = np.searchsorted(demand.user, (users.start, users.stop))
        if begin == end:
            continue
        orders = _orders(network, mean_links(network, users), users.stop - users.start, hops)
        row = demand.user[begin:end] - users.start
        count[begin:end] = orders.in_time(row, size[begin:end], budget[begin:end], inference_s[begin:end])
        longest = np.zeros(users.stop - users.start, dtype=np.int64)
        np.maximum.at(longest, row, count[begin:end])
        row_size[users] = longest
        parts.append(orders.rows(longest))
    order = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
    return PrefixReach.trusted(network.n_servers, ends_of(row_size), order, demand.user, count)


def _orders(network: EdgeNetwork, links: Links, n_users: int, hops: Hops | None) -> Orders:
    with np.errstate(divide="ignore"):
        direct = 8.0 / links.rate_bps
        if hops is None:
            hop = float(8.0 / network.backhaul_bps) if network.backhaul_bps else np.inf
            return Orders.with_relays(network.n_servers, n_users, links.user, links.server, direct, hop)
    slope = np.full((network.n_servers, n_users), np.inf)
    slope[links.server, links.user] = direct
    relayed = np.full_like(slope, np.inf)
    for via in range(network.n_servers):
        relayed = np.minimum(relayed, hops.slope[:, via, None] + slope[None, via, :])
    return Orders.of_all(np.where(np.isfinite(slope), slope, relayed))


def _listed(network: EdgeNetwork, demand: Demand, size: NDArray[np.float64], budget: NDArray[np.float64]) -> Reach:
    """Every request by itself, user after user: with fixed latencies no order of servers holds for all sizes."""
    if not size.size:
        return Reach(network.n_servers, np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32))
    pieces = hops_of(network, np.unique(size))
    piece = np.searchsorted([hops.last_bytes for hops in pieces], size)
    slopes, fixes = (np.stack([hops[part] for hops in pieces]) for part in (1, 2))
    ends = np.searchsorted(demand.user, np.arange(network.n_users + 1))
    counts = np.zeros(demand.n_requests, dtype=np.int64)
    parts: list[NDArray[np.int32]] = []
    for users in user_slices(network.n_servers, network.n_users):
        lines = _lines_by_user(mean_links(network, users), users.stop - users.start)
        for user, (server, slope, fixed_s) in enumerate(lines, users.start):
            if not server.size:
                continue
            step = max(1, _AT_ONCE // network.n_servers)
            for start in range(ends[user], ends[user + 1], step):
                some = slice(start, min(start + step, ends[user + 1]))
                relay = [(slopes[piece[some], :, via], fixes[piece[some], :, via]) for via in server.tolist()]
                in_time = _times(size[some], network.n_servers, server, slope, fixed_s, relay) <= budget[some, None]
                counts[some] = in_time.sum(axis=1)
                parts.append(np.nonzero(in_time)[1].astype(np.int32))
    servers = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
    return Reach(network.n_servers, ends_of(counts), servers)


_Lines = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def _lines_by_user(links: Links, n_users: int) -> list[_Lines]:
    """Of each user the servers with a link, its seconds a byte and its fixed seconds."""
    usable = links.rate_bps > 0
    user, server, fixed_s = links.user[usable], links.server[usable], links.fixed_s[usable]
    slope = 8.0 / links.rate_bps[usable]
    ends = np.searchsorted(user, np.arange(n_users + 1)).tolist()
    return [(server[a:b], slope[a:b], fixed_s[a:b]) for a, b in pairwise(ends)]


def _times(
    size: NDArray[np.float64],
    n_servers: int,
    server: NDArray[np.int64],
    slope: NDArray[np.float64],
    fixed_s: NDArray[np.float64],
    relay: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> NDArray[np.float64]:
    """float64[R, M]: seconds from every server to one user, for models of these sizes.

    Args:
        server, slope, fixed_s: the user's d links.
        relay: for each of them slope and fixed seconds of the way from every server, float64[R, M] each; infinite where there is none.
    """
    times = np.full((size.size, n_servers), np.inf)
    with np.errstate(invalid="ignore"):  # 0 bytes at an infinite slope: fmin passes over it
        for (hop, hop_s), one, one_s in zip(relay, slope.tolist(), fixed_s.tolist(), strict=True):
            np.fmin(times, size[:, None] * (hop + one) + (hop_s + one_s), out=times)
    times[:, server] = size[:, None] * slope + fixed_s
    return times
