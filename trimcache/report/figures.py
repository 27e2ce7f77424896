"""Figures of simulations, drawn from rows of results: curves with 95 % bands, in the one style of ``style.py``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimcache.errors import UsageError
from trimcache.report import style
from trimcache.simulation.summary import confidence_interval_95, grouped

__all__ = ["curves"]

_RATIOS = ("hit_ratio", "hit_ratio_fading", "gap")
_ATTAINABLE = {"hit_ratio": "attainable", "hit_ratio_fading": "attainable_fading"}
_MOST_PANELS = 4


def curves(
    rows: Iterable[Mapping[str, Any]],
    path: str | os.PathLike[str],
    x: str | None = None,
    y: str | None = None,
    *,
    panels: str | None = None,
    log_y: bool | None = None,
    labels: Mapping[str, str] | None = None,
    title: str = "",
    note: str | None = None,
) -> Path:
    """Draw the mean of a column against a parameter, a line an algorithm, with 95 % intervals and the attainable line.

    Args:
        rows: of ``simulate`` (``read_results``): mappings with ``seed``, ``algorithm``, and the columns drawn.
        path: the picture, PNG or SVG by its ending; its folder is made if need be.
        x: the column along the axis; None: the algorithms themselves. Text is drawn as categories, without lines.
        y: the column drawn; None: the hit ratio under fading if there is one, else the hit ratio.
        panels: a second parameter, one panel a value (at most 4).
        log_y: a logarithmic axis; None: for ``seconds``.
        labels: algorithm -> name in the legend, over the house's own.
        title: above the axes.
        note: what one point is; None: how many topologies it is the mean of.

    Returns:
        The path written.

    Raises:
        UsageError: no rows, no such column, too many panels, another ending, a place that cannot be written, or no matplotlib.
    """
    table = [dict(row) for row in rows]
    style.check_ending(Path(path))
    if not table:
        raise UsageError(str(path), "there is nothing to draw", "simulate at least one point")
    if y is None:
        y = "hit_ratio_fading" if all(row.get("hit_ratio_fading") is not None for row in table) else "hit_ratio"
    for column in (x, y, panels):
        if column is not None and any(row.get(column) is None for row in table):
            raise UsageError(str(path), f"not every row has {column!r}", "draw columns of the results")
    of_panel = list(dict.fromkeys(row[panels] for row in table)) if panels else [None]
    if len(of_panel) > _MOST_PANELS:
        raise UsageError(str(path), f"{len(of_panel)} values of {panels} are more than {_MOST_PANELS} panels", "draw fewer at once")
    algorithms = list(dict.fromkeys(row["algorithm"] for row in table))
    names = {name: (labels or {}).get(name) or style.LABELS.get(name, name) for name in algorithms}
    scale, unit = style.unit_of(y, max(abs(row[y]) for row in table))
    texts = x is not None and not all(isinstance(row[x], int | float) for row in table)
    below = x is not None and (len(of_panel) > 1 or len(names) > 4 or texts)  # the legend, where no corner is sure to be free
    figure, axes = style.new_figure(len(of_panel), below=below)
    for panel, value in zip(axes, of_panel, strict=True):
        chosen = [row for row in table if panels is None or row[panels] == value]
        _panel(panel, chosen, x, y, scale, names)
        if panels is not None:
            panel.set_title(_value_label(panels, value), fontsize="medium")
        if log_y if log_y is not None else y == "seconds":
            panel.set_yscale("log")
        elif y in _RATIOS:
            panel.set_ylim(0, 1.02)
        else:
            panel.set_ylim(bottom=0)
        style.clean(panel)
    axes[0].set_ylabel(style.axis_label(y, unit))
    n_seeds = len({row["seed"] for row in table})
    if note is None:
        note = f"mean of {n_seeds} topologies, 95 % interval" if n_seeds > 1 else "one topology"
    handles = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    if x is None:
        dotted = "; dotted: attainable" if _ATTAINABLE.get(y) in table[0] else ""
        figure.supxlabel(note + dotted, fontsize="small")
    elif below:
        legend = {"frameon": False, "title": note, "title_fontsize": "small", "ncols": min(4 if len(axes) > 1 else 3, len(handles))}
        figure.legend(handles.values(), handles, loc="outside lower center", **legend)
    else:
        axes[0].legend(frameon=False, loc="best", title=note, title_fontsize="small", alignment="left")
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize="medium")
    return style.save(figure, path)


def _panel(axes: Any, rows: Sequence[Mapping[str, Any]], x: str | None, y: str, y_scale: float, names: Mapping[str, str]) -> None:
    groups = grouped(rows, [x] if x is not None else [])
    values: list[Any] = list(dict.fromkeys(point[0] for point, _ in groups)) if x is not None else list(names)
    number = x is not None and all(isinstance(value, int | float) for value in values)
    if x is not None and number:
        values.sort()
        x_scale, x_unit = style.unit_of(x, max(abs(value) for value in values))
        place = {value: value / x_scale for value in values}
        axes.set_xlabel(style.axis_label(x, x_unit))
    else:
        place = {value: n for n, value in enumerate(values)}
        axes.set_xticks(range(len(values)), [names.get(value, str(value)) if x is None else style.short_value(value) for value in values])
        axes.set_xlim(-0.5, len(values) - 0.5)
        axes.set_xlabel(style.axis_label(x) if x is not None else "")
    ceiling = _ATTAINABLE.get(y)
    if ceiling is not None and all(row.get(ceiling) is not None for row in rows):
        _attainable(axes, groups, place, ceiling, number)
    for n, (name, label) in enumerate(names.items()):
        line = style.LINES[n % len(style.LINES)]
        of = {point[0] if point else name: seeds for (point, algorithm), seeds in groups.items() if algorithm == name}
        at = [value for value in values if value in of]
        if not at:
            continue
        mean, half = np.array([confidence_interval_95(row[y] / y_scale for row in of[value].values()) for value in at]).T
        where = np.array([place[value] for value in at], dtype=np.float64)
        width = 1.4 + 1.4 * (len(names) - 1 - n) / max(len(names) - 1, 1)  # later lines are thinner: one that covers another shows it
        if number:
            low, high = mean - half, mean + half
            if y in _RATIOS:
                low, high = np.maximum(low, 0), np.minimum(high, 1)
            axes.fill_between(where, low, high, color=line["color"], alpha=0.18, lw=0)
            axes.plot(where, mean, label=label, linewidth=width, markersize=2.5 + 1.5 * width, markeredgecolor="white", **line)
        else:
            aside = 0.0 if x is None else 0.5 * (n + 0.5 - len(names) / 2) / len(names)
            axes.errorbar(
                where + aside, mean, half, label=label, capsize=4, markersize=7, color=line["color"], marker=line["marker"], ls="none"
            )
    if number and 0 <= min(values) < 0.3 * max(values):
        axes.set_xlim(left=0)


def _attainable(axes: Any, groups: Mapping[Any, Any], place: Mapping[Any, float], column: str, number: bool) -> None:
    """What servers that hold everything would reach: the ceiling of every placement."""
    of: dict[Any, float] = {}
    for (point, algorithm), seeds in groups.items():
        of.setdefault(point[0] if point else algorithm, float(np.mean([row[column] for row in seeds.values()])))
    at = sorted(of, key=place.__getitem__)
    where, height = [place[value] for value in at], [of[value] for value in at]
    look: dict[str, Any] = {"color": "black", "linewidth": 1.2, "label": "attainable (servers hold all)"}
    if number and len(at) > 1:
        axes.plot(where, height, linestyle=":", **look)
    else:
        axes.hlines(height, np.array(where) - 0.4, np.array(where) + 0.4, linestyles=":", **look)


def _value_label(column: str, value: Any) -> str:
    """A panel's heading: ``Edge servers: 6``."""
    label = style.axis_label(column)
    if isinstance(value, int | float):
        scale, unit = style.unit_of(column, abs(value))
        return f"{label}: {value / scale:g} {unit}".rstrip()
    return f"{label}: {style.short_value(value)}"
