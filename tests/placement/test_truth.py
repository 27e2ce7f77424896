"""The optimum of tiny cases against everything: nothing exceeds it, no bound is below it, guarantees hold."""

from __future__ import annotations

import numpy as np
import pytest
from placement.cases import hit_ratio, in_every_form, storage_bytes, tiny_problem

from trimcache.errors import ProblemError
from trimcache.graph import ModelBlockGraph
from trimcache.placement import PlacementProblem, algorithm_names, compile_kernels, place
from trimcache.placement import bounds as bounds_module
from trimcache.placement._state import State
from trimcache.placement.bounds import LagrangianBound, upper_bound
from trimcache.placement.mip import mip_bound
from trimcache.placement.spec import EPSILON
from trimcache.placement.tree import sharing_tree

N_CASES = 320
TOLERANCE = 2e-6  # of the MIP solver


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    compile_kernels()


def kind(seed: int) -> dict[str, bool]:
    return {"laminar": bool(seed % 2), "pins": bool(seed // 2 % 2)}


@pytest.mark.parametrize("part", range(8))
def test_nothing_exceeds_the_optimum_and_no_bound_is_below_it(part):
    for seed in range(part, N_CASES, 8):
        problem = tiny_problem(seed, **kind(seed))
        best = place(problem, "exhaustive")
        assert best.optimal
        assert place(problem, "mip").hit_ratio == pytest.approx(best.hit_ratio, abs=TOLERANCE)
        assert mip_bound(problem) >= best.hit_ratio
        assert upper_bound(problem, steps=30, best_known=best.hit_ratio) >= best.hit_ratio
        for name in ("gen", "gen-ratio", "independent", "random", "spec", "spec-tree", "resolve", "auto"):
            result = place(problem, name, seed=seed)
            assert result.hit_ratio == hit_ratio(problem, result.x) <= best.hit_ratio <= result.upper_bound, (name, seed)
            for m in range(problem.n_servers):
                assert storage_bytes(problem, result.models_on(m)) <= problem.capacity_bytes[m]
            keys = np.flatnonzero(result.x.reshape(-1))
            assert np.isin(problem.pinned, keys).all()
            assert not np.isin(problem.forbidden, keys).any()
            if name == "spec":
                assert result.hit_ratio >= (1 - EPSILON) / 2 * best.hit_ratio


@pytest.mark.parametrize("part", range(4))
def test_search_and_its_bound_on_cases_too_large_to_be_tried_out_by_auto(part):
    for seed in range(part, 24, 4):
        problem = tiny_problem(1000 + seed, **kind(seed), n_models=9)
        best, found = place(problem, "exhaustive"), place(problem, "search", seed=seed)
        assert found.hit_ratio <= best.hit_ratio <= found.upper_bound
        starts = max(place(problem, name).hit_ratio for name in ("gen", "gen-ratio", "spec-tree", "independent", "resolve"))
        assert found.hit_ratio >= starts
        assert place(problem, "search", seed=seed).x.tolist() == found.x.tolist()


def test_every_optimal_is_confirmed_by_the_mip():
    proven = 0
    for seed in range(200):
        problem = tiny_problem(2000 + seed, **kind(seed), n_models=7)
        result = place(problem, "search" if seed % 2 else "auto")
        if result.optimal:
            proven += 1
            assert place(problem, "mip").hit_ratio <= result.hit_ratio + TOLERANCE
        if proven >= 60:
            break
    assert proven >= 50


def test_the_tree_solves_one_laminar_server():
    for seed in range(80):
        problem = tiny_problem(3000 + seed, laminar=True, pins=bool(seed % 2), n_servers=1, n_models=8)
        tree = sharing_tree(problem.graph.atoms())
        assert tree.crossing_bytes == 0
        best = place(problem, "mip")
        assert place(problem, "spec-tree").hit_ratio == pytest.approx(best.hit_ratio, abs=TOLERANCE)
        bound = LagrangianBound(problem.instance)  # with the full price of every request one server's bound is the optimum
        weight = problem.instance.classes.weight.astype(float)
        assert bound.evaluate(weight) / max(problem.demand.total, 1) == pytest.approx(best.hit_ratio, abs=TOLERANCE)


def bounds_hold() -> bool:
    """What the suite asks of pricing, on laminar single servers, where it has to be exact."""
    for seed in range(60):
        problem = tiny_problem(3000 + seed, laminar=True, pins=False, n_servers=1, n_models=8)
        bound = LagrangianBound(problem.instance).evaluate(problem.instance.classes.weight.astype(float))
        if bound != round(place(problem, "exhaustive").hit_ratio * problem.demand.total):
            return False
    return True


def test_pricing_that_is_one_step_off_is_noticed(monkeypatch):
    assert bounds_hold()
    exact = bounds_module.price_servers
    for off in (-1, 1):

        def shifted(*arguments, off=off):
            free = arguments[9] + off  # these capacities are below the grid, so a step is a byte
            free.flags.writeable = False
            return exact(*arguments[:9], free, *arguments[10:])

        monkeypatch.setattr(bounds_module, "price_servers", shifted)
        assert not bounds_hold()


@pytest.mark.parametrize("name", [name for name in algorithm_names() if name != "search"])
def test_dense_sparse_and_prefix_reach_give_the_same_placement(name):
    for seed in range(12):
        problems = in_every_form(seed)
        results = [place(problem, name, seed=seed) for problem in problems]
        for result in results[1:]:
            assert result.x.tolist() == results[0].x.tolist()
            assert result.upper_bound == results[0].upper_bound


def test_charges_in_full_never_fall_short_and_those_without_crossing_atoms_never_exceed():
    rng = np.random.default_rng(0)
    crossed = 0
    for seed in range(100):
        problem = tiny_problem(4000 + seed, laminar=False, pins=False, n_models=7)
        tree = sharing_tree(problem.graph.atoms())
        crossed += tree.crossing_bytes > 0
        base = tree.charges(problem.instance, crossing=False)[0]
        for _ in range(10):
            models = np.flatnonzero(rng.random(problem.n_models) < 0.5)
            paid = np.zeros(tree.n_nodes, dtype=bool)
            for n in np.flatnonzero(np.isin(tree.model, models)).tolist():
                while n >= 0:
                    paid[n], n = True, int(tree.parent[n])
            true = storage_bytes(problem, models)
            assert base[paid].sum() <= true <= tree.full_bytes[paid].sum()
            assert tree.crossing_bytes or base[paid].sum() == true == tree.full_bytes[paid].sum()
    assert crossed > 30


def test_spec_refuses_what_it_cannot_enumerate():
    n = 18
    models = {f"m{i}": [f"s{i}", f"p{i}"] for i in range(n)} | {f"n{i}": [f"s{i}", f"q{i}"] for i in range(n)}
    graph = ModelBlockGraph.from_blocks(models, {block: 1 for blocks in models.values() for block in blocks})
    problem = PlacementProblem(graph, 100, np.ones((1, 2 * n)), np.ones((1, 1, 2 * n), bool))
    with pytest.raises(ProblemError, match="spec-tree"):
        place(problem, "spec")
    with pytest.raises(ProblemError, match="use mip or auto"):
        place(problem, "exhaustive")


def test_state_counts_what_it_serves():
    for seed in range(40):
        problem = tiny_problem(5000 + seed, **kind(seed))
        state = State(problem.instance)
        rng = np.random.default_rng(seed)
        for _ in range(6):
            chosen = rng.permutation(problem.n_servers)[: rng.integers(1, problem.n_servers + 1)].astype(np.int32)
            state.clear(chosen.tolist())
            state.solve(chosen, keep=bool(rng.random() < 0.5))
            x = np.zeros((problem.n_servers, problem.n_models), dtype=bool)
            ends, models = state.held()
            x[np.repeat(np.arange(problem.n_servers), np.diff(ends)), models] = True
            assert state.served == round(hit_ratio(problem, x) * problem.demand.total)
