"""Compiled algorithms against naive ones, exact recounts, and the face they share."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from placement.cases import charged_bytes, hit_ratio, naive_greedy, problems, storage_bytes, tiny_problem

from trimcache.errors import ProblemError, UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.placement import Demand, Placement, PlacementProblem, Reach, algorithm_names, compile_kernels, needs_compilation, place
from trimcache.placement import hit_ratio as fast_hit_ratio
from trimcache.placement.evaluate import held_from_dense, held_from_lists


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    compile_kernels()
    assert not needs_compilation()


@given(problems())
@settings(max_examples=250, deadline=None)
def test_gen_is_the_naive_greedy(problem):
    assert np.array_equal(place(problem, "gen").x, naive_greedy(problem, storage_bytes))


@given(problems())
@settings(max_examples=150, deadline=None)
def test_independent_is_the_naive_greedy_without_sharing(problem):
    result = place(problem, "independent")
    assert np.array_equal(result.x, naive_greedy(problem, charged_bytes))
    for m in range(problem.n_servers):
        assert charged_bytes(problem, result.models_on(m)) <= problem.capacity_bytes[m]


@given(problems())
@settings(max_examples=150, deadline=None)
def test_every_algorithm_is_feasible_and_counted_right(problem):
    results = {name: place(problem, name) for name in algorithm_names()}
    everything = hit_ratio(problem, np.ones((problem.n_servers, problem.n_models), dtype=bool))
    for name, result in results.items():
        assert result.algorithm == name
        for m in range(problem.n_servers):
            assert result.used_bytes[m] == storage_bytes(problem, result.models_on(m)) <= problem.capacity_bytes[m]
            assert result.models_on(m).tolist() == np.flatnonzero(result.x[m]).tolist()
        assert result.hit_ratio == hit_ratio(problem, result.x) == fast_hit_ratio(problem, result.x)
        assert result.attainable == everything >= result.upper_bound >= result.hit_ratio
        assert result.gap == pytest.approx(1 - result.hit_ratio / result.upper_bound if result.upper_bound else 0)
        assert place(problem, name).x.tolist() == result.x.tolist()
        assert result.hit_ratio <= results["exhaustive"].hit_ratio <= result.upper_bound
    assert results["auto"].hit_ratio >= max(results["gen"].hit_ratio, results["independent"].hit_ratio)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_hit_ratio_is_the_formula_for_any_placement(problem):
    x = np.random.default_rng(problem.n_users).random((problem.n_servers, problem.n_models)) < 0.4
    assert fast_hit_ratio(problem, x) == hit_ratio(problem, x)
    lists = held_from_lists([np.flatnonzero(row)[::-1].tolist() for row in x], problem)
    assert all(np.array_equal(a, b) for a, b in zip(lists, held_from_dense(x, problem), strict=True))


def tiny(capacity_bytes=15, demand=((1, 2),), n_servers=1) -> PlacementProblem:
    graph = ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["x"]}, {"x": 10, "y": 5})
    return PlacementProblem(graph, capacity_bytes, demand, np.ones((n_servers, len(demand), 2), bool))


def test_sharing_is_what_gen_gains():
    problem = tiny()
    assert place(problem, "gen").x.tolist() == [[True, True]]
    assert place(problem, "independent").x.tolist() == [[False, True]]
    assert place(problem).hit_ratio == 1.0


def test_ties_go_to_the_lowest_server_then_the_lowest_model():
    assert place(tiny(10, ((1, 1),), 3), "gen").x.tolist() == [[False, True], [False, False], [False, False]]
    assert place(tiny(15, ((1, 1),), 3), "independent").x.tolist() == [[True, False], [False, True], [False, False]]


@pytest.mark.parametrize("name", algorithm_names())
def test_nothing_to_serve_or_to_place_with(name):
    for problem in (tiny(demand=((0, 0),)), tiny(capacity_bytes=0), tiny(n_servers=0), tiny(capacity_bytes=9)):
        result = place(problem, name)
        assert (result.hit_ratio, result.n_placed, result.used_bytes.sum()) == (0.0, 0, 0)
    assert place(tiny(demand=((0, 0),)), name).gap == 0
    unreachable = PlacementProblem(tiny().graph, 99, [[1, 2]], np.zeros((2, 1, 2), bool))
    assert place(unreachable, name).attainable == 0


def test_a_request_is_served_once():
    graph = ModelBlockGraph.from_blocks({"a": ["x"]}, {"x": 1})
    feasible = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]).reshape(3, 4, 1)  # all reach user 0
    problem = PlacementProblem(graph, 1, [[10], [3], [2], [1]], feasible)
    assert place(problem, "gen").x.ravel().tolist() == [True, True, True]


def test_a_wrong_placement_cannot_be_made():
    problem = tiny(12)
    with pytest.raises(ProblemError, match="15 bytes on server 0"):
        Placement(problem, held_from_lists([[0]], problem), "mine", 0.0)
    with pytest.raises(ProblemError, match="bound"):
        Placement(problem, held_from_lists([[1]], problem), "mine", 0.0, bound=0.1)
    bounded = Placement(problem, held_from_lists([[1]], problem), "mine", 0.0, bound=0.8)
    assert bounded.upper_bound == 0.8
    assert bounded.gap == pytest.approx((0.8 - 2 / 3) / 0.8)
    empty, both = np.array([0, 0]), np.array([0, 2])
    for ends, models in ((empty, [0]), (both, [1, 0]), (both, [0, 0]), (both, [0, 2]), (np.array([0, 1, 2]), [0, 1])):
        with pytest.raises(ProblemError):
            Placement(problem, (ends, np.array(models, dtype=np.int32)), "mine", 0.0)
    for x in (np.zeros((2, 2)), np.zeros(2)):
        with pytest.raises(ProblemError, match="shape"):
            fast_hit_ratio(problem, x)
    for lists in ([[0], [0]], [[2]]):
        with pytest.raises(ProblemError):
            held_from_lists(lists, problem)


def test_names_and_limits():
    with pytest.raises(UsageError, match="did you mean independent"):
        place(tiny(), "independant")
    with pytest.raises(UsageError, match="gen, gen-ratio"):
        place(tiny(), "zzz")
    with pytest.raises(UsageError, match="not positive"):
        place(tiny(), time_limit_s=0)


def test_a_hundred_servers_ten_thousand_users_ten_thousand_models():
    n_servers, n_users, n_models, asked, reached = 100, 10_000, 10_000, 20, 6
    rng = np.random.default_rng(0)
    levels = rng.integers(1, 9, n_models)
    prefix = np.concatenate([i // 100 * 8 + np.arange(level) for i, level in enumerate(levels)])
    owner = np.concatenate([np.repeat(np.arange(n_models), levels), np.arange(n_models)])
    names, blocks = np.unique(np.concatenate([prefix, 800 + np.arange(n_models)]), return_inverse=True)
    sizes = np.where(names < 800, 20_000_000, 5_000_000)
    graph = ModelBlockGraph.from_incidence([str(i) for i in range(n_models)], owner, blocks, sizes, None)
    model = (rng.random((n_users, asked)) ** 3 * n_models).astype(int)
    demand = Demand.from_requests(n_users, n_models, np.repeat(np.arange(n_users), asked), model.ravel(), rng.random(model.size))
    near = np.argsort(rng.random((n_users, n_servers)), axis=1)[:, :reached]
    reach = Reach(n_servers, np.arange(demand.n_requests + 1) * reached, near[demand.user].ravel())
    problem = PlacementProblem(graph, 10**9, demand, reach)
    begin = time.perf_counter()
    result = place(problem, "gen")
    assert time.perf_counter() - begin < 5  # about 0.4 s on an idle core
    assert result.hit_ratio > place(problem, "independent").hit_ratio > 0


def test_auto_is_below_none_of_its_starts_at_any_size(monkeypatch):
    """Large problems only get starts, and `spec-tree` leaves their requests unmerged: limits lowered, small ones count as large."""
    merged = [large_enough(seed) for seed in range(40)]
    expected = [place(problem, "spec-tree") for problem in merged]
    monkeypatch.setattr(sys.modules["trimcache.placement.auto"], "_LARGE", -1)
    monkeypatch.setattr(sys.modules["trimcache.placement.spec_tree"], "_MERGED", -1)
    wins = set()
    for seed, before in enumerate(expected):
        problem = large_enough(seed)
        starts = {name: place(problem, name).hit_ratio for name in ("gen", "gen-ratio", "independent", "spec-tree")}
        assert starts["spec-tree"] == before.hit_ratio
        assert "classes" not in problem.instance.__dict__
        best = place(problem, "auto")
        assert best.hit_ratio == max(starts.values())
        wins |= {name for name, ratio in starts.items() if ratio == best.hit_ratio and sum(r == ratio for r in starts.values()) == 1}
    assert "spec-tree" in wins


def large_enough(seed: int) -> PlacementProblem:
    return tiny_problem(7000 + seed, laminar=bool(seed % 2), pins=False, n_models=12)
