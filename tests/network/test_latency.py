"""Rates and latencies by hand for three users, and compressed reach against the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trimcache.network.latency as latency
from trimcache.network import EdgeNetwork
from trimcache.network.channel import covered, distances_m, downlink_bps
from trimcache.placement import Demand

# Two servers 500 m apart; user 0 stands on the first one, user 1 between them (both cover it), user 2 out in the
# field near the second, user 3 beyond all coverage.
PLACES = {"server_positions_m": [[0, 0], [500, 0]], "user_positions_m": [[0, 0], [250, 0], [500, 200], [2000, 0]]}


def network(**changes) -> EdgeNetwork:
    return EdgeNetwork.from_dict(PLACES | changes)


def rate_by_hand(distance_m: float, covered_users: int) -> float:
    sharers = max(1.0, 0.5 * covered_users)
    bandwidth_hz = 400e6 / sharers
    power_w = 19.952623149688797 / sharers  # 43 dBm
    noise_w_per_hz = 3.981071705534969e-21  # -174 dBm
    return bandwidth_hz * math.log2(1 + power_w * distance_m**-4 / (noise_w_per_hz * bandwidth_hz))


def test_rates_of_three_users_by_hand():
    net = network()
    assert covered(net).tolist() == [[True, True, False, False], [False, True, True, False]]
    assert distances_m(net)[0].tolist() == [1.0, 250.0, math.hypot(500, 200), 2000.0]
    rate = downlink_bps(net, np.array([2, 2]))
    assert rate[0] == pytest.approx([rate_by_hand(1, 2), rate_by_hand(250, 2), 0, 0])
    assert rate[1] == pytest.approx([0, rate_by_hand(250, 2), rate_by_hand(200, 2), 0])
    # 43 dBm at 200 m: path loss 4 * 23.01 dB = 92.04 dB; noise over 400 MHz: -174 + 86.02 dB = -87.98 dBm
    snr = 10 ** ((43 - 40 * math.log10(200) - (-174 + 10 * math.log10(400e6))) / 10)
    assert rate[1, 2] == pytest.approx(400e6 * math.log2(1 + snr), rel=1e-9)
    # sharing: six covered users, three of them active, leave a third of the rate at the same signal-to-noise ratio
    assert downlink_bps(net, np.array([2, 6]))[1, 2] == pytest.approx(rate[1, 2] / 3)


def test_latencies_of_three_users_by_hand():
    net = network()
    near, middle, field = rate_by_hand(1, 2), rate_by_hand(250, 2), rate_by_hand(200, 2)
    slope = latency.seconds_per_byte(net)
    assert slope[0] == pytest.approx([8 / near, 8 / middle, 8 / 10e9 + 8 / field, math.inf])
    assert slope[1] == pytest.approx([8 / 10e9 + 8 / near, 8 / middle, 8 / field, math.inf])
    # one way only: server 1 may send to server 0, not back
    one_way = latency.seconds_per_byte(network(backhaul_bps=[[0, 0], [1e9, 0]]))
    assert one_way[0, 2] == math.inf
    assert one_way[1, 0] == pytest.approx(8 / 1e9 + 8 / near)
    assert latency.seconds_per_byte(network(backhaul_bps=0))[0, 2] == math.inf


def test_a_relay_takes_the_best_covering_server():
    net = network(server_positions_m=[[0, 0], [500, 0], [480, 200]], backhaul_bps=[[9, 4e9, 1e8], [9, 9, 9], [9, 9, 9]])
    near, far = 8 / downlink_bps(net, np.array([2, 2, 1]))[[2, 1], 2]
    assert latency.seconds_per_byte(net)[0, 2] == pytest.approx(min(8 / 4e9 + far, 8 / 1e8 + near))


def test_one_and_no_server():
    assert latency.seconds_per_byte(network(server_positions_m=[[0, 0]])).shape == (1, 4)
    empty = network(server_positions_m=[])
    reach = latency.reach(empty, Demand.from_dense([[1]] * 4), np.array([5]))
    assert (reach.n_servers, reach.n_requests, reach.servers.size) == (0, 4, 0)


def test_deadlines():
    user, model = np.repeat(np.arange(200, dtype=np.int32), 50), np.tile(np.arange(50, dtype=np.int32), 200)
    sizes = np.full(user.size, 10**9)
    paper = latency.deadlines_s(EdgeNetwork.preset("paper", seed=3), user, model, sizes)
    assert 0.5 <= paper.min() < 0.51
    assert 0.99 < paper.max() < 1.0
    assert paper.mean() == pytest.approx(0.75, abs=0.01)
    assert np.unique(paper).size == paper.size
    alone = latency.deadlines_s(EdgeNetwork.preset("paper", seed=3, n_users=1), user[7:8], model[7:8], sizes[:1])
    assert alone[0] == paper[7]
    other = latency.deadlines_s(EdgeNetwork.preset("paper", seed=4), user, model, sizes)
    assert abs(np.corrcoef(paper, other)[0, 1]) < 0.05
    assert set(latency.deadlines_s(EdgeNetwork.preset("download"), user, model, sizes)) == {2 + 8 * 10**9 / 200e6}


@given(st.integers(0, 10**6), st.sampled_from(["paper", "download"]), st.booleans(), st.sampled_from([0.0, 0.2]))
@settings(max_examples=40, deadline=None)
def test_reach_is_the_definition(seed, preset, matrix, inference_s):
    rng = np.random.default_rng(seed)
    n_servers, n_users, n_models = (int(n) for n in rng.integers(1, 9, 3))
    backhaul = rng.choice([0, 1e8, 1e9, 1e10], (n_servers, n_servers)) if matrix else 1e9
    net = EdgeNetwork.preset(
        preset, n_servers=n_servers, n_users=n_users, seed=seed, area_m=600, backhaul_bps=backhaul, inference_s=inference_s
    )
    sizes = rng.choice([0, 10**6, 10**8, 3 * 10**8, 10**10], n_models)
    demand = Demand.from_dense(rng.integers(0, 2, (n_users, n_models)))
    slope = latency.seconds_per_byte(net)
    deadline = latency.deadlines_s(net, demand.user, demand.model, sizes[demand.model])
    expected = [
        [m for m in range(n_servers) if math.isfinite(slope[m, k]) and sizes[i] * slope[m, k] + inference_s <= deadline[r]]
        for r, (k, i) in enumerate(zip(demand.user, demand.model, strict=True))
    ]
    reach = latency.reach(net, demand, sizes)
    assert [reach.servers_of(r).tolist() for r in range(demand.n_requests)] == expected
    whole, latency._CHUNK_ENTRIES = latency._CHUNK_ENTRIES, 2 * n_servers  # two users at a time
    try:
        sliced = latency.reach(net, demand, sizes)
    finally:
        latency._CHUNK_ENTRIES = whole
    assert np.array_equal(sliced.servers, reach.servers)
    assert np.array_equal(sliced.indptr, reach.indptr)
