"""The least capacity for a hit ratio, re-planning with a switching cost, pins by name, and the command line's options."""

from __future__ import annotations

import json

import numpy as np
import pytest
from placement.cases import tiny_problem

from trimcache.cli import main
from trimcache.errors import ProblemError, UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.placement import PlacementProblem, place
from trimcache.placement.named_pairs import named_pairs
from trimcache.placement.replan import blocks_present, replan
from trimcache.placement.target import least_capacity


def test_the_least_capacity_is_the_least():
    closed = 0
    for seed in range(30):
        problem = tiny_problem(seed, laminar=bool(seed % 2), pins=bool(seed % 3 == 0))
        if not problem.demand.total:
            continue
        most = place(problem.changed(capacity_bytes=10**6), "exhaustive").hit_ratio
        if not most:
            continue
        found = least_capacity(problem, most * 0.6)
        assert found.placement.hit_ratio >= most * 0.6 - 1e-9
        assert found.placement.used_bytes.max() <= found.capacity_bytes
        assert found.proven_bytes <= found.capacity_bytes
        least = next(c for c in range(10**6) if _best(problem, c) >= most * 0.6 - 1e-9)
        assert found.proven_bytes <= least <= found.capacity_bytes
        if found.closed:
            closed += 1
            assert least == found.capacity_bytes
    assert closed >= 10


def _best(problem: PlacementProblem, capacity: int) -> float:
    try:
        return place(problem.changed(capacity_bytes=capacity), "exhaustive").hit_ratio
    except ProblemError:  # the pins do not fit
        return -1.0


def test_targets_out_of_reach():
    problem = tiny_problem(3, laminar=True, pins=False)
    for ratio in (0, 1.5):
        with pytest.raises(UsageError):
            least_capacity(problem, ratio)
    nobody = PlacementProblem(problem.graph, 10, problem.demand, np.zeros((2, problem.n_users, problem.n_models), bool))
    with pytest.raises(ProblemError, match="what any capacity attains"):
        least_capacity(nobody, 0.5)


def test_replanning_weighs_what_it_moves():
    for seed in range(25):
        problem = tiny_problem(seed, laminar=bool(seed % 2), pins=bool(seed % 4 == 0), n_models=6)
        graph = problem.graph
        old = place(problem, "random", seed=1)
        rows = [old.models_on(m).tolist() for m in range(problem.n_servers)]
        present = [np.unique(np.concatenate([graph.blocks_of(i) for i in row])) if row else [] for row in rows]
        free = replan(problem, rows, present, 0.0)
        assert free.placement.hit_ratio >= place(problem, "auto").hit_ratio
        dear = replan(problem, rows, present, 1e12)
        assert dear.fetched_bytes == 0
        assert dear.placement.hit_ratio >= old.hit_ratio
        some = replan(problem, rows, present, 2e7)
        assert some.score >= max(old.hit_ratio, free.placement.hit_ratio - 2e7 * free.fetched_bytes / 1e9) - 1e-9
        fetched = 0
        for m in range(problem.n_servers):
            need = {int(b) for i in some.placement.models_on(m) for b in graph.blocks_of(int(i))} - {int(b) for b in present[m]}
            fetched += sum(int(graph.block_bytes[b]) for b in need)
        assert fetched == some.fetched_bytes
    with pytest.raises(UsageError):
        replan(problem, rows, present, -1)


def test_blocks_are_found_by_digest():
    graph = ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["z"]}, {"x": 1, "y": 2, "z": 3})
    assert blocks_present(graph, graph.block_ids[[2, 0]]).tolist() == [0, 2]
    assert blocks_present(graph, np.zeros((1, 16), np.uint8)).size == 0


def test_pairs_by_name():
    names = ("org/a@main", "org/b@main", "org/ab@main")
    assert named_pairs(["s1=b@main", "*=org/a@main"], ("s0", "s1"), names, "--pin") == [(1, 1), (0, 0), (1, 0)]
    for text, words in (("s1", "has no ="), ("s9=org/a@main", "did you mean"), ("s1=main", "names 3 models"), ("s1=q", "unknown model")):
        with pytest.raises(UsageError, match=words):
            named_pairs([text], ("s0", "s1"), names, "--pin")


def test_pins_that_do_not_fit_or_contradict():
    graph = ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["x", "z"]}, {"x": 10, "y": 5, "z": 6})
    ask, reach = [[1, 2]], np.ones((2, 1, 2), bool)
    for pinned, forbidden, words in (
        ([(0, 0), (0, 1)], None, "need 21 bytes, its capacity is 20"),
        ([(0, 0)], [(0, 0)], "both pinned and forbidden"),
        ([(2, 0)], None, "server 2"),
        ([(0, -1)], None, "model -1"),
        (np.ones((1, 2), bool), None, "shape"),
        ([(0.5, 1)], None, "neither"),
    ):
        with pytest.raises(ProblemError, match=words):
            PlacementProblem(graph, 20, ask, reach, pinned, forbidden)
    with pytest.raises(ProblemError, match="objective"):
        PlacementProblem(graph, 20, ask, reach, objective="time")
    problem = PlacementProblem(graph, 20, ask, reach, forbidden=[[False, True], [False, True]])
    assert place(problem).hit_ratio == pytest.approx(1 / 3)
    assert place(problem).upper_bound == pytest.approx(1 / 3)
    assert place(problem).attainable == 1
    assert PlacementProblem(graph, 20, ask, reach, objective="bytes").demand.weight[0] < problem.demand.weight[1]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    from safetensors.numpy import save_file

    root = tmp_path_factory.mktemp("placement")
    rng = np.random.default_rng(0)
    shared = rng.random(20_000)
    (root / "m").mkdir()
    for name in "abcdef":
        save_file({"shared": shared, "own": rng.random(10_000 + 500 * ord(name))}, root / "m" / f"{name}.safetensors")
    assert main(["scan", str(root / "m"), "-o", str(root / "zoo.catalog"), "-q"]) == 0
    return root / "zoo.catalog"


def planned(capsys, *arguments) -> dict:
    assert main(["plan", *map(str, arguments), "--json", "-q"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_pins_forbids_and_stops(catalog, capsys):
    tight = (catalog, "--capacity", "1MB", "--servers", "3", "--time-limit", "0.3")
    free = planned(capsys, *tight, "-a", "auto,gen,gen-ratio,spec,spec-tree,resolve")
    assert [row["algorithm"] for row in free["comparison"]] == ["auto", "gen", "gen-ratio", "spec", "spec-tree", "resolve"]
    assert free["hit_ratio"] == max(row["hit_ratio"] for row in free["comparison"])
    model = free["servers"][0]["models"][0]
    without = planned(capsys, *tight, "--forbid", f"*={model}", "--gap", "0.5")
    assert all(model not in server["models"] for server in without["servers"])
    assert without["upper_bound"] < free["attainable"]
    pinned = planned(capsys, *tight, "--pin", f"server-2={model}")
    assert model in pinned["servers"][2]["models"]
    assert main(["plan", str(catalog), "--pin", "server-0=nobody"]) == 2
    assert main(["plan", str(catalog), "--switch-cost", "1"]) == 2
    assert main(["plan", str(catalog), "--target-hit-ratio", "0.5", "--capacity", "1GB"]) == 2
    capsys.readouterr()


def test_what_a_plan_pins_and_forbids_goes_on_to_hold(catalog, capsys, tmp_path):
    a, b, f = (f"{name}.safetensors" for name in "abf")
    size, old = ("--servers", "3", "--capacity", "1MB", "-a", "gen"), tmp_path / "old.json"
    first = planned(capsys, catalog, *size, "-o", old, "--pin", f"server-1={f}", "--forbid", f"*={a}")
    assert [server["pinned"] for server in first["servers"]] == [[], [f], []]
    again = planned(capsys, catalog, "--from", old, "--capacity", "700kB", "-a", "gen", "--forbid", f"server-0={b}", "-o", old)
    assert [server["pinned"] for server in again["servers"]] == [[], [f], []]
    assert [sorted(server["forbidden"]) for server in again["servers"]] == [[a, b], [a], [a]]
    assert f in again["servers"][1]["models"]
    moved = planned(capsys, catalog, "--from", old, "--switch-cost", "0.001")
    assert f in moved["servers"][1]["models"]
    assert all(a not in server["models"] for server in moved["servers"])
    assert main(["plan", str(catalog), "--from", str(old), "-a", "gen"]) == 0
    assert "pins (1) and forbidden pairs (4)" in capsys.readouterr().err
    lifted = planned(capsys, catalog, "--from", old, "-a", "gen", "--lift", "--pin", f"server-0={a}")
    assert [(server["pinned"], server["forbidden"]) for server in lifted["servers"]] == [([a], []), ([], []), ([], [])]
    assert main(["plan", str(catalog), "--from", str(old), "-a", "gen", "--pin", f"server-0={a}"]) == 2
    assert "both pinned and forbidden" in capsys.readouterr().err
    assert main(["plan", str(catalog), "--lift"]) == 2
    assert "--from OLD" in capsys.readouterr().err
    assert main(["plan", str(catalog), "--from", str(old), "--servers", "1", "--capacity", "1MB", "-a", "gen", "-q"]) == 0
    assert f"pins {f} on server-1; there is no such model or server any more" in capsys.readouterr().err


def test_the_command_finds_a_capacity_and_goes_on_from_a_plan(catalog, capsys, tmp_path):
    found = planned(capsys, catalog, "--servers", "3", "--target-hit-ratio", "0.4", "--time-limit", "3")
    target = found["target"]
    assert found["hit_ratio"] >= 0.4
    assert target["proven_bytes"] <= target["capacity_bytes"] == found["servers"][0]["capacity_bytes"]
    assert main(["plan", str(catalog), "--servers", "3", "--target-hit-ratio", "0.4", "--time-limit", "2"]) == 0
    assert "a server reach it" in capsys.readouterr().out
    old = tmp_path / "old.json"
    planned(capsys, catalog, "--servers", "3", "--capacity", "1MB", "-o", old, "-a", "independent")
    stay = planned(capsys, catalog, "--from", old, "--switch-cost", "1e9")
    assert stay["replan"]["fetched_bytes"] == stay["changes"]["added_bytes"] == 0
    move = planned(capsys, catalog, "--from", old, "--switch-cost", "0")
    assert move["hit_ratio"] >= stay["hit_ratio"]
    assert move["replan"]["fetched_bytes"] == move["changes"]["added_bytes"]


def test_a_larger_problem_improves_and_proves():
    from placement.paper_library import STATE_BYTES, layer_bytes, paper_special

    assert {name: sum(layer_bytes(name)) for name in STATE_BYTES} == STATE_BYTES
    network = EdgeNetwork.preset("paper", backhaul_bps=1e9, seed=1)
    problem = network.problem(paper_special(30, 1), 250 * 10**6, seed=1)
    seen: list[tuple[float, float]] = []
    best = place(problem, progress=lambda hit, bound: seen.append((hit, bound)))
    assert seen == sorted(seen, key=lambda pair: (pair[0], -pair[1]))
    assert seen[-1] == (best.hit_ratio, best.upper_bound)
    for name in ("gen", "gen-ratio", "spec", "spec-tree", "independent", "resolve"):
        assert place(problem, name).hit_ratio <= best.hit_ratio
    assert best.gap < 0.03
    assert np.array_equal(place(problem).x, best.x)
    assert place(problem, gap=0.5).gap <= 0.5
    with pytest.raises(UsageError, match="gap"):
        place(problem, gap=1)
