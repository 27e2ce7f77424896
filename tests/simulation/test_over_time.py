"""Hit ratio over time: slot 0 is the static placement, moved bytes are what sets counted by hand say, everything is paired."""

from __future__ import annotations

import dataclasses
import functools
from itertools import pairwise

import numpy as np
import pytest

from trimcache.errors import NetworkError, UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.network.fcd import FloatingCarData
from trimcache.network.mobility import Area, RandomDirection, RandomWaypoint, Slot
from trimcache.placement import PlacementProblem, place
from trimcache.placement.evaluate import hit_ratio
from trimcache.placement.replan import replan
from trimcache.simulation.over_time import Timeline, hit_ratio_over_time, moved_bytes, rows_over_time
from trimcache.simulation.runner import run
from trimcache.simulation.setting import Setting


def library() -> ModelBlockGraph:
    models = {f"m{i}": [f"base{i // 4}", f"own{i}"] for i in range(12)}
    return ModelBlockGraph.from_blocks(models, {b: 40_000_000 if b[0] == "b" else 5_000_000 for blocks in models.values() for b in blocks})


SETTING = Setting(capacity_bytes=60_000_000, algorithms=("gen", "independent"), overrides={"backhaul_bps": 5e8}, n_users=12, n_servers=6)
SHORT = Timeline(duration_s=400, slot_s=20, replace_every_s=120)
WALK = RandomDirection()


def table(rows, **wanted):
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_slot_0_is_the_static_placement():
    rows = rows_over_time(SETTING, 3, library(), mobility=WALK, timeline=SHORT)
    assert len(rows) == 20 * 2 * 3
    network = SETTING.edge_network(3)
    problem = SETTING.problem(network, library(), 3)
    for name in SETTING.algorithms:
        static = place(problem, name, seed=3)
        for row in table(rows, slot=0, algorithm=name):
            assert (row["hit_ratio"], row["attainable"], row["moved_bytes"]) == (static.hit_ratio, static.attainable, 0)
            assert (row["time_s"], row["users"], row["n_realisations"]) == (0.0, 12, 0)


def test_every_slot_against_a_network_made_for_it():
    """The same placement on a network whose users stand where they walked to; deadlines and demand are the users' own."""
    rows = rows_over_time(SETTING, 1, library(), mobility=WALK, timeline=SHORT)
    network = SETTING.edge_network(1)
    static = place(SETTING.problem(network, library(), 1), "gen", seed=1)
    for slot in WALK.slots(network.user_positions_m, Area.square(1000), 400, 20, 1):
        there = SETTING.problem(network.with_users(slot.positions_m), library(), 1)
        (row,) = table(rows, time_s=slot.time_s, algorithm="gen", policy="keep")
        assert (row["hit_ratio"], row["attainable"]) == (hit_ratio(there, static.x), there.attainable)
        if slot.time_s % 120 == 0:
            (row,) = table(rows, time_s=slot.time_s, algorithm="gen", policy="anew")
            assert row["hit_ratio"] == place(there, "gen", seed=1).hit_ratio
    assert len({row["hit_ratio"] for row in table(rows, policy="keep", algorithm="gen")}) > 5


def test_bytes_move_at_re_placements_only():
    rows = rows_over_time(SETTING, 5, library(), mobility=RandomWaypoint(), timeline=SHORT)
    moved = 0
    for policy in ("keep", "anew", "replan"):
        for before, after in pairwise(table(rows, algorithm="gen", policy=policy)):
            grown = after["moved_bytes"] - before["moved_bytes"]
            assert grown >= 0
            assert grown % 5_000_000 == 0  # blocks are 5 or 40 MB
            if policy == "keep" or after["time_s"] % 120:
                assert grown == 0
            moved += grown
    assert moved


def by_hand(graph: ModelBlockGraph, before, after) -> int:
    """Bytes of the blocks that a server needs and did not have, by sets of block names."""
    blocks = [set(graph.blocks_of(i).tolist()) for i in range(graph.n_models)]
    total = 0
    for old, new in zip(before, after, strict=True):
        missing = set().union(*(blocks[i] for i in new)) - set().union(*(blocks[i] for i in old))
        total += sum(int(graph.block_bytes[j]) for j in missing)
    return total


def held(rows):
    return np.cumsum([0, *map(len, rows)]), np.array([i for row in rows for i in row], np.int32)


def test_moved_bytes_counted_by_hand():
    graph = library()
    # Server 0 keeps base0 and changes one 5 MB head; server 1 swaps base1 for base2; server 2 empties; server 3 fills from nothing.
    before, after = [[0, 1], [4], [8], []], [[0, 2], [8], [], [11]]
    assert moved_bytes(graph, held(before), held(after)) == 5_000_000 + 45_000_000 + 0 + 45_000_000
    rng = np.random.default_rng(0)
    for _ in range(30):
        old, new = ([sorted(rng.choice(12, rng.integers(0, 6), replace=False).tolist()) for _ in range(4)] for _ in range(2))
        assert moved_bytes(graph, held(old), held(new)) == by_hand(graph, old, new)
    assert moved_bytes(graph, held(before), held(before)) == 0


def test_replanning_is_replan():
    """One re-placement by hand: the bytes and the hit ratio of ``placement.replan`` from the blocks that the old placement left."""
    graph, timeline = library(), Timeline(duration_s=240, slot_s=120, replace_every_s=120, policies=("replan",), switch_cost=0.05)
    _, row = rows_over_time(SETTING, 2, graph, mobility=WALK, timeline=timeline)[::2]
    network = SETTING.edge_network(2)
    old = place(SETTING.problem(network, graph, 2), "gen", seed=2)
    _, slot = WALK.slots(network.user_positions_m, Area.square(1000), 240, 120, 2)
    models = [old.models_on(m).tolist() for m in range(6)]
    present = [sorted({int(j) for i in row for j in graph.blocks_of(i)}) for row in models]
    found = replan(SETTING.problem(network.with_users(slot.positions_m), graph, 2), models, present, 0.05, seed=2)
    assert (row["hit_ratio"], row["moved_bytes"]) == (found.placement.hit_ratio, found.fetched_bytes)


def test_a_prohibitive_cost_moves_nothing():
    timeline = Timeline(duration_s=400, slot_s=100, replace_every_s=100, policies=("keep", "replan"), switch_cost=1e6)
    rows = rows_over_time(SETTING, 0, library(), mobility=WALK, timeline=timeline)
    keep, again = ([row["hit_ratio"] for row in table(rows, algorithm="gen", policy=policy)] for policy in ("keep", "replan"))
    assert keep == again
    assert {row["moved_bytes"] for row in rows} == {0}


def test_rows_are_reproducible_and_run_side_by_side(tmp_path):
    timeline = Timeline(duration_s=40, slot_s=20, replace_every_s=20, policies=("anew",))
    rows = functools.partial(rows_over_time, mobility=WALK, timeline=timeline)
    found = run([SETTING], [0, 1], library(), rows, results=tmp_path / "rows.parquet")
    assert found == [row for seed in (0, 1) for row in rows(SETTING, seed, library())]
    again = run([SETTING], [0, 1, 2], library(), rows, results=tmp_path / "rows.parquet")
    assert again[: len(found)] == found
    setting = Setting.from_dict(found[0], algorithms=("gen", "independent"))
    assert {"mobility", "slot_s", "replace_every_s", "switch_cost", "seed"} <= found[0].keys()
    assert [row["hit_ratio"] for row in rows(setting, 1, library())] == [row["hit_ratio"] for row in found if row["seed"] == 1]


def cars(tmp_path, text: str) -> FloatingCarData:
    path = tmp_path / "cars.csv"
    path.write_text("time,id,x,y\n" + text)
    return FloatingCarData.from_file(path)


def test_the_absent_ask_for_nothing(tmp_path):
    """Slot by slot against a dense problem of the users present, their demand and deadlines cut out of everybody's."""
    data = cars(tmp_path, "0,a,100,100\n0,b,800,700\n20,b,790,690\n20,c,300,350\n40,,,\n60,a,500,500\n60,b,510,500\n60,c,100,900\n")
    timeline = Timeline(duration_s=1000, slot_s=20, replace_every_s=None)
    rows = table(rows_over_time(SETTING, 0, library(), mobility=data, timeline=timeline), algorithm="gen")
    assert [row["users"] for row in rows] == [2, 2, 0, 3]
    assert (rows[2]["hit_ratio"], rows[2]["attainable"]) == (0.0, 0.0)
    assert {row["n_users"] for row in rows} == {3}
    network = EdgeNetwork.preset(n_servers=6, n_users=3, seed=0, backhaul_bps=5e8)
    whole = network.problem(library(), 60_000_000, seed=0)
    x = None
    for slot, row in zip(data.slots(None, None, 1000, 20, 0), rows, strict=True):
        there = ~np.isnan(slot.positions_m[:, 0])
        if not there.any():
            continue
        at = network.with_users(np.where(there[:, None], slot.positions_m, 1e9)).problem(library(), 60_000_000, seed=0)
        demand = at.demand.to_dense() * there[:, None]
        dense = PlacementProblem(library(), 60_000_000, demand, at.reach.to_dense(whole.demand))
        x = place(dense, "gen", seed=0).x if x is None else x
        assert row["hit_ratio"] == pytest.approx(hit_ratio(dense, x), abs=1e-11)
        assert row["attainable"] == pytest.approx(dense.attainable, abs=1e-11)


def test_re_placing_waits_for_somebody(tmp_path):
    data = cars(tmp_path, "0,a,100,100\n20,,,\n40,,,\n60,a,900,900\n")
    timeline = Timeline(duration_s=1000, slot_s=20, replace_every_s=20, policies=("anew", "replan"))
    rows = rows_over_time(SETTING, 0, library(), mobility=data, timeline=timeline)
    assert {row["moved_bytes"] for row in rows if row["time_s"] < 60} == {0}


OWN = """
backhaul_bps = 5e8
[[servers]]
name = "north"
position_m = [0, 0]
[[servers]]
name = "south"
position_m = [50, 400]
[[users]]
name = "school"
position_m = [60, 30]
[[users]]
name = "mall"
position_m = [-20, 380]
"""


def test_an_own_network(tmp_path):
    """Its users walk in the rectangle around everybody, or cars come in their place."""
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    setting = Setting(network=str(path), capacity_bytes=50_000_000, algorithms=("gen",))
    rows = rows_over_time(setting, 0, library(), mobility=WALK, timeline=SHORT)
    network = setting.edge_network(0)
    walks = WALK.slots(network.user_positions_m, Area(-20, 0, 60, 400), 400, 20, 0)
    ceilings = [setting.problem(network.with_users(slot.positions_m), library(), 0).attainable for slot in walks]
    assert [row["attainable"] for row in table(rows, policy="keep")] == ceilings
    driven = rows_over_time(setting, 0, library(), mobility=cars(tmp_path, "0,a,1,1\n20,b,9,9\n20,c,5,5\n"), timeline=SHORT)
    assert [row["users"] for row in table(driven, policy="keep")] == [1, 2]
    slow = tmp_path / "slow.toml"
    slow.write_text(OWN + "inference_s = 0.2\n")  # of the mall alone: it says nothing of cars
    other, three = dataclasses.replace(setting, network=str(slow)), cars(tmp_path, "0,a,1,1\n0,b,1,1\n0,c,1,1\n")
    with pytest.raises(NetworkError, match="inference_s"):
        rows_over_time(other, 0, library(), mobility=three)


def test_where_nobody_can_walk(tmp_path):
    path = tmp_path / "table.toml"
    path.write_text('rates = [{server = "a", user = "u", rate_bps = 1e9}]\n[[servers]]\nname = "a"\n[[users]]\nname = "u"\n')
    with pytest.raises(NetworkError, match="has no positions, its links are a table"):
        rows_over_time(Setting(network=str(path), algorithms=("gen",)), 0, library(), mobility=WALK)


def test_slots_of_ones_own():
    start = np.array([[0.0, 0.0]])
    network = EdgeNetwork.preset(n_users=1, seed=0)
    slots = [Slot(0.0, start), Slot(5.0, start + 1)]
    rows = list(hit_ratio_over_time(network.problem(library(), 10**8), network, slots, ["gen"], Timeline(replace_every_s=None)))
    assert [(row["slot"], row["time_s"], row["policy"]) for row in rows] == [(0, 0.0, "keep"), (1, 5.0, "keep")]


def test_rows_of_several_slots_are_their_means(tmp_path):
    first = "0,a,100,100\n0,b,800,700\n20,b,790,690\n40,,,\n"
    data = cars(tmp_path, first + "60,a,500,500\n80,b,510,500\n100,c,100,900\n120,a,700,700\n140,,,\n160,,,\n")
    timeline = {"duration_s": 180, "slot_s": 20, "replace_every_s": 60, "policies": ("keep", "anew")}
    slots = rows_over_time(SETTING, 0, library(), mobility=data, timeline=Timeline(**timeline))
    minutes = rows_over_time(SETTING, 0, library(), mobility=data, timeline=Timeline(**timeline, record_every_s=60))
    assert [(row["slot"], row["time_s"]) for row in minutes[::4]] == [(0, 0), (3, 60), (6, 120)]
    for row in minutes:
        of = [s for s in table(slots, algorithm=row["algorithm"], policy=row["policy"]) if s["slot"] // 3 == row["slot"] // 3]
        there = [s for s in of if s["users"]]
        for name in ("hit_ratio", "attainable", "users"):
            assert row[name] == pytest.approx(np.mean([s[name] for s in there]))
        assert row["moved_bytes"] == of[-1]["moved_bytes"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"duration_s": 1},
        {"slot_s": 0},
        {"replace_every_s": 1},
        {"replace_every_s": float("inf")},
        {"policies": ("keep", "swap")},
        {"policies": ()},
        {"policies": ("keep", "keep")},
        {"record_every_s": 1},
        {"switch_cost": -1},
        {"switch_cost": float("nan")},
    ],
)
def test_timelines_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        Timeline(**wrong)


@pytest.mark.slow
def test_little_is_lost_in_two_hours_and_re_placing_gains():
    setting = Setting(capacity_bytes=100_000_000, algorithms=("gen",), overrides={"backhaul_bps": 5e8})
    timeline = Timeline(slot_s=60, policies=("keep", "anew"))
    mean = {"keep": [], "anew": []}
    for seed in range(8):
        rows = rows_over_time(setting, seed, library(), mobility=RandomDirection(), timeline=timeline)
        for policy, means in mean.items():
            means.append(np.mean([row["hit_ratio"] for row in table(rows, policy=policy)]))
    gain = np.array(mean["anew"]) - np.array(mean["keep"])
    assert gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(gain.size) > 0
