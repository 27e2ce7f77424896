"""The compiled inner loop of ``fading.py``: which requests are served in each realisation of the fading."""

from __future__ import annotations

from typing import Any

import numpy as np

from trimcache.placement._jit import F8, I4, I8, U1, W8, N, jit

__all__ = ["served_in_realisations"]


@jit(F8, F8, I8, I4, F8, F8, N, I8, I4, F8, F8, I8, F8, I8, I4, U1, W8, N)
def served_in_realisations(
    slope: Any, fixed: Any, link_ptr: Any, link_server: Any, hop_slope: Any, hop_fixed: Any, n_servers: int,
    row_ptr: Any, model: Any, size: Any, budget: Any, weight: Any, inference: Any,
    holder_ptr: Any, holder: Any, everything: Any, served: Any, r_all: int,
) -> None:  # fmt: skip
    """Add to ``served`` [A * R] the weight that each of A placements serves in each of R realisations, for U users.

    slope: [links * R] seconds a byte; links of user u are ``link_ptr[u]:link_ptr[u+1]``, with their server and fixed seconds.
    hop_slope, hop_fixed: of a relay, one number or [M * M] from server to server.
    row_ptr: requests of user u; model, size (bytes), budget (deadline, s), weight of each request; inference: [U] s.
    holder_ptr: [A * (I + 1)], holder: servers that hold each model, placement after placement.
    everything: [A], 1 where a placement stands for servers that hold all.

    A lane is a kind of way to a user: each of its links, then one for all relays, or with a matrix one for each relaying server.
    """
    n_placements = everything.size
    n_models = holder_ptr.size // n_placements - 1
    matrix = hop_slope.size > 1
    most = 0
    for u in range(link_ptr.size - 1):
        most = max(most, link_ptr[u + 1] - link_ptr[u])
    lanes = most + (n_servers if matrix else 1)
    lane_of = np.empty(n_servers, np.int64)
    in_time = np.empty((lanes, r_all), np.uint8)
    tested = np.full(lanes, -1, np.int64)  # the last request that the lane was tested for
    used = np.full(lanes, -1, np.int64)  # the last (request, placement) that it counted for
    any_lane = np.empty(r_all, np.uint8)
    for u in range(link_ptr.size - 1):
        first, n_links = link_ptr[u], link_ptr[u + 1] - link_ptr[u]
        if n_links == 0:
            continue
        for m in range(n_servers):
            lane_of[m] = n_links + m if matrix else n_links
        for n in range(n_links):
            lane_of[link_server[first + n]] = n
        for q in range(row_ptr[u], row_ptr[u + 1]):
            nbytes, wait, limit, demand = size[q], inference[u], budget[q], weight[q]
            for a in range(n_placements):
                if everything[a]:
                    begin, end = 0, n_servers
                else:
                    at = a * (n_models + 1) + model[q]
                    begin, end = holder_ptr[at], holder_ptr[at + 1]
                if begin == end:
                    continue
                stamp = q * n_placements + a
                any_lane[:] = 0
                for h in range(begin, end):
                    m = h if everything[a] else holder[h]
                    lane = lane_of[m]
                    if used[lane] == stamp:
                        continue
                    used[lane] = stamp
                    result = in_time[lane]
                    if tested[lane] != q:
                        tested[lane] = q
                        if lane < n_links:
                            way = slope[(first + lane) * r_all : (first + lane + 1) * r_all]
                            more = fixed[first + lane]
                            for r in range(r_all):
                                result[r] = nbytes * way[r] + more + wait <= limit
                        else:
                            result[:] = 0
                            for n in range(n_links):
                                via = m * n_servers + link_server[first + n] if matrix else 0
                                step = hop_slope[via]
                                more = hop_fixed[via] + fixed[first + n]
                                way = slope[(first + n) * r_all : (first + n + 1) * r_all]
                                for r in range(r_all):
                                    result[r] |= nbytes * (step + way[r]) + more + wait <= limit
                    for r in range(r_all):
                        any_lane[r] |= result[r]
                total = served[a * r_all : (a + 1) * r_all]
                for r in range(r_all):
                    total[r] += demand * any_lane[r]
