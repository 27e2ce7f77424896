"""The page in a real browser: silent, offline, and every control does what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from headless_chromium import Opened, chromium
from report_zoo import HOSTILE, hostile_zoo, zoo

from trimcache import EdgeNetwork, place
from trimcache.plan import make_plan
from trimcache.report.content import ReportContent, gather
from trimcache.report.files import write_report
from trimcache.report.html.text import shown

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    catalog = zoo(tmp_path_factory.mktemp("zoo"))
    network = EdgeNetwork.preset("paper", n_servers=3, n_users=8, seed=0)
    graph = catalog.graph()
    problem = network.problem(graph, 400_000, 0.8, 0)
    plan = make_plan([place(problem, name) for name in ("gen", "independent")], network, demand={"zipf": 0.8, "ranking": "user"})
    return gather(catalog, plan)


@pytest.fixture(scope="module")
def path(content: ReportContent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("page") / "report.html"
    write_report(content, made)
    return made


@pytest.fixture(scope="module")
def opened(browser: Any, path: Path) -> Opened:
    return Opened(browser, path)


def test_nothing_is_fetched_and_nothing_complains(opened: Opened) -> None:
    assert opened.requests == [opened.uri]
    assert opened.complaints == []


def test_every_chart_is_drawn(opened: Opened) -> None:
    for name in ("heat", "spectrum", "map", "capacity"):
        box = opened.page.locator(f"#chart-{name} canvas").first.bounding_box()
        assert box["width"] > 200, name
        assert box["height"] > 60, name


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "dark")])
def test_it_fits_a_phone_and_a_desk_by_night_too(browser: Any, path: Path, width: int, scheme: str) -> None:
    phone = {"is_mobile": True, "has_touch": True} if width < 600 else {}
    one = Opened(browser, path, viewport={"width": width, "height": 800}, color_scheme=scheme, **phone)
    assert one.page.evaluate("() => document.documentElement.scrollWidth") <= width
    ground = one.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")
    assert one.complaints == []
    one.context.close()


def _names(opened: Opened) -> list[str]:
    return [text.split(" (")[0] for text in opened.page.locator("#table tbody th").all_inner_texts()]


def test_search(opened: Opened) -> None:
    opened.page.fill("#search", "HAL")
    assert _names(opened) == ["half"]
    assert "1 model of 4" in opened.page.locator("#count").inner_text()
    opened.page.fill("#search", "no such model")
    assert _names(opened) == []
    opened.page.fill("#search", "")
    assert len(_names(opened)) == 4


def test_sort_by_mouse_and_by_keyboard(opened: Opened, content: ReportContent) -> None:
    page = opened.page
    button = page.locator("#table thead button[data-key=exclusive]")
    button.click()
    header = button.locator("xpath=..")
    assert header.get_attribute("aria-sort") == "descending"
    size = {row.name: row.exclusive_bytes for row in content.models}
    values = [size[name] for name in _names(opened)]
    assert values == sorted(values, reverse=True)
    button.focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    values = [size[name] for name in _names(opened)]
    assert values == sorted(values)
    page.locator("#table thead button[data-key=name]").press("Space")
    assert _names(opened) == sorted(size)
    assert header.get_attribute("aria-sort") == "none"


def test_the_heat_map_tells_the_value_under_the_pointer(opened: Opened, content: ReportContent) -> None:
    heat, page = content.heat_map, opened.page
    names = [content.models[k].name for k in heat.models.tolist()]
    row, column = names.index("base"), names.index("half")
    page.locator("#heat-frame").scroll_into_view_if_needed()
    # Where the library put the plane of cells, in the window.
    frame = page.evaluate(
        """() => { const inner = Bokeh.index.get_by_id(Bokeh.documents[0].roots()[0].id).frame.bbox;
                   const outer = document.querySelector("#chart-heat").getBoundingClientRect();
                   return [outer.x + inner.left, outer.y + inner.top, inner.width, inner.height]; }"""
    )
    cell = frame[2] / len(names)
    page.mouse.move(frame[0] + (column + 0.5) * cell, frame[1] + (row + 0.5) * cell)
    tip = page.locator("#heat-frame .tip")
    tip.wait_for(state="visible")
    text = tip.inner_text()
    shared = int(heat.shared_bytes[row, column])
    assert shared >= 160_000
    assert text.splitlines()[:2] == ["base", "half"]
    assert f"({shared:,} bytes)" in text
    page.mouse.click(frame[0] + (column + 0.5) * cell, frame[1] + (row + 0.5) * cell)
    assert f"({shared:,} bytes)" in page.locator("#heat-readout").inner_text()


def test_the_heat_map_by_keyboard(opened: Opened, content: ReportContent) -> None:
    heat, page = content.heat_map, opened.page
    page.locator("#heat-frame").focus()
    for _ in range(len(heat.models)):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    assert "holds" in page.locator("#heat-readout").inner_text()
    page.keyboard.press("ArrowRight")
    first, second = (content.models[k].name for k in heat.models.tolist()[:2])
    text = page.locator("#heat-readout").inner_text()
    assert text.startswith(f"{first} — {second} — ")
    shared = int(heat.shared_bytes[0, 1])
    assert (f"({shared:,} bytes)" if shared else "share nothing") in text


def test_zoom(browser: Any, tmp_path: Path) -> None:
    write_report(gather(hostile_zoo(tmp_path)), tmp_path / "report.html")
    one = Opened(browser, tmp_path / "report.html")
    width = "() => { const range = Bokeh.documents[0].roots()[0].x_range; return range.end - range.start; }"
    assert one.page.evaluate(width) == len(HOSTILE)
    one.page.click("[data-zoom=in]")
    assert one.page.evaluate(width) == len(HOSTILE) / 2
    one.page.locator("#heat-frame").press("0")
    assert one.page.evaluate(width) == len(HOSTILE)
    one.context.close()


def test_names_with_markup_are_shown_as_they_are(browser: Any, tmp_path: Path) -> None:
    write_report(gather(hostile_zoo(tmp_path)), tmp_path / "report.html")
    one = Opened(browser, tmp_path / "report.html")
    assert one.requests == [one.uri]
    assert one.complaints == []
    assert one.page.evaluate("() => window.hacked === undefined")
    listed = set(one.page.locator("#table tbody th").all_text_contents())
    assert {shown(name) for name in HOSTILE} <= listed
    assert one.page.locator("img, b, iframe, object").count() == 0
    frame = one.page.locator("#heat-frame")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight"):
        frame.press(key)
        assert one.page.locator("#heat-readout *").count() == 0
    for details in one.page.locator("details").all():
        details.evaluate("(element) => { element.open = true; }")
    assert shown(HOSTILE[0]) in one.page.locator("#families").locator("xpath=..").inner_text()
    one.context.close()


def test_everything_can_be_reached_by_keyboard(opened: Opened) -> None:
    page = opened.page
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("() => document.activeElement.id || document.activeElement.dataset.key || document.activeElement.tagName")
        )
    assert {"search", "heat-frame", "name", "total", "family", "SUMMARY", "A"} <= reached
