"""Relays over several servers: by hand, and against every path there is."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimcache.network import EdgeNetwork
from trimcache.network.backhaul import hops_of
from trimcache.network.latency import latencies_s


def network(rate, late, relays="shortest-path"):
    n_servers = len(rate) if np.ndim(rate) else 3
    return EdgeNetwork.preset("paper", n_servers=n_servers, n_users=0, backhaul_bps=rate, backhaul_latency_s=late, relays=relays)


def every_path(rate, late, a, b, size):
    """The least time over all simple paths: factorial, for five servers."""
    others = [m for m in range(len(rate)) if m not in (a, b)]
    best = math.inf
    for n in range(len(others) + 1):
        for middle in itertools.permutations(others, n):
            path = [a, *middle, b]
            times = [8 * size / rate[u][v] + late[u][v] if rate[u][v] else math.inf for u, v in itertools.pairwise(path)]
            best = min(best, sum(times))
    return best


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_shortest_paths_are_the_best_of_all_paths(seed, with_latency):
    rng = np.random.default_rng(seed)
    n_servers = int(rng.integers(2, 6))
    rate = rng.choice([0, 1e7, 1e8, 1e9], (n_servers, n_servers), p=[0.4, 0.2, 0.2, 0.2])
    late = rng.choice([0.0, 0.01, 0.1, 1.0], (n_servers, n_servers)) if with_latency else np.zeros((n_servers, n_servers))
    sizes = np.unique(rng.choice([0, 10**3, 10**5, 10**6, 3 * 10**6, 10**7, 10**8, 10**9], 6)).astype(float)
    pieces = hops_of(network(rate, late), sizes)
    assert [piece.last_bytes for piece in pieces] == sorted({piece.last_bytes for piece in pieces})
    assert pieces[-1].last_bytes == sizes[-1] or not with_latency
    for size in sizes:
        piece = next(piece for piece in pieces if size <= piece.last_bytes)
        for a, b in itertools.permutations(range(n_servers), 2):
            expected = every_path(rate, late, a, b, size)
            there = math.isfinite(piece.slope[a, b])
            if size or there:
                assert there == math.isfinite(expected)
            if there:
                assert size * piece.slope[a, b] + piece.fixed_s[a, b] == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_the_best_path_depends_on_the_size():
    # 0 to 2: straight at 8 Mbit/s without delay, or over 1 at 80 Mbit/s a hop with 1 s each. Equal at 8 s e-6 b = 2 + 2e-7 b, 2.5 MB.
    rate = [[0, 80e6, 8e6], [0, 0, 80e6], [0, 0, 0]]
    late = [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    pieces = hops_of(network(rate, late), np.array([1e6, 2e6, 2.4e6, 2.6e6, 5e6]))
    assert [piece.last_bytes for piece in pieces] == [2.4e6, 5e6]
    assert [(piece.slope[0, 2], piece.fixed_s[0, 2]) for piece in pieces] == [(1e-6, 0), (pytest.approx(2e-7), 2)]


def test_without_latencies_there_is_one_piece():
    assert len(hops_of(network(np.full((4, 4), 1e9), 0.0), np.arange(1.0, 100.0))) == 1
    assert len(hops_of(network(1e9, 0.5), np.arange(1.0, 100.0))) == 1


def test_one_hop_is_the_link_itself():
    rate = [[0, 1e9, 0], [0, 0, 1e9], [0, 0, 0]]
    (hops,) = hops_of(network(rate, 0.0, "one-hop"), np.array([1.0]))
    assert (hops.slope[0, 1], hops.slope[0, 2]) == (8e-9, math.inf)
    (hops,) = hops_of(network(rate, 0.0), np.array([1.0]))
    assert hops.slope[0, 2] == pytest.approx(16e-9)


def test_a_relay_of_two_links_by_hand():
    net = EdgeNetwork.from_dict(
        {
            "rates": [{"server": "c", "user": "u", "rate_bps": 10e6, "latency_s": 0.02}],
            "server_names": ["a", "b", "c", "d"],
            "backhaul": [
                {"source": "a", "target": "b", "rate_bps": 1e9, "latency_s": 0.003},
                {"source": "b", "target": "c", "rate_bps": 2e9, "latency_s": 0.004},
            ],
        }
    )
    last = 8 * 10**6 / 10e6 + 0.02
    second = 8 * 10**6 / 2e9 + 0.004
    first = 8 * 10**6 / 1e9 + 0.003
    assert latencies_s(net, 10**6)[:, 0] == pytest.approx([first + second + last, second + last, last, math.inf])
