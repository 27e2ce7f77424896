"""Linear programs for prices, and integer programs over sets, against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from placement.cases import storage_bytes, tiny_problem

from trimcache.graph import ModelBlockGraph
from trimcache.placement import PlacementProblem, compile_kernels, place
from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.interchangeable import alike
from trimcache.placement.master import reprice
from trimcache.placement.packings import Packings


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    compile_kernels()


def cases(first: int, n: int, n_models: int = 6) -> list[PlacementProblem]:
    made = [tiny_problem(first + seed, laminar=bool(seed % 2), pins=bool(seed // 2 % 2), n_models=n_models) for seed in range(n)]
    return [problem for problem in made if problem.demand.total and problem.instance.classes.n_classes]


def test_programs_lower_the_bound_and_never_below_the_optimum():
    lowered = 0
    for problem in cases(6000, 60):
        best = round(place(problem, "exhaustive").hit_ratio * problem.demand.total)
        bound = LagrangianBound(problem.instance)
        bound.run(0, max_steps=1)
        before = bound.weight
        reprice(bound, best)
        assert best <= bound.weight <= before
        lowered += bound.weight < before
        if bound.converged:  # no prices are better: what many more steps find is not below it
            longer = LagrangianBound(problem.instance)
            longer.run(best, max_steps=300)
            assert longer.weight >= bound.weight * (1 - 1e-6)
    assert lowered >= 10


def test_all_maximal_sets_and_only_they_are_listed():
    for problem in cases(6100, 30):
        bound = LagrangianBound(problem.instance)
        packings = Packings(bound)
        assert packings.sets is not None
        asked = np.unique(problem.instance.classes.model).tolist()
        ends, pinned = problem.pinned_models()
        for group in bound.groups:
            m = group.servers[0]
            pins = pinned[ends[m] : ends[m + 1]].tolist()
            fits = {
                frozenset(chosen)
                for n in range(len(asked) + 1)
                for chosen in combinations(asked, n)
                if storage_bytes(problem, [*chosen, *pins]) <= problem.capacity_bytes[m]
            }
            maximal = {chosen for chosen in fits if not any(chosen < other for other in fits)}
            found = [frozenset(np.flatnonzero(row).tolist()) for row in packings.sets[group.room]]
            assert len(found) == len(set(found))
            assert set(found) == maximal


@pytest.mark.parametrize("known", ["nothing", "the optimum"])
def test_the_program_over_all_sets_finds_the_optimum_and_proves_it(known):
    for problem in cases(6200, 40):
        total = problem.demand.total
        best = round(place(problem, "exhaustive").hit_ratio * total)
        bound = LagrangianBound(problem.instance)
        bound.run(0, max_steps=20)
        chosen = Packings(bound).solve(best if known == "the optimum" else 0, None)
        assert best <= bound.weight <= best + 2e-6 * total + 1
        if known == "nothing" and best > problem.instance.pinned_weight:
            held = problem.instance.with_pins([np.flatnonzero(row) for row in chosen])
            served = set(zip(np.repeat(np.arange(problem.n_servers), np.diff(held[0])).tolist(), held[1].tolist(), strict=True))
            reach, demand = problem.reach, problem.demand
            weight = sum(
                int(demand.weight[r])
                for r in range(demand.n_requests)
                if any((m, int(demand.model[r])) in served for m in reach.servers_of(r).tolist())
            )
            assert weight == pytest.approx(best, rel=1e-6)  # the solver's tolerance


def test_servers_alike_share_a_group_and_no_others():
    for problem in cases(6300, 30):
        groups = alike(problem.instance)
        assert sorted(m for group in groups for m in group.servers) == list(range(problem.n_servers))
        classes = problem.instance.classes
        keys = [
            (int(problem.instance.free_bytes[m]), tuple(problem.instance.resident.get(m, [])),
             tuple(classes.server_classes[classes.server_ptr[m] : classes.server_ptr[m + 1]]))
            for m in range(problem.n_servers)
        ]  # fmt: skip
        for group in groups:
            assert len({keys[m] for m in group.servers}) == 1
        assert len(groups) == len(set(keys))


def test_the_finest_grid_is_exact_in_bytes_where_the_first_is_not():
    rng = np.random.default_rng(7)
    others_were_off = 0
    for _ in range(4):  # one server: with the whole demand as the price its bound is a knapsack, whose optimum the integer program knows
        size = rng.integers(10**6, 10**9, 60)
        graph = ModelBlockGraph.from_incidence([f"m{i}" for i in range(60)], np.arange(60), np.arange(60), size, None)
        demand = np.stack([size // 10**5 + rng.integers(0, 1000, 60)], axis=0).astype(float)  # value follows size: hard
        problem = PlacementProblem(graph, int(size.sum() // 3), demand, np.ones((1, 1, 60), bool))
        bound, weight = LagrangianBound(problem.instance), problem.instance.classes.weight.astype(float)
        values = [bound.evaluate(weight)]
        while bound.next_grid():
            values.append(bound.evaluate(weight))
        best = place(problem, "mip", time_limit_s=30)
        assert best.gap < 1e-5  # the solver's tolerance
        assert round(best.hit_ratio * problem.demand.total) <= values[2] <= values[1] <= values[0]
        assert values[2] <= best.hit_ratio * problem.demand.total * (1 + 2e-6)
        others_were_off += values[2] < values[1] < values[0]
    assert others_were_off
