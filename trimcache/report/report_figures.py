"""The charts of a report as pictures, PNG and SVG, in the house style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trimcache._printable import printable
from trimcache.report import style
from trimcache.report.content import ReportContent
from trimcache.report.heat_map import HeatMap
from trimcache.report.plan_content import PlanContent
from trimcache.sharing.spectrum import SpectrumRow
from trimcache.sizes import format_size

__all__ = ["write_figures"]

_ENDINGS = (".png", ".svg")


def write_figures(content: ReportContent, folder: Path) -> list[Path]:
    """Write what there is to draw: ``heat_map``, ``spectrum``, ``map``, ``capacity``, each as PNG and as SVG; returns the paths.

    Raises:
        UsageError: no matplotlib, or a place that cannot be written.
    """
    figures: dict[str, Any] = {}
    if content.heat_map.pairs()[0].size:
        figures["heat_map"] = _heat_map(content.heat_map)
    if content.spectrum:
        figures["spectrum"] = _spectrum(content.spectrum)
    if content.plan is not None and any(row.x_m is not None for row in content.plan.servers):
        figures["map"] = _map(content.plan)
    if content.plan is not None and content.plan.capacity_curve:
        figures["capacity"] = _capacity(content.plan)
    source = f"{printable(content.catalog)}{', synthetic' if content.sizes.synthetic else ''}"
    for figure in figures.values():
        figure.suptitle(source, x=0.02, ha="left", fontsize="medium", parse_math=False)
    return [style.save(figure, folder / f"{name}{ending}") for name, figure in figures.items() for ending in _ENDINGS]


def _heat_map(heat: HeatMap) -> Any:
    from matplotlib.colors import LogNorm

    figure, (axes,) = style.new_figure(below=True)
    shown = np.where(np.eye(len(heat.models), dtype=bool) | (heat.shared_bytes == 0), np.nan, heat.shared_bytes.astype(np.float64))
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    image = axes.imshow(shown, cmap="cividis_r", norm=LogNorm(low, max(high, 2 * low)), interpolation="nearest", rasterized=True)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{len(heat.models):,} models, clustered")
    ticks = np.geomspace(low, max(high, 2 * low), 5).tolist()
    bar = figure.colorbar(image, ax=axes, label="bytes that two models share")
    bar.set_ticks(ticks, labels=[format_size(round(tick)) for tick in ticks])
    bar.minorticks_off()
    return figure


def _spectrum(rows: tuple[SpectrumRow, ...]) -> Any:
    figure, (axes,) = style.new_figure()
    scale, unit = style.unit_of("unique_bytes", max(row.nbytes for row in rows))
    axes.bar(range(len(rows)), [row.nbytes / scale for row in rows], color=style.LINES[0]["color"])
    ticks = range(0, len(rows), max(1, len(rows) // 12))
    axes.set_xticks(list(ticks), [f"{rows[n].models:,}" for n in ticks])
    axes.set_xlabel("models that hold the block")
    axes.set_ylabel(f"bytes, each block once ({unit})")
    style.clean(axes)
    return figure


def _map(plan: PlanContent) -> Any:
    from matplotlib.patches import Circle

    figure, (axes,) = style.new_figure(below=True)
    places = [(row.x_m, row.y_m, row.radius_m) for row in plan.servers if row.x_m is not None and row.y_m is not None]
    blue, orange, red = style.LINES[0]["color"], style.LINES[1]["color"], style.LINES[5]["color"]
    for x, y, radius in places:
        if radius:
            axes.add_patch(Circle((x, y), radius, facecolor=blue, edgecolor=blue, alpha=0.12))
    for covered, marker, colour, label in ((True, "o", orange, "user, covered"), (False, "x", red, "user, not covered")):
        users = [(x, y) for x, y, c in zip(plan.user_x_m, plan.user_y_m, plan.user_covered, strict=True) if c == covered]
        if users:
            axes.scatter(*zip(*users, strict=True), s=16, marker=marker, color=colour, label=label)
    axes.scatter([x for x, _, _ in places], [y for _, y, _ in places], s=48, marker="s", color=blue, edgecolor="white", label="edge server")
    axes.set_aspect("equal")
    axes.set_xlabel("metres")
    axes.set_ylabel("metres")
    figure.legend(loc="outside lower center", frameon=False, ncols=3)
    return figure


def _capacity(plan: PlanContent) -> Any:
    figure, (axes,) = style.new_figure()
    points = plan.capacity_curve
    scale, unit = style.unit_of("capacity_bytes", max(point.capacity_bytes for point in points))
    for look, name in zip(style.LINES, dict.fromkeys(point.algorithm for point in points), strict=False):
        of = [point for point in points if point.algorithm == name]
        axes.plot([point.capacity_bytes / scale for point in of], [point.hit_ratio for point in of], label=name, **look)
    axes.axhline(plan.attainable, color="black", linestyle=":", label="attainable (servers hold all)")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(style.axis_label("capacity_bytes", unit))
    axes.set_ylabel(style.axis_label("hit_ratio"))
    axes.legend(frameon=False)
    style.clean(axes)
    return figure
