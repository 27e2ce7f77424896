"""Settings: by name and from text, as columns and back, and what they refuse."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from simulation.libraries import families

from trimcache.errors import TrimcacheError, UsageError
from trimcache.simulation.parameters import sweep_settings, with_assignments
from trimcache.simulation.setting import Setting


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("capacity=1.5GB", "capacity_bytes", 1_500_000_000),
        ("servers=6", "n_servers", 6),
        ("users=0", "n_users", 0),
        ("models=none", "n_models", None),
        ("zipf=1e-1", "zipf", 0.1),
        ("ranking=global", "ranking", "global"),
        ("backhaul=10Gbit/s", "backhaul_bps", 10e9),
        ("backhaul_bps=2.5e8", "backhaul_bps", 2.5e8),
        ("backhaul-latency=3ms", "backhaul_latency_s", 0.003),
        ("coverage=0.3km", "coverage_radius_m", 300.0),
        ("bandwidth=400MHz", "bandwidth_hz", 400e6),
        ("power=-3dBm", "power_dbm", -3.0),
        ("noise=-170", "noise_dbm_per_hz", -170.0),
        ("area=250m", "area_m", 250.0),
        ("deadline_low=250ms", "deadline_low_s", 0.25),
        ("deadline_bps=none", "deadline_bps", None),
        ("epsilon=0.3", "epsilon", 0.3),
        ("time-limit=0.5s", "time_limit_s", 0.5),
        ("channel=umi", "channel", {"name": "umi"}),
        ("path_loss_exponent=3", "path_loss_exponent", 3.0),
    ],
)
def test_parameters_from_text(text, name, value):
    setting = with_assignments(Setting(), [text])
    assert (dict(setting.overrides) if name in setting.network_numbers() else vars(setting))[name] == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("capcity=1GB", "did you mean capacity"),
        ("server=3", "did you mean servers"),
        ("xyzzy=3", "there are "),
        ("deadline=3", "did you mean deadline_"),
        ("algorithms=gen", "is unknown"),
        ("network=a.toml", "is unknown"),
        ("servers", "is not NAME=VALUE"),
        ("servers=", "is not NAME=VALUE"),
        ("servers=-1", "is not a whole number"),
        ("servers=1.5", "is not a whole number"),
        ("zipf=none", "cannot be none"),
        ("zipf=much", "is not a number"),
        ("zipf=-1", "is not in"),
        ("capacity=1XB", "is not a size"),
        ("backhaul=1Mm", "is not a number"),
        ("epsilon=1", "is not in"),
        ("models=0", "is not a whole number >= 1"),
        ("preset=papr", "did you mean paper"),
    ],
)
def test_what_is_refused(text, words):
    with pytest.raises(TrimcacheError, match=words):
        with_assignments(Setting(), [text])


def test_algorithms_are_checked():
    with pytest.raises(UsageError, match="did you mean gen"):
        Setting(algorithms=("genn",))
    for names in ((), ("gen", "gen")):
        with pytest.raises(UsageError, match="different names"):
            Setting(algorithms=names)
    with pytest.raises(UsageError, match="did you mean backhaul_bps"):
        Setting(overrides={"backhaul_pbs": 1})


def test_sweeps_are_grids_or_zipped():
    names, settings = sweep_settings(Setting(), ["capacity=1GB,2GB", "backhaul=1e9,2e9,3e9"])
    assert names == ["capacity_bytes", "backhaul_bps"]
    assert [(s.capacity_bytes // 10**9, s.overrides["backhaul_bps"] / 1e9) for s in settings] == [(c, b) for c in (1, 2) for b in (1, 2, 3)]
    _, settings = sweep_settings(Setting(), ["servers=6,8", "users=20,40"], together=True)
    assert [(s.n_servers, s.n_users) for s in settings] == [(6, 20), (8, 40)]
    assert sweep_settings(Setting(), []) == ([], [Setting()])
    for texts, together, words in (
        (["servers=6,6"], False, "repeats"),
        (["servers=6", "servers=8"], False, "again"),
        (["servers=6,7", "users=1"], True, "one length"),
        (["servers=,"], False, "is empty"),
    ):
        with pytest.raises(UsageError, match=words):
            sweep_settings(Setting(), texts, together=together)


def test_columns_hold_every_number_and_can_be_read_back():
    for setting in (
        Setting(algorithms=("gen",)),
        Setting(preset="urban", capacity_bytes=None, overrides={"backhaul_bps": 3e9}, algorithms=("gen", "spec")),
        Setting(n_servers=3, n_models=4, overrides={"channel": "uma"}),
        Setting(preset="paper-small", overrides={"path_loss_exponent": 3.5}),
    ):
        columns = setting.columns()
        assert all(value is None or isinstance(value, str | int | float) for value in columns.values())
        assert columns["n_servers"] == setting.edge_network(0).n_servers
        again = Setting.from_dict(columns | {"algorithm": "gen", "seed": 3, "hit_ratio": 0.5})
        assert again.columns() == columns
        assert again.edge_network(5).to_dict() == setting.edge_network(5).to_dict()
        assert Setting.from_dict(setting.to_dict()).algorithms == setting.algorithms
        assert pickle.loads(pickle.dumps(setting)) == setting


def test_models_are_drawn_anew_and_nested():
    graph = families(12)
    few, more = (Setting(n_models=n) for n in (4, 7))
    drawn = [few.models(graph, seed).model_names for seed in range(20)]
    assert len(set(drawn)) > 10
    assert {len(names) for names in drawn} == {4}
    assert all(set(names) <= set(more.models(graph, seed).model_names) for seed, names in enumerate(drawn))
    counts = np.bincount([int(name[1:]) for seed in range(600) for name in few.models(graph, seed).model_names], minlength=12)
    assert abs(counts - 200).max() < 60  # each a third of the time: five standard deviations
    assert Setting().models(graph, 0) is graph
    with pytest.raises(UsageError, match="13 cannot be drawn from 12"):
        Setting(n_models=13).check(graph)


def test_what_the_first_topology_would_refuse_is_refused_at_once():
    for setting, words in (
        (Setting(ranking="popularity"), "popularit"),
        (Setting(ranking="mine"), "unknown"),
        (Setting(overrides={"bandwidth_hz": 0.0}), "bandwidth_hz"),
        (Setting(overrides={"channel": "umj"}), "umi"),
        (Setting(demand="nowhere.csv"), "nowhere.csv"),
    ):
        with pytest.raises(TrimcacheError, match=words):
            setting.check(families())


def test_an_own_network_keeps_its_places(tmp_path):
    file = tmp_path / "n.toml"
    file.write_text(
        "server_positions_m = [[0.0, 0.0], [400.0, 0.0]]\nuser_positions_m = [[50.0, 0.0], [300.0, 20.0]]\nbackhaul_bps = 1e9\n"
    )
    setting = Setting(network=str(file), capacity_bytes=None, algorithms=("gen",))
    one, other = (setting.edge_network(seed) for seed in (1, 2))
    np.testing.assert_array_equal(one.places_m()[1], other.places_m()[1])
    assert (one.seed, other.seed) == (1, 2)
    assert with_assignments(setting, ["backhaul=2e9"]).edge_network(0).backhaul_bps == 2e9
    with pytest.raises(UsageError, match="'servers': is unknown"):
        with_assignments(setting, ["servers=3"])
    columns = with_assignments(setting, ["backhaul=2e9"]).columns()
    assert (columns["network"], columns["preset"], columns["backhaul_bps"]) == (str(file), None, 2e9)
    assert Setting.from_dict(columns | {"algorithm": "gen"}).edge_network(3).backhaul_bps == 2e9
