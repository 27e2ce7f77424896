"""Networks by preset, dict and file; nested topologies; every bad value in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from trimcache.errors import NetworkError, TrimcacheError, UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork, binding_limit, preset_names
from trimcache.network.diagnosis import empty_placement_reason


def library(n_models: int = 12, base_bytes: int = 40_000_000) -> ModelBlockGraph:
    models = {f"m{i}": [f"base{i // 4}", f"own{i}"] for i in range(n_models)}
    sizes = {block: base_bytes if block.startswith("base") else 5_000_000 for blocks in models.values() for block in blocks}
    return ModelBlockGraph.from_blocks(models, sizes)


def test_presets_are_the_documented_settings():
    assert preset_names() == ("download", "paper", "paper-small", "urban")
    paper, download = EdgeNetwork.preset("paper"), EdgeNetwork.preset("download")
    assert (paper.n_servers, paper.n_users, paper.coverage_radius_m) == (10, 30, 275.0)
    assert (paper.bandwidth_hz, paper.power_dbm, paper.noise_dbm_per_hz) == (400e6, 43.0, -174.0)
    assert (paper.deadline_low_s, paper.deadline_high_s, paper.deadline_bps) == (0.5, 1.0, None)
    assert (download.deadline_low_s, download.deadline_high_s, download.deadline_bps) == (2.0, 2.0, 200e6)
    assert np.array_equal(paper.user_positions_m, download.user_positions_m)
    assert paper.user_positions_m.max() <= 1000
    assert EdgeNetwork.preset("paper", area_m=10).server_positions_m.max() <= 10


def test_same_seed_same_network_and_larger_ones_keep_the_smaller():
    small, large = EdgeNetwork.preset(seed=7), EdgeNetwork.preset(n_servers=14, n_users=50, seed=7)
    assert small.to_dict() == EdgeNetwork.preset(seed=7).to_dict()
    assert np.array_equal(large.user_positions_m[:30], small.user_positions_m)
    assert np.array_equal(large.server_positions_m[:10], small.server_positions_m)
    assert not np.array_equal(small.user_positions_m, EdgeNetwork.preset(seed=8).user_positions_m)
    assert not np.array_equal(small.user_positions_m[:10], small.server_positions_m)


@pytest.mark.parametrize("backhaul", [1e9, np.arange(1.0, 17.0).reshape(4, 4) * 1e8])
def test_a_network_survives_json(backhaul):
    network = EdgeNetwork.preset("download", n_servers=4, n_users=3, seed=2, backhaul_bps=backhaul)
    copy = EdgeNetwork.from_dict(json.loads(json.dumps(network.to_dict())))
    assert copy.to_dict() == network.to_dict()
    for one, other in ((network, copy),):
        a, b = one.problem(library(), seed=1), other.problem(library(), seed=1)
        assert np.array_equal(a.reach.servers, b.reach.servers)
        assert np.array_equal(a.demand.weight, b.demand.weight)


def test_a_network_from_a_file(tmp_path):
    path = tmp_path / "sites.toml"
    path.write_text(
        'server_names = ["north", "south"]\n'
        "server_positions_m = [[0, 0], [0, 500]]\n"
        "user_positions_m = [[0, 10], [0, 490.5]]\n"
        "backhaul_bps = 1e9\n"
    )
    network = EdgeNetwork.from_file(path)
    assert network.server_names == ("north", "south")
    assert (network.n_users, network.backhaul_bps.item(), network.bandwidth_hz) == (2, 1e9, 400e6)
    path.write_text('preset_name = "download"\nn_servers = 3\nn_users = 4\nseed = 5\narea_m = 300\n')
    expected = EdgeNetwork.preset("download", n_servers=3, n_users=4, seed=5, area_m=300)
    assert EdgeNetwork.from_file(path).to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_server = 3\n", "n_server.*did you mean n_servers"),
        ("server_positions_m = [[0,0]]\nuser_positions_m=[[1,1]]\nbandwith_hz = 1\n", "did you mean bandwidth_hz"),
        ("zzz = 1\n", "'zzz'.*there are"),
        ("server_positions_m = [[0,0]]\n", "user_positions_m is missing"),
        ("server_positions_m = [[0,0],[1]]\nuser_positions_m=[[1,1]]\n", "array of numbers"),
        ("server_positions_m = [[0,0,1]]\nuser_positions_m=[[1,1]]\n", "shape"),
        ("server_positions_m = [[0,0]]\nuser_positions_m=[[1,1]]\nserver_names=['a','b']\n", "shape"),
        ("server_positions_m = [[0,0],[1,1]]\nuser_positions_m=[]\nserver_names=['a','a']\n", "repeated"),
        ('bandwidth_hz = "wide"\n', "not a number"),
        ("bandwidth_hz = 0\n", "bandwidth_hz 0.0 is not positive"),
        ("coverage_radius_m = -1\n", "negative"),
        ("active_probability = 2\n", "probability"),
        ("deadline_low_s = 2\n", "below deadline_low_s"),
        ("deadline_bps = 0\n", "deadline_bps"),
        ("backhaul_bps = -1\n", "negative rate"),
        ("backhaul_bps = [[1, 2]]\n", "shape"),
        ("power_dbm = nan\n", "not finite"),
        ("area_m = 0\n", "area_m"),
        ("seed = -1\n", "seed"),
        ("n_users = 1.5\n", "number of users"),
        ('preset_name = "papr"\n', "did you mean paper"),
        ("a = = 1\n", "not TOML"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path, text, words):
    path = tmp_path / "sites.toml"
    path.write_text(text)
    with pytest.raises(NetworkError, match=words) as caught:
        EdgeNetwork.from_file(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(NetworkError, match="does not exist"):
        EdgeNetwork.from_file(tmp_path / "no.toml")
    with pytest.raises(NetworkError, match="cannot be read"):
        EdgeNetwork.from_file(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(NetworkError, match="TOML"):
        EdgeNetwork.from_file(tmp_path / "latin.toml")


def test_bad_preset_arguments():
    for arguments in ({"name": "papr"}, {"bandwith_hz": 1}, {"n_users": -1}, {"n_servers": 1.5}, {"n_users": True}):
        with pytest.raises(UsageError):
            EdgeNetwork.preset(**arguments)
    with pytest.raises(TrimcacheError):
        EdgeNetwork.preset(seed=1.5)
    with pytest.raises(TrimcacheError):
        EdgeNetwork.preset().problem(library(), seed=-1)


def test_the_binding_limit_is_named():
    heavy = library(base_bytes=5 * 10**9)
    paper = EdgeNetwork.preset("paper")
    deadline = binding_limit(paper.problem(heavy), paper)
    assert deadline is not None
    assert deadline.limit == "deadline"
    assert "--preset download" in str(deadline)
    assert "5.005 GB" in str(deadline)
    assert binding_limit(paper.problem(library()), paper) is None
    slow = EdgeNetwork.preset("download", deadline_low_s=0, deadline_high_s=0, deadline_bps=1e10)
    assert "deadline_bps" in str(binding_limit(slow.problem(heavy), slow))
    far = EdgeNetwork.preset("paper", coverage_radius_m=1)
    coverage = binding_limit(far.problem(library()), far)
    assert coverage is not None
    assert coverage.limit == "coverage"
    nobody = EdgeNetwork.preset(n_users=0)
    demand = binding_limit(nobody.problem(library()), nobody)
    assert demand is not None
    assert demand.limit == "demand"


def test_why_a_plan_is_empty():
    network = EdgeNetwork.preset()
    assert empty_placement_reason(network.problem(library(), 10**9)) is None
    assert "45.00 MB" in str(empty_placement_reason(network.problem(library(), 10**6)))
    assert "no server" in str(empty_placement_reason(EdgeNetwork.preset(n_servers=0).problem(library())))
    assert "no model" in str(empty_placement_reason(network.problem(ModelBlockGraph.from_blocks({}, {}))))
