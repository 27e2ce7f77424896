"""Demand as exact integers, reach in both forms, and every way a problem can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trimcache.errors import ProblemError
from trimcache.graph import ModelBlockGraph
from trimcache.placement import Demand, PlacementProblem, Reach
from trimcache.placement.demand import DEMAND_TOTAL

GRAPH = ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["x"]}, {"x": 10, "y": 5})


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 4), st.integers(0, 5)), elements=st.floats(0, 1e300)))
@settings(max_examples=60)
def test_dense_and_sparse_demand_agree(values):
    dense = Demand.from_dense(values)
    user, model = np.nonzero(values)
    order = np.random.default_rng(0).permutation(user.size)
    sparse = Demand.from_requests(*values.shape, user[order], model[order], values[user, model][order])
    assert np.array_equal(dense.to_dense(), sparse.to_dense())
    assert np.array_equal(dense.user, sparse.user)
    assert abs(dense.total - (DEMAND_TOTAL if user.size else 0)) <= user.size / 2
    if user.size:
        share = values / values.max()
        assert np.abs(dense.to_dense() / DEMAND_TOTAL - share / share.sum()).max() < 1e-11


def test_equal_probabilities_have_equal_weights():
    assert len(set(Demand.from_dense(np.ones((7, 3))).weight.tolist())) == 1


def test_repeated_rows_add_up():
    demand = Demand.from_requests(1, 2, [0, 0, 0], [1, 0, 1], [1, 2, 1])
    assert demand.weight.tolist() == [2**39, 2**39]


@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 3), st.just(3), st.just(2))))
@settings(max_examples=30)
def test_reach_survives_its_dense_form(feasible):
    demand = Demand.from_dense([[1, 0], [0, 2], [3, 4]])
    reach = Reach.from_dense(feasible, demand)
    asked = demand.to_dense() > 0
    assert np.array_equal(reach.to_dense(demand), feasible & asked)
    for r in range(reach.n_requests):
        assert reach.servers_of(r).tolist() == np.flatnonzero(feasible[:, demand.user[r], demand.model[r]]).tolist()
    assert np.array_equal(Reach.from_dense(feasible.astype(int), demand).servers, reach.servers)


def test_reach_rows_are_sorted_and_repeats_refused():
    assert Reach(5, np.array([0, 2, 2, 5]), np.array([3, 1, 4, 0, 2])).servers.tolist() == [1, 3, 0, 2, 4]
    with pytest.raises(ProblemError, match="twice"):
        Reach(5, np.array([0, 3]), np.array([1, 2, 1]))
    for ends, servers in (([0, 3], [0, 1]), ([1, 2], [0, 1]), ([0, 2, 1, 2], [0, 1]), ([0, 1], [5]), ([0, 1], [-1])):
        with pytest.raises(ProblemError):
            Reach(5, np.array(ends), np.array(servers))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"demand": [[1, -1]]}, "negative"),
        ({"demand": [[1, np.nan]]}, "NaN"),
        ({"demand": [[1, np.inf]]}, "NaN or infinity"),
        ({"demand": [1, 2]}, "shape"),
        ({"demand": [["a", "b"]]}, "numbers"),
        ({"demand": [[1, 2, 3]]}, "3 models"),
        ({"reach": np.ones((1, 2, 2), bool)}, "shape"),
        ({"reach": np.ones((2, 2), bool)}, "shape"),
        ({"reach": np.full((1, 1, 2), 2)}, "0 and 1"),
        ({"reach": Reach(1, np.array([0, 1]), np.array([0]))}, "1 rows"),
        ({"capacity_bytes": -1}, "negative"),
        ({"capacity_bytes": 1.5}, "whole"),
        ({"capacity_bytes": float("nan")}, "whole"),
        ({"capacity_bytes": 1e30}, "int64"),
        ({"capacity_bytes": [1, 2]}, "2 capacities"),
        ({"capacity_bytes": "1GB"}, "number of bytes"),
        ({"capacity_bytes": [[1]]}, "number of bytes"),
    ],
)
def test_bad_problems(change, words):
    arguments = {"capacity_bytes": 100, "demand": [[1, 2]], "reach": np.ones((1, 1, 2), bool)} | change
    with pytest.raises(ProblemError, match=words):
        PlacementProblem(GRAPH, **arguments)


@pytest.mark.parametrize("rows", [([1], [0], [1.0]), ([0], [2], [1.0]), ([0, 0], [0], [1.0]), ([-1], [0], [1.0])])
def test_bad_requests(rows):
    with pytest.raises(ProblemError):
        Demand.from_requests(1, 2, *rows)


def test_capacity_may_differ_between_servers():
    problem = PlacementProblem(GRAPH, [12, 9], [[1, 2]], np.ones((2, 1, 2), bool))
    assert problem.models_that_fit().tolist() == [False, True]
    assert problem.with_capacity(1e9).capacity_bytes.tolist() == [10**9, 10**9]
    assert (problem.n_servers, problem.n_users, problem.n_models, problem.attainable) == (2, 1, 2, 1.0)
