"""Zipf demand: its shape, its rankings, and its independence of what else is in the network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimcache.errors import ProblemError
from trimcache.network.demand import user_permutations, zipf_demand


@given(st.integers(1, 300), st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_every_user_ranks_every_model_once(n_models, seed):
    orders = user_permutations(5, n_models, n_models, seed)
    assert (np.sort(orders, axis=1) == np.arange(n_models)).all()
    depth = (n_models + 2) // 3
    assert np.array_equal(user_permutations(9, n_models, depth, seed)[:5], orders[:, :depth])


def test_permutations_look_uniform():
    orders = user_permutations(60_000, 5, 5, 1)
    codes, counts = np.unique(orders @ 5 ** np.arange(5), return_counts=True)
    assert codes.size == 120
    assert ((counts - 500) ** 2 / 500).sum() < 200  # chi-square, 119 degrees of freedom: beyond 200 once in 200,000
    for n_models in (256, 257, 1000):
        first, second = user_permutations(200_000, n_models, 2, 3).T
        for values, n in ((first, n_models), (second, n_models), ((second - first) % n_models - 1, n_models - 1)):
            counts, expected = np.bincount(values, minlength=n), values.size / n
            assert ((counts - expected) ** 2 / expected).sum() < n + 6 * np.sqrt(2 * n)


def test_zipf_weights():
    demand = zipf_demand(3, 4, 0.8, seed=1)
    share = np.arange(1, 5) ** -0.8 / (np.arange(1, 5) ** -0.8).sum() / 3
    dense = demand.to_dense() / demand.total
    assert np.sort(dense, axis=1)[:, ::-1] == pytest.approx(np.tile(share, (3, 1)))
    assert len({tuple(np.argsort(row)) for row in zipf_demand(20, 4, 0.8).to_dense()}) > 1
    assert np.ptp(zipf_demand(3, 4, 0).to_dense()) == 0


def test_rankings():
    everybody = zipf_demand(2, 3, 1.0, ranking="global").to_dense()
    assert (everybody[0] == everybody[1]).all()
    assert (np.diff(everybody[0]) < 0).all()
    popular = zipf_demand(1, 4, 1.0, ranking="popularity", popularity=[1, 5, 5, 9]).to_dense()[0]
    assert np.argsort(-popular).tolist() == [3, 1, 2, 0]


def test_few_requests_of_a_large_catalog():
    demand = zipf_demand(1000, 10**7, 0.8, requests_per_user=20)
    assert demand.n_requests == 20_000
    assert demand.model.max() > 9 * 10**6
    assert zipf_demand(2, 3, requests_per_user=9).n_requests == 6
    assert zipf_demand(0, 3).n_requests == zipf_demand(3, 0).n_requests == 0


@pytest.mark.parametrize(
    "change",
    [
        {"exponent": -1},
        {"exponent": float("nan")},
        {"ranking": "alphabet"},
        {"ranking": "popularity"},
        {"requests_per_user": 0},
    ],
)
def test_bad_demand(change):
    with pytest.raises(ProblemError):
        zipf_demand(2, 3, **change)
