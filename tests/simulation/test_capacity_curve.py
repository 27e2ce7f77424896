"""The curve: paired, reproducible point by point, and monotone where theory says so."""

from __future__ import annotations

import pytest

from trimcache.errors import UsageError
from trimcache.graph import ModelBlockGraph
from trimcache.network import EdgeNetwork
from trimcache.placement import place
from trimcache.simulation.capacity_curve import capacity_curve, suggested_capacities


def library() -> ModelBlockGraph:
    models = {f"m{i}": [f"base{i // 4}", f"own{i}"] for i in range(12)}
    return ModelBlockGraph.from_blocks(models, {b: 40_000_000 if b[0] == "b" else 5_000_000 for blocks in models.values() for b in blocks})


def test_points_come_from_their_seeds():
    seen = []
    rows = capacity_curve(library(), [10**8, 3 * 10**8], seeds=[3, 4], n_users=9, progress=lambda *n: seen.append(n))
    assert seen == [(1, 2), (2, 2)]
    assert [(r.seed, r.capacity_bytes, r.algorithm) for r in rows] == [
        (s, c, a) for s in (3, 4) for c in (10**8, 3 * 10**8) for a in ("gen", "independent")
    ]
    again = place(EdgeNetwork.preset(n_users=9, seed=4).problem(library(), 3 * 10**8, seed=4), "gen")
    assert (rows[6].hit_ratio, rows[6].attainable) == (again.hit_ratio, again.attainable)
    assert len({row.attainable for row in rows if row.seed == 3}) == 1  # paired
    assert rows[0].to_dict()["algorithm"] == "gen"


def test_sharing_pays_where_capacity_is_scarce():
    rows = capacity_curve(library(), [55_000_000], seeds=range(5))
    gen, independent = ([r.hit_ratio for r in rows if r.algorithm == name] for name in ("gen", "independent"))
    assert sum(gen) > sum(independent)


def test_suggested_capacities_span_the_library():
    steps = suggested_capacities(library(), 6)
    assert (steps[0], steps[-1], len(steps)) == (45_000_000, library().unique_bytes, 6)
    assert suggested_capacities(ModelBlockGraph.from_blocks({}, {})) == []


@pytest.mark.parametrize("change", [{"capacities_bytes": []}, {"algorithms": []}, {"seeds": []}, {"algorithms": ["genn"]}])
def test_nothing_to_vary(change):
    with pytest.raises(UsageError):
        capacity_curve(**({"graph": library(), "capacities_bytes": [1]} | change))
