"""Figures, drawn from rows that a simulation returned. matplotlib is imported only when one is drawn."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trimcache.errors import UsageError
from trimcache.simulation.capacity_curve import CurvePoint

__all__ = ["confidence_interval_95", "hit_ratio_against_capacity"]

# Okabe and Ito's colours, safe for the colour-blind, in an order whose lightness differs; dashes and markers differ
# too, so lines can be told apart in grey.
_STYLES = (
    {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    {"color": "#E69F00", "linestyle": (0, (5, 2)), "marker": "s"},
    {"color": "#009E73", "linestyle": (0, (5, 1, 1, 1)), "marker": "^"},
    {"color": "#CC79A7", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "D"},
    {"color": "#56B4E9", "linestyle": (0, (2, 1)), "marker": "v"},
    {"color": "#D55E00", "linestyle": (0, (8, 2)), "marker": "P"},
)
_LABELS = {"gen": "TrimCaching Gen", "independent": "Independent Caching", "auto": "auto"}
_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))


def confidence_interval_95(values: Iterable[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval (Student's t); half 0 for a single value."""
    from scipy.special import stdtrit

    sample = np.asarray(list(values), dtype=np.float64)
    if sample.size < 2:
        return float(sample.mean()), 0.0
    half = float(stdtrit(sample.size - 1, 0.975)) * float(sample.std(ddof=1)) / float(np.sqrt(sample.size))
    return float(sample.mean()), half


def hit_ratio_against_capacity(rows: Iterable[CurvePoint | Mapping[str, Any]], path: str | os.PathLike[str], title: str = "") -> Path:
    """Draw mean hit ratio against capacity for each algorithm, with 95 % intervals and the attainable line.

    Args:
        rows: points of ``capacity_curve``, or mappings with the same keys.
        path: the picture, PNG or SVG by its ending; its folder is made if need be.
        title: above the axes; none by default.

    Returns:
        The path written.

    Raises:
        UsageError: no rows, another ending, a place that cannot be written, or matplotlib is not installed.
    """
    points = [row.to_dict() if isinstance(row, CurvePoint) else dict(row) for row in rows]
    target = Path(path)
    if not points:
        raise UsageError(str(target), "there is nothing to draw", "simulate at least one capacity")
    if target.suffix.lower() not in (".png", ".svg"):
        raise UsageError(str(target), "is neither .png nor .svg", "name the figure like capacity.png")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("figure", "needs matplotlib", "pip install 'trimcache[plot]'") from error

    figure = Figure(figsize=(7.0, 4.4), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure.add_subplot(), points, title)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, metadata={"Date": None} if target.suffix.lower() == ".svg" else {"Software": None})
    except OSError as error:
        raise UsageError(str(target), f"cannot be written ({error.strerror})", "choose another place") from error
    return target


def _draw(axes: Any, points: list[dict[str, Any]], title: str) -> None:
    capacities = sorted({point["capacity_bytes"] for point in points})
    algorithms = list(dict.fromkeys(point["algorithm"] for point in points))
    seeds = {point["seed"] for point in points}
    scale, unit = next(((s, u) for s, u in _UNITS if max(capacities) >= s), (1, "B"))
    attainable = list({point["seed"]: point["attainable"] for point in points}.values())
    axes.axhline(float(np.mean(attainable)), color="black", linewidth=1.2, linestyle=":", label="attainable (servers hold all)")
    for n, name in enumerate(algorithms):
        style = _STYLES[n % len(_STYLES)]
        of = [[p["hit_ratio"] for p in points if (p["algorithm"], p["capacity_bytes"]) == (name, c)] for c in capacities]
        x = np.array([c / scale for c, values in zip(capacities, of, strict=True) if values])
        mean, half = np.array([confidence_interval_95(values) for values in of if values]).T
        axes.fill_between(x, np.maximum(mean - half, 0), np.minimum(mean + half, 1), color=style["color"], alpha=0.15, lw=0)
        axes.plot(x, mean, label=_LABELS.get(name, name), linewidth=1.8, markersize=5.5, markeredgecolor="white", **style)
    axes.set_xlabel(f"Capacity of each server ({unit})")
    axes.set_ylabel("Cache hit ratio (share of demand)")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    axes.grid(color="0.88", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    interval = f"mean of {len(seeds)} topologies, band: 95 % interval of the mean" if len(seeds) > 1 else "one topology"
    axes.legend(frameon=False, loc="lower right", title=interval, title_fontsize="small", alignment="left")
    if title:
        axes.set_title(title, loc="left", fontsize="medium")
