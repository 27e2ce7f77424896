"""Runs over time in one line each, against means taken by hand."""

from __future__ import annotations

import pytest

from trimcache.simulation.over_time_summary import summarise_over_time


def row(seed, slot, policy, ratio, moved=0, users=3, capacity=1):
    made = {"capacity_bytes": capacity, "seed": seed, "slot": slot, "algorithm": "gen", "policy": policy, "users": users}
    return made | {"hit_ratio": ratio, "attainable": 0.9, "moved_bytes": moved}


def test_means_ends_and_differences():
    ratios = {(0, "keep"): (0.5, 0.3), (0, "anew"): (0.5, 0.5), (1, "keep"): (0.7, 0.5), (1, "anew"): (0.7, 0.9)}
    rows = [
        row(seed, slot, policy, ratios[seed, policy][slot], moved=10 * slot * (seed + 1) if policy == "anew" else 0)
        for seed in (0, 1)
        for slot in (0, 1)
        for policy in ("keep", "anew")
    ]
    rows.append(row(0, 2, "keep", 0.0, users=0))  # nobody there: no slot to count
    keep, anew = summarise_over_time(rows, ["capacity_bytes"])
    assert (keep.point, keep.algorithm, keep.policy, keep.differences) == ({"capacity_bytes": 1}, "gen", "keep", {})
    assert keep.values["hit_ratio"].mean == pytest.approx(0.5)
    assert (keep.values["hit_ratio_start"].mean, keep.values["hit_ratio_end"].mean) == (pytest.approx(0.6), pytest.approx(0.4))
    assert anew.values["hit_ratio"].mean == pytest.approx(0.65)
    assert anew.values["moved_bytes"].mean == 15
    assert anew.differences["hit_ratio"].mean == pytest.approx(0.15)
    assert anew.differences["hit_ratio"].n == 2
    plain = anew.to_dict()
    assert (plain["capacity_bytes"], plain["algorithm"], plain["policy"]) == (1, "gen", "anew")
    assert plain["difference_to_first_policy"]["hit_ratio_end"]["mean"] == pytest.approx(0.3)
