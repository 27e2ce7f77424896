"""What finer blocks save against what their index costs: one point a granularity."""

from __future__ import annotations

import os
from pathlib import Path

from trimcache.errors import UsageError
from trimcache.report import style
from trimcache.sharing.granularity_study import GranularityStudy

__all__ = ["savings_against_index"]


def savings_against_index(found: GranularityStudy, path: str | os.PathLike[str], title: str = "") -> Path:
    """Draw the saved share of each granularity against its index entries (logarithmic).

    Args:
        path: the picture, PNG or SVG by its ending; its folder is made if need be.
        title: above the axes.

    Returns:
        The path written.

    Raises:
        UsageError: there is nothing to draw, another ending, a place that cannot be written, or no matplotlib.
    """
    target = Path(path)
    style.check_ending(target)
    rows = [row for row in found.rows if row.index_entries]
    if not rows:
        raise UsageError(str(target), "there is nothing to draw", "name sources with weights")
    figure, (axes,) = style.new_figure()
    for index, row in enumerate(rows):
        look = style.LINES[index % len(style.LINES)]
        at = row.index_entries, 100 * found.saved_share(row)
        axes.plot(*at, linestyle="none", marker=look["marker"], color=look["color"], markersize=9, markeredgecolor="white")
        # Named where it stands: five points need no legend. Neighbours at one height keep apart by standing above and below.
        offset = (0, 9) if index % 2 == 0 else (0, -17)
        axes.annotate(row.granularity, at, xytext=offset, textcoords="offset points", ha="center")
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_ylim(0, max(10.0, 1.15 * max(100 * found.saved_share(row) for row in rows)))
    axes.set_xlabel("Index entries")
    axes.set_ylabel("Saved (% of the sum of all models)")
    style.clean(axes)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize="medium")
    return style.save(figure, target)
