"""Means and intervals against scipy's own tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trimcache.simulation.summary import confidence_interval_95, estimate, summarise


def test_the_interval_is_that_of_scipy():
    values = np.random.default_rng(0).random(17)
    truth = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    mean, half = confidence_interval_95(values)
    assert (mean - half, mean + half) == pytest.approx((truth.low, truth.high), rel=1e-12)
    assert confidence_interval_95([0.5]) == (0.5, 0.0)
    assert estimate([0.5]).half_width is None


def test_differences_are_paired():
    rng = np.random.default_rng(1)
    topology = rng.random(30)  # the same for both: a paired interval does not feel it
    values = {"a": topology, "b": topology + 0.1 + 0.001 * rng.standard_normal(30)}
    rows = [
        {"seed": seed, "algorithm": name, "capacity_bytes": 5, "hit_ratio": float(values[name][seed]), "hit_ratio_fading": None}
        for seed in range(30)
        for name in ("a", "b")
    ]
    first, second = summarise(rows, ["capacity_bytes"], ("hit_ratio", "hit_ratio_fading", "absent"))
    assert (first.algorithm, dict(first.differences), set(first.values)) == ("a", {}, {"hit_ratio"})
    truth = stats.ttest_rel(values["b"], values["a"]).confidence_interval(0.95)
    found = second.differences["hit_ratio"]
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((truth.low, truth.high))
    assert found.half_width < first.values["hit_ratio"].half_width / 50
    assert second.to_dict()["difference_to_first"]["hit_ratio"]["n"] == 30
    assert second.point == {"capacity_bytes": 5}


def test_each_point_is_compared_with_the_first_algorithm_there():
    rows = [{"seed": s, "algorithm": a, "x": x, "hit_ratio": x + (a == "b")} for x in (1, 2) for s in (0, 1) for a in ("a", "b")]
    found = summarise(rows, ["x"], ("hit_ratio",))
    assert [(row.point["x"], row.algorithm) for row in found] == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
    assert [row.differences["hit_ratio"].mean for row in found if row.differences] == [1.0, 1.0]
