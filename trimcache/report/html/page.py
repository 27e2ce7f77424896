"""From a report's content to one HTML page that needs nothing else: styles, scripts and data are in it, and its policy forbids network."""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from trimcache.errors import UsageError
from trimcache.report.content import ReportContent
from trimcache.report.forest import tree_rows
from trimcache.report.headline import families_words, headline, plan_words
from trimcache.report.html.text import json_in_script, shown
from trimcache.sizes import format_size

__all__ = ["render"]

_MOST_PAIRS = 100  # rows of the table beside the heat map
_COLUMNS = (
    ("name", "model", True), ("total", "size", False), ("exclusive", "only here", False), ("shared", "shared", False),
    ("fair", "fair share", False), ("blocks", "blocks", False), ("family", "family", True), ("format", "format", True),
)  # fmt: skip


def render(content: ReportContent) -> bytes:
    """The page, UTF-8. The same content gives the same bytes.

    Raises:
        UsageError: the packages of the extra ``report`` are not installed.
    """
    try:
        import bokeh
        from jinja2 import Environment, PackageLoader

        from trimcache.report.html import charts
    except ImportError as error:
        raise UsageError("report", f"a page needs {error.name}", "pip install 'trimcache[report]', or take --format md") from error
    names = [shown(row.name) for row in content.models]
    order = content.heat_map.models.tolist()
    i, j, nbytes = content.heat_map.pairs()
    plan = content.plan
    drawn: dict[str, Any] = {}
    if i.size:
        drawn["heat"] = charts.heat_chart(content.heat_map, [content.models[k].name for k in order])
    if content.spectrum:
        drawn["spectrum"] = charts.spectrum_chart(content.spectrum)
    has_map = plan is not None and any(row.x_m is not None for row in plan.servers)
    if plan is not None and has_map:
        drawn["map"] = charts.map_chart(plan)
    if plan is not None and plan.capacity_curve:
        drawn["capacity"] = charts.capacity_chart(plan)
    folder = Path(bokeh.__file__).parent
    own = resources.files("trimcache.report.html")
    library = (folder / "server/static/js/bokeh.min.js").read_text(encoding="utf-8")
    scripts = [_inline(library), _inline(own.joinpath("page.js").read_text(encoding="utf-8"))]
    environment = Environment(loader=PackageLoader("trimcache.report", "html"), autoescape=True, trim_blocks=True)
    environment.filters.update(size=format_size, shown=shown, together=lambda text: text.replace(" %", "\u00a0%"))
    from markupsafe import Markup

    page = environment.get_template("page.html").render(
        policy=_policy(scripts),
        version=content.version,
        catalog=shown(content.catalog),
        rules=", ".join(f"{key} {shown(str(value))}" for key, value in sorted(content.rules.items()) if value),
        sizes=content.sizes,
        headline=headline(content),
        cards=_cards(content),
        heat_models=len(order),
        left_out=content.heat_map.left_out,
        heat_pairs_total=int(i.size),
        heat_pairs=[(names[order[a]], names[order[b]], format_size(c)) for a, b, c in _rows(i, j, nbytes)],
        families_words=families_words(content),
        families=_families(content, names),
        disagreements=[shown(text) for text in content.forest.disagreements],
        spectrum=content.spectrum,
        plan=plan,
        plan_words="" if plan is None else plan_words(plan),
        plan_cards=[] if plan is None else _plan_cards(plan),
        plan_map=has_map,
        columns=_COLUMNS,
        css=Markup(own.joinpath("page.css").read_text(encoding="utf-8")),
        # Neither holds a "</script": checked for the scripts, escaped in the data.
        scripts=[Markup(script) for script in scripts],
        data=Markup(json_in_script(_data(content, names, drawn))),
        bokeh_version=bokeh.__version__,
        bokeh_licence=(folder / "LICENSE.txt").read_text(encoding="utf-8"),
    )
    return page.encode()


def _inline(script: str) -> str:
    r"""A script that can stand between tags: ``</script`` and ``<!--`` in its texts are written ``<\/script`` and ``<\!--``."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(scripts: list[str]) -> str:
    """Nothing may be fetched from anywhere; these very scripts may run, no others; the charts set styles of their own."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"


def _data(content: ReportContent, names: list[str], drawn: dict[str, Any]) -> dict[str, Any]:
    """What the page's script reads: the table column by column, the cells of the heat map packed, and the charts."""
    rows = content.models
    families = [shown(family.name) for family in content.forest.families]
    data: dict[str, Any] = {
        "name": names,
        "family": ["" if row.family is None else families[row.family] for row in rows],
        "format": [shown(row.format) for row in rows],
        "missing": {str(i): shown(row.missing) for i, row in enumerate(rows) if row.missing},
        "total": [row.model_bytes for row in rows],
        "exclusive": [row.exclusive_bytes for row in rows],
        "shared": [row.shared_bytes for row in rows],
        "fair": [row.fair_share_bytes for row in rows],
        "blocks": [row.blocks for row in rows],
        "charts": drawn,
    }
    if "heat" in drawn:
        data["heat"] = {"order": content.heat_map.models.tolist(), "cells": _packed(content.heat_map.shared_bytes)}
    if content.plan is not None and "map" in drawn:
        servers = content.plan.servers
        data["map"] = [
            [s.x_m, s.y_m, shown(s.name), len(s.models), format_size(s.used_bytes), format_size(s.capacity_bytes), s.covered_users]
            for s in servers
            if s.x_m is not None
        ]
    return data


def _packed(matrix: np.ndarray[Any, np.dtype[np.int64]]) -> str:
    """The upper triangle, diagonal included, row by row: little-endian doubles (exact to 9 PB), deflated, base64."""
    upper = matrix[np.triu_indices(len(matrix))].astype("<f8")
    return base64.b64encode(zlib.compress(upper.tobytes(), 6)).decode()


def _rows(*columns: Any) -> zip[tuple[int, ...]]:
    return zip(*(column[:_MOST_PAIRS].tolist() for column in columns), strict=True)


def _cards(content: ReportContent) -> list[tuple[str, str, str]]:
    sizes = content.sizes
    cards = []
    if sizes.disk_bytes is not None and sizes.saved_on_disk_bytes is not None:
        cards.append(("on disk now", format_size(sizes.disk_bytes), f"{sizes.disk_bytes:,} bytes"))
        cards.append(("saved on disk", format_size(sizes.saved_on_disk_bytes), _share(sizes.saved_on_disk_bytes, sizes.disk_bytes)))
    cards.append(("unique, each block once", format_size(sizes.unique_bytes), f"{sizes.unique_bytes:,} bytes"))
    cards.append(("sum of all models", format_size(sizes.total_bytes), f"{sizes.total_bytes:,} bytes"))
    cards.append(("saved against that sum", format_size(sizes.saved_bytes), _share(sizes.saved_bytes, sizes.total_bytes)))
    cards.append(("models", f"{sizes.models:,}", f"{sizes.incomplete_models:,} without their base" if sizes.incomplete_models else ""))
    return [*cards, ("blocks", f"{sizes.blocks:,}", "")]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _plan_cards(plan: Any) -> list[tuple[str, str, str]]:
    return [
        ("hit ratio", f"{plan.hit_ratio:.4f}", "share of demand served in time"),
        ("attainable", f"{plan.attainable:.4f}", "if every server held everything"),
        ("upper bound", f"{plan.upper_bound:.4f}", "no placement can pass it"),
        ("gap at most", f"{100 * plan.gap:.1f} %", "of the upper bound"),
    ]


def _families(content: ReportContent, names: list[str]) -> list[dict[str, Any]]:
    """One entry a family: its name, its sizes in words, and its models as rows of an indented tree."""
    trees = tree_rows(content.forest)
    result = []
    for family, rows in zip(content.forest.families, trees, strict=True):
        saved = format_size(family.total_bytes - family.unique_bytes)
        words = f"{family.models:,} models, {format_size(family.unique_bytes)} unique of {format_size(family.total_bytes)} ({saved} saved)"
        listed = []
        for model, depth in rows:
            row = content.models[model]
            evidence = f"; {shown(content.forest.evidence[model])}" if content.forest.evidence[model] else ""
            text = f"{format_size(row.model_bytes)}, {format_size(row.exclusive_bytes)} only here{evidence}"
            listed.append({"name": names[model], "depth": depth, "words": text})
        result.append({**asdict(family), "name": shown(family.name), "words": words, "rows": listed})
    return result
