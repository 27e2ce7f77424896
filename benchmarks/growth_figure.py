"""Draws how placement's time and memory grow with size, from the rows that ``placement.py scale`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trimcache.report.style import LINES

FIGURES = Path(__file__).parent.parent / "docs" / "figures"
_NAMES = {"list": "reach as a list of servers", "prefix": "reach as prefixes of users' orders"}


def draw_growth(rows: list[list[str]], name: str = "placement-growth") -> list[Path]:
    """Write ``name``.png and ``name``.svg: seconds and memory of ``gen`` against entries of reach, both axes logarithmic.

    Args:
        rows: cells of the table: size, entries, form of reach, placements, seconds, processor seconds, GB added.
    """
    figure = Figure(figsize=(9.0, 4.0), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    time_axes, memory_axes = figure.subplots(1, 2)
    _panel(time_axes, rows, 4, 1.0, "wall-clock seconds of place(), index included")
    _panel(memory_axes, rows, 6, 1000.0, "memory added by place() (MB)")
    FIGURES.mkdir(parents=True, exist_ok=True)
    written = [FIGURES / f"{name}{ending}" for ending in (".png", ".svg")]
    for path in written:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
    return written


def _panel(axes: Any, rows: list[list[str]], column: int, scale: float, label: str) -> None:
    for n, form in enumerate(_NAMES):
        points = [(int(row[1]), float(row[column]) * scale) for row in rows if row[2] == form and float(row[column]) > 0]
        axes.plot(*zip(*points, strict=True), **LINES[n], label=_NAMES[form], linewidth=1.8, markersize=6, markerfacecolor="white")
    entries, values = zip(*((int(row[1]), float(row[column]) * scale) for row in rows if row[2] == "list"), strict=True)
    in_proportion = [values[-1] * entry / entries[-1] for entry in entries]
    axes.plot(entries, in_proportion, color="black", linewidth=1.0, linestyle=":", label="in proportion to the entries")
    axes.set(xscale="log", yscale="log", xlabel="pairs of a request and a server in reach", ylabel=label)
    axes.grid(visible=True, which="major", color="#cccccc", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
