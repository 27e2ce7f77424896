"""``trimcache report``: four formats, pictures, plans, and what it refuses in one line."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest
from report_zoo import HOSTILE, hostile_zoo, zoo

from trimcache import EdgeNetwork, open_catalog, place
from trimcache.cli import main
from trimcache.plan import make_plan, write_plan


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo(tmp_path_factory.mktemp("zoo")).root


@pytest.fixture(scope="module")
def plan(catalog: Path) -> Path:
    path = catalog.with_name("plan.json")
    assert (
        main(
            ["plan", str(catalog), "--servers", "3", "--users", "8", "--capacity", "400kB", "-a", "gen,independent", "-q", "-o", str(path)]
        )
        == 0
    )
    return path


def test_page(catalog: Path, plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(catalog), "--plan", str(plan), "-o", str(tmp_path / "r.html")]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "report written to" in err
    page = (tmp_path / "r.html").read_text()
    for words in ("What each server holds", "Hit ratio against capacity", "server-2", "Map of servers"):
        assert words in page
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_json_agrees_with_stats(catalog: Path, plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(catalog), "--plan", str(plan), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert main(["stats", str(catalog), "--json"]) == 0
    stats = json.loads(capsys.readouterr().out)
    for key in (
        "models",
        "disk_bytes",
        "unique_bytes",
        "shared_bytes",
        "specific_bytes",
        "total_bytes",
        "saved_bytes",
        "saved_on_disk_bytes",
    ):
        assert document[key] == stats[key]
    made = json.loads(plan.read_text())
    assert document["plan"]["hit_ratio"] == made["hit_ratio"]
    at_plan = {p["algorithm"]: p["hit_ratio"] for p in document["plan"]["capacity_curve"] if p["factor"] == 1}
    rows = {row["algorithm"]: row["hit_ratio"] for row in made["comparison"]}
    assert at_plan == {name: pytest.approx(rows[name]) for name in ("gen", "independent")}
    curve = [p["hit_ratio"] for p in document["plan"]["capacity_curve"] if p["algorithm"] == "gen"]
    assert 0 <= curve[0] <= curve[-1] <= made["attainable"] + 1e-12


def test_the_curve_keeps_what_the_plan_pins_and_forbids(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [model.name for model in open_catalog(catalog).models]
    path = tmp_path / "pinned.json"
    command = [
        "plan",
        str(catalog),
        "--servers",
        "3",
        "--users",
        "8",
        "--capacity",
        "400kB",
        "-a",
        "gen,independent",
        "-q",
        "-o",
        str(path),
    ]
    assert main([*command, "--pin", f"server-0={names[0]}", *(word for name in names[1:] for word in ("--forbid", f"*={name}"))]) == 0
    capsys.readouterr()
    assert main(["report", str(catalog), "--plan", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["plan"]
    rows = {row["algorithm"]: row["hit_ratio"] for row in told["comparison"]}
    points = told["capacity_curve"]
    assert {p["algorithm"]: p["hit_ratio"] for p in points if p["factor"] == 1} == {name: pytest.approx(rows[name]) for name in rows}
    assert min(p["factor"] for p in points) > 1 / 16  # the pinned model alone is larger than that
    assert max(p["hit_ratio"] for p in points) < told["attainable"]  # all others are forbidden, whatever the capacity
    assert "left out" in told["curve_note"]


def test_csv_is_a_line_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = hostile_zoo(tmp_path).root
    assert main(["report", str(root), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model"] for row in rows] == [model.name for model in open_catalog(root).models]
    assert {HOSTILE[0], HOSTILE[1], HOSTILE[6], HOSTILE[7]} <= {row["model"] for row in rows}
    assert sum(int(row["fair_share_bytes"]) for row in rows) > 0


def test_markdown_escapes_names(tmp_path: Path) -> None:
    root = hostile_zoo(tmp_path).root
    assert main(["report", str(root), "-o", str(tmp_path / "r.md"), "-q"]) == 0
    text = (tmp_path / "r.md").read_text()
    assert "saved" in text.split("##")[0]
    assert not re.search(r"(?<!\\)<|\x1b|\u202e| \|pipe", text)
    assert "\\<img src=x onerror=window.hacked=1\\>" in text


def test_figures(catalog: Path, plan: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert main(["report", str(catalog), "--plan", str(plan), "--figures", str(tmp_path / "figures"), "-q"]) == 0
    made = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert set(made) == {f"{name}.{ending}" for name in ("heat_map", "spectrum", "map", "capacity") for ending in ("png", "svg")}
    assert all(raw.startswith((b"\x89PNG", b"<?xml")) and len(raw) > 5000 for raw in made.values())
    assert b"attainable" in made["capacity.svg"]


def test_a_network_of_tables_has_links_instead_of_a_map(catalog: Path, tmp_path: Path) -> None:
    network = EdgeNetwork.from_dict({
        "servers": [{"name": "<b>one</b>"}, {"name": "two"}],
        "users": [{"name": "u"}, {"name": "v"}],
        "rates": {"server": ["<b>one</b>", "two"], "user": ["u", "v"], "rate_bps": [1e8, 2e8]},
        "deadline_low_s": 1.0, "deadline_high_s": 2.0,
    })  # fmt: skip
    problem = network.problem(open_catalog(catalog).graph(), 10**6, 0.8, 0)
    write_plan(make_plan(place(problem, "gen"), network, demand={"zipf": 0.8, "ranking": "user"}), tmp_path / "plan.json")
    assert main(["report", str(catalog), "--plan", str(tmp_path / "plan.json"), "-o", str(tmp_path / "r.html"), "-q"]) == 0
    page = (tmp_path / "r.html").read_text().split("<script>")[0]
    assert "so there is no map" in page
    assert "&lt;b&gt;one&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "200.0 Mbit/s" in page


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    capsys.readouterr()
    assert main(["report", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert all(word in err for word in words), err


def test_what_is_refused(catalog: Path, plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _refused([str(catalog)], capsys, "-o report.html")
    _refused([str(catalog), "-o", str(tmp_path / "r.pdf")], capsys, "r.pdf", "--format")
    _refused([str(catalog), "-o", str(tmp_path / "no" / "r.html")], capsys, "cannot be written")
    _refused([str(tmp_path / "nothing"), "-o", "r.html"], capsys, "nothing")
    other = hostile_zoo(tmp_path).root
    _refused([str(other), "--plan", str(plan), "-o", str(tmp_path / "r.html")], capsys, "another catalog")
    description = json.loads((other / "catalog.json").read_text())
    (other / "catalog.json").write_text(json.dumps({**description, "version": "99.0"}))
    _refused([str(other), "-o", str(tmp_path / "r.html")], capsys, "99.0", "update trimcache")
    assert not (tmp_path / "r.html").exists()


def test_an_old_report_stays_when_a_new_one_cannot_be_made(
    catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.html").write_text("old")
    for name in [name for name in sys.modules if name.split(".")[0] == "bokeh"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "trimcache.report.html.charts", raising=False)
    monkeypatch.setitem(sys.modules, "bokeh", None)
    _refused([str(catalog), "-o", str(tmp_path / "r.html"), "-q"], capsys, "trimcache[report]")
    assert (tmp_path / "r.html").read_text() == "old"
