"""Placements under Rayleigh fading: placed on expected rates, evaluated on the rates of each realisation.

Every link (server, user) has a power gain |h|^2 ~ Exp(1) of its own in every realisation, inside the logarithm of the rate:
``B_mk log2(1 + snr_mk |h|^2)``. A request is served if some holder's latency with these rates is within the deadline:
direct from a server that covers the user, relayed over the backhaul and the user's fastest link of that realisation from
any other. Within a realisation all links stand still (block fading); the backhaul does not fade.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trimcache._atoms import mix64
from trimcache.network.backhaul import Hops, hops_of
from trimcache.network.edge_network import EdgeNetwork
from trimcache.network.latency import deadlines_s
from trimcache.placement._jit import read_only
from trimcache.placement.evaluate import Held
from trimcache.placement.problem import PlacementProblem
from trimcache.placement.result import Placement
from trimcache.simulation._fading_kernel import served_in_realisations

__all__ = ["hit_ratio_under_fading", "link_gains"]

_STREAM = np.uint64(0xA0761D6478BD642F)  # keeps these draws apart from those of demand and deadlines for one seed
_CHUNK = 1_000_000  # link gains held at once: some 50 MB with what computing them takes


def link_gains(server: NDArray[np.int64], user: NDArray[np.int64], n_realisations: int, seed: int) -> NDArray[np.float64]:
    """float64[n, R]: power gains |h|^2 ~ Exp(1) of n links, independent over links and realisations.

    A hash of (seed, server, user, realisation): a link keeps its gains whatever else is in the network, so that everything
    that is compared sees the same fading.
    """
    pair = (server.astype(np.uint64) << np.uint64(32)) | user.astype(np.uint64)
    key: NDArray[np.uint64] = mix64(pair ^ _STREAM, seed)[:, None]
    drawn = mix64(key ^ np.arange(n_realisations, dtype=np.uint64), 1)
    return np.asarray(-np.log(((drawn >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53))


def hit_ratio_under_fading(
    problem: PlacementProblem, network: EdgeNetwork, placements: Sequence[Placement | None], n_realisations: int, seed: int
) -> NDArray[np.float64]:
    """float64[A, R]: the hit ratio of each placement in each realisation; all see the same fading.

    Args:
        problem: what ``network.problem`` gave; its demand is counted.
        network: with a table of rates nothing fades, so every realisation is the expected one.
        placements: of that problem; None stands for servers that hold everything (``attainable``).
        n_realisations, seed: R, and which.

    Nothing of size M x K x I x R is made: users are worked through in chunks of about a million link gains.
    """
    demand = problem.demand
    n_placements = len(placements)
    served = np.zeros(n_placements * n_realisations, dtype=np.int64)
    total = demand.total
    if not total or not n_placements or not n_realisations:
        return served.reshape(n_placements, n_realisations).astype(np.float64)
    links = network.mean_links()
    if links.snr is None:
        ratio = [problem.attainable if placement is None else placement.hit_ratio for placement in placements]
        return np.repeat(np.array(ratio)[:, None], n_realisations, axis=1)
    model_bytes = problem.graph.model_bytes
    size = model_bytes[demand.model].astype(np.float64)
    budget = deadlines_s(network, demand.user, demand.model, model_bytes[demand.model])
    inference = np.broadcast_to(network.inference_s, network.n_users)
    link_ptr = np.searchsorted(links.user, np.arange(network.n_users + 1))
    holder_ptr, holder = _holders(problem, placements)
    everything = np.array([placement is None for placement in placements], dtype=np.uint8)
    pieces = _hops(network, size)
    for users in _chunks(link_ptr, n_realisations):
        at = slice(int(link_ptr[users.start]), int(link_ptr[users.stop]))
        if at.start == at.stop:
            continue
        gain = link_gains(links.server[at], links.user[at], n_realisations, seed)
        with np.errstate(divide="ignore"):  # no rate: infinitely slow
            slope = 8.0 / (links.bandwidth_hz[at, None] * np.log2(1.0 + links.snr[at, None] * gain))
        first, last = np.searchsorted(demand.user, (users.start, users.stop))
        before = -1.0
        for hops in pieces:
            rows = first + np.flatnonzero((size[first:last] > before) & (size[first:last] <= hops.last_bytes))
            before = hops.last_bytes
            served_in_realisations(
                read_only(slope.reshape(-1), np.float64), read_only(links.fixed_s[at], np.float64),
                read_only(link_ptr[users.start : users.stop + 1] - at.start, np.int64), read_only(links.server[at], np.int32),
                read_only(hops.slope.reshape(-1), np.float64), read_only(hops.fixed_s.reshape(-1), np.float64), problem.n_servers,
                read_only(np.searchsorted(demand.user[rows], np.arange(users.start, users.stop + 1)), np.int64),
                read_only(demand.model[rows], np.int32), read_only(size[rows], np.float64), read_only(budget[rows], np.float64),
                read_only(demand.weight[rows], np.int64), read_only(inference[users], np.float64),
                read_only(holder_ptr, np.int64), read_only(holder, np.int32), read_only(everything, np.uint8), served, n_realisations,
            )  # fmt: skip
    return np.asarray(served.reshape(n_placements, n_realisations) / total)


def _hops(network: EdgeNetwork, size: NDArray[np.float64]) -> list[Hops]:
    """What relays cost, by ranges of size: one number for all where every backhaul link is alike, matrices otherwise."""
    if network.backhaul_bps.ndim or network.backhaul_latency_s.ndim:
        return hops_of(network, np.unique(size))
    with np.errstate(divide="ignore"):
        return [Hops(np.inf, 8.0 / network.backhaul_bps.reshape(1), network.backhaul_latency_s.reshape(1))]


def _chunks(ptr: NDArray[np.int64], n_realisations: int) -> list[slice]:
    """Consecutive users with about ``_CHUNK`` gains together, at least one user each."""
    chunks, start, n_users = [], 0, ptr.size - 1
    while start < n_users:
        stop = int(np.searchsorted(ptr, ptr[start] + max(1, _CHUNK // n_realisations), side="right")) - 1
        stop = min(max(stop, start + 1), n_users)
        chunks.append(slice(start, stop))
        start = stop
    return chunks


def _holders(problem: PlacementProblem, placements: Sequence[Placement | None]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Servers that hold each model, placement after placement: ends int64[A * (I+1)] into int32[n]."""
    empty: Held = (np.zeros(problem.n_servers + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))
    ends, holders, total = [], [], 0
    for placement in placements:
        ptr, models = empty if placement is None else placement.held
        order = np.argsort(models, kind="stable")
        holders.append(np.repeat(np.arange(problem.n_servers, dtype=np.int32), np.diff(ptr))[order])
        ends.append(total + np.concatenate(([0], np.cumsum(np.bincount(models, minlength=problem.n_models)))))
        total += models.size
    return np.concatenate(ends), np.concatenate(holders)
