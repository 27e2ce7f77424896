"""What notebooks show: right figures, names that cannot become markup, nothing that needs a script or a plotting library."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tiny_models import tensors_of, write_adapter, write_model

import trimcache as tc
from trimcache.report import notebook
from trimcache.sharing.sizes import SizeAnalysis
from trimcache.sizes import format_size

_HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&lt;b", "tab\there", "turn\u202easide", "\ud800lone")


class _Reader(HTMLParser):
    """Elements, their text and attributes; fails on elements that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.elements.add(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def all_text(self) -> str:
        return " ".join(self.text)


def _graph(names: tuple[str, ...] = ("a", "b")) -> tc.ModelBlockGraph:
    return tc.ModelBlockGraph.from_blocks(
        {name: ["shared", f"own {k}"] for k, name in enumerate(names)},
        {"shared": 3000} | {f"own {k}": 1000 for k in range(len(names))},
    )


def _placement(graph: tc.ModelBlockGraph, capacity_bytes: object, n_servers: int = 2) -> tc.Placement:
    demand = np.ones((1, graph.n_models))
    reach = np.ones((n_servers, 1, graph.n_models), bool)
    return tc.place(tc.PlacementProblem(graph, capacity_bytes, demand, reach), algorithm="gen")  # type: ignore[arg-type]


def test_a_graph_shows_its_models_and_what_they_share() -> None:
    page = _Reader(_graph()._repr_html_())
    assert page.rows == [
        ["model", "size", "of it alone", "shared with others"],
        ["a", "4.000 kB", "1.000 kB", " 75.0 %"],
        ["b", "4.000 kB", "1.000 kB", " 75.0 %"],
    ]
    assert "together take 8.000 kB" in page.all_text
    assert "5.000 kB of that is different" in page.all_text


def test_a_catalog_shows_the_sizes_that_stats_prints(tmp_path: Path) -> None:
    base = write_model(tmp_path / "zoo" / "base", tensors_of(x=1, y=2))
    write_model(tmp_path / "zoo" / "tuned", tensors_of(x=1, y=3))
    write_adapter(tmp_path / "zoo" / "lora", str(base), tensors_of(a=5))
    write_adapter(tmp_path / "zoo" / "orphan", "nobody/has-it", tensors_of(a=6))
    catalog = tc.scan(tmp_path / "zoo", tmp_path / "c")
    sizes = SizeAnalysis(catalog).headline
    page = _Reader(catalog._repr_html_())
    for nbytes in (sizes.disk_bytes, sizes.total_bytes, sizes.unique_bytes, sizes.shared_bytes):
        assert nbytes
        assert format_size(nbytes) in page.all_text
    assert "1 adapter lacks its base" in page.all_text
    assert {row[0] for row in page.rows} == {"model", "base", "tuned", "lora", "orphan"}
    assert "granularity=tensor" in page.all_text


def test_a_placement_shows_hit_ratio_bound_and_every_server() -> None:
    # Server 0 holds both models, 5,000 bytes; server 1 has room for nothing.
    placement = _placement(_graph(), [10_000, 0])
    page = _Reader(placement._repr_html_())
    assert "100.0 % of requests are served in time" in page.all_text
    assert "This is proven best" in page.all_text
    assert page.rows[1:] == [
        ["0", "2", "8.000 kB", "5.000 kB", "10.00 kB", " 50.0 %"],
        ["1", "0", "0 B", "0 B", "0 B", " 0.0 %"],
    ]
    bars = [value for name, value in page.attributes if name == "style" and value and "background:#" in value]
    assert [re.search(r"width:([\d.]+)%", bar)[1] for bar in bars] == ["50.0", "0.0"]  # type: ignore[index]


def test_a_placement_that_may_not_be_best_says_how_far_it_is() -> None:
    graph = _graph()
    problem = tc.PlacementProblem(graph, 4000, np.array([[3.0, 1.0]]), np.ones((1, 1, 2), bool))
    held = (np.array([0, 1]), np.array([0], np.int32))
    page = _Reader(tc.Placement(problem, held, "by hand", 0.0, bound=1.0)._repr_html_())
    assert "75.0 % of requests" in page.all_text
    assert "at most 25.0 % below the best possible: no placement passes 100.0 %" in page.all_text


@pytest.mark.parametrize("name", _HOSTILE)
def test_names_cannot_become_markup(name: str) -> None:
    graph = _graph((name, "b"))
    for html in (graph._repr_html_(), _placement(graph, 10_000)._repr_html_()):
        page = _Reader(html)
        assert page.elements <= {"div", "span", "table", "thead", "tbody", "tr", "th", "td"}
        assert {key for key, _ in page.attributes} <= {"style", "scope", "aria-hidden"}
        html.encode("utf-8")
    [row] = [row for row in _Reader(graph._repr_html_()).rows if row[0] not in ("model", "b")]
    # Read back, it is the name as the command line prints it: markup as text, invisible characters as escapes.
    assert row[0] == name.replace("\t", "\\t").replace("\u202e", "\\u202e").replace("\ud800", "\\ud800")


def test_a_catalog_and_rules_with_odd_names_are_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "<b>bold"
    write_model(folder / "<i>m", tensors_of(x=1))
    html = tc.scan(folder, tmp_path / "<u>c")._repr_html_()
    assert _Reader(html).elements.isdisjoint({"b", "i", "u"})
    graph = _graph()
    odd = tc.ModelBlockGraph(
        graph.model_names, graph.block_bytes, graph.indptr, graph.indices, graph.model_bytes, meta={"<s>k": "<s>v"}
    )  # fmt: skip
    assert "<s>k=<s>v" in _Reader(odd._repr_html_()).all_text


def test_empty_catalog_graph_and_placement(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "m", tensors_of(x=1))
    catalog = tc.scan(tmp_path / "zoo", tmp_path / "c")
    subprocess.run([sys.executable, "-m", "trimcache", "forget", str(tmp_path / "c"), "m"], check=True, capture_output=True)
    catalog = tc.open_catalog(tmp_path / "c")
    assert not catalog.models
    assert "The catalog is empty" in _Reader(catalog._repr_html_()).all_text
    empty = tc.ModelBlockGraph.from_blocks({}, {})
    page = _Reader(empty._repr_html_())
    assert "The graph is empty" in page.all_text
    assert not page.rows
    nothing = tc.PlacementProblem(empty, 0, np.zeros((0, 0)), np.zeros((1, 0, 0), bool))
    assert "0.0 % of requests" in _Reader(tc.place(nothing, algorithm="gen")._repr_html_()).all_text


def test_many_models_are_cut_and_counted() -> None:
    page = _Reader(_graph(tuple(f"m{k}" for k in range(1234)))._repr_html_())
    assert len(page.rows) == 11
    assert "and 1,224 more models" in page.all_text


def test_a_large_catalog_is_not_read_to_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "zoo" / "m", tensors_of(x=1))
    catalog = tc.scan(tmp_path / "zoo", tmp_path / "c")
    monkeypatch.setattr(notebook, "_PARTS_TO_ANALYSE", 0)
    for table in ("tensors", "extents", "files"):
        for shard in (tmp_path / "c" / table).iterdir():
            shard.unlink()
    assert "too many to add up here" in _Reader(catalog._repr_html_()).all_text


def test_a_catalog_that_lost_a_shard_says_so_instead_of_failing(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "m", tensors_of(x=1))
    catalog = tc.scan(tmp_path / "zoo", tmp_path / "c")
    [shard] = (tmp_path / "c" / "extents").iterdir()
    shard.unlink()
    assert "is missing; open the catalog again" in _Reader(catalog._repr_html_()).all_text


def test_showing_needs_no_plotting_library_and_no_notebook() -> None:
    code = """
import sys
for name in ("matplotlib", "bokeh", "jinja2", "IPython", "torch"):
    sys.modules[name] = None
import trimcache as tc
print(len(tc.ModelBlockGraph.from_blocks({"a": ["x"]}, {"x": 1})._repr_html_()) > 100)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "True"
