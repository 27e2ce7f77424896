"""The page as text: one file, nothing to fetch, nothing that names could break; and pages of odd catalogs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from report_zoo import HOSTILE, hostile_zoo, tensors, zoo
from tiny_models import write_adapter, write_model

from trimcache import scan
from trimcache.catalog.reader import Catalog
from trimcache.report.content import gather
from trimcache.report.heat_map import MOST_MODELS
from trimcache.report.html.page import _packed, render
from trimcache.report.html.text import json_in_script, shown


def _page(catalog: Catalog) -> str:
    return render(gather(catalog)).decode()


def test_one_file_whose_policy_lets_nothing_in_and_only_its_scripts_run(tmp_path: Path) -> None:
    page = _page(zoo(tmp_path))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: blob:"
    assert "unsafe" not in rules["script-src"]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts]
    assert rules["script-src"].split() == hashes
    head = page.split("<script")[0]
    assert not re.search(r'(?:src|href)="(?!#|data:)', head)
    assert len(page) < 2_500_000
    assert "Redistribution and use in source and binary forms" in page.split('<script type="application/json"')[0]


def test_the_same_catalog_gives_the_same_bytes(tmp_path: Path) -> None:
    catalog = zoo(tmp_path)
    assert _page(catalog) == _page(catalog)


def test_a_full_heat_map_leaves_the_page_below_8_mb() -> None:
    """Every pair shares, no two pairs the same: nothing that packing could gain from."""
    import bokeh

    matrix = np.random.default_rng(0).integers(1, 10**10, (MOST_MODELS, MOST_MODELS))
    library = (Path(bokeh.__file__).parent / "server/static/js/bokeh.min.js").stat().st_size
    assert len(_packed(matrix)) + library < 7_200_000  # names, table and families of 1,000 models take about 0.4 MB


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    page = _page(hostile_zoo(tmp_path))
    assert len(re.findall(r"<script[\s>]", page.split("<script>")[0])) == 1  # the data
    for bad in ("<img", "<b>", "\x1b", "\u202e", "</script><script>window"):
        assert bad not in page.split("<script>")[0], bad
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert sorted(json.loads(data[1])["name"]) == sorted(map(shown, HOSTILE))


def test_json_in_a_script_ends_no_script() -> None:
    value = {"</script>": "<!-- & \u2028\u2029 \ud800 ]]>"}
    text = json_in_script(value)
    assert not set(text) & set("<>&\u2028\u2029")
    assert text.isascii()
    assert json.loads(text) == value


def test_long_names_are_cut_in_the_middle() -> None:
    assert shown("x" * 300) == "x" * 300
    assert shown("a" * 5000 + "b") == "a" * 150 + "…" + "a" * 149 + "b"


def _empty(folder: Path) -> Catalog:
    catalog = zoo(folder)
    from trimcache.catalog.forget import forget

    forget(catalog, [part.name for part in catalog.parts])
    return Catalog(catalog.root)


def _one(folder: Path) -> Catalog:
    write_model(folder / "zoo" / "only", tensors(a=1))
    return scan(folder / "zoo", folder / "c")


def _without_parameters(folder: Path) -> Catalog:
    write_model(folder / "zoo" / "a", {})
    write_model(folder / "zoo" / "b", {"nothing": ("F32", (0,), b"")})
    return scan(folder / "zoo", folder / "c")


def _duplicates(folder: Path) -> Catalog:
    for n in range(5):
        write_model(folder / "zoo" / f"copy-{n}", tensors(a=1))
    return scan(folder / "zoo", folder / "c")


def _orphan(folder: Path) -> Catalog:
    write_adapter(folder / "zoo" / "adapter", "nobody/base", tensors(lora=1))
    return scan(folder / "zoo", folder / "c")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_empty, "The catalog is empty"),
        (_one, "No two models share anything."),
        (_without_parameters, "No two models are tied."),
        (_duplicates, "saved (80.0\u00a0%)"),
        (_orphan, "1 adapter lacks its base"),
    ],
)
def test_odd_catalogs_have_sensible_pages(tmp_path: Path, make: Callable[[Path], Catalog], said: str) -> None:
    page = _page(make(tmp_path))
    assert said in page.split("<script>")[0]
    assert "nan" not in page.split('<script type="application/json"')[0].lower().replace("tenant", "")
