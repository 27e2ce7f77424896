"""The figures, drawn from the tables of ``tables.py`` in the house style. An algorithm looks the same in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from paper.experiments import Experiment
from trimcache.report import style

__all__ = ["draw"]

_LABELS = style.LABELS | {
    "auto": "auto (ours)",
    "gen-ratio": "Gen per new byte (ours)",
    "spec-tree": "Spec by the tree (ours)",
    "resolve": "re-solved in turn (ours)",
    "mip": "integer program",
}
_BLACK = {"color": "0.15", "linestyle": "-", "marker": "h"}
_LOOKS: dict[str, dict[str, Any]] = {
    **dict(zip(("auto", "spec", "gen", "gen-ratio", "independent", "spec-tree"), style.LINES, strict=False)),
    "resolve": {**style.LINES[0], "linestyle": (0, (1, 1)), "marker": "X"},
    "random": {"color": "0.55", "linestyle": (0, (1, 2)), "marker": "<"},
    "exhaustive": _BLACK,
    "mip": {**_BLACK, "linestyle": (0, (4, 2)), "marker": "*"},
}
_CEILING = {"hit_ratio_fading": "attainable_fading", "hit_ratio": "attainable"}


def draw(experiment: Experiment, table: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write ``folder``/NAME.png and .svg; the paths."""
    titles = list(dict.fromkeys(panel.title for panel in experiment.panels))
    figure, axes = style.new_figure(len(titles), below=True)
    for panel, title in zip(axes, titles, strict=True):
        _panel(panel, experiment, [row for row in table if row["panel"] == title])
        panel.set_title(title, loc="left", fontsize="medium")
        style.clean(panel)
    axes[0].set_ylabel(style.axis_label(experiment.y))
    log = experiment.y == "seconds"
    if log:
        axes[0].set_yscale("log")
    else:
        _ratio_limits(axes[0], table, experiment)
    n = sorted({row["n"] for row in table})
    note = f"mean of {n[0]} topologies, 95 % interval" if len(n) == 1 else f"mean of {n[0]} to {n[-1]} topologies, 95 % interval"
    if not log and axes[0].get_ylim()[0] > 0:
        note += "; the axis does not begin at 0"
    handles, labels = axes[0].get_legend_handles_labels()
    for panel in axes[1:]:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2 if len(labels) == 4 else 3, frameon=False, title=note, title_fontsize="small"
    )
    figure.suptitle(experiment.title, x=0.02, ha="left", fontsize="large")
    picture = style.save(figure, folder / f"{experiment.name}.png")
    with Image.open(picture) as image:  # a palette: a third of the bytes
        small = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)
    return [picture, style.save(figure, folder / f"{experiment.name}.svg")]


def _panel(axes: Any, experiment: Experiment, rows: Sequence[Mapping[str, Any]]) -> None:
    x, y = experiment.x, experiment.y
    scale, unit = style.unit_of(x, max(row[x] for row in rows))
    axes.set_xlabel(style.axis_label(x, unit))
    ceiling = _CEILING.get(y)
    if ceiling is not None:
        of = {row[x]: row[ceiling] for row in rows}
        axes.plot([value / scale for value in of], list(of.values()), color="black", linestyle=":", linewidth=1.2,
                  label="attainable (servers hold all)")  # fmt: skip
    for n, name in enumerate(experiment.lines):
        mine = sorted((row for row in rows if row["algorithm"] == name), key=lambda row: row[x])
        if not mine:
            continue
        at = np.array([row[x] / scale for row in mine])
        mean, half = (np.array([row[column] or 0.0 for row in mine]) for column in (y, f"{y}_half"))
        look = _LOOKS[name]
        width = 2.6 - 1.2 * n / len(experiment.lines)  # later lines are thinner: one that covers another shows it
        low = np.maximum(mean - half, mean / 3) if y == "seconds" else mean - half
        axes.fill_between(at, low, mean + half, color=look["color"], alpha=0.15, lw=0)
        every = (n, 12) if len(at) > 20 else 1
        axes.plot(at, mean, label=_LABELS.get(name, name), linewidth=width, markersize=3 + 1.4 * width, markeredgecolor="white",
                  markeredgewidth=0.7, markevery=every, **look)  # fmt: skip
    if experiment.x == "time_s" or min(row[x] for row in rows) < 0.3 * max(row[x] for row in rows):
        axes.set_xlim(left=0)


def _ratio_limits(axes: Any, table: Sequence[Mapping[str, Any]], experiment: Experiment) -> None:
    """From a tenth below the lowest curve to a tenth above the highest."""
    drawn = [row[experiment.y] for row in table if row["algorithm"] in experiment.lines]
    drawn += [row[_CEILING[experiment.y]] for row in table]
    low, high = np.floor((min(drawn) - 0.02) * 10) / 10, np.ceil((max(drawn) + 0.02) * 10) / 10
    axes.set_ylim(max(low, 0.0), min(high, 1.02) if high <= 1 else 1.02)
