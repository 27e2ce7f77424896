"""What a notebook shows for a catalog, a graph or a placement: a sentence and a small table.

Plain HTML with inline styles, no script: notebooks cut scripts and style sheets out of saved outputs. Colours are the page's own
(``currentColor``, greys half transparent), so dark themes need nothing else; one blue, readable on white and on black, marks what is
shared or used. Every bar has its figure beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from trimcache._printable import printable
from trimcache.errors import TrimcacheError
from trimcache.report.headline import sizes_words
from trimcache.report.html.text import shown
from trimcache.sharing.compare_headline import percent
from trimcache.sizes import format_size

if TYPE_CHECKING:
    from trimcache.catalog.reader import Catalog
    from trimcache.graph import ModelBlockGraph
    from trimcache.placement.result import Placement

__all__ = ["catalog_html", "graph_html", "placement_html"]

_ROWS = 10
# Showing a variable must not take minutes: the sizes of a catalog need all its blocks in memory.
_PARTS_TO_ANALYSE = 20_000

_LINE = "rgba(128,128,128,.35)"
_BLUE = "#0072B2"  # 5.2 : 1 on white, 4.0 : 1 on black
_CELL = "padding:.15em .6em;border:0;vertical-align:middle;background:transparent"


def catalog_html(catalog: Catalog) -> str:
    """Headline sizes, and the largest models with what each shares; a large catalog is not read for it."""
    title = f"{'Synthetic catalog' if catalog.synthetic else 'Catalog'} {shown(str(catalog.root))}"
    n_parts = len(catalog.parts)
    if n_parts > _PARTS_TO_ANALYSE:
        nbytes = sum(part.nbytes for part in catalog.parts)
        words = f"{n_parts:,} parts, {format_size(nbytes)}; too many to add up here: trimcache stats shows what they share."
        return _box(title, [words], "")
    from trimcache.sharing.sizes import SizeAnalysis

    try:
        analysis = SizeAnalysis(catalog)
        sizes = analysis.headline
    except TrimcacheError as error:  # a shard that went away since: a traceback would hide everything else
        return _box(title, [printable(str(error))], "")
    return _box(title, sizes_words(sizes), _models_table(analysis.graph), str(catalog.rules))


def graph_html(graph: ModelBlockGraph) -> str:
    """The same of a graph; what is on disk it does not know."""
    from trimcache.sharing.sizes import Sizes

    total, unique, shared = graph.total_bytes, graph.unique_bytes, graph.shared_bytes
    sizes = Sizes(
        models=graph.n_models,
        incomplete_models=0,
        blocks=graph.n_blocks,
        total_bytes=total,
        disk_bytes=None,
        unique_bytes=unique,
        shared_bytes=shared,
        specific_bytes=unique - shared,
        saved_on_disk_bytes=None,
        saved_bytes=total - unique,
        synthetic=graph.synthetic,
    )
    rules = ", ".join(f"{shown(key)}={shown(value)}" for key, value in sorted(graph.meta.items()))
    words = sizes_words(sizes) if graph.n_models else ["The graph is empty: it holds no models."]
    title = f"{'Synthetic model-block graph' if graph.synthetic else 'Model-block graph'}, {graph.n_blocks:,} blocks"
    return _box(title, words, _models_table(graph), rules)


def placement_html(placement: Placement) -> str:
    """How much is served and how far that is from the best possible, and how full every server is."""
    problem = placement.problem
    ceiling = "is proven best" if placement.optimal else f"is at most {percent(placement.gap)} below the best possible"
    demand = "requests" if problem.objective == "requests" else "requested bytes"
    words = [
        f"{percent(placement.hit_ratio)} of {demand} are served in time, of {percent(placement.attainable)} if every server held "
        f"everything. This {ceiling}: no placement passes {percent(placement.upper_bound)}."
    ]
    used, capacity = placement.used_bytes.tolist(), problem.capacity_bytes.tolist()
    whole = [int(problem.graph.model_bytes[placement.models_on(m)].sum()) for m in range(min(problem.n_servers, _ROWS))]
    rows = [
        (str(m), [str(len(placement.models_on(m))), format_size(whole[m]), format_size(used[m]), format_size(capacity[m])],
         used[m] / capacity[m] if capacity[m] else 0.0)
        for m in range(len(whole))
    ]  # fmt: skip
    columns = ("server", "models", "size whole", "stored", "capacity", "full")
    table = _table(columns, rows, problem.n_servers, "servers")
    title = f"Placement by {shown(placement.algorithm)}, {placement.n_placed:,} copies on {problem.n_servers:,} servers"
    return _box(title, words, table, f"stored: shared blocks once; placed in {placement.seconds:.3g} s")


def _models_table(graph: ModelBlockGraph) -> str:
    """The largest models, what deleting each frees, and the share of its blocks that others hold too."""
    if not graph.n_models:
        return ""
    closed, exclusive = graph.closed_bytes(), graph.exclusive_bytes()
    first = np.argsort(-graph.model_bytes, kind="stable")[:_ROWS].tolist()
    rows = [
        (graph.model_names[i], [format_size(int(graph.model_bytes[i])), format_size(int(exclusive[i]))],
         (int(closed[i]) - int(exclusive[i])) / int(closed[i]) if closed[i] else 0.0)
        for i in first
    ]  # fmt: skip
    return _table(("model", "size", "of it alone", "shared with others"), rows, graph.n_models, "models")


def _table(columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str], float]], n: int, what: str) -> str:
    """Rows of a name, figures and a share drawn as a bar; ``n`` rows exist."""
    sides = ["left", *["right"] * (len(columns) - 2), "left"]
    head = "".join(
        f'<th scope="col" style="{_CELL};text-align:{side};font-weight:600">{escape(name)}</th>'
        for name, side in zip(columns, sides, strict=True)
    )
    body = "".join(
        f'<tr style="background:transparent"><th scope="row" style="{_CELL};text-align:left;font-weight:400;overflow-wrap:anywhere">'
        f"{escape(shown(name))}</th>"
        + "".join(f'<td style="{_CELL};text-align:right;white-space:nowrap">{escape(figure)}</td>' for figure in figures)
        + f'<td style="{_CELL};text-align:left;white-space:nowrap">{_bar(share)}</td></tr>'
        for name, figures, share in rows
    )
    more = f'<div style="opacity:.75">and {n - _ROWS:,} more {what}</div>' if n > _ROWS else ""
    style = "border-collapse:collapse;margin:.5em 0;color:inherit;font-variant-numeric:tabular-nums"
    return (
        f'<div style="overflow-x:auto"><table style="{style}"><thead style="border-bottom:1px solid {_LINE}"><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _bar(share: float) -> str:
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        f'<span aria-hidden="true" style="display:inline-block;width:6em;height:.7em;border:1px solid {_LINE};vertical-align:middle">'
        f'<span style="display:block;width:{width:.1f}%;height:100%;background:{_BLUE}"></span></span> {escape(percent(share))}'
    )


def _box(title: str, words: Iterable[str], table: str, small: str = "") -> str:
    """``table`` is HTML; everything else is text and escaped here."""
    foot = f'<div style="opacity:.75">{escape(small)}</div>' if small else ""
    sentences = "".join(f"<div>{escape(sentence)}</div>" for sentence in words)
    return f'<div style="color:inherit;max-width:60em"><div style="font-weight:600">{escape(title)}</div>{sentences}{table}{foot}</div>'
