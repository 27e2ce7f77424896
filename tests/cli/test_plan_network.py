"""``trimcache plan --network`` with an own network of either kind, and ``--demand``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import tensors_of, write_model

from trimcache import EdgeNetwork, scan
from trimcache.cli import main

_TABLES = """
rates = "rates.csv"
capacity = "3kB"
deadline_s = 1
[[servers]]
name = "north"
[[servers]]
name = "south"
capacity = "1kB"
[[users]]
name = "school"
[[users]]
name = "mall"
[[users]]
name = "moor"
"""
_GEOMETRY = """
capacity = "2kB"
server_names = ["north", "south"]
server_positions_m = [[0, 0], [0, 900]]
user_positions_m = [[9, 0], [0, 890], [5000, 0]]
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    for number, name in enumerate("abc"):
        write_model(tmp_path / "zoo" / name, tensors_of(x=0, y=number))
    return scan(tmp_path / "zoo", tmp_path / "c").root


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    (tmp_path / "rates.csv").write_text("server,user,rate_bps,latency_s\nnorth,school,1e8,0.1\nsouth,mall,1e8,0.1\n")
    (tmp_path / "sites.toml").write_text(_TABLES)
    return tmp_path / "sites.toml"


def _plan(catalog: Path, *more: object) -> int:
    return main(["plan", str(catalog), "-a", "gen", *map(str, more)])


def test_tables_give_the_links_and_the_capacities(catalog: Path, sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _plan(catalog, "--network", sites, "--json", "-o", tmp_path / "plan.json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert [(server["name"], server["capacity_bytes"]) for server in document["servers"]] == [("north", 3000), ("south", 1000)]
    assert document["attainable"] == pytest.approx(2 / 3)
    assert "1 of 3 users ('moor') have no link to any server" in err
    network = EdgeNetwork.from_dict(json.loads((tmp_path / "plan.json").read_text())["network"])  # whole, tables and all
    assert network.to_dict() == EdgeNetwork.from_file(sites).to_dict()
    assert _plan(catalog, "--network", sites, "--capacity", "1GB", "--json") == 0
    assert {server["capacity_bytes"] for server in json.loads(capsys.readouterr().out)["servers"]} == {10**9}


def test_a_geometry_does_too(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "places.toml").write_text(_GEOMETRY)
    assert _plan(catalog, "--network", tmp_path / "places.toml", "--json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert [server["capacity_bytes"] for server in document["servers"]] == [2000, 2000]
    assert "1 of 3 users ('user-2') are outside the coverage of every server" in err


def test_going_on_from_a_plan_keeps_its_capacities_unless_a_file_says_others(
    catalog: Path, sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.json"
    assert _plan(catalog, "--network", sites, "--capacity", "2kB", "-o", old) == 0
    for more, capacities in (((), [2000, 2000]), (("--network", sites), [3000, 1000])):
        capsys.readouterr()
        assert _plan(catalog, "--from", old, "--json", *more) == 0
        assert [server["capacity_bytes"] for server in json.loads(capsys.readouterr().out)["servers"]] == capacities


def test_a_demand_table(catalog: Path, sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, old = tmp_path / "demand.csv", tmp_path / "old.json"
    table.write_text("site,model,weight\nnorth,a,3\nsouth,c,1\n")
    assert _plan(catalog, "--network", sites, "--demand", table, "--json", "-o", old) == 0
    document = json.loads(capsys.readouterr().out)
    assert {server["name"]: server["models"] for server in document["servers"]} == {"north": ["a"], "south": ["c"]}
    assert document["hit_ratio"] == document["attainable"] == 1
    assert document["demand"] == {"table": "demand.csv", "ranking": "table"}
    for more, words in (
        (("--demand", table, "--zipf", "1"), "--demand: says who asks for what"),
        (("--demand", table, "--popularity", table), "--demand: says who asks for what"),
        (("--from", old), "was made for a demand table of its own"),
        (("--demand", tmp_path / "no.csv"), "no.csv: does not exist"),
    ):
        assert _plan(catalog, *(() if "--from" in more else ("--network", sites)), *more) == 2
        assert words in capsys.readouterr().err
    assert _plan(catalog, "--from", old, "--demand", table, "-q") == 0
    table.write_text("site,model,weight\nnorth,z,3\n")
    assert _plan(catalog, "--network", sites, "--demand", table) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"trimcache: error: {table}: row 1: 'z': names an unknown model")


def test_a_bad_file_is_one_line(catalog: Path, sites: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sites.write_text("capacty = 3\n" + _TABLES)
    assert _plan(catalog, "--network", sites) == 2
    assert capsys.readouterr().err == f"trimcache: error: {sites}: key 'capacty' is unknown; did you mean capacity?\n"


def test_the_small_case_of_the_paper_has_its_own_size(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _plan(catalog, "--preset", "paper-small", "--json") == 0
    network = json.loads(capsys.readouterr().out)["network"]
    assert (len(network["server_names"]), len(network["user_names"])) == (2, 6)
