"""The network file: both kinds, what a row leaves out, tables beside it, and every bad value in one line that names the file."""

from __future__ import annotations

import json
import os
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimcache.errors import NetworkError
from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.network.channels import PowerLaw
from trimcache.network.diagnosis import unconnected
from trimcache.network.network_file import KEYS, SERVER_KEYS, USER_KEYS

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")

GEOMETRY = """
preset_name = "download"
seed = 3
capacity = "1GiB"
coverage_radius_m = 200
deadline_s = 4
inference_s = 0.1

[channel]
name = "umi"
carrier_hz = 28e9
shadowing = false

[[servers]]
name = "north"
position_m = [0, 0]
capacity = "2GB"
bandwidth_hz = 100e6

[[servers]]
name = "south"
position_m = [0, 500.5]
coverage_radius_m = 300
power_dbm = 30

[[users]]
name = "school"
position_m = [10, 20]
weight = 40
deadline_low_s = 1
deadline_high_s = 2
inference_s = 0

[[users]]
name = "mall"
position_m = [30, 480]
"""

TABLES = """
rates = "rates.csv"
backhaul = "links/backhaul.parquet"
deadline_s = 2
capacity = 500_000_000

[[servers]]
name = "north"

[[servers]]
name = "south"
capacity = "1GB"

[[servers]]
name = "hub"

[[users]]
name = "school"

[[users]]
name = "mall"
weight = 2
"""

RATES = "server,user,rate_bps,latency_s\nnorth,school,1e8,0.01\nsouth,mall,5e7,0.02\nnorth,mall,1e6,0\n"


def write(folder, text, **tables):
    for name, table in tables.items():
        (folder / f"{name}.csv").write_text(table)
    path = folder / "sites.toml"
    path.write_text(text)
    return path


def tables(folder, text=TABLES, rates=RATES):
    (folder / "links").mkdir(exist_ok=True)
    columns = {"source": ["north", "hub"], "target": ["hub", "south"], "rate_bps": [1e9, 2e9], "latency_s": [0.001, 0.002]}
    pq.write_table(pa.table(columns), folder / "links" / "backhaul.parquet")
    return write(folder, text, rates=rates)


def test_servers_and_users_with_places_and_a_channel(tmp_path):
    network = EdgeNetwork.from_file(write(tmp_path, GEOMETRY))
    assert (network.server_names, network.user_names) == (("north", "south"), ("school", "mall"))
    assert network.server_positions_m.tolist() == [[0, 0], [0, 500.5]]
    assert network.capacity_bytes.tolist() == [2 * 10**9, 2**30]
    assert network.coverage_radius_m.tolist() == [200, 300]
    assert network.bandwidth_hz.tolist() == [100e6, 400e6]
    assert network.power_dbm.tolist() == [43, 30]
    assert network.channel.to_dict()["carrier_hz"] == 28e9
    assert (network.deadline_low_s.tolist(), network.deadline_high_s.tolist()) == ([1, 4], [2, 4])
    assert (network.deadline_bps.tolist(), network.inference_s.tolist()) == (200e6, [0, 0.1])
    assert network.user_weight.tolist() == [40, 1]
    assert (network.seed, network.preset_name, network.relays, network.backhaul_bps.item()) == (3, "download", "one-hop", 10e9)
    assert not network.has_fixed_latency


def test_servers_and_users_with_tables(tmp_path):
    network = EdgeNetwork.from_file(tables(tmp_path))
    assert network.capacity_bytes.tolist() == [500_000_000, 10**9, 500_000_000]
    assert network.links.server.tolist() == [0, 0, 1]
    assert network.links.user.tolist() == [0, 1, 1]
    links = network.mean_links()
    assert links.rate_bps.tolist() == [1e8, 1e6, 5e7]
    assert links.fixed_s.tolist() == [0.01, 0, 0.02]
    assert (links.snr, links.distance_m) == (None, None)
    assert network.mean_links(slice(1, 2)).user.tolist() == [0, 0]
    assert network.backhaul_bps.tolist() == [[0, 0, 1e9], [0, 0, 2e9], [1e9, 2e9, 0]]  # both ways
    assert network.relays == "shortest-path"  # north to south is missing
    assert network.has_fixed_latency
    assert network.covered_users.tolist() == [2, 1, 0]
    with pytest.raises(NetworkError, match="no positions"):
        network.with_users([[0, 0], [1, 1]])


@pytest.mark.parametrize("make", [lambda folder: write(folder, GEOMETRY), tables])
def test_plain_values_and_back(tmp_path, make):
    network = EdgeNetwork.from_file(make(tmp_path))
    plain = json.loads(json.dumps(network.to_dict()))
    copy = EdgeNetwork.from_dict(plain)
    assert copy.to_dict() == network.to_dict()
    assert not isinstance(plain.get("rates"), str)  # the tables travel with it
    graph = ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["x"]}, {"x": 10**7, "y": 10**6})
    one, other = network.problem(graph), copy.problem(graph)
    assert one.capacity_bytes.tolist() == other.capacity_bytes.tolist() == network.capacity_bytes.tolist()
    assert np.array_equal(one.reach.servers, other.reach.servers)
    assert one.reach.servers.size
    assert network.problem(graph, 5).capacity_bytes.tolist() == [5] * network.n_servers


def test_the_weight_of_a_user_is_its_share_of_the_demand(tmp_path):
    network = EdgeNetwork.from_file(write(tmp_path, GEOMETRY))
    graph = ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["x"]}, {"x": 10**7, "y": 10**6})
    dense = network.problem(graph).demand.to_dense()
    assert dense[0].sum() / dense[1].sum() == pytest.approx(40)


def test_names_from_the_rates_alone_and_rows_in_the_file(tmp_path):
    network = EdgeNetwork.from_file(
        write(
            tmp_path,
            'rates = [{server="b", user="u", rate_bps=1}, {server="a", user="v", rate_bps=2.5, latency_s=1}]\n'
            'backhaul = [{source="a", target="b", rate_bps=8}, {source="b", target="a", rate_bps=0}]\n',
        )
    )
    assert (network.server_names, network.user_names) == (("b", "a"), ("u", "v"))
    assert network.links.rate_bps.tolist() == [1, 2.5]
    assert network.backhaul_bps.tolist() == [[0, 0], [8, 0]]  # one way: the way back has a row of its own
    alone = EdgeNetwork.from_file(write(tmp_path, 'rates = "rates.csv"', rates=RATES))
    assert alone.backhaul_bps.item() == 0  # an operator's links are those of the tables
    assert EdgeNetwork.from_dict({"rates": {"server": ["a"], "user": ["b"], "rate_bps": [1]}}).n_users == 1


def test_a_complete_backhaul_is_one_hop_unless_it_says_otherwise(tmp_path):
    text = 'rates = "rates.csv"\nbackhaul = [{source="north", target="south", rate_bps=8}]\n'
    assert EdgeNetwork.from_file(write(tmp_path, text, rates=RATES)).relays == "one-hop"
    assert EdgeNetwork.from_file(write(tmp_path, text + 'relays = "shortest-path"\n', rates=RATES)).relays == "shortest-path"


def test_where_tables_may_be(tmp_path):
    inside = tmp_path / "net"
    inside.mkdir()
    (tmp_path / "rates.csv").write_text(RATES)
    path = write(inside, 'rates = "../rates.csv"')
    with pytest.raises(NetworkError, match=r"rates '../rates.csv' is outside the folder of the network file.*absolute") as caught:
        EdgeNetwork.from_file(path)
    assert str(caught.value).startswith(str(path))
    assert EdgeNetwork.from_file(write(inside, f"rates = '{tmp_path}/rates.csv'")).n_servers == 2
    (inside / "link.csv").symlink_to(tmp_path / "rates.csv")
    with pytest.raises(NetworkError, match="outside"):
        EdgeNetwork.from_file(write(inside, "rates = 'link.csv'"))
    here = os.getcwd()
    os.chdir(tmp_path)  # relative to the file, not to where we are
    try:
        (inside / "rates.csv").write_text(RATES)
        assert EdgeNetwork.from_file(write(inside, "rates = 'rates.csv'")).n_servers == 2
        with pytest.raises(NetworkError, match="is the name of a file; read the network with"):
            EdgeNetwork.from_dict({"rates": "rates.csv"})  # a plan cannot make us read files
    finally:
        os.chdir(here)


def test_users_move_and_keep_the_rest(tmp_path):
    network = EdgeNetwork.from_file(write(tmp_path, GEOMETRY))
    moved = network.with_users([[0, 480], [0, 10]])
    assert moved.mean_links().server.tolist() == [1, 0]
    assert network.mean_links().server.tolist() == [0, 1]
    same = moved.to_dict() | {"user_positions_m": network.user_positions_m.tolist()}
    assert same == network.to_dict()
    with pytest.raises(NetworkError, match="shape"):
        network.with_users([[0, 0]])


ONE = '[[servers]]\nname = "a"\nposition_m = [0, 0]\n'
USER = '[[users]]\nname = "u"\nposition_m = [9, 0]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ONE + "capacty = 1\n" + USER, "server 'a' key 'capacty' is unknown; did you mean capacity?"),
        (ONE + USER + "weigth = 1\n", "user 'u' key 'weigth' is unknown; did you mean weight?"),
        ("relay = 1\n" + ONE + USER, "key 'relay' is unknown; did you mean relays?"),
        ("relays = 'shortest'\n" + ONE + USER, "relays 'shortest' is unknown; did you mean shortest-path?"),
        (ONE + ONE + USER, "server_names holds the repeated name 'a'"),
        (ONE + USER + USER, "user_names holds the repeated name 'u'"),
        ("[[servers]]\nposition_m = [0, 0]\n" + USER, "server 1 has no name"),
        ("[[servers]]\nname = 7\n" + USER, "server 7 has a name that is not text"),
        (ONE + '[[servers]]\nname = "b"\n' + USER, "server 'b' has no position_m, others have"),
        (ONE, "user_positions_m is missing; give [[users]] with position_m, or rates"),
        ("[[servers]]\nname = 'a'\n" + USER, "server_positions_m is missing"),
        (ONE + "bandwidth_hz = 0\n" + USER, "bandwidth_hz of server 'a' 0.0 is not positive; give a number > 0, or coverage_radius_m 0"),
        (ONE + "bandwidth_hz = nan\n" + USER, "bandwidth_hz of server 'a' nan is not finite"),
        (ONE + "coverage_radius_m = -2\n" + USER, "coverage_radius_m of server 'a' -2.0 is negative"),
        (ONE + "capacity = -5\n" + USER, "capacity of server 'a' -5 is not a whole number >= 0"),
        (ONE + 'capacity = "2 bananas"\n' + USER, "capacity of server 'a' '2 bananas' is not a size; write it like 500MB"),
        (ONE + "capacity = 1.5\n" + USER, "capacity of server 'a' 1.5 is not a whole number"),
        (ONE + "capacity = nan\n" + USER, "capacity of server 'a' nan is not a whole number"),
        (ONE + 'capacity = "1GB"\n[[servers]]\nname = "b"\nposition_m = [0, 0]\n' + USER, "server 'b' has no capacity, others have"),
        (ONE + USER + "weight = -1\n", "user_weight of user 'u' -1.0 is negative"),
        (ONE + USER + "inference_s = nan\n", "inference_s of user 'u' nan is not finite"),
        (ONE + USER + "deadline_s = -1\n", "deadline_low_s of user 'u' -1.0 is negative"),
        (ONE + USER + "deadline_s = 1\ndeadline_low_s = 1\n", "deadline_s stands beside deadline_low_s"),
        (ONE + USER + "deadline_low_s = 9\n", "deadline_high_s of user 'u' 1.0 is below deadline_low_s"),
        (ONE + USER + 'deadline_bps = 9\n[[users]]\nname = "v"\nposition_m = [1, 1]\n', "user 'v' has no deadline_bps, others have"),
        (ONE + '[[users]]\nname = "u"\nposition_m = [nan, 0]\n', "user_positions_m holds NaN"),
        (ONE + '[[users]]\nname = "u"\nposition_m = 4\n', "user_positions_m has shape"),
        ("servers = 3\n" + USER, "servers is no list of tables; write one [[servers]] for each server"),
        ("server_names = ['z']\n" + ONE + USER, "server_names stands beside the name of [[servers]]"),
        ("n_users = 3\n" + ONE + USER, "n_users is for servers and users that are drawn"),
        ("[channel]\nname = 'uni'\n" + ONE + USER, "channel 'uni' is unknown; did you mean umi?"),
        ("[channel]\ncarrier_hz = 1e9\n" + ONE + USER, "channel has no name"),
        ("path_gain = 2\n[channel]\nname = 'umi'\n" + ONE + USER, "path_gain is a number of the power law"),
        ("backhaul_bps = -1\n" + ONE + USER, "backhaul_bps holds a negative rate"),
        ("backhaul_latency_s = nan\n" + ONE + USER, "backhaul_latency_s holds NaN"),
        ("backhaul = 'no.csv'\n" + ONE + USER, "no.csv does not exist"),
        ("backhaul = [{source='a', target='a', rate_bps=1}]\n" + ONE + USER, "backhaul row 1 links 'a' to itself"),
        ("backhaul = [{source='a', target='c', rate_bps=1}]\n" + ONE + USER, "backhaul row 1 has an unknown server 'c'"),
        ("backhaul = [{source='a', rate=1}]\n" + ONE + USER, "backhaul: row 1: key 'rate' is unknown; did you mean rate_bps?"),
        ("backhaul = 4\n" + ONE + USER, "backhaul is no table"),
        ("backhaul = [{source='a', target='c', rate_bps=1}]\n", "backhaul is a table between servers, and there are none"),
        ("rates = []\n" + ONE + USER + "power_dbm = 3\n", "user 'u' key 'power_dbm' is unknown"),
        ("rates = []\npower_dbm = 3\n" + ONE + USER, "power_dbm plays no part beside rates"),
        ("rates = [{server='a', user='x', rate_bps=1}]\n" + ONE + USER, "rates row 1 has an unknown user 'x'"),
        ("rates = [{server='aa', user='u', rate_bps=1}]\n" + ONE + USER, "rates row 1 has an unknown server 'aa'; did you mean a?"),
        ("rates = [{server='a', user='u'}]\n" + ONE + USER, "rates has no column 'rate_bps'"),
        ("rates = [{server='a', user='u', rate_bps=true}]\n" + ONE + USER, "rates row 1 has the rate_bps True; give a number"),
        ("rates = [{server='a', user='u', rate_bps=nan}]\n" + ONE + USER, "rates row 1 has the rate_bps nan; give a finite number"),
        ("rates = [{server='a', user='u', rate_bps=-1}]\n" + ONE + USER, "rates row 1 has the rate_bps -1"),
        ("rates = [{server='a', user='u', rate_bps=1, latency_s=-1}]\n" + ONE + USER, "rates row 1 has the latency_s -1"),
        (
            "rates = [{server='a', user='u', rate_bps=1}, {server='a', user='u', rate_bps=2}]\n" + ONE + USER,
            "row 2 gives 'a' and 'u' again",
        ),
        ("rates = [{server='a', user=3, rate_bps=1}]\n" + ONE + USER, "rates row 1 has the user 3; give text"),
        ("rates = {server=['a'], user=['u', 'u'], rate_bps=[1]}\n" + ONE + USER, "rates has columns of different lengths"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_file(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(NetworkError) as caught:
        EdgeNetwork.from_file(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert words in line
    assert "\n" not in line


def test_a_bad_table_names_both_files(tmp_path):
    path = tables(tmp_path, rates=RATES + "hub,mal,1,0\n")
    with pytest.raises(NetworkError) as caught:
        EdgeNetwork.from_file(path)
    assert str(caught.value) == f"{path}: {tmp_path}/rates.csv row 4 has an unknown user 'mal'; did you mean mall?"


def test_numbers_of_the_power_law_are_a_channel(tmp_path):
    network = EdgeNetwork.from_file(write(tmp_path, "path_loss_exponent = 3\n" + ONE + USER))
    assert network.channel == PowerLaw(1.0, 3.0)
    assert EdgeNetwork.preset("paper", channel={"name": "power-law", "exponent": 3}).channel == PowerLaw(1.0, 3.0)
    with pytest.raises(NetworkError, match="path_gain"):
        EdgeNetwork.preset("paper", channel=PowerLaw(), path_gain=2.0)


def test_who_is_not_connected(tmp_path):
    assert unconnected(EdgeNetwork.from_file(tables(tmp_path))) == []  # the hub serves nobody directly, but relays
    alone = "rates = [{server='north', user='school', rate_bps=1}, {server='south', user='mall', rate_bps=0}]\n"
    names = TABLES[TABLES.index("[[servers]]") :]
    lines = unconnected(EdgeNetwork.from_file(write(tmp_path, 'capacity = "1GB"\n' + alone + names)))
    assert lines == [
        "1 of 2 users ('mall') have no link to any server: what they ask for is never served in time",
        "2 of 3 servers ('south', 'hub') have no link to any user, nor to a server that has: they serve nobody",
    ]
    far = EdgeNetwork.from_file(write(tmp_path, ONE + USER + '[[users]]\nname = "v"\nposition_m = [999, 0]\n'))
    assert unconnected(far) == ["1 of 2 users ('v') are outside the coverage of every server: what they ask for is never served in time"]
    chain = [{"source": f"s{n}", "target": f"s{n + 1}", "rate_bps": 1e9} for n in range(4)]
    document = {"server_names": [f"s{n}" for n in range(5)], "rates": [{"server": "s0", "user": "u", "rate_bps": 1}], "backhaul": chain}
    assert unconnected(EdgeNetwork.from_dict(document)) == []
    assert "3 of 5 servers" in unconnected(EdgeNetwork.from_dict(document | {"relays": "one-hop"}))[0]


def test_the_examples_of_the_page_are_what_it_says(tmp_path):
    root = Path(__file__).parents[2]
    blocks = textwrap.dedent("\n".join(line for line in PAGE.splitlines() if line.startswith("    ") or not line)).split("\n\n\n")
    geometry = next(block for block in blocks if "[channel]" in block)
    network = EdgeNetwork.from_file(write(tmp_path, geometry))
    assert (network.channel.name, network.user_names, network.capacity_bytes.tolist()) == (
        "umi",
        ("school", "mall"),
        [2 * 10**9, 5 * 10**8],
    )
    assert textwrap.indent((root / "examples" / "my_sites" / "sites.toml").read_text(), "    ").rstrip() in PAGE
    for table in ("rates", "backhaul", "demand"):
        for line in (root / "examples" / "my_sites" / f"{table}.csv").read_text().splitlines()[:3]:
            assert line in PAGE


@pytest.mark.parametrize("key", [*sorted({*KEYS, *SERVER_KEYS, *USER_KEYS} - {"servers", "users", "channel"})])
def test_the_page_has_every_key(key):
    assert f"`{key}`" in PAGE


_ODD = [
    None,
    True,
    -1,
    0,
    3,
    1.5,
    float("nan"),
    float("inf"),
    2**70,
    "",
    "x",
    "a",
    [],
    [1],
    [[1, 2]],
    ["a", "a"],
    {},
    {"name": 1},
    [{}],
    [{"name": []}],
]


def _mutated(rng, value, odd):
    """``value`` with one leaf or branch replaced by something odd."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        chosen = keys[int(rng.integers(len(keys)))]
        copy = value.copy()
        copy[chosen] = _mutated(rng, value[chosen], odd)
        return copy
    return odd


@pytest.mark.parametrize("seed", range(40))
def test_whatever_stands_anywhere_is_a_network_or_one_line(tmp_path, seed):
    rng = np.random.default_rng(seed)
    geometry = EdgeNetwork.from_file(write(tmp_path, GEOMETRY))
    documents = [
        tomllib.loads(GEOMETRY),
        EdgeNetwork.from_file(tables(tmp_path)).to_dict(),
        geometry.to_dict(),
        {"n_servers": 2, "n_users": 3},
    ]
    graph = ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["x"]}, {"x": 10**7, "y": 10**6})
    for _ in range(60):
        document = documents[int(rng.integers(len(documents)))]
        bad = _mutated(rng, document, _ODD[int(rng.integers(len(_ODD)))])
        if not isinstance(bad, dict):
            continue
        network, line = None, ""
        try:
            network = EdgeNetwork.from_dict(bad)
        except NetworkError as error:
            line = str(error)
        if network is None:
            assert line.startswith("network: ")
            assert "\n" not in line
            continue
        network.problem(graph)
        unconnected(network)
        assert EdgeNetwork.from_dict(network.to_dict()).to_dict() == network.to_dict()
