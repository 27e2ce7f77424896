"""Figures: written, with the words and lines that they must have, repeatable, and refused in one line."""

from __future__ import annotations

import sys

import pytest

from trimcache.errors import UsageError
from trimcache.report.figures import curves
from trimcache.report.style import axis_label, unit_of

NAMES = ("gen", "independent", "auto", "a", "b", "c", "d")
ROWS = [
    {
        "algorithm": name,
        "capacity_bytes": c * 10**8,
        "n_servers": servers,
        "channel": '{"name": "umi"}' if servers == 6 else None,
        "ranking": "user" if servers == 6 else "global",
        "seed": seed,
        "hit_ratio": c / 10 + seed / 50 + n / 100,
        "hit_ratio_fading": c / 11 + seed / 50 + n / 100,
        "attainable": 0.8,
        "attainable_fading": 0.7,
        "seconds": (n + 1) / 100,
    }
    for n, name in enumerate(NAMES)
    for c in (1, 2, 5)
    for servers in (6, 10)
    for seed in range(3)
]
SIX = [row for row in ROWS if row["n_servers"] == 6]


@pytest.mark.parametrize("name", ["curve.png", "new/curve.svg"])
def test_a_figure_is_written_and_repeats(tmp_path, name):
    pytest.importorskip("matplotlib")
    path = curves(SIX, tmp_path / name, "capacity_bytes", title="A library")
    first = path.read_bytes()
    assert first.startswith((b"\x89PNG", b"<?xml"))
    assert len(first) > 10_000
    assert curves(SIX, path, "capacity_bytes", title="A library").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (
            {"x": "capacity_bytes"},
            ["Capacity of each server (MB)", "Hit ratio under fading", "attainable", "95 % interval", "TrimCaching Gen"],
        ),
        ({"x": "capacity_bytes", "y": "hit_ratio", "labels": {"gen": "ours"}}, ["ours", "Hit ratio (share of demand)"]),
        ({"x": "capacity_bytes", "panels": "n_servers"}, ["Edge servers: 6", "Edge servers: 10"]),
        ({"x": "capacity_bytes", "y": "seconds"}, ["Time to place (s)"]),
        ({"x": "ranking"}, ["Ranking of the demand", ">user<", ">global<"]),
        ({"x": None}, ["TrimCaching Gen", "Independent Caching", "mean of 3 topologies"]),
    ],
)
def test_what_a_figure_says(tmp_path, arguments, texts):
    pytest.importorskip("matplotlib")
    svg = curves(ROWS, tmp_path / "f.svg", **arguments).read_text()
    for text in texts:
        assert text in svg, text
    assert ("attainable" in svg) == (arguments.get("y") != "seconds")


def test_the_band_is_the_interval(tmp_path, monkeypatch):
    """The heights that are drawn, against means and intervals computed here."""
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes
    from scipy import stats

    drawn = []
    monkeypatch.setattr(Axes, "fill_between", lambda _self, x, low, high, **_: drawn.append((x, low, high)))
    two = [row for row in SIX if row["algorithm"] == "gen" and row["capacity_bytes"] > 10**8]
    curves(two, tmp_path / "f.svg", "capacity_bytes", "hit_ratio")
    [(x, low, high)] = drawn
    assert x.tolist() == [200.0, 500.0]
    for n, capacity in enumerate((2 * 10**8, 5 * 10**8)):
        values = [row["hit_ratio"] for row in two if row["capacity_bytes"] == capacity]
        assert (low[n], high[n]) == pytest.approx(tuple(stats.ttest_1samp(values, 0).confidence_interval(0.95)))


def test_one_topology_and_one_point(tmp_path):
    pytest.importorskip("matplotlib")
    assert "one topology" in curves(SIX[:1], tmp_path / "f.svg", "capacity_bytes").read_text()


def test_units():
    assert unit_of("capacity_bytes", 1.5e9) == (1e9, "GB")
    assert unit_of("backhaul_bps", 5e8) == (1e6, "Mbit/s")
    assert unit_of("time_s", 7200) == (60.0, "min")
    assert unit_of("deadline_low_s", 2.0) == (1.0, "s")
    assert unit_of("zipf", 0.8) == (1.0, "")
    assert axis_label("deadline_low_s", "s") == "Deadline low (s)"


def test_what_is_refused(tmp_path, monkeypatch):
    for rows, arguments, words in (
        ([], {}, "nothing to draw"),
        (ROWS, {"path": tmp_path / "a.gif"}, "neither"),
        (ROWS, {"x": "nonsense"}, "not every row has 'nonsense'"),
        (ROWS, {"x": "channel"}, "not every row has 'channel'"),
        (ROWS, {"panels": "algorithm"}, "more than 4 panels"),
    ):
        with pytest.raises(UsageError, match=words):
            curves(rows, **({"path": tmp_path / "a.png", "x": "capacity_bytes"} | arguments))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        curves(ROWS, tmp_path / "file" / "a.png", "capacity_bytes")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pip install 'trimcache\[plot\]'"):
        curves(ROWS, tmp_path / "a.png", "capacity_bytes")
