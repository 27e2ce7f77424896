"""examples/reproduce_paper.py and what it left in docs/paper."""

from __future__ import annotations

from pathlib import Path

import pytest
from paper.experiments import EXPERIMENTS, LIBRARIES
from paper.figures import draw
from paper.running import library
from paper.tables import read_table, summary_table
from paper.trends import STORED_POINTS
from reproduce_paper import main

from trimcache.simulation.results import read_results
from trimcache.simulation.setting import Setting
from trimcache.simulation.topology import rows

DOCS = Path(__file__).parents[2] / "docs"
STORED = DOCS / "paper"


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_every_figure_has_its_table_and_its_place_in_the_text(experiment) -> None:
    table = read_table(STORED / f"{experiment.name}.csv")
    for panel in experiment.panels:
        of_panel = [row for row in table if row["panel"] == panel.title]
        assert set(panel.algorithms) <= {row["algorithm"] for row in of_panel}
        assert set(panel.values) <= {row[experiment.x] for row in of_panel}
        assert all(row["n"] == (experiment.topologies or 100) for row in of_panel)
    for ending in ("png", "svg"):
        assert (STORED / f"{experiment.name}.{ending}").stat().st_size > 10_000
    assert f"paper/{experiment.name}.png" in (DOCS / "paper.md").read_text(encoding="utf-8")


def test_the_stored_rows_are_those_behind_the_tables() -> None:
    found = read_results(STORED / "rows.parquet")
    for name, title, capacity in STORED_POINTS:
        of_point = [row | {"panel": title} for row in found if (row["capacity_bytes"], row["backhaul_bps"]) == (capacity, 1e9)]
        library_name = name.partition("-")[0]
        of_point = [row for row in of_point if row["library"] == f"paper-{library_name}"]
        table = [row for row in read_table(STORED / f"{name}.csv") if (row["panel"], row["capacity_bytes"]) == (title, capacity)]
        assert summary_table(of_point, "capacity_bytes") == table


def test_the_trends_in_the_text_are_those_of_the_table() -> None:
    text = (DOCS / "paper.md").read_text(encoding="utf-8")
    table = read_table(STORED / "trends.csv")
    assert len(table) > 40
    for row in table:
        low, high, difference = (f"{row[name]:.3f} ± {row[f'{name}_half']:.3f}" for name in ("low", "high", "difference"))
        verdict = "apart" if row["intervals_apart"] == "True" else "paired" if row["paired_difference_above_0"] == "True" else "no"
        line = f"| {row['claim']} | {row['where']} | {row['low_is']}: {low} | {row['high_is']}: {high} | {difference} | {verdict} |"
        assert line in text


def test_figures_are_drawn_from_the_stored_tables(tmp_path: Path) -> None:
    for experiment in (EXPERIMENTS[0], next(e for e in EXPERIMENTS if e.x == "time_s"), next(e for e in EXPERIMENTS if e.timed)):
        for path in draw(experiment, read_table(STORED / f"{experiment.name}.csv"), tmp_path):
            assert path.stat().st_size > 10_000


@pytest.mark.slow
def test_two_points_run_again_from_their_seeds() -> None:
    """The stored rows of two points, made again from nothing but their columns and the seed of the library."""
    again = 0
    for stored in read_results(STORED / "rows.parquet"):
        # auto and resolve have a time limit, so they may depend on the machine.
        if stored["seed"] not in (0, 57) or stored["algorithm"] in ("auto", "resolve"):
            continue
        [row] = rows(Setting.from_dict(stored), stored["seed"], library(stored["library"], Path()))
        for column in ("hit_ratio", "hit_ratio_fading", "attainable", "attainable_fading"):
            assert row[column] == pytest.approx(stored[column], abs=1e-9), (stored["library"], stored["algorithm"], column)
        assert row["used_bytes"] == stored["used_bytes"]
        again += 1
    assert again == 2 * (5 + 4)  # both seeds; five algorithms in the special case, four in the general one


@pytest.mark.slow
def test_a_quick_run_goes_on_and_is_drawn_again(tmp_path: Path) -> None:
    command = ["--quick", "--realisations", "5", "--workers", "1", "--only", "special-users"]
    command += ["--work", str(tmp_path / "work"), "-o", str(tmp_path / "out")]
    assert main([*command, "--topologies", "2"]) == 0
    two = read_table(tmp_path / "out" / "special-users.csv")
    assert main([*command, "--topologies", "3"]) == 0
    three = read_table(tmp_path / "out" / "special-users.csv")
    assert [row["n"] for row in two] == [2] * len(three)
    assert {row["n"] for row in three} == {3}
    picture = tmp_path / "out" / "special-users.png"
    before = picture.read_bytes()
    picture.unlink()
    assert main([*command, "--redraw"]) == 0
    assert picture.read_bytes() == before
    assert not (tmp_path / "out" / "trends.csv").exists()  # of all figures only


def test_without_the_real_models_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--only", "real-capacity", "--finetunes", str(tmp_path / "none"), "--work", str(tmp_path), "-o", str(tmp_path / "out")])
    assert code != 0
    assert "run make demo first" in capsys.readouterr().err
    assert "real" not in LIBRARIES
