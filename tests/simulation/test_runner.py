"""Runs: the same table whatever the workers, resumed where they stopped, each row again from its seed, clear ends."""

from __future__ import annotations

import dataclasses
import json

import pyarrow.parquet as pq
import pytest
from simulation.libraries import dying_rows, failing_rows, families

from trimcache.errors import ProblemError, SimulationError, UsageError
from trimcache.placement import place
from trimcache.simulation.journal import Journal, journal_path
from trimcache.simulation.results import read_results, write_results
from trimcache.simulation.runner import run
from trimcache.simulation.setting import Setting
from trimcache.simulation.topology import rows

SETTING = Setting(n_users=8, n_models=6, capacity_bytes=50_000_000, n_realisations=20, algorithms=("gen", "independent", "random"))
SETTINGS = [SETTING, dataclasses.replace(SETTING, capacity_bytes=90_000_000)]


def timeless(table):
    """Everything but how long placing took."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in table]


@pytest.fixture(scope="module")
def whole():
    return run(SETTINGS, range(4), families())


def test_rows_are_in_order_and_paired(whole):
    keys = [(row["capacity_bytes"], row["seed"], row["algorithm"]) for row in whole]
    assert keys == [(s.capacity_bytes, seed, name) for s in SETTINGS for seed in range(4) for name in SETTING.algorithms]
    for seed in range(4):
        mine = [row for row in whole if row["seed"] == seed]
        assert len({(row["attainable"], row["attainable_fading"]) for row in mine}) == 1
    assert len({row["attainable_fading"] for row in whole}) > 1
    for row in whole:
        assert 0 <= row["hit_ratio"] <= row["upper_bound"] <= row["attainable"] <= 1
        assert row["hit_ratio_fading"] <= row["attainable_fading"]
        assert row["used_bytes"] <= 10 * row["capacity_bytes"]
        assert row["seconds"] > 0
    assert SETTING.columns().keys() <= whole[0].keys()


def test_a_row_can_be_made_again_from_its_columns(whole):
    for row in (whole[4], whole[-1]):
        setting = Setting.from_dict(row)
        assert timeless(rows(setting, row["seed"], families())) == timeless([row])
        network = setting.edge_network(row["seed"])
        problem = network.problem(setting.models(families(), row["seed"]), row["capacity_bytes"], row["zipf"], row["seed"])
        again = place(problem, row["algorithm"], row["seed"])
        assert (again.hit_ratio, again.used_bytes.sum(), again.n_placed) == (row["hit_ratio"], row["used_bytes"], row["n_placed"])


@pytest.mark.slow
def test_two_processes_give_the_same_table(whole, tmp_path):
    found = run(SETTINGS, range(4), families(), workers=2, results=tmp_path / "r.parquet")
    assert timeless(found) == timeless(whole)
    assert read_results(tmp_path / "r.parquet") == found


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_tables_hold_what_was_returned(whole, tmp_path, ending):
    path = tmp_path / "new" / f"r.{ending}"
    found = run(SETTINGS, range(4), families(), results=path)
    assert timeless(found) == timeless(whole)
    again = read_results(path)
    assert again == found
    assert timeless(rows(Setting.from_dict(again[7]), again[7]["seed"], families())) == timeless([again[7]])
    if ending == "parquet":
        definition = json.loads(pq.read_schema(path).metadata[b"trimcache.simulation"])
        assert definition["graph"] == families().fingerprint()


def test_a_run_goes_on_where_it_stopped(whole, tmp_path):
    path = tmp_path / "r.csv"
    first = run(SETTINGS, range(2), families(), results=path)
    journal = journal_path(path)
    kept = journal.read_bytes()
    journal.write_bytes(kept[:-20])  # a kill in the middle of a line
    seen = []
    found = run(SETTINGS, range(4), families(), results=path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 8) for n in range(3, 9)]
    assert timeless(found) == timeless(whole)
    # What had been computed was not computed again: its times are those of the first run.
    assert [row["seconds"] for row in found if row["seed"] == 0] == [row["seconds"] for row in first if row["seed"] == 0]
    seen.clear()
    assert run(SETTINGS, range(4), families(), results=path, progress=lambda done, total: seen.append((done, total))) == found
    assert seen == [(8, 8)]


def test_another_simulation_is_refused(tmp_path):
    path = tmp_path / "r.csv"
    run(SETTINGS[:1], range(2), families(), results=path)
    table = path.read_bytes()
    for settings, graph, words in (
        (SETTINGS[1:], families(), "capacity_bytes changed"),
        (SETTINGS, families(), "settings changed"),
        (SETTINGS[:1], families(13), "graph changed"),
        ([dataclasses.replace(SETTING, algorithms=("gen",))], families(), "algorithms changed"),
    ):
        with pytest.raises(SimulationError, match=f"holds another simulation: {words}"):
            run(settings, range(2), graph, results=path)
    assert path.read_bytes() == table
    with pytest.raises(SimulationError, match="rows changed"):
        run(SETTINGS[:1], range(2), families(), failing_rows, results=path)


def test_a_damaged_journal_and_one_in_use(tmp_path):
    path = tmp_path / "j"
    with Journal(path, {"a": 1}) as journal:
        journal.add((0, 1), [])
        with pytest.raises(SimulationError, match="in use by another run"):
            Journal(path, {"a": 1})
    path.write_bytes(path.read_bytes() + b"nonsense\n")
    with pytest.raises(SimulationError, match="damaged in line 3"):
        Journal(path, {"a": 1})
    path.write_bytes(b'{"a"')  # killed in the very first line
    with Journal(path, {"a": 1}) as journal:
        assert journal.done == {}
    with pytest.raises(SimulationError, match="cannot be opened"):
        Journal(tmp_path / "j" / "j", {})


@pytest.mark.slow
def test_a_worker_that_dies_is_one_error_and_no_hang(whole, tmp_path):
    path = tmp_path / "r.parquet"
    with pytest.raises(SimulationError, match="a worker process died"):
        run(SETTINGS, range(4), families(), dying_rows, workers=2, results=path)
    assert not path.exists()
    with pytest.raises(ProblemError, match="topology 3: is odd"):
        run(SETTINGS, range(4), families(), failing_rows, workers=2)
    found = run(SETTINGS, range(3), families(), dying_rows, results=path)
    assert timeless(found) == timeless([row for row in whole if row["seed"] < 3])


def test_an_algorithm_that_refuses_says_where():
    # Each model has its own mix of 17 shared blocks: more unions than Spec visits.
    from trimcache.graph import ModelBlockGraph

    models = {f"m{i}{side}": [f"b{i}"] for i in range(17) for side in "xy"}
    graph = ModelBlockGraph.from_blocks(models, {f"b{i}": 1 + i for i in range(17)})
    with pytest.raises(ProblemError, match=r"topology 1, algorithm 'spec': more than 100000"):
        run([Setting(capacity_bytes=1000, algorithms=("spec",), n_realisations=0)], [1], graph)


def test_no_realisations_leave_the_columns_empty(tmp_path):
    found = run([dataclasses.replace(SETTING, n_realisations=0)], [5], families(), results=tmp_path / "r.parquet")
    assert {row["hit_ratio_fading"] for row in found} == {None}
    assert read_results(tmp_path / "r.parquet") == found


def test_bad_calls(tmp_path):
    for settings, seeds, change in (([], [0], {}), ([SETTING], [], {}), ([SETTING, SETTING], [0], {}), ([SETTING], [1, 1], {}),
                                    ([SETTING], [0], {"workers": 0}), ([SETTING], [0], {"results": "r.xlsx"})):  # fmt: skip
        with pytest.raises(UsageError):
            run(settings, seeds, families(), **change)
    (tmp_path / "f").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_results([{"seed": 1}], tmp_path / "f" / "r.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        read_results(tmp_path / "none.csv")
    (tmp_path / "bad.parquet").write_text("nonsense")
    with pytest.raises(UsageError, match="is no table"):
        read_results(tmp_path / "bad.parquet")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no columns seed"):
        read_results(tmp_path / "other.csv")
