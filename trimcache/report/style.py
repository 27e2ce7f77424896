"""One style for every figure. matplotlib is imported only when one is drawn."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from trimcache.errors import UsageError

__all__ = ["LABELS", "LINES", "axis_label", "check_ending", "clean", "new_figure", "save", "short_value", "unit_of"]

# Okabe and Ito's colours and two more, safe for the colour-blind, in an order whose lightness differs; dashes and markers differ
# too, so lines can be told apart in grey.
LINES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    {"color": "#E69F00", "linestyle": (0, (5, 2)), "marker": "s"},
    {"color": "#009E73", "linestyle": (0, (5, 1, 1, 1)), "marker": "^"},
    {"color": "#CC79A7", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "D"},
    {"color": "#56B4E9", "linestyle": (0, (2, 1)), "marker": "v"},
    {"color": "#D55E00", "linestyle": (0, (8, 2)), "marker": "P"},
    {"color": "#666666", "linestyle": "-", "marker": "X"},
    {"color": "#6A3D9A", "linestyle": (0, (4, 1, 1, 1, 1, 1, 1, 1)), "marker": "<"},
)

# Algorithms in words.
LABELS = {
    "gen": "TrimCaching Gen",
    "gen-ratio": "Gen per new byte",
    "spec": "TrimCaching Spec",
    "spec-tree": "Spec by the tree",
    "independent": "Independent Caching",
    "exhaustive": "optimum (exhaustive)",
    "random": "random",
}

_DECIMAL = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"), (1, ""))
_SCALED = {"_bytes": "B", "_bps": "bit/s", "_hz": "Hz"}
_PLAIN = {"_s": "s", "_m": "m", "_dbm": "dBm"}
_WORDS = {
    "capacity_bytes": "Capacity of each server",
    "n_servers": "Edge servers",
    "n_users": "Users",
    "n_models": "Models",
    "n_placed": "Copies of models placed",
    "used_bytes": "Stored on all servers",
    "zipf": "Zipf exponent of the demand",
    "request": "Requests so far",
    "ranking": "Ranking of the demand",
    "backhaul_bps": "Backhaul rate",
    "coverage_radius_m": "Coverage radius",
    "area_m": "Side of the area",
    "preset": "Network",
    "channel": "Channel",
    "time_limit_s": "Time limit of each placement",
    "epsilon": "Rounding of Spec (epsilon)",
    "algorithm": "",
    "seconds": "Time to place (s)",
    "time_s": "Time",
    "hit_ratio": "Hit ratio (share of demand)",
    "hit_ratio_fading": "Hit ratio under fading (share of demand)",
    "gap": "Proven gap (share of the bound)",
}


def unit_of(column: str, largest: float) -> tuple[float, str]:
    """What to divide a column's values by, and the unit that they then have; ``(1, "")`` for plain numbers."""
    if column == "time_s" and largest >= 600:
        return 60.0, "min"
    for suffix, unit in _SCALED.items():
        if column.endswith(suffix):
            factor, prefix = next(((f, p) for f, p in _DECIMAL if largest >= f), (1, ""))
            return float(factor), prefix + unit
    return 1.0, next((unit for suffix, unit in _PLAIN.items() if column.endswith(suffix)), "")


def axis_label(column: str, unit: str = "") -> str:
    """A column in words, with its unit."""
    words = _WORDS.get(column)
    if words is None:
        stem = next((column.removesuffix(s) for s in {**_SCALED, **_PLAIN} if column.endswith(s)), column)
        words = stem.replace("_", " ").capitalize()
    return f"{words} ({unit})" if unit else words


def short_value(value: Any) -> str:
    """A category in few letters: of a channel, which stands as JSON in results, its name."""
    text = str(value)
    return str(json.loads(text).get("name", text)) if text.startswith("{") else text


def new_figure(panels: int = 1, *, below: bool = False) -> tuple[Any, list[Any]]:
    """A figure and its panels, side by side, with room for a legend ``below``; UsageError if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("figure", "needs matplotlib", "pip install 'trimcache[plot]'") from error
    width = 7.0 if panels == 1 else 1.6 + 3.6 * panels
    figure = Figure(figsize=(width, 5.0 if below else 4.4), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    return figure, list(axes)


def clean(axes: Any) -> None:
    """Light grid behind, no box."""
    axes.grid(color="0.88", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a figure, PNG or SVG by its ending, the same bytes for the same figure; its folder is made if need be.

    Raises:
        UsageError: another ending, or a place that cannot be written.
    """
    import matplotlib as mpl

    target = Path(path)
    check_ending(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Text stays text in an SVG, and its ids come from a fixed salt.
        with mpl.rc_context({"svg.hashsalt": "trimcache", "svg.fonttype": "none"}):
            figure.savefig(target, metadata={"Date": None} if target.suffix.lower() == ".svg" else {"Software": None})
    except OSError as error:
        raise UsageError(str(target), f"cannot be written ({error.strerror})", "choose another place") from error
    return target


def check_ending(path: Path) -> None:
    """UsageError unless the name ends in .png or .svg."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise UsageError(str(path), "is neither .png nor .svg", "name the figure like capacity.png")
