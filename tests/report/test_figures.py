"""Figures: written, plausible, and refused in one line."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from trimcache.errors import UsageError
from trimcache.report.figures import confidence_interval_95, hit_ratio_against_capacity

ROWS = [
    {"algorithm": name, "capacity_bytes": c * 10**8, "seed": seed, "hit_ratio": c / 10 + seed / 50, "attainable": 0.8}
    for name in ("gen", "independent", "auto", "a", "b", "c", "d")
    for c in (1, 2, 5)
    for seed in range(3)
]


def test_confidence_interval():
    assert confidence_interval_95([0.5]) == (0.5, 0.0)
    mean, half = confidence_interval_95([1, 2, 3, 4, 5])
    assert mean == 3
    assert half == pytest.approx(2.776 * np.std([1, 2, 3, 4, 5], ddof=1) / np.sqrt(5), rel=1e-3)


@pytest.mark.parametrize("name", ["curve.png", "new/curve.svg"])
def test_a_figure_is_written_and_repeats(tmp_path, name):
    pytest.importorskip("matplotlib")
    path = hit_ratio_against_capacity(ROWS, tmp_path / name, "A library")
    first = path.read_bytes()
    assert first.startswith((b"\x89PNG", b"<?xml"))
    assert len(first) > 10_000
    if path.suffix == ".png":
        assert hit_ratio_against_capacity(ROWS, path, "A library").read_bytes() == first
    hit_ratio_against_capacity(ROWS[:1], path)


def test_what_is_refused(tmp_path, monkeypatch):
    for rows, name in (([], "a.png"), (ROWS, "a.gif")):
        with pytest.raises(UsageError):
            hit_ratio_against_capacity(rows, tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        hit_ratio_against_capacity(ROWS, tmp_path / "file" / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pip install 'trimcache\[plot\]'"):
        hit_ratio_against_capacity(ROWS, tmp_path / "a.png")
