"""Pairwise shared bytes and what they tie, against counting pair by pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimcache.graph import ModelBlockGraph
from trimcache.sharing.families import MIN_NBYTES, components, tied
from trimcache.sharing.pairs import SharedPairs, shared_pairs

# Around the two thresholds: 64 KiB, and 1 % of models of some megabytes.
SIZES = st.sampled_from([1, MIN_NBYTES // 2, MIN_NBYTES - 1, MIN_NBYTES, 80_000, 6_553_599, 6_553_600, 6_553_601, 50_000_000])


@st.composite
def graphs(draw: st.DrawFn) -> ModelBlockGraph:
    n_models, n_blocks = draw(st.integers(0, 9)), draw(st.integers(0, 7))
    sizes = {f"b{j}": draw(SIZES) for j in range(n_blocks)}
    # Few different sets, so that profiles have several members; sizes of their own, so that members differ.
    sets = draw(st.lists(st.sets(st.sampled_from(sorted(sizes))) if sizes else st.just(set()), min_size=1, max_size=4))
    models = {}
    for i in range(n_models):
        own = draw(st.one_of(st.none(), SIZES))
        models[f"m{i}"] = [*draw(st.sampled_from(sets)), *([] if own is None else [f"own{i}"])]
        if own is not None:
            sizes[f"own{i}"] = own
    held = {block for blocks in models.values() for block in blocks}
    return ModelBlockGraph.from_blocks(models, {block: size for block, size in sizes.items() if block in held})


def _by_hand(graph: ModelBlockGraph) -> dict[tuple[int, int], int]:
    blocks = [set(graph.blocks_of(i).tolist()) for i in range(graph.n_models)]
    sums = {(i, j): sum(int(graph.block_bytes[b]) for b in blocks[i] & blocks[j]) for i, j in combinations(range(graph.n_models), 2)}
    return {pair: value for pair, value in sums.items() if value}


def _written_out(pairs: SharedPairs) -> dict[tuple[int, int], int]:
    i, j, shared = (column.tolist() for column in pairs.arrays())
    found = dict(zip(zip(i, j, strict=True), shared, strict=True))
    assert len(found) == len(i)
    return found


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_pairs_are_those_counted_by_hand(graph: ModelBlockGraph) -> None:
    pairs, truth = shared_pairs(graph), _by_hand(graph)
    assert _written_out(pairs) == truth
    assert pairs.n_pairs == len(truth)
    own = [sum(int(graph.block_bytes[b]) for b in graph.blocks_of(i)) for i in range(graph.n_models)]
    assert pairs.own_bytes.tolist() == own
    assert pairs.shared_total.tolist() == [sum(v for pair, v in truth.items() if i in pair) for i in range(graph.n_models)]
    matrix = pairs.matrix()
    for i, j in combinations(range(graph.n_models), 2):
        assert matrix[i, j] == matrix[j, i] == truth.get((i, j), 0)
        assert pairs.between(np.array([i]), np.array([j])).tolist() == [truth.get((i, j), 0)]
    assert np.diagonal(matrix).tolist() == own


@given(graphs())
@settings(max_examples=300, deadline=None)
def test_components_are_those_of_all_ties(graph: ModelBlockGraph) -> None:
    """The rule of the design, pair by pair, in fractions."""
    own = [sum(int(graph.block_bytes[b]) for b in graph.blocks_of(i)) for i in range(graph.n_models)]
    leader = list(range(graph.n_models))
    for (i, j), shared in _by_hand(graph).items():
        if shared >= 65_536 and 100 * shared >= min(own[i], own[j]):
            leader = [leader[i] if one == leader[j] else one for one in leader]
    label = components(shared_pairs(graph)).tolist()
    for i, j in combinations(range(graph.n_models), 2):
        assert (label[i] == label[j]) == (leader[i] == leader[j])


@pytest.mark.parametrize(
    ("shared", "smaller", "ties"),
    [(65_536, 6_553_600, True), (65_536, 6_553_601, False), (65_535, 65_535, False), (2**60, 2**62, True), (0, 0, False)],
)
def test_the_rule_at_its_edges(shared: int, smaller: int, ties: bool) -> None:
    assert tied(np.array([shared]), np.array([smaller]), np.array([2**62])).tolist() == [ties]


@pytest.mark.parametrize("n_models", [120, 500])
def test_dense_families_are_summed_exactly(n_models: int) -> None:
    """Random subsets of one base: every model is a profile of its own, and sums are too large for float32."""
    rng = np.random.default_rng(n_models)
    holds = rng.random((n_models, 60)) < 0.5
    sizes = rng.integers(1, 2**33, 60)
    rows = np.nonzero(holds)
    kept = np.flatnonzero(holds.any(axis=0))
    graph = ModelBlockGraph.from_incidence([f"m{i}" for i in range(n_models)], rows[0], np.searchsorted(kept, rows[1]), sizes[kept], None)
    truth = (holds * sizes) @ holds.T.astype(np.int64)
    pairs = shared_pairs(graph)
    found = np.zeros_like(truth)
    for i, j, shared in pairs.slices():
        assert (i < j).all()
        found[i, j] += shared
    assert np.array_equal(found, np.triu(truth, k=1))
    assert pairs.n_profiles > n_models / 2


def test_ten_thousand_children_of_one_base_are_few_profiles() -> None:
    blocks = {"trunk": 10**9, **{f"head{i}": 10**5 for i in range(10_000)}}
    graph = ModelBlockGraph.from_blocks({f"m{i}": ["trunk", f"head{i}"] for i in range(10_000)}, blocks)
    pairs = shared_pairs(graph)
    assert (pairs.n_profiles, pairs.n_pairs) == (1, 10_000 * 9_999 // 2)
    assert set(components(pairs).tolist()) == {0}
