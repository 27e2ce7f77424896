"""Rates and latencies by hand for three users, and compressed reach against the definition, request by request."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import trimcache.network.latency as latency
from trimcache.network import EdgeNetwork, coverage
from trimcache.placement import Demand, PrefixReach

# Two servers 500 m apart; user 0 stands on the first one, user 1 between them (both cover it), user 2 out in the
# field near the second, user 3 beyond all coverage.
PLACES = {"server_positions_m": [[0, 0], [500, 0]], "user_positions_m": [[0, 0], [250, 0], [500, 200], [2000, 0]]}


def network(**changes) -> EdgeNetwork:
    return EdgeNetwork.from_dict(PLACES | changes)


def rates(net: EdgeNetwork) -> dict[tuple[int, int], float]:
    links = net.mean_links()
    return {(m, k): rate for m, k, rate in zip(links.server.tolist(), links.user.tolist(), links.rate_bps.tolist(), strict=True)}


def seconds_per_byte(net: EdgeNetwork) -> np.ndarray:
    return latency.latencies_s(net, 1.0)


def rate_by_hand(distance_m: float, covered_users: int, bandwidth_hz: float = 400e6, power_w: float = 19.952623149688797) -> float:
    sharers = max(1.0, 0.5 * covered_users)
    bandwidth_hz /= sharers
    power_w /= sharers  # 43 dBm
    noise_w_per_hz = 3.981071705534969e-21  # -174 dBm
    return bandwidth_hz * math.log2(1 + power_w * distance_m**-4 / (noise_w_per_hz * bandwidth_hz))


def test_rates_of_three_users_by_hand():
    net = network()
    assert net.covered_users.tolist() == [2, 2]
    links = net.mean_links()
    assert links.user.tolist() == [0, 1, 1, 2]
    assert links.server.tolist() == [0, 0, 1, 1]
    assert links.distance_m.tolist() == [1.0, 250.0, 250.0, 200.0]  # the user on the server is 1 m away
    assert links.rate_bps == pytest.approx([rate_by_hand(1, 2), rate_by_hand(250, 2), rate_by_hand(250, 2), rate_by_hand(200, 2)])
    # 43 dBm at 200 m: path loss 4 * 23.01 dB = 92.04 dB; noise over 400 MHz: -174 + 86.02 dB = -87.98 dBm
    snr = 10 ** ((43 - 40 * math.log10(200) - (-174 + 10 * math.log10(400e6))) / 10)
    assert links.rate_bps[3] == pytest.approx(400e6 * math.log2(1 + snr), rel=1e-9)
    assert links.snr[3] == pytest.approx(snr)
    assert links.bandwidth_hz.tolist() == [400e6] * 4
    assert not links.fixed_s.any()
    some = net.mean_links(slice(1, 3))
    assert some.user.tolist() == [0, 0, 1]
    assert some.rate_bps.tolist() == links.rate_bps[1:].tolist()


def test_sharing_by_hand():
    # six users at the first server: three of them active, a third of the rate at the same signal-to-noise ratio
    alone = network(user_positions_m=[[200, 0]])
    crowd = network(user_positions_m=[[200, 0], *[[0, 10 * n] for n in range(1, 6)]])
    assert rates(crowd)[0, 0] == pytest.approx(rates(alone)[0, 0] / 3)
    assert rates(crowd)[0, 0] == pytest.approx(rate_by_hand(200, 6))


def test_servers_of_their_own_kind_by_hand():
    net = network(coverage_radius_m=[260, 100], bandwidth_hz=[100e6, 20e6], power_dbm=[40, 30])
    assert rates(net) == pytest.approx({(0, 0): rate_by_hand(1, 2, 100e6, 10.0), (0, 1): rate_by_hand(250, 2, 100e6, 10.0)})
    net = network(coverage_radius_m=[100, 260], bandwidth_hz=[100e6, 20e6], power_dbm=[40, 30])
    assert rates(net)[1, 2] == pytest.approx(rate_by_hand(200, 2, 20e6, 1.0))


def test_coverage_by_the_tree_is_coverage_by_every_pair(monkeypatch):
    rng = np.random.default_rng(3)
    servers, users = rng.integers(0, 30, (12, 2)) * 10.0, rng.integers(0, 30, (90, 2)) * 10.0  # many at exactly the radius
    radius = rng.choice([0.0, 50.0, 100.0], 12)
    every = coverage.covered_pairs(servers, users, radius)
    monkeypatch.setattr(coverage, "_FEW_PAIRS", 0)
    for one, other in zip(coverage.covered_pairs(servers, users, radius), every, strict=True):
        assert np.array_equal(one, other)
    near = {(k, m) for k in range(90) for m in range(12) if max(1.0, math.dist(servers[m], users[k])) <= radius[m]}
    assert set(zip(every[0].tolist(), every[1].tolist(), strict=True)) == near


def test_latencies_of_three_users_by_hand():
    net = network()
    near, middle, field = rate_by_hand(1, 2), rate_by_hand(250, 2), rate_by_hand(200, 2)
    slope = seconds_per_byte(net)
    assert slope[0] == pytest.approx([8 / near, 8 / middle, 8 / 10e9 + 8 / field, math.inf])
    assert slope[1] == pytest.approx([8 / 10e9 + 8 / near, 8 / middle, 8 / field, math.inf])
    assert latency.latencies_s(net, 10**9)[0, 2] == pytest.approx(0.8 + 8e9 / field)
    # one way only: server 1 may send to server 0, not back
    one_way = seconds_per_byte(network(backhaul_bps=[[0, 0], [1e9, 0]]))
    assert one_way[0, 2] == math.inf
    assert one_way[1, 0] == pytest.approx(8 / 1e9 + 8 / near)
    assert seconds_per_byte(network(backhaul_bps=0))[0, 2] == math.inf
    late = latency.latencies_s(network(backhaul_latency_s=0.25), 10**6)
    assert late[0, 2] == pytest.approx(0.25 + 8e6 / 10e9 + 8e6 / field)
    assert late[1, 2] == pytest.approx(8e6 / field)


def test_a_relay_takes_the_best_covering_server():
    net = network(server_positions_m=[[0, 0], [500, 0], [480, 200]], backhaul_bps=[[9, 4e9, 1e8], [9, 9, 9], [9, 9, 9]])
    near, far = 8 / rates(net)[2, 2], 8 / rates(net)[1, 2]
    assert seconds_per_byte(net)[0, 2] == pytest.approx(min(8 / 4e9 + far, 8 / 1e8 + near))


def test_one_and_no_server():
    assert seconds_per_byte(network(server_positions_m=[[0, 0]])).shape == (1, 4)
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


def test_deadlines_and_inference_of_each_user():
    net = network(deadline_low_s=[1, 2, 3, 4], deadline_high_s=[1, 2, 3, 4], deadline_bps=8e6, inference_s=[0, 0, 9, 0])
    user, model = np.arange(4, dtype=np.int32), np.zeros(4, dtype=np.int32)
    assert latency.deadlines_s(net, user, model, np.array([10**6] * 4)).tolist() == [2, 3, 4, 5]
    reach = latency.reach(net, Demand.from_dense([[1]] * 4), np.array([10**6]))
    assert [reach.servers_of(k).tolist() for k in range(4)] == [[0, 1], [0, 1], [], []]  # user 2 computes longer than it waits


# The definition (PAPER section 1), in plain loops that share nothing with the library: times of links as Fractions would be exact, floats
# with a margin are enough.
def direct_loops(net, link, hop, demand, sizes, deadline, inference):
    """link[m, k] and hop[a, b]: (rate, latency); the triple loop over servers, users and models."""
    n_servers = net.n_servers

    def hop_time(a, b, size):
        if net.relays == "one-hop":
            return 8 * size / hop[a, b][0] + hop[a, b][1] if (a, b) in hop else math.inf
        best = {a: 0.0}  # Bellman-Ford
        for _ in range(n_servers):
            for (u, v), (rate, late) in hop.items():
                if u in best and best[u] + 8 * size / rate + late < best.get(v, math.inf):
                    best[v] = best[u] + 8 * size / rate + late
        return best.get(b, math.inf)

    sure, close = {}, set()
    for r, (k, i) in enumerate(zip(demand.user.tolist(), demand.model.tolist(), strict=True)):
        size = float(sizes[i])
        for m in range(n_servers):
            if (m, k) in link:
                time = 8 * size / link[m, k][0] + link[m, k][1]
            else:
                time = min(
                    (hop_time(m, via, size) + 8 * size / link[via, k][0] + link[via, k][1] for via in range(n_servers) if (via, k) in link),
                    default=math.inf,
                )
            slack = deadline[r] - inference[k] - time
            if abs(slack) < 1e-9:
                close.add((r, m))
            elif slack > 0:
                sure.setdefault(r, set()).add(m)
    return sure, close


def check(net, demand, sizes, link, hop, inference):
    deadline = latency.deadlines_s(net, demand.user, demand.model, sizes[demand.model])
    sure, close = direct_loops(net, link, hop, demand, sizes, deadline.tolist(), inference)
    reach = latency.reach(net, demand, sizes)
    for r in range(demand.n_requests):
        found = set(reach.servers_of(r).tolist())
        assert {(r, m) for m in found ^ sure.get(r, set())} <= close
    whole, coverage._CHUNK_ENTRIES = coverage._CHUNK_ENTRIES, 2 * net.n_servers  # two users at a time
    at_once, latency._AT_ONCE = latency._AT_ONCE, 1
    try:
        sliced = latency.reach(net, demand, sizes)
    finally:
        coverage._CHUNK_ENTRIES, latency._AT_ONCE = whole, at_once
    assert np.array_equal(sliced.servers, reach.servers)
    assert np.array_equal(sliced.indptr, reach.indptr)
    start, stop, pool = reach.lists()
    if isinstance(reach, PrefixReach) and start.size:  # each user's order passes the checks that the network is trusted with
        ends = np.array([*start[np.concatenate(([True], demand.user[1:] != demand.user[:-1]))], pool.size])
        asking, row = np.unique(demand.user, return_inverse=True)
        PrefixReach(net.n_servers, ends, pool, row, stop - start)
        assert pool.size <= asking.size * net.n_servers
    return reach


@given(
    st.integers(0, 10**6), st.sampled_from(["paper", "download", "urban"]), st.sampled_from(["rate", "matrix", "graph"]), st.booleans(),
    st.sampled_from([0.0, 0.2]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_reach_of_a_geometry_is_the_definition(seed, preset, backhaul, late, inference_s):
    rng = np.random.default_rng(seed)
    n_servers, n_users, n_models = (int(n) for n in rng.integers(1, 8, 3))
    rate = np.full((n_servers, n_servers), 1e9) if backhaul == "rate" else rng.choice([0, 1e8, 1e9, 1e10], (n_servers, n_servers))
    fixed = rng.choice([0.0, 0.05, 0.3], (n_servers, n_servers)) if late and backhaul != "rate" else 0.1 * late
    inference = inference_s * rng.random(n_users)
    net = EdgeNetwork.preset(
        preset, n_servers=n_servers, n_users=n_users, seed=seed, area_m=600, inference_s=inference, backhaul_latency_s=fixed,
        backhaul_bps=1e9 if backhaul == "rate" else rate, relays="shortest-path" if backhaul == "graph" else "one-hop",
    )  # fmt: skip
    sizes = rng.choice([0, 10**6, 10**8, 3 * 10**8, 10**10], n_models)
    demand = Demand.from_dense(rng.integers(0, 2, (n_users, n_models)))
    links = net.mean_links()
    link = {(m, k): (links.rate_bps[n], 0.0) for n, (m, k) in enumerate(zip(links.server.tolist(), links.user.tolist(), strict=True))}
    lates = np.broadcast_to(fixed, rate.shape)
    hop = {(a, b): (rate[a, b], lates[a, b]) for a in range(n_servers) for b in range(n_servers) if rate[a, b]}
    reach = check(net, demand, sizes, link, hop, inference.tolist())
    assert isinstance(reach, PrefixReach) == (not net.has_fixed_latency)


def test_a_relayed_user_costs_one_row_of_servers_and_others_only_their_own():
    """Ten servers reach user 0 by relay for the small model; nobody relays the large one in time."""
    far = [[10_000.0 * m, 0.0] for m in range(10)]
    net = network(server_positions_m=far, user_positions_m=[[10_000.0 * 4, 30.0], [50_000.0, 40.0]], backhaul_bps=1e9)
    demand = Demand.from_dense([[1, 1], [0, 1]])
    reach = latency.reach(net, demand, np.array([10**6, 15 * 10**7]))
    start, stop, pool = reach.lists()
    assert (stop - start).tolist() == [10, 1, 1]
    assert pool.tolist() == [4, 0, 1, 2, 3, 5, 6, 7, 8, 9, 5]
    assert reach.servers_of(0).tolist() == list(range(10))
    assert reach.servers_of(1).tolist() == [4]


@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.sampled_from([None, "one-hop", "shortest-path"]))
@settings(max_examples=60, deadline=None)
@example(7, True, True, "shortest-path")
def test_reach_of_tables_is_the_definition(seed, late, with_backhaul, relays):
    rng = np.random.default_rng(seed)
    n_servers, n_users, n_models = (int(n) for n in rng.integers(1, 7, 3))
    link = {
        (m, k): (float(rng.choice([1e7, 1e8, 1e9])), float(rng.choice([0, 0.02, 0.2, 1.5])) if late else 0.0)
        for m in range(n_servers) for k in range(n_users) if rng.random() < 0.5
    }  # fmt: skip
    hop = {
        (a, b): (float(rng.choice([1e8, 1e9, 1e10])), float(rng.choice([0, 0.01, 0.4])) if late else 0.0)
        for a in range(n_servers) for b in range(a) if rng.random() < 0.5
    }  # fmt: skip
    document = {
        "server_names": [f"s{m}" for m in range(n_servers)],
        "user_names": [f"u{k}" for k in range(n_users)],
        "rates": [{"server": f"s{m}", "user": f"u{k}", "rate_bps": rate, "latency_s": t} for (m, k), (rate, t) in link.items()],
        "deadline_low_s": 0.1, "deadline_high_s": 3.0, "seed": seed,
    }  # fmt: skip
    if with_backhaul and hop:
        names = ("source", "target", "rate_bps", "latency_s")
        document["backhaul"] = [dict(zip(names, (f"s{a}", f"s{b}", *value), strict=True)) for (a, b), value in hop.items()]
        document |= {} if relays is None else {"relays": relays}
        hop |= {(b, a): value for (a, b), value in hop.items()}  # a row counts both ways
    else:
        hop = {}
    net = EdgeNetwork.from_dict(document)
    if document.get("backhaul"):
        assert net.relays == (relays or ("one-hop" if len(hop) == n_servers * (n_servers - 1) else "shortest-path"))
    sizes = rng.choice([0, 10**6, 10**7, 3 * 10**7, 10**8], n_models)
    demand = Demand.from_dense(rng.integers(0, 2, (n_users, n_models)))
    check(net, demand, sizes, link, hop, [0.0] * n_users)


def test_with_fixed_latencies_the_order_of_servers_depends_on_the_size():
    # near: 10 Mbit/s at once; far: 100 Mbit/s after 0.5 s. 0.1 MB: 0.08 s and 0.508 s. 10 MB: 8 s and 1.3 s.
    net = EdgeNetwork.from_dict(
        {
            "rates": [
                {"server": "near", "user": "hall", "rate_bps": 10e6},
                {"server": "far", "user": "hall", "rate_bps": 100e6, "latency_s": 0.5},
            ],
            "deadline_low_s": 0.2,
            "deadline_high_s": 0.2,
            "deadline_bps": 40e6,  # 0.1 MB: 0.22 s, 10 MB: 2.2 s
        }
    )
    reach = latency.reach(net, Demand.from_dense([[1, 1]]), np.array([10**5, 10**7]))
    assert [reach.servers_of(r).tolist() for r in range(2)] == [[0], [1]]  # neither is the beginning of one order
    assert not isinstance(reach, PrefixReach)
    assert latency.latencies_s(net, 10**7)[:, 0] == pytest.approx([8.0, 1.3])
