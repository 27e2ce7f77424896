"""The charts of the page, as Bokeh documents. Colours of text and ground are set in the page, by the reader's light or dark mode."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from bokeh.embed import json_item
from bokeh.models import (
    BasicTicker,
    BoxZoomTool,
    ColumnDataSource,
    FixedTicker,
    LogColorMapper,
    PanTool,
    PlainText,
    WheelZoomTool,
)
from bokeh.models.annotations import ColorBar
from bokeh.palettes import Cividis256
from bokeh.plotting import figure

from trimcache.report.heat_map import HeatMap
from trimcache.report.html.text import shown
from trimcache.report.plan_content import PlanContent
from trimcache.report.style import LINES
from trimcache.sharing.spectrum import SpectrumRow
from trimcache.sizes import format_size

__all__ = ["capacity_chart", "heat_chart", "map_chart", "spectrum_bins", "spectrum_chart"]

_BLUE, _ORANGE, _GREEN = LINES[0]["color"], LINES[1]["color"], LINES[2]["color"]
_NAMES_SHOWN = 30  # more would overlap beside a heat map
_NAME_LENGTH = 18


def heat_chart(heat: HeatMap, names: Sequence[str]) -> dict[str, Any]:
    """The heat map without its cells, which the page unpacks; ``names`` are those of the models shown, in order."""
    n = len(heat.models)
    shared = heat.shared_bytes[~np.eye(n, dtype=bool)]
    shared = shared[shared > 0]
    low, high = (int(shared.min()), int(shared.max())) if shared.size else (1, 10)
    chart = _figure("heat", 560, x_range=(0, n), y_range=(n, 0), aspect_ratio=1, max_width=760)
    # A wheel alone scrolls the page; with ctrl it zooms, and so does a pinch.
    wheel = WheelZoomTool(modifiers={"ctrl": True})
    chart.add_tools(wheel, BoxZoomTool(match_aspect=True))
    mapper = LogColorMapper(palette=list(Cividis256), low=low, high=max(high, low + 1), name="heat-colours", nan_color="rgba(0,0,0,0)")
    cells = ColumnDataSource({"image": [np.full((1, 1), np.nan)]}, name="heat-cells")
    chart.image(image="image", x=0, y=0, dw=n, dh=n, source=cells, color_mapper=mapper)
    cursor = ColumnDataSource({"x": [], "y": []}, name="heat-cursor")
    chart.rect("x", "y", 1, 1, source=cursor, fill_color=None, line_color="#D55E00", line_width=3)
    ticks = _powers_of_ten(low, high)
    bar = ColorBar(color_mapper=mapper, ticker=FixedTicker(ticks=ticks), major_label_overrides=_sizes(ticks), name="heat-bar")
    bar.update(height=12, padding=12, background_fill_color=None, title="bytes that two models share")
    chart.add_layout(bar, "below")
    chart.xaxis.visible = False
    chart.yaxis.visible = n <= _NAMES_SHOWN
    if n <= _NAMES_SHOWN:
        chart.yaxis.ticker = FixedTicker(ticks=[i + 0.5 for i in range(n)])
        chart.yaxis.major_label_overrides = {i + 0.5: PlainText(text=_short(name)) for i, name in enumerate(names)}
        chart.yaxis.major_tick_line_color = None
    chart.grid.visible = False
    return _item(chart)


def spectrum_bins(rows: Iterable[SpectrumRow]) -> list[tuple[str, int, int]]:
    """(holders in words, blocks, bytes): 1 to 8 alone, then 9-16, 17-32, ... ; bins without blocks are left out."""
    bins: dict[tuple[int, int], tuple[int, int]] = {}
    for row in rows:
        top = row.models if row.models <= 8 else 2 ** math.ceil(math.log2(row.models))
        low = row.models if row.models <= 8 else top // 2 + 1
        blocks, nbytes = bins.get((low, top), (0, 0))
        bins[low, top] = (blocks + row.blocks, nbytes + row.nbytes)
    return [(str(low) if low == top else f"{low}–{top}", *bins[low, top]) for low, top in sorted(bins)]  # noqa: RUF001


def spectrum_chart(rows: Iterable[SpectrumRow]) -> dict[str, Any]:
    """Bytes held by exactly r models, a bar for each r or range of r."""
    bins = spectrum_bins(rows)
    labels = [label for label, _, _ in bins]
    largest = max((nbytes for _, _, nbytes in bins), default=1)
    chart = _figure("spectrum", max(240, 90 + 26 * len(bins)), y_range=labels[::-1] or ["-"], x_range=(0, 1.3 * max(largest, 1)))
    values = [nbytes for _, _, nbytes in bins]
    source = ColumnDataSource({"y": labels, "right": values, "text": [format_size(value) for value in values]})
    chart.hbar(y="y", right="right", height=0.7, source=source, fill_color=_BLUE, line_color=None)
    text = chart.text(x="right", y="y", text="text", source=source, x_offset=5, text_baseline="middle", text_font_size="12px")
    text.tags = ["ink"]
    ticks = _round_ticks(largest)
    chart.xaxis.ticker, chart.xaxis.major_label_overrides = FixedTicker(ticks=ticks), _sizes(ticks)
    chart.xaxis.axis_label, chart.yaxis.axis_label = "bytes, each block once", "models that hold the block"
    chart.ygrid.visible = False
    return _item(chart)


def capacity_chart(plan: PlanContent) -> dict[str, Any]:
    """Hit ratio against the capacity of a server, a line an algorithm."""
    points = plan.capacity_curve
    top = max([plan.attainable, *(point.hit_ratio for point in points)], default=1.0)
    capacities = sorted({point.capacity_bytes for point in points})
    chart = _figure("capacity", 380, x_axis_type="log", y_range=(0, min(1.0, 1.12 * top) or 1.0))
    ends = [capacities[0], capacities[-1]]
    ceiling = chart.line(ends, [plan.attainable] * 2, line_dash="dotted", line_width=2, legend_label="attainable (servers hold all)")
    ceiling.tags = ["ink"]
    for name, color, dash, marker in (("gen", _BLUE, "solid", "circle"), ("independent", _ORANGE, "dashed", "square")):
        of = [point for point in points if point.algorithm == name]
        x, y = [point.capacity_bytes for point in of], [point.hit_ratio for point in of]
        chart.line(x, y, line_color=color, line_dash=dash, line_width=2.5, legend_label=name)
        chart.scatter(x, y, marker=marker, size=8, fill_color=color, line_color="white", legend_label=name)
    mean = sum(server.capacity_bytes for server in plan.servers) / max(len(plan.servers), 1)
    chart.scatter([mean], [plan.hit_ratio], marker="star", size=20, fill_color=_GREEN, line_color="white", legend_label="this plan")
    # Every other capacity is named: all of them would run into one another on a phone.
    ticks = sorted({point.capacity_bytes for point in points if math.log2(point.factor).is_integer()})[::2]
    chart.xaxis.ticker, chart.xaxis.major_label_overrides = FixedTicker(ticks=ticks), _sizes(ticks)
    chart.xaxis.axis_label, chart.yaxis.axis_label = "capacity of a server (logarithmic)", "hit ratio (share of demand)"
    chart.yaxis.ticker = BasicTicker(desired_num_ticks=5)
    legend = chart.legend[0]
    chart.add_layout(legend, "below")
    legend.update(
        location="left", orientation="horizontal", ncols=2, border_line_color=None, background_fill_color=None, margin=0, padding=0
    )
    return _item(chart)


def map_chart(plan: PlanContent) -> dict[str, Any]:
    """Servers, their coverage, and users in the plane; the same metre in both directions."""
    servers = [row for row in plan.servers if row.x_m is not None and row.y_m is not None]
    chart = _figure("map", 520, match_aspect=True, aspect_ratio=1, max_width=760)
    chart.add_tools(WheelZoomTool(modifiers={"ctrl": True}), BoxZoomTool(match_aspect=True), PanTool(dimensions="both"))
    chart.toolbar.active_drag = None
    circles = [row for row in servers if row.radius_m]
    at = {"x": [row.x_m for row in circles], "y": [row.y_m for row in circles], "radius": [row.radius_m for row in circles]}
    chart.circle(x="x", y="y", radius="radius", source=ColumnDataSource(at), fill_color=_BLUE, fill_alpha=0.07, line_color=_BLUE)
    for covered, marker, label in ((True, "circle", "user, covered"), (False, "x", "user, not covered")):
        places = [p for p in zip(plan.user_x_m, plan.user_y_m, plan.user_covered, strict=True) if p[2] == covered]
        if places:
            look = {"fill_color": _ORANGE, "line_color": "#8a5f00"} if covered else {"line_color": "#D55E00", "line_width": 2}
            chart.scatter([p[0] for p in places], [p[1] for p in places], marker=marker, size=7, legend_label=label, **look)
    x, y = [row.x_m for row in servers], [row.y_m for row in servers]
    chart.scatter(x, y, marker="square", size=13, fill_color=_BLUE, line_color="white", legend_label="edge server")
    chart.xaxis.axis_label = chart.yaxis.axis_label = "metres"
    legend = chart.legend[0]
    chart.add_layout(legend, "below")
    legend.update(
        location="left", orientation="horizontal", ncols=2, border_line_color=None, background_fill_color=None, margin=0, padding=0
    )
    return _item(chart)


def _figure(name: str, height: int, **options: Any) -> Any:
    """A figure as wide as the page, without a toolbar: the page has buttons of its own, which the keyboard reaches."""
    chart = figure(
        name=name, height=height, sizing_mode="stretch_width", tools="", toolbar_location=None, outline_line_color=None, **options
    )
    chart.background_fill_color = chart.border_fill_color = None
    chart.min_border_right = 12
    return chart


def _item(chart: Any) -> dict[str, Any]:
    return dict(_renumbered(dict(json_item(chart)), chart.name, {}))


def _renumbered(value: Any, prefix: str, numbers: dict[str, str]) -> Any:
    """The same with ids in order of appearance: the library counts on through a process, and equal reports shall be equal files."""
    if isinstance(value, list | tuple):
        return [_renumbered(one, prefix, numbers) for one in value]
    if not isinstance(value, dict):
        return value
    ids = {key: numbers.setdefault(value[key], f"{prefix}-{len(numbers)}") for key in ("id", "root_id") if isinstance(value.get(key), str)}
    return {key: ids.get(key) or _renumbered(one, prefix, numbers) for key, one in value.items()}


def _short(name: str) -> str:
    text = shown(name)
    return text if len(text) <= _NAME_LENGTH else f"…{text[1 - _NAME_LENGTH :]}"  # the ends of names differ


def _sizes(ticks: Iterable[int]) -> dict[Any, Any]:
    return {tick: format_size(tick).replace(".000 ", " ").replace(".00 ", " ").replace(".0 ", " ") for tick in ticks}


def _powers_of_ten(low: int, high: int) -> list[int]:
    """At most four powers of ten from ``low`` to ``high``; the two ends where there are fewer than two."""
    exponents = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [10**e for e in exponents[:: math.ceil(len(exponents) / 4)]] if len(exponents) > 1 else sorted({low, high})


def _round_ticks(largest: int) -> list[int]:
    """Three or four round numbers from 0 to ``largest``."""
    step = 10 ** max(0, math.floor(math.log10(max(largest, 1))))
    step = next((step * f // 10 for f in (5, 10, 20) if largest / (step * f / 10) <= 3), 5 * step) or 1
    return list(range(0, largest + 1, step))
