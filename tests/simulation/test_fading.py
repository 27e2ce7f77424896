"""Fading: against a direct triple loop over users, models and servers, and against the closed form of Rayleigh outage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from simulation.libraries import families

from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.network.latency import deadlines_s
from trimcache.placement import place
from trimcache.simulation import fading
from trimcache.simulation.fading import hit_ratio_under_fading, link_gains


def directly(problem, network, placements, n_realisations, seed):
    """The definition, link by link: nothing shared with the code under test but the gains and the deadlines."""
    demand, hits = problem.demand, np.zeros((len(placements), n_realisations))
    servers, users = network.places_m()
    covered = [[k for k in range(network.n_users) if math.dist(s, users[k]) <= float(network.coverage_radius_m)] for s in servers]
    backhaul = np.broadcast_to(network.backhaul_bps, (network.n_servers, network.n_servers))
    wait = np.broadcast_to(network.backhaul_latency_s, (network.n_servers, network.n_servers))
    size = problem.graph.model_bytes
    deadline = deadlines_s(network, demand.user, demand.model, size[demand.model])
    for r in range(n_realisations):
        rate = {}
        for m, mine in enumerate(covered):
            share = max(1.0, network.active_probability * len(mine))
            bandwidth, power = float(network.bandwidth_hz) / share, 10 ** ((float(network.power_dbm) - 30) / 10) / share
            for k in mine:
                gain = link_gains(np.array([m]), np.array([k]), n_realisations, seed)[0, r]
                received = power * max(math.dist(servers[m], users[k]), 1.0) ** -4.0 * gain
                rate[m, k] = bandwidth * math.log2(1 + received / (10 ** ((network.noise_dbm_per_hz - 30) / 10) * bandwidth))
        for n, placement in enumerate(placements):
            for q, (k, i) in enumerate(zip(demand.user.tolist(), demand.model.tolist(), strict=True)):
                for m in range(network.n_servers):
                    if placement is not None and not placement.x[m, i]:
                        continue
                    if (m, k) in rate:
                        latency = 8 * size[i] / rate[m, k]
                    else:
                        ways = [
                            8 * size[i] / backhaul[m, v] + wait[m, v] + 8 * size[i] / rate[v, k]
                            for v, j in rate
                            if j == k
                            if backhaul[m, v]
                        ]
                        latency = min(ways, default=math.inf)
                    if latency + float(network.inference_s) <= deadline[q]:
                        hits[n, r] += demand.weight[q]
                        break
    return hits / demand.total


def matrix(n: int, rng: np.random.Generator) -> np.ndarray:
    rates = rng.choice([0.0, 3e8, 1e9, 5e9], (n, n))
    return rates


@pytest.mark.parametrize("backhaul", ["one", "none", "matrix", "latency", "latencies"])
def test_against_the_triple_loop(backhaul):
    rng = np.random.default_rng(5)
    change = {
        "one": {"backhaul_bps": 1e9, "inference_s": 0.05},
        "none": {"backhaul_bps": 0.0},
        "matrix": {"backhaul_bps": matrix(4, rng)},
        "latency": {"backhaul_bps": 2e9, "backhaul_latency_s": 0.1},
        "latencies": {"backhaul_bps": matrix(4, rng), "backhaul_latency_s": rng.random((4, 4)) / 5},
    }[backhaul]
    weak = {"power_dbm": 10.0, "coverage_radius_m": 350.0}  # so that fading decides
    seen = set()
    for seed in range(2):
        network = EdgeNetwork.preset(n_servers=4, n_users=7, seed=seed, **weak, **change)
        problem = network.problem(families(6, 3), 60_000_000, seed=seed)
        placements = [place(problem, "gen"), place(problem, "random", seed=seed), None]
        found = hit_ratio_under_fading(problem, network, placements, 6, seed)
        np.testing.assert_array_equal(found, directly(problem, network, placements, 6, seed))
        assert (found[2] >= found[0]).all()
        seen |= set(found.ravel().tolist())
    assert len(seen) > 5


def test_chunks_change_nothing(monkeypatch):
    network = EdgeNetwork.preset(n_servers=5, n_users=11, seed=1, power_dbm=10.0)
    problem = network.problem(families(), 60_000_000, seed=1)
    placements = [place(problem, "gen"), None]
    whole = hit_ratio_under_fading(problem, network, placements, 50, 1)
    for chunk in (1, 120, 333):
        monkeypatch.setattr(fading, "_CHUNK", chunk)
        np.testing.assert_array_equal(hit_ratio_under_fading(problem, network, placements, 50, 1), whole)


def test_without_fading_it_is_the_hit_ratio(monkeypatch):
    monkeypatch.setattr(fading, "link_gains", lambda server, _user, n, _seed: np.ones((server.size, n)))
    for relays, backhaul in (("one-hop", 1e9), ("shortest-path", np.random.default_rng(0).choice([0.0, 3e8, 5e9], (10, 10)))):
        for seed in range(3):
            network = EdgeNetwork.preset(seed=seed, backhaul_bps=backhaul, backhaul_latency_s=0.01, relays=relays)
            problem = network.problem(families(), 50_000_000, seed=seed)
            placements = [place(problem, name) for name in ("gen", "independent")]
            found = hit_ratio_under_fading(problem, network, [*placements, None], 2, seed)
            expected = [*(placement.hit_ratio for placement in placements), problem.attainable]
            np.testing.assert_array_equal(found, np.repeat(np.array(expected)[:, None], 2, axis=1))


def test_one_link_fails_as_the_closed_form_says():
    """P(|h|^2 < g) = 1 - exp(-g): the outage of a link that needs the gain g = (2^(8 D / (T B)) - 1) / snr."""
    graph = ModelBlockGraph.from_blocks({"m": ["b"]}, {"b": 60_000_000})
    n = 20_000

    def needed_gain(network):
        [deadline] = deadlines_s(network, np.array([0], np.int32), np.array([0], np.int32), graph.model_bytes)
        links = network.mean_links()
        return (2 ** (8 * 60_000_000 / (deadline * links.bandwidth_hz[0])) - 1) / links.snr[0]

    for seed, served in enumerate((0.02, 0.3, 0.6, 0.95, 0.999)):
        fixed = {"n_servers": 1, "n_users": 1, "seed": seed, "area_m": 150.0, "active_probability": 1.0}
        at_0_dbm = needed_gain(EdgeNetwork.preset(power_dbm=0.0, **fixed))
        network = EdgeNetwork.preset(power_dbm=10 * math.log10(at_0_dbm / -math.log(served)), **fixed)
        assert math.exp(-needed_gain(network)) == pytest.approx(served)
        share = hit_ratio_under_fading(network.problem(graph, 10**8), network, [None], n, seed).mean()
        assert abs(share - served) < 4 * math.sqrt(served * (1 - served) / n)


def test_gains_are_exponential_and_each_its_own():
    server, user = np.divmod(np.arange(200), 20)
    gain = link_gains(server, user, 500, 3)
    assert stats.kstest(gain.ravel(), "expon").pvalue > 0.01
    between = np.corrcoef(gain)[np.triu_indices(200, 1)]
    assert abs(between.mean()) < 0.002
    assert between.std() == pytest.approx(1 / math.sqrt(500), rel=0.05)
    # A link keeps its gains whatever else there is, and more realisations keep the first ones.
    np.testing.assert_array_equal(link_gains(server[7:9], user[7:9], 300, 3), gain[7:9, :300])
    assert not np.isin(link_gains(server, user, 500, 4), gain).any()


def test_a_table_of_rates_does_not_fade():
    document = {
        "server_names": ["s"], "user_names": ["u", "v"],
        "rates": {"server": ["s"], "user": ["u"], "rate_bps": [1e9]}, "backhaul_bps": 1e9,
    }  # fmt: skip
    network = EdgeNetwork.from_dict(document)
    problem = network.problem(families(), 60_000_000)
    placement = place(problem, "gen")
    assert 0 < placement.hit_ratio < problem.attainable == 0.5
    assert hit_ratio_under_fading(problem, network, [placement, None], 3, 0).tolist() == [[placement.hit_ratio] * 3, [0.5] * 3]


def test_nothing_to_do():
    network = EdgeNetwork.preset(n_servers=2, n_users=2, coverage_radius_m=0.0)
    problem = network.problem(families(), 60_000_000)
    placement = place(problem, "gen")
    assert hit_ratio_under_fading(problem, network, [placement, None], 2, 0).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert hit_ratio_under_fading(problem, network, [], 2, 0).shape == (0, 2)
    assert hit_ratio_under_fading(problem, network, [placement], 0, 0).shape == (1, 0)
