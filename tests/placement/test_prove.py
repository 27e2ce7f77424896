"""Linear programs for prices, and integer programs over sets, against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from placement.cases import storage_bytes, tiny_problem

from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.placement import PlacementProblem, compile_kernels, place, prove
from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.interchangeable import Group, alike
from trimcache.placement.master import reprice
from trimcache.placement.packings import Packings
from trimcache.placement.prove import Prover


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


def maximal_sets(problem: PlacementProblem, group: Group) -> list[frozenset[int]]:
    """By trying every set of models that the group's servers can be asked for."""
    m = group.servers[0]
    asked = np.unique(problem.instance.classes.model[group.classes]).tolist()
    ends, pinned = problem.pinned_models()
    pins = pinned[ends[m] : ends[m + 1]].tolist()
    fits = {
        frozenset(chosen)
        for n in range(len(asked) + 1)
        for chosen in combinations(asked, n)
        if storage_bytes(problem, [*chosen, *pins]) <= problem.capacity_bytes[m]
    }
    return sorted((chosen for chosen in fits if not any(chosen < other for other in fits)), key=sorted)


def listed(table: np.ndarray) -> list[frozenset[int]]:
    return sorted((frozenset(np.flatnonzero(row).tolist()) for row in table), key=sorted)


def test_all_maximal_sets_that_can_matter_and_only_they_are_listed():
    several = left_out = 0
    for problem in cases(6100, 60):
        bound = LagrangianBound(problem.instance)
        bound.run(0, max_steps=6)
        packings = Packings(bound)
        total = bound.evaluate(bound.price)
        model, price = problem.instance.classes.model, bound.price
        best = [sum(price[c] for c in group.classes if bound.best_set(n)[model[c]]) for n, group in enumerate(bound.groups)]
        for known in (-(2**60), int(0.8 * total), int(0.97 * total)):
            tables = packings.sets(known, 10**5)
            assert tables is not None
            for n, group in enumerate(bound.groups):
                every = maximal_sets(problem, group)
                worth = [sum(price[c] for c in group.classes if model[c] in chosen) for chosen in every]
                expected = [chosen for chosen, value in zip(every, worth, strict=True) if total - best[n] + value > known]
                assert listed(tables[n]) == expected
                several += len(expected) > 1
                left_out += len(expected) < len(every)
    assert several > 50
    assert left_out > 50


def test_sets_that_are_too_many_are_not_listed(monkeypatch):
    (problem,) = cases(6100, 1)
    bound = LagrangianBound(problem.instance)
    packings = Packings(bound)
    number = sum(map(len, packings.sets(-(2**60), 10**5)))
    assert sum(map(len, packings.sets(-(2**60), number))) == number
    assert packings.sets(-(2**60), number - 1) is None


@pytest.mark.parametrize("known", ["nothing", "the optimum"])
def test_the_program_over_all_sets_finds_the_optimum_and_proves_it(known):
    for problem in cases(6200, 40):
        total = problem.demand.total
        best = round(place(problem, "exhaustive").hit_ratio * total)
        bound = LagrangianBound(problem.instance)
        bound.run(0, max_steps=20)
        packings = Packings(bound)
        start = best if known == "the optimum" else 0
        sets = packings.sets(start, 10**5)
        chosen = packings.solve(start, sets)
        assert packings.solved
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


def test_proving_ends_when_an_integer_program_has_decided():
    """Prices leave a gap here, and a program over the sets that matter closes it long before the time is over."""
    from placement.paper_library import paper_special

    network = EdgeNetwork.preset("paper", backhaul_bps=10e9, seed=3)
    problem = network.problem(paper_special(30, 3), 150 * 10**6, seed=3)
    bound = LagrangianBound(problem.instance)
    found = place(problem, "auto", time_limit_s=30.0)
    prover = Prover(bound, 0.0)
    while prover.step(0):
        pass
    assert bound.weight / problem.demand.total > found.upper_bound + 1e-5  # by prices alone
    assert found.gap < 3e-6
    assert found.seconds < 29
    assert place(problem, "mip", time_limit_s=1.0).hit_ratio <= found.hit_ratio + 2e-6


def test_programs_beside_a_clock_find_the_optimum_and_cut_nothing_off(monkeypatch):
    """Cases too large to be tried out first: prices, then programs in a thread, as ``auto`` runs them under a time limit."""
    monkeypatch.setattr(prove, "_SETTLED_S", 0.0)
    ended = []
    solve = Packings.solve
    monkeypatch.setattr(Packings, "solve", lambda self, *given, **named: (solve(self, *given, **named), ended.append(self.solved))[0])
    for seed in range(60):
        problem = tiny_problem(9000 + seed, laminar=bool(seed % 2), pins=bool(seed // 2 % 2), n_models=9 + seed % 4, n_servers=2 + seed % 3)
        best = place(problem, "exhaustive").hit_ratio
        found = place(problem, "search", time_limit_s=0.8, seed=seed)
        assert found.hit_ratio <= best <= found.upper_bound
        assert found.hit_ratio >= best - 2e-6  # the solver's tolerance
    assert sum(ended) >= 10


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
