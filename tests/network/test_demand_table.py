"""Demand as a table, by user and by site, and every way in which it can be wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimcache.errors import ProblemError, TrimcacheError
from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.network.demand_table import demand_from_table
from trimcache.network.links import association

GRAPH = ModelBlockGraph.from_blocks({"org/a": ["x", "y"], "org/b": ["x"], "other/b": ["z"]}, {"x": 10, "y": 5, "z": 1})
# north serves school and half of the mall, south the rest; the mall is faster at south. Nobody is at the hub.
NETWORK = EdgeNetwork.from_dict(
    {
        "servers": [{"name": "north"}, {"name": "south"}, {"name": "hub"}],
        "users": [{"name": "school", "weight": 3}, {"name": "yard"}, {"name": "mall", "weight": 2}, {"name": "moor", "weight": 7}],
        "rates": [
            {"server": "north", "user": "school", "rate_bps": 5},
            {"server": "north", "user": "yard", "rate_bps": 5},
            {"server": "north", "user": "mall", "rate_bps": 5},
            {"server": "south", "user": "mall", "rate_bps": 6},
            {"server": "south", "user": "yard", "rate_bps": 5},
        ],
    }
)


def table(tmp_path, text):
    path = tmp_path / "demand.csv"
    path.write_text(text)
    return path


def share(demand):
    return demand.to_dense() / demand.total


def test_users_belong_to_their_fastest_server_the_first_of_equals():
    assert association(NETWORK).tolist() == [0, 0, 1, -1]
    geometry = EdgeNetwork.preset("paper", n_servers=5, n_users=40, seed=2)
    links = geometry.mean_links()
    expected = [-1] * 40
    for k in range(40):
        mine = links.user == k
        if mine.any():
            expected[k] = int(links.server[mine][np.argmax(links.rate_bps[mine])])
    assert association(geometry).tolist() == expected


def test_by_user(tmp_path):
    path = table(tmp_path, "user,model,weight\nmall,org/a,1\nschool,other/b,2\nmall,a,4\nmall,org/b,0\nmoor,org/b,1\n")
    assert share(demand_from_table(path, NETWORK, GRAPH)).tolist() == [[0, 0, 0.25], [0, 0, 0], [0.625, 0, 0], [0, 0.125, 0]]
    columns = {"user": ["mall", "moor"], "model": ["a", "org/b"], "weight": [3, 1], "note": ["x", "y"]}
    pq.write_table(pa.table(columns), tmp_path / "demand.parquet")
    assert share(demand_from_table(tmp_path / "demand.parquet", NETWORK, GRAPH))[2:, :2].tolist() == [[0.75, 0], [0, 0.25]]


def test_by_site(tmp_path):
    path = table(tmp_path, "site,model,weight\nnorth,org/a,8\nnorth,org/b,4\nsouth,org/a,4\n")
    assert share(demand_from_table(path, NETWORK, GRAPH)).tolist() == [[6 / 16, 3 / 16, 0], [2 / 16, 1 / 16, 0], [4 / 16, 0, 0], [0, 0, 0]]


def test_a_problem_takes_it(tmp_path):
    demand = demand_from_table(table(tmp_path, "user,model,weight\nmall,org/a,1\n"), NETWORK, GRAPH)
    problem = NETWORK.problem(GRAPH, 100, demand=demand)
    assert problem.demand is demand
    with pytest.raises(ProblemError, match="4 users, the network 30"):
        EdgeNetwork.preset().problem(GRAPH, demand=demand)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user,model,weight\nmal,org/a,1\n", "row 1 has an unknown user 'mal'; did you mean mall?"),
        ("site,model,weight\nsouth,org/a,1\nsuth,org/a,1\n", "row 2 has an unknown site 'suth'; did you mean south?"),
        ("site,model,weight\nnorth,org/a,1\nhub,org/a,1\n", "row 2 is demand of site 'hub', and no user has its fastest link there"),
        ("user,model,weight\nmall,org/a,1\nmall,org/c,1\n", "row 2: 'org/c': names an unknown model; did you mean org/b?"),
        ("user,model,weight\nmall,b,1\n", "row 1: 'b': names 2 models"),
        ("user,model,weight\nmall,org/a,-1\nmall,org/b,2\n", "row 1 has the weight -1; give a finite number >= 0"),
        ("user,model,weight\nmall,org/a,nan\n", "row 1 has the weight nan"),
        ("user,model,weight\nmall,org/a,\n", "row 1 has no weight"),
        ("user,model,weight\nmall,org/a,many\n", "row 1 has the weight 'many'; give a number"),
        ("user,model,weight\nmall,org/a,0\n", "gives nothing a weight above 0"),
        ("user,model\nmall,org/a\n", "has no column 'weight'"),
        ("user,model,weights\nmall,org/a,1\n", "unknown column 'weights'; did you mean weight?"),
        ("model,weight\norg/a,1\n", "has neither a column user nor a column site"),
        ("user,site,model,weight\nmall,north,org/a,1\n", "has both columns user and site"),
        ("user,model,weight\n", "holds no rows"),
    ],
)
def test_one_clear_line(tmp_path, text, words):
    path = table(tmp_path, text)
    with pytest.raises(TrimcacheError) as caught:
        demand_from_table(path, NETWORK, GRAPH)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert words in line
    assert "\n" not in line
