"""Compiled policies against naive ones, exact recounts after every request, and every way the input can be odd."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement.online.naive import NaiveCache, block_sets, cases

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.placement.online import Gdsf, Lfu, Lru, Replace, policy_names, simulate_online
from trimcache.placement.online._kernels import plan, worth
from trimcache.placement.online.blocks import charged_blocks, empty_cache, trunks
from trimcache.placement.online.simulate import policy_by_name
from trimcache.simulation.traces import Trace, generate_trace

GRAPH = ModelBlockGraph.from_blocks({"alpha": ["x", "y"], "beta": ["x", "z"], "big": ["w"]}, {"x": 10, "y": 5, "z": 4, "w": 100})
BUSY = partial(Replace, period_requests=3, half_life_requests=10, horizon_requests=10, switch_cost_per_gb=1e7)


def trace_of(names, models, sites=None) -> Trace:
    rows = np.zeros(len(models), int) if sites is None else sites
    return Trace(np.arange(len(models)), rows, models, tuple(f"s{i}" for i in range(max(rows, default=0) + 1)), tuple(names))


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("kind", [Lru, Lfu, Gdsf, BUSY])
@given(case=cases())
@settings(max_examples=120, deadline=None)
def test_every_byte_is_accounted_for_after_every_request(kind, sharing, case):
    graph, capacity, requests = case
    cache = kind(graph, capacity, sharing=sharing).open()
    blocks, sizes = block_sets(graph, sharing)
    before: set = set()
    for i in requests:
        was_held = i in cache.models
        log = cache.serve([i])
        after = set().union(*(blocks[m] for m in cache.models)) if cache.models else set()
        assert cache.used_bytes == sum(sizes[b] for b in after) <= capacity
        for m in cache.models:
            alone = set().union(*(blocks[o] for o in cache.models if o != m), set())
            assert cache.resident.freeable[m] == sum(sizes[b] for b in blocks[m] - alone)
            assert sum(sizes[b] for b in blocks[m]) <= capacity
        assert bool(log.hit[0]) == was_held
        assert log.written[0] - log.evicted[0] == sum(sizes[b] for b in after) - sum(sizes[b] for b in before)
        if kind is not BUSY:  # a re-placement may follow a request that first filled free space
            assert log.written[0] == sum(sizes[b] for b in after - before)
        before = after


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("name", ["lru", "gdsf", "lfu"])
@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_compiled_policies_are_the_naive_ones(name, sharing, case):
    graph, capacity, requests = case
    naive = NaiveCache(graph, capacity, sharing)
    expected = [naive.request(i, name) for i in requests]
    result = policy_by_name(name if sharing else f"{name}-unshared", graph, capacity).run(trace_of(graph.model_names, requests))
    assert list(zip(result.hit.tolist(), result.written.tolist(), result.evicted.tolist(), strict=True)) == expected


@given(cases(), st.booleans(), st.floats(0, 3))
@settings(max_examples=120, deadline=None)
def test_a_plan_fits_and_is_never_above_the_best(case, sharing, price):
    graph, capacity, requests = case
    blocks = charged_blocks(graph, sharing)
    value = np.bincount(requests, minlength=graph.n_models).astype(float)
    cache = policy_by_name("lru" if sharing else "lru-unshared", graph, capacity).open()
    cache.serve(requests[:10])
    chosen = plan(blocks, cache.resident, capacity, value, price, *trunks(blocks, 64))
    sets, sizes = block_sets(graph, sharing)
    best = 0.0
    for n in range(graph.n_models + 1):
        for some in combinations(range(graph.n_models), n):
            if sum(sizes[b] for b in set().union(*(sets[i] for i in some), set())) <= capacity:
                best = max(best, worth(blocks, cache.resident, np.isin(np.arange(graph.n_models), some), value, price))
    held = set(np.flatnonzero(chosen).tolist())
    assert sum(sizes[b] for b in set().union(*(sets[i] for i in held), set())) <= capacity
    reached = worth(blocks, cache.resident, chosen, value, price)
    kept = worth(blocks, cache.resident, cache.resident.held, value, price)
    assert kept - 1e-9 <= reached <= best + 1e-9


def test_a_trunk_bought_in_advance_finds_the_family():
    """Per byte the stranger looks best at every first step; ten models on one trunk are worth more."""
    models = {f"f{n}": ["trunk", f"head{n}"] for n in range(10)} | {"stranger": ["own"]}
    graph = ModelBlockGraph.from_blocks(models, {"trunk": 90, "own": 95} | {f"head{n}": 1 for n in range(10)})
    blocks = charged_blocks(graph, True)
    value = np.array([1.0] * 10 + [2.0])
    found = [plan(blocks, empty_cache(blocks), 100, value, 0.0, *trunks(blocks, most)).nonzero()[0].tolist() for most in (0, 64)]
    assert found == [[10], list(range(10))]


@given(cases(), st.integers(1, 7), st.sampled_from(policy_names()))
@settings(max_examples=60, deadline=None)
def test_serving_piece_by_piece_changes_nothing(case, piece, name):
    graph, capacity, requests = case
    whole = policy_by_name(name, graph, capacity).open()
    pieces = policy_by_name(name, graph, capacity).open()
    at_once = whole.serve(requests)
    parts = [pieces.serve(requests[start : start + piece]) for start in range(0, len(requests), piece)]
    for n, column in enumerate(at_once):
        assert column.tolist() == [value for part in parts for value in part[n].tolist()]
    assert whole.models == pieces.models


@given(cases(), st.sampled_from(policy_names()))
@settings(max_examples=60, deadline=None)
def test_sites_are_independent(case, name):
    graph, capacity, requests = case
    sites = [n % 3 for n in range(len(requests))]
    together = policy_by_name(name, graph, capacity).run(trace_of(graph.model_names, requests, sites))
    for site in range(3):
        alone = policy_by_name(name, graph, capacity).run(trace_of(graph.model_names, requests[site::3]))
        assert together.hit[site::3].tolist() == alone.hit.tolist()
        assert together.written[site::3].tolist() == alone.written.tolist()


def test_sharing_writes_only_what_is_missing():
    shared, whole = simulate_online(GRAPH, trace_of(GRAPH.model_names, [0, 1, 0]), ["lru", "lru-unshared"], 20)
    assert (shared.hits, shared.written_bytes, shared.evicted_bytes) == (1, 19, 0)
    assert (whole.hits, whole.written_bytes, whole.evicted_bytes) == (0, 44, 29)
    assert shared.hit_bytes == 15


def test_lru_keeps_the_blocks_that_the_newcomer_needs():
    result = Lru(GRAPH, 15).run(trace_of(GRAPH.model_names, [0, 1]))
    assert result.written.tolist() == [15, 4]
    assert result.evicted.tolist() == [0, 5]


@pytest.mark.parametrize("name", policy_names())
def test_odd_capacities_and_traces(name):
    for capacity in (0, 3, 99):
        (result,) = simulate_online(GRAPH, trace_of(GRAPH.model_names, [2, 2, 2, 2]), [name], capacity)
        assert (result.hits, result.written_bytes, result.requests) == (0, 0, 4)
    (result,) = simulate_online(GRAPH, trace_of(GRAPH.model_names, []), [name], 100)
    assert (result.requests, result.hits, result.hit_ratio, result.window_hits().tolist()) == (0, 0, 0.0, [])
    (result,) = simulate_online(GRAPH, trace_of(GRAPH.model_names, [2, 2, 2, 2]), [name], 100)
    assert result.hits == 3
    assert result.policy == name


@pytest.mark.parametrize("capacity", [-1, 1.5, float("nan"), True, "1GB", 2**70])
def test_bad_capacities(capacity):
    with pytest.raises(UsageError, match="capacity"):
        Lru(GRAPH, capacity)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Lfu, {"half_life_requests": 0}),
        (Lfu, {"margin": 0.5}),
        (Replace, {"half_life_requests": float("nan")}),
        (Replace, {"period_requests": 0}),
        (Replace, {"period_requests": 2.5}),
        (Replace, {"max_trunks": 2.5}),
        (Replace, {"max_trunks": -1}),
        (Replace, {"horizon_requests": -1}),
        (Replace, {"switch_cost_per_gb": -1}),
    ],
)
def test_bad_options(kind, options):
    with pytest.raises(UsageError):
        kind(GRAPH, 10, **options)


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UsageError, match=r"'alpa' is not in the graph; did you mean alpha\?|'alpa'.*did you mean alpha"):
        Lru(GRAPH, 10).run(trace_of(["alpa"], [0]))
    assert Lru(GRAPH, 20).run(trace_of(["never asked for", "beta"], [1])).requests == 1
    with pytest.raises(UsageError, match="did you mean lru"):
        simulate_online(GRAPH, trace_of(["alpha"], [0]), ["lruu"], 10)
    with pytest.raises(UsageError, match="one name"):
        simulate_online(GRAPH, trace_of(["alpha"], [0]), "lru", 10)
    with pytest.raises(UsageError, match="outside"):
        Lru(GRAPH, 10).open().serve([3])


def test_windows_and_warm_up():
    result = Lru(GRAPH, 20).run(trace_of(GRAPH.model_names, [0, 0, 0, 1, 1]))
    assert result.hit.tolist() == [False, True, True, False, True]
    assert result.window_hits(2).tolist() == [1, 1, 1]
    assert result.after(2).hits == 2
    assert result.after(2).written_bytes == 4
    assert result.after(9).hit_ratio == 0
    assert result.to_dict()["hits"] == 3


def test_counts_survive_very_long_traces():
    """The weight of a request grows without end; the counts are scaled down before they overflow."""
    trace = generate_trace(GRAPH.model_names, 4000, seed=1)
    short = partial(Lfu, half_life_requests=1.0)
    (result,) = simulate_online(GRAPH, trace, [short], 20)
    assert result.hits > 0


def test_sharing_and_admission_pay():
    """A small form of the benchmark: fine-tunes on three trunks, a cache for a tenth of them."""
    models = {f"{t}-{n}": [f"trunk{t}", f"{t}{n}"] for t in range(3) for n in range(30)}
    rng = np.random.default_rng(0)
    sizes = {block: int(rng.integers(1, 40)) for blocks in models.values() for block in blocks} | {f"trunk{t}": 100 for t in range(3)}
    graph = ModelBlockGraph.from_blocks(models, sizes)
    trace = generate_trace(graph.model_names, 8000, swap_every=1000, seed=3)
    results = {r.policy: r.after(2000) for r in simulate_online(graph, trace, policy_names(), 600)}
    for name in ("lru", "lfu", "gdsf", "replace"):
        assert results[name].hits > results[f"{name}-unshared"].hits
    for name in ("lfu", "replace"):
        assert results[name].hits > 1.3 * results["lru"].hits
        assert results[name].written_bytes < 0.05 * results["lru"].written_bytes
