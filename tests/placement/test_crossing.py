"""One server where sharing crosses the tree: branch and bound against brute force and against the whole problem as a MIP."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimcache.graph import ModelBlockGraph
from trimcache.placement import PlacementProblem, place
from trimcache.placement import bounds as bounds_module
from trimcache.placement._state import grid_steps
from trimcache.placement.bounds import LagrangianBound
from trimcache.placement.crossing import CrossingServers
from trimcache.placement.mip import mip_bound
from trimcache.placement.tree import sharing_tree_of


def crossing_graph(rng, n_models, n_atoms, largest=60):
    """Models that hold random shared blocks, and some bytes of their own."""
    holds = rng.random((n_models, n_atoms)) < 0.4
    blocks = {f"m{i}": [f"s{j}" for j in np.flatnonzero(row)] + [f"p{i}"] for i, row in enumerate(holds)}
    sizes = {name: int(rng.integers(1, largest)) for row in blocks.values() for name in row}
    return ModelBlockGraph.from_blocks(blocks, sizes)


def one_server(graph, room, weight, pinned=None):
    reach = np.ones((1, 1, graph.n_models), bool)
    return PlacementProblem(graph, int(room), weight[None, :], reach, pinned=pinned)


def servers_of(problem, most):
    tree = sharing_tree_of(problem.instance)
    steps = grid_steps(tree.n_nodes)
    return CrossingServers(tree, problem.instance, most, np.empty((tree.n_nodes + 1) * (steps + 1))), steps


def best_by_trying(graph, room, value, free_of=()):
    """The most that any set of models is worth whose blocks, without those of models ``free_of``, fit."""
    there = graph.set_bytes(list(free_of))
    rows = (np.flatnonzero(row) for row in product((0, 1), repeat=graph.n_models))
    return max(int(value[row].sum()) for row in rows if graph.set_bytes([*row.tolist(), *free_of]) - there <= room)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(2, 7), st.sampled_from([1, 2, 5, 400]))
def test_what_is_found_fits_and_no_set_is_worth_more_than_the_bound(seed, n_models, n_atoms, most):
    rng = np.random.default_rng(seed)
    graph = crossing_graph(rng, n_models, n_atoms)
    room = int(graph.unique_bytes * rng.random())
    value = (rng.integers(0, 1000, n_models) * (rng.random(n_models) < 0.9)).astype(float)
    servers, steps = servers_of(one_server(graph, room, np.ones(n_models)), most)
    best = best_by_trying(graph, room, value)
    for _ in range(2):  # shares stay from call to call
        held = np.zeros(n_models, np.uint8)
        found, bound = servers.solve(0, value, held, steps)
        assert graph.set_bytes(np.flatnonzero(held).tolist()) <= room
        assert value @ held == found <= best <= bound
        if most == 400:
            assert found == best == bound


def test_a_set_that_is_known_is_never_lost():
    rng = np.random.default_rng(5)
    for _ in range(60):
        graph = crossing_graph(rng, 8, 6)
        value = rng.integers(1, 1000, 8).astype(float)
        room = graph.unique_bytes // 2
        servers, steps = servers_of(one_server(graph, room, np.ones(8)), 1)
        held = np.zeros(8, np.uint8)
        for i in rng.permutation(8).tolist():
            held[i] = 1
            held[i] = graph.set_bytes(np.flatnonzero(held).tolist()) <= room
        before = int(value @ held)
        found, _ = servers.solve(0, value, held, steps)
        assert found >= before


def test_blocks_of_pinned_models_cost_nothing():
    rng = np.random.default_rng(6)
    crossed = 0
    for _ in range(60):
        graph = crossing_graph(rng, 7, 6)
        pinned = np.zeros((1, 7), bool)
        pinned[0, 2] = True
        room = int(graph.set_bytes([2]) + (graph.unique_bytes - graph.set_bytes([2])) * 0.5)
        problem = one_server(graph, room, np.ones(7), pinned)
        crossed += sharing_tree_of(problem.instance).crossing_bytes > 0
        value = rng.integers(1, 1000, 7).astype(float)
        value[2] = 0
        servers, steps = servers_of(problem, 400)
        found, bound = servers.solve(0, value, np.zeros(7, np.uint8), steps)
        assert found == bound == best_by_trying(graph, room - graph.set_bytes([2]), value, (2,))
    assert crossed > 30


def test_a_bound_from_few_states_holds_for_servers_that_are_alike(monkeypatch):
    """All servers reach all users, and one state a server is far from enough."""
    monkeypatch.setattr(bounds_module, "_MOST_STATES", 1)
    rng = np.random.default_rng(3)
    loose = 0
    for _ in range(30):
        graph = crossing_graph(rng, 6, 5)
        problem = PlacementProblem(graph, graph.unique_bytes // 3, rng.random((4, 6)), np.ones((2, 4, 6), bool))
        bound = LagrangianBound(problem.instance)
        bound.run(0, max_steps=30)
        optimum = round(place(problem, "exhaustive").hit_ratio * problem.demand.total)
        assert bound.weight >= optimum
        loose += bound.weight > optimum
    assert loose > 10


def bounds_hold() -> bool:
    """With the full price of every request the bound of a single server is the optimum."""
    for seed in range(40):
        rng = np.random.default_rng([seed, 9])
        graph = crossing_graph(rng, 7, 6, largest=5)  # so small that a byte matters
        problem = one_server(graph, graph.unique_bytes // 2, rng.random(7))
        bound = LagrangianBound(problem.instance).evaluate(problem.instance.classes.weight.astype(float))
        if bound != round(place(problem, "exhaustive").hit_ratio * problem.demand.total):
            return False
    return True


def test_pricing_that_is_one_byte_off_is_noticed(monkeypatch):
    assert bounds_hold()
    exact = CrossingServers.__init__
    for off in (-1, 1):

        def shifted(self, *arguments, off=off):
            exact(self, *arguments)
            self._free = self._free + off

        monkeypatch.setattr(CrossingServers, "__init__", shifted)
        assert not bounds_hold()


def test_encoders_and_decoders_close_where_the_mip_does():
    """Each model joins one of 4 encoders and one of 4 decoders: nothing is nested."""
    rng = np.random.default_rng(0)
    for seed in range(3):
        pairs = np.random.default_rng(seed).choice(16, 10, replace=False)
        blocks = {f"e{p // 4}d{p % 4}": [f"e{p // 4}", f"d{p % 4}", f"own{p}"] for p in pairs.tolist()}
        sizes = {name: int(rng.integers(10, 40)) // (10 if name.startswith("own") else 1) for row in blocks.values() for name in row}
        graph = ModelBlockGraph.from_blocks(blocks, sizes)
        reach = rng.random((2, 5, graph.n_models)) < 0.7
        problem = PlacementProblem(graph, 110, rng.random((5, graph.n_models)), reach)
        assert sharing_tree_of(problem.instance).crossing_share > 0.3
        result = place(problem, "auto")
        bound = LagrangianBound(problem.instance)
        bound.run(0, max_steps=40)
        optimum = place(problem, "mip").hit_ratio
        assert result.hit_ratio == pytest.approx(optimum, abs=2e-3)
        assert result.hit_ratio <= mip_bound(problem)
        assert optimum <= bound.weight / problem.demand.total + 2e-6
