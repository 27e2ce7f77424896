"""Plans: what is written is read back, nothing false is believed, and a diff is that of Python sets."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from trimcache.errors import PlanError
from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.placement import Placement, place
from trimcache.placement.evaluate import held_from_lists
from trimcache.plan import carried_over, diff, make_plan, read_plan, validate_against, write_plan

NETWORK = EdgeNetwork.preset("paper", n_servers=4, n_users=12, seed=1)


def library(drop: int | None = None) -> ModelBlockGraph:
    models = {f"m{i}": [f"base{i // 4}", f"own{i}"] for i in range(12) if i != drop}
    used = {block for blocks in models.values() for block in blocks}
    return ModelBlockGraph.from_blocks(models, {b: 40_000_000 if b[0] == "b" else 5_000_000 + len(b) for b in sorted(used)})


def solved(capacity_bytes: int = 10**8, graph: ModelBlockGraph | None = None, names=("independent", "gen")):
    problem = NETWORK.problem(graph or library(), capacity_bytes, seed=1)
    return [place(problem, name) for name in names]


def test_a_plan_says_what_the_placement_did():
    independent, gen = solved()
    assert gen.hit_ratio > independent.hit_ratio
    plan = make_plan([independent, gen], NETWORK, demand={"zipf": 0.8}, seed=1)
    assert plan.document.algorithm == "gen"
    assert [row.algorithm for row in plan.document.comparison] == ["independent", "gen"]
    document = plan.to_dict()
    assert {"algorithm", "hit_ratio", "attainable", "upper_bound", "gap", "servers", "comparison"} <= set(document)
    assert (document["hit_ratio"], document["gap"]) == (gen.hit_ratio, gen.gap)
    for m, server in enumerate(document["servers"]):
        assert set(server) == {"name", "models", "used_bytes", "capacity_bytes", "pinned", "forbidden"}
        assert server["name"] == NETWORK.server_names[m]
        assert server["models"] == [f"m{i}" for i in gen.models_on(m)]
        assert server["used_bytes"] == gen.used_bytes[m] <= server["capacity_bytes"] == 10**8
    assert EdgeNetwork.from_dict(document["network"]).to_dict() == NETWORK.to_dict()
    assert make_plan(gen).servers[0].name == "server-0"
    validate_against(plan, library())


@pytest.mark.parametrize("max_json_entries", [10**6, 0])
def test_a_plan_survives_the_disk(tmp_path, max_json_entries):
    plan, path = make_plan(solved(), NETWORK), tmp_path / "edge.plan.json"
    write_plan(plan, path, max_json_entries)
    assert len(list(tmp_path.iterdir())) == (1 if max_json_entries else 3)
    copy = read_plan(path)
    assert copy.to_dict() == plan.to_dict()
    for name in ("block_digests", "block_bytes", "server_ptr", "server_blocks"):
        assert np.array_equal(getattr(copy, name), getattr(plan, name))
    validate_against(copy, library())
    assert diff(plan, copy).added_bytes == diff(plan, copy).dropped_bytes == 0
    write_plan(make_plan(solved(2 * 10**8), NETWORK), path, max_json_entries)  # leaves nothing of the old plan
    assert len(list(tmp_path.iterdir())) == (1 if max_json_entries else 3)
    write_plan(plan, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_empty_plans(tmp_path):
    for network in (NETWORK, EdgeNetwork.preset(n_servers=0)):
        plan = make_plan(place(network.problem(library(), 10), "gen"), network)
        for limit in (9, -1):
            write_plan(plan, tmp_path / "empty.json", limit)
            copy = read_plan(tmp_path / "empty.json")
            assert (copy.hit_ratio, copy.block_bytes.size) == (0, 0)
            assert copy.servers == plan.servers
    validate_against(make_plan(place(NETWORK.problem(library(), 10)), NETWORK), library())


def test_what_was_pinned_and_forbidden_is_kept_and_carried_over(tmp_path):
    graph = library()
    problem = NETWORK.problem(graph, 10**8, seed=1).changed(pinned=[(3, 7), (0, 2)], forbidden=[(m, 5) for m in range(4)])
    write_plan(make_plan(place(problem, "gen"), NETWORK), tmp_path / "plan.json")
    plan = read_plan(tmp_path / "plan.json")
    assert [server.pinned for server in plan.servers] == [["m2"], [], [], ["m7"]]
    assert [server.forbidden for server in plan.servers] == [["m5"]] * 4
    servers = NETWORK.server_names
    same = carried_over(plan, servers, graph.model_names)
    assert sorted(same.pinned) == [(0, 2), (3, 7)]
    assert (sorted(same.forbidden), same.lost) == ([(m, 5) for m in range(4)], ())
    fewer = library(drop=2)  # without a pinned model, and without the last server, where another is pinned
    less = carried_over(plan, servers[:3], fewer.model_names)
    assert less.pinned == ()
    assert [fewer.model_names[i] for _, i in less.forbidden] == ["m5"] * 3
    assert less.lost == ((servers[0], "m2"), (servers[3], "m7"))
    for what, words in (("pinned", "does not hold 'm11'"), ("forbidden", "holds 'm2', which is forbidden")):
        raw = json.loads((tmp_path / "plan.json").read_text())
        raw["servers"][0][what] = ["m11" if what == "pinned" else "m2"]
        (tmp_path / "wrong.json").write_text(json.dumps(raw))
        with pytest.raises(PlanError, match=words):
            read_plan(tmp_path / "wrong.json")
    raw = json.loads((tmp_path / "plan.json").read_text())
    for server in raw["servers"]:  # as earlier versions wrote it
        del server["pinned"], server["forbidden"]
    (tmp_path / "old.json").write_text(json.dumps(raw))
    assert carried_over(read_plan(tmp_path / "old.json"), servers, graph.model_names) == carried_over(
        make_plan(place(problem.changed(pinned=[], forbidden=[]), "gen"), NETWORK), servers, graph.model_names
    )


def test_a_diff_is_that_of_sets():
    old = make_plan(solved(10**8)[1], NETWORK)
    new = make_plan(solved(14 * 10**7, library(drop=3))[1], NETWORK)
    changes = diff(old, new)
    assert [server.name for server in changes.servers] == list(NETWORK.server_names)
    for m, change in enumerate(changes.servers):
        before = dict(zip(old.digests(old.blocks_of(m)), old.block_bytes[old.blocks_of(m)].tolist(), strict=True))
        after = dict(zip(new.digests(new.blocks_of(m)), new.block_bytes[new.blocks_of(m)].tolist(), strict=True))
        assert set(change.added_blocks) == set(after) - set(before)
        assert set(change.dropped_blocks) == set(before) - set(after)
        assert change.added_bytes == sum(after[b] for b in change.added_blocks)
        assert change.dropped_bytes == sum(before[b] for b in change.dropped_blocks)
        assert set(change.added_models) == set(new.servers[m].models) - set(old.servers[m].models)
        assert set(change.dropped_models) == set(old.servers[m].models) - set(new.servers[m].models)
        assert new.servers[m].used_bytes == old.servers[m].used_bytes + change.added_bytes - change.dropped_bytes
    assert changes.added_bytes == sum(server.added_bytes for server in changes.servers) > 0
    assert changes.to_dict()["servers"][0]["n_added_blocks"] == len(changes.servers[0].added_blocks)
    assert "added_blocks" in changes.to_dict(blocks=True)["servers"][0]


def test_a_diff_between_other_servers_and_other_digests():
    few = EdgeNetwork.preset("paper", n_servers=2, n_users=12, seed=1)
    old = make_plan(solved()[1], NETWORK)
    new = make_plan(place(few.problem(library(), 10**8, seed=1), "gen"), few)
    gone = diff(old, new).servers[2:]
    assert [server.name for server in gone] == ["server-2", "server-3"]
    assert [server.dropped_bytes for server in gone] == [server.used_bytes for server in old.servers[2:]]
    assert diff(new, old).servers[3].added_bytes == old.servers[3].used_bytes
    other = replace(old, block_digests=np.ascontiguousarray(old.block_digests[:, :16]))
    everything = sum(server.used_bytes for server in old.servers)
    assert (diff(old, other).added_bytes, diff(old, other).dropped_bytes) == (everything, everything)
    nothing = make_plan(place(NETWORK.problem(library(), 10)), NETWORK)
    assert (diff(nothing, old).added_bytes, diff(old, nothing).dropped_bytes) == (everything, everything)


def test_a_graph_without_digests_still_makes_a_plan(tmp_path):
    full = library()
    bare = ModelBlockGraph(full.model_names, full.block_bytes, full.indptr, full.indices, full.model_bytes)
    plan = make_plan(solved(graph=bare), NETWORK)
    write_plan(plan, tmp_path / "bare.json")
    validate_against(read_plan(tmp_path / "bare.json"), bare)
    assert diff(plan, make_plan(solved(graph=bare), NETWORK)).added_bytes == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(version=2), "version 2.*upgrade"),
        (lambda d: d.update(version="1"), "version"),
        (lambda d: d.update(format="other"), "not a plan"),
        (lambda d: d.update(hit_ratio=2.0), "hit_ratio"),
        (lambda d: d.update(hit_ratio=float("nan")), "hit_ratio"),
        (lambda d: d.update(upper_bound=0.0), "above its bound"),
        (lambda d: d.update(attainable=0.0), "above its bound"),
        (lambda d: d.pop("servers"), "servers"),
        (lambda d: d.update(servers=5), "servers"),
        (lambda d: d["servers"][0].update(used_bytes=1), "'server-0': its blocks are"),
        (lambda d: d["servers"][0].update(used_bytes="5"), "used_bytes"),
        (lambda d: d["servers"][0].update(capacity_bytes=1), "holds"),
        (lambda d: d["servers"][0].update(name="server-1"), "one name"),
        (lambda d: d["servers"][0].pop("blocks"), "damaged"),
        (lambda d: d["servers"][0]["blocks"].append(10**6), "outside the block table"),
        (lambda d: d["servers"][0]["blocks"].append(-1), "outside the block table"),
        (lambda d: d["servers"][0]["blocks"].append(10**12), "damaged"),
        (lambda d: d["servers"][0]["blocks"].append(1.0), "no whole number"),
        (lambda d: d["servers"][0]["blocks"].append(d["servers"][0]["blocks"][0]), "twice"),
        (lambda d: d["servers"][0]["models"].append(d["servers"][0]["models"][0]), "twice"),
        (lambda d: d["blocks"]["nbytes"].pop(), "block table"),
        (lambda d: d["blocks"]["digest"].__setitem__(0, "xy"), "damaged"),
        (lambda d: d["blocks"]["digest"].__setitem__(0, "ab"), "lengths"),
        (lambda d: d["blocks"]["digest"].__setitem__(0, d["blocks"]["digest"][1]), "twice"),
        (lambda d: d["blocks"]["nbytes"].__setitem__(0, -1), "negative"),
        (lambda d: d["blocks"]["nbytes"].__setitem__(0, 2**64), "damaged"),
        (lambda d: d.pop("blocks"), "damaged"),
        (lambda d: d.update(block_files={"blocks": "../x", "server_blocks": "y"}), "beside the plan"),
        (lambda d: d.update(block_files={"blocks": "x", "server_blocks": "y"}), "does not exist"),
        (lambda d: d.update(block_files=[]), "damaged"),
    ],
)
def test_nothing_false_is_believed(tmp_path, change, words):
    path = tmp_path / "edge.json"
    write_plan(make_plan(solved(), NETWORK), path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(PlanError, match=words) as caught:
        read_plan(path)
    assert "\n" not in str(caught.value)


def test_unknown_keys_are_ignored(tmp_path):
    path = tmp_path / "edge.json"
    write_plan(make_plan(solved(), NETWORK), path)
    document = json.loads(path.read_text()) | {"later": 1}
    document["servers"][0]["later"] = {}
    path.write_text(json.dumps(document))
    assert read_plan(path).document.algorithm == "gen"


def test_truncated_missing_and_unwritable(tmp_path):
    path = tmp_path / "edge.json"
    write_plan(make_plan(solved(), NETWORK), path, 0)
    raw = path.read_bytes()
    for n in range(0, len(raw) - 2, 997):
        path.write_bytes(raw[:n])
        with pytest.raises(PlanError, match=r"edge\.json"):
            read_plan(path)
    path.write_bytes(raw)
    for sidecar in sorted(tmp_path.glob("*.parquet")):
        whole = sidecar.read_bytes()
        for damaged in (whole[:-9], b"", b"PAR1" + b"\0" * 50):
            sidecar.write_bytes(damaged)
            with pytest.raises(PlanError, match=r"edge\.json"):
                read_plan(path)
        sidecar.write_bytes(whole)
    read_plan(path)
    for wrong in (tmp_path, tmp_path / "no.json"):
        with pytest.raises(PlanError):
            read_plan(wrong)
    with pytest.raises(PlanError, match="cannot be written"):
        write_plan(make_plan(solved(), NETWORK), tmp_path / "no" / "edge.json")


def test_a_plan_fits_only_its_catalog():
    plan = make_plan(solved(), NETWORK)
    with pytest.raises(PlanError, match="another catalog"):
        validate_against(plan, library(drop=0))


def test_what_cannot_be_planned_together():
    first, second = solved(), solved(2 * 10**8)
    for arguments in (([],), ([first[0], second[0]],), (first, EdgeNetwork.preset(n_servers=3))):
        with pytest.raises(PlanError):
            make_plan(*arguments)
    tie = [Placement(first[0].problem, held_from_lists(lists, first[0].problem), name, 0.0)
           for name, lists in (("wasteful", [[0], [], [], []]), ("thrifty", [[], [], [], []]))]  # fmt: skip
    if tie[0].hit_ratio == tie[1].hit_ratio:
        assert make_plan(tie).document.algorithm == "thrifty"
