"""The figure over time: both endings, the same bytes again, what is not drawn, and errors in one line."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trimcache.errors import UsageError
from trimcache.report.over_time_figure import _binned, _edges, over_time


def rows(algorithms=("gen",), policies=("keep", "anew"), seeds=range(3), slots=200):
    made = []
    for seed in seeds:
        for slot in range(slots):
            for n, name in enumerate(algorithms):
                for p, policy in enumerate(policies):
                    ratio = 0.6 - 0.05 * n + 0.02 * p + 0.02 * math.sin(slot / 9 + seed)
                    moved = p * 10**8 * (slot // 50) if policy != "keep" else 0
                    row = {"seed": seed, "slot": slot, "time_s": 30.0 * slot, "algorithm": name, "policy": policy, "users": 9}
                    made.append(row | {"hit_ratio": ratio, "attainable": 0.9, "moved_bytes": moved})
    return made


def test_both_endings_and_the_same_bytes_again(tmp_path):
    svg = over_time(rows(), tmp_path / "deep" / "a.svg", "Title").read_bytes()
    assert over_time(rows(), tmp_path / "b.svg", "Title").read_bytes() == svg
    text = svg.decode()
    for said in (
        "Time (min)",
        "all servers (MB)",
        "placed once",
        "placed anew",
        "attainable",
        "mean of 3 topologies",
        "TrimCaching Gen",
        "Title",
    ):
        assert said in text
    assert over_time(rows(), tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    two = over_time(rows(("gen", "independent")), tmp_path / "two.svg").read_text()
    assert "Independent Caching, placed anew" in two
    assert "one topology" in over_time(rows(seeds=[4]), tmp_path / "one.svg").read_text()


def test_slots_are_averaged_in_steps():
    table = [row for row in rows(policies=("keep",)) if not (row["seed"] == 1 and 40 <= row["slot"] < 60)]  # nobody there for a while
    edges = _edges(table)
    assert edges.size == 51
    at, values = _binned(table, "hit_ratio", edges)
    assert values.shape == (3, at.size) == (3, 47)  # steps that a topology lacks are left out
    assert at[:2].tolist() == [0.0, 75.0]  # slot 0 stands alone
    assert values[2, 0] == pytest.approx(0.6 + 0.02 * math.sin(2))
    assert values[2, 1] == pytest.approx(np.mean([0.6 + 0.02 * math.sin(slot / 9 + 2) for slot in range(1, 5)]))
    few = rows(slots=5)
    assert _binned(few, "moved_bytes", _edges(few))[0].tolist() == [0, 30, 60, 90, 120]


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(UsageError, match="nothing to draw"):
        over_time([row | {"users": 0} for row in rows()], tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"neither .png nor .svg"):
        over_time(rows(), tmp_path / "a.pdf")
    with pytest.raises(UsageError, match="10 lines are more than 8"):
        over_time(rows(("a", "b", "c", "d", "e")), tmp_path / "a.png")
