"""Hit ratio over time with and without re-placement, and below it the bytes that re-placing moves."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import UsageError
from trimcache.report import style
from trimcache.report.style import LABELS
from trimcache.simulation.summary import confidence_interval_95

__all__ = ["over_time"]

_POLICIES = {"keep": "placed once", "anew": "placed anew", "replan": "re-planned"}
_BINS = 60  # a mean of neighbouring slots each: single slots jitter more than policies differ


def over_time(rows: Iterable[Mapping[str, Any]], path: str | os.PathLike[str], title: str = "") -> Path:
    """Draw rows of ``rows_over_time``: two panels over one time axis, a line for each algorithm and policy.

    Means over topologies with 95 % bands; slots are averaged in 60 steps (all of them where there are fewer), those in
    which nobody is there left out. The axis of the hit ratio does not begin at 0: what is of interest are differences.

    Args:
        rows: mappings with seed, algorithm, policy, time_s, users, hit_ratio, attainable, moved_bytes.
        path: the picture, PNG or SVG by its ending; its folder is made if need be.
        title: above the axes.

    Returns:
        The path written.

    Raises:
        UsageError: no rows with users, more lines than can be told apart, another ending, a place that cannot be written, or no matplotlib.
    """
    target = Path(path)
    style.check_ending(target)
    table = [row for row in rows if row["users"]]
    if not table:
        raise UsageError(str(target), "there is nothing to draw", "simulate at least one slot with users")
    lines = list(dict.fromkeys((row["algorithm"], row["policy"]) for row in table))
    if len(lines) > len(style.LINES):
        raise UsageError(str(target), f"{len(lines)} lines are more than {len(style.LINES)}", "draw fewer algorithms or policies")
    edges = _edges(table)
    figure, (whole,) = style.new_figure()
    whole.remove()
    figure.set_size_inches(7.0, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1.0))
    scale, unit = style.unit_of("moved_bytes", max(row["moved_bytes"] for row in table))
    minutes, time_unit = style.unit_of("time_s", max(row["time_s"] for row in table))
    ceiling = _binned(table, "attainable", edges)
    x = ceiling[0] / minutes
    upper.plot(x, ceiling[1].mean(axis=0), color="black", linewidth=1.2, linestyle=":", label="attainable (servers hold all)")
    for n, (algorithm, policy) in enumerate(lines):
        look = style.LINES[n]
        mine = [row for row in table if (row["algorithm"], row["policy"]) == (algorithm, policy)]
        several = len({name for name, _ in lines}) > 1
        label = f"{LABELS.get(algorithm, algorithm)}, {_POLICIES.get(policy, policy)}" if several else _POLICIES.get(policy, policy)
        for axes, column, divisor in ((upper, "hit_ratio", 1.0), (lower, "moved_bytes", scale)):
            if column == "moved_bytes" and policy == "keep":
                continue
            at, values = _binned(mine, column, edges)
            mean, half = np.array([confidence_interval_95(v / divisor for v in column_of) for column_of in values.T]).T
            axes.fill_between(at / minutes, mean - half, mean + half, color=look["color"], alpha=0.15, lw=0)
            axes.plot(at / minutes, mean, label=label, linewidth=1.8, markersize=5, markeredgecolor="white", markevery=(n, 8), **look)
    _finish(figure, upper, lower, table, lines)
    upper.set_ylabel(style.axis_label("hit_ratio"))
    lower.set_ylabel(f"Moved so far,\nall servers ({unit})")
    lower.set_xlabel(style.axis_label("time_s", time_unit))
    if title:
        upper.set_title(title, loc="left", fontsize="medium")
    return style.save(figure, target)


def _finish(figure: Any, upper: Any, lower: Any, table: Sequence[Mapping[str, Any]], lines: Sequence[tuple[str, str]]) -> None:
    n_seeds = len({row["seed"] for row in table})
    names = {name for name, _ in lines}
    note = f"mean of {n_seeds} topologies, 95 % interval" if n_seeds > 1 else "one topology"
    if len(names) == 1:
        (name,) = names
        note = f"{LABELS.get(name, name)}, {note}"
    lower.set_ylim(bottom=0)
    lower.set_xlim(left=0)
    for axes in (upper, lower):
        style.clean(axes)
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=min(4, len(labels)), title=note, title_fontsize="small")


def _edges(table: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """float64[B]: where bins of time begin. The first slot is one of its own: placements were made for it."""
    times = np.unique([row["time_s"] for row in table])
    return np.concatenate((times[:1], times[1 :: max(1, -(-times.size // _BINS))]))


def _binned(rows: Sequence[Mapping[str, Any]], column: str, edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean times float64[B] of the bins in which every topology has slots, and the means of ``column`` there float64[seeds, B]."""
    cells: dict[tuple[int, int], list[float]] = defaultdict(list)
    times: dict[int, set[float]] = defaultdict(set)
    for row, bin_ in zip(rows, np.searchsorted(edges, [row["time_s"] for row in rows], side="right").tolist(), strict=True):
        cells[row["seed"], bin_].append(row[column])
        times[bin_].add(row["time_s"])
    seeds = sorted({seed for seed, _ in cells})
    whole = [bin_ for bin_ in sorted(times) if all((seed, bin_) in cells for seed in seeds)]
    values = np.array([[np.mean(cells[seed, bin_]) for bin_ in whole] for seed in seeds])
    return np.array([np.mean(list(times[bin_])) for bin_ in whole]), values
