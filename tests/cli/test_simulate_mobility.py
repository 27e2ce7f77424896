"""``trimcache simulate --mobility`` from a catalog to table, figure and JSON; wrong use in one line."""

from __future__ import annotations

import json

import pytest

from trimcache.cli import main
from trimcache.simulation.results import read_results


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    path = tmp_path_factory.mktemp("catalog") / "zoo.catalog"
    assert main(["generate", "--preset", "paper-special", "--models", "8", "-o", str(path), "-q"]) == 0
    return str(path)


COMMON = ["--topologies", "2", "-a", "gen,independent", "--workers", "1", "--set", "capacity=150MB", "--duration", "60s", "--slot", "20s"]


def test_users_move(catalog, tmp_path, capsys):
    results, figure = tmp_path / "rows.parquet", tmp_path / "figure.svg"
    moving = ["--mobility", "random-direction", "--replace-every", "20s", "--record-every", "20", "-o", str(results), "--plot", str(figure)]
    capsys.readouterr()
    assert main(["simulate", catalog, *COMMON, *moving, "--json", "-q"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(row["algorithm"], row["policy"]) for row in said["summary"]] == [
        (name, policy) for name in ("gen", "independent") for policy in ("keep", "anew", "replan")
    ]
    rows = read_results(results)
    assert len(rows) == said["rows"] == 2 * 3 * 2 * 3
    assert {row["mobility"] for row in rows} == {"random-direction"}
    first = said["summary"][0]
    kept = [row["hit_ratio"] for row in rows if (row["algorithm"], row["policy"]) == ("gen", "keep")]
    assert first["hit_ratio"]["mean"] == pytest.approx(sum(kept) / len(kept))
    assert first["moved_bytes"]["mean"] == 0
    assert "placed anew" in figure.read_text()
    assert main(["simulate", catalog, *COMMON, *moving[:2]]) == 0
    printed = capsys.readouterr().out
    assert "keep" in printed
    assert "replan" not in printed


def test_cars_from_a_file(catalog, tmp_path, capsys):
    path = tmp_path / "cars.csv"
    path.write_text("time,id,x,y\n0,a,100,200\n0,b,300,300\n20,b,400,300\n40,c,900,900\n")
    capsys.readouterr()
    assert main(["simulate", catalog, *COMMON, "--mobility", str(path), "--record-every", "20s", "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2 * 3 * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--slot", "5s"], "--slot: is about users that move"),
        (["--mobility", "random-wapoint"], "did you mean random-waypoint"),
        (["--mobility", "none.xml"], "none.xml: does not exist"),
        (["--mobility", "random-waypoint", "--replan-cost", "1"], "give --replace-every"),
        (["--mobility", "random-waypoint", "--sweep", "servers=6,8", "--plot", "a.png"], "--plot: with --mobility"),
        (["--mobility", "random-waypoint", "--duration", "2hours"], "write it like 5s"),
        (["--mobility", "random-waypoint", "--slot", "3h"], "slots: 7200"),
    ],
)
def test_wrong_use(catalog, capsys, options, said):
    assert main(["simulate", catalog, *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
