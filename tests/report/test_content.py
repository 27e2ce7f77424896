"""What a report says, against counts made with sets."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_zoo import zoo

from trimcache import ModelBlockGraph
from trimcache.report.content import gather
from trimcache.report.forest import FamilyForest, tree_rows
from trimcache.report.heat_map import heat_map

_GRAPHS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=2), st.lists(st.integers(0, 11), min_size=1, max_size=8), min_size=1, max_size=9
)


@settings(max_examples=60, deadline=None)
@given(_GRAPHS, st.integers(2, 9))
def test_heat_map_against_sets(models: dict[str, list[int]], most: int) -> None:
    size = {str(j): 2**40 + 3**j for j in {j for blocks in models.values() for j in blocks}}
    graph = ModelBlockGraph.from_blocks({name: [str(j) for j in blocks] for name, blocks in models.items()}, size)
    found = heat_map(graph, most)
    names, held = list(models), [set(blocks) for blocks in models.values()]
    assert len(found.models) == min(most, len(names)) == len(names) - found.left_out
    assert len(set(found.models.tolist())) == len(found.models)
    for (x, i), (y, j) in itertools.product(enumerate(found.models.tolist()), repeat=2):
        assert found.shared_bytes[x, y] == sum(size[str(b)] for b in held[i] & held[j])
    if found.left_out:
        shared = graph.closed_bytes() - graph.exclusive_bytes()
        assert shared[found.models].min() >= max(shared[k] for k in range(len(names)) if k not in found.models)
    i, j, nbytes = found.pairs()
    assert (i < j).all()
    assert (np.diff(nbytes) <= 0).all()
    assert len(i) == sum(1 for a, b in itertools.combinations(found.models.tolist(), 2) if held[a] & held[b])


def test_models_that_share_stand_side_by_side() -> None:
    blocks = {f"m{i}": [f"group {i % 3}", f"own {i}"] for i in range(12)}
    size = {block: 1000 if block.startswith("group") else 10 for of in blocks.values() for block in of}
    order = heat_map(ModelBlockGraph.from_blocks(blocks, size)).models.tolist()
    groups = [model % 3 for model in order]
    assert len([1 for a, b in itertools.pairwise(groups) if a != b]) == 2


def test_sums_add_up_and_the_copy_is_told_from_the_half(tmp_path: Path) -> None:
    content = gather(zoo(tmp_path))
    sizes, rows = content.sizes, {row.name: row for row in content.models}
    assert sum(row.model_bytes for row in rows.values()) == sizes.total_bytes
    assert sum(row.exclusive_bytes for row in rows.values()) == sizes.specific_bytes
    assert sum(row.fair_share_bytes for row in rows.values()) == sizes.unique_bytes
    assert sum(row.nbytes for row in content.spectrum) == sizes.unique_bytes
    assert rows["copy"].exclusive_bytes == 0 == rows["base"].exclusive_bytes
    assert rows["half"].exclusive_bytes >= 160_000
    assert rows["alone"].family is None
    assert {rows[name].family for name in ("base", "copy", "half")} == {0}
    assert content.forest.alone == 1
    (tree,) = tree_rows(content.forest)
    assert sorted(content.models[model].name for model, _ in tree) == ["base", "copy", "half"]
    assert tree[0][1] == 0
    document = content.to_dict()
    place = {name: k for k, name in enumerate(document["pairs"]["models"])}
    pairs = dict(zip(zip(document["pairs"]["i"], document["pairs"]["j"], strict=True), document["pairs"]["shared_bytes"], strict=True))
    both = tuple(sorted((place["base"], place["copy"])))
    assert pairs[both] == max(pairs.values()) >= 320_000


@pytest.mark.parametrize("parents", [(None, 0, 1, 2), (1, None, 1, 0), (None, 3, 3, None)])
def test_tree_rows_hold_each_model_once_below_its_parent(parents: tuple[int | None, ...]) -> None:
    forest = FamilyForest((None,), 0, (0,) * 4, parents, ("",) * 4)  # type: ignore[arg-type]
    (rows,) = tree_rows(forest)
    depth = dict(rows)
    assert sorted(depth) == [0, 1, 2, 3]
    for model, parent in enumerate(parents):
        assert depth[model] == (0 if parent is None else depth[parent] + 1)


def test_a_parent_in_another_family_does_not_hide_its_child() -> None:
    forest = FamilyForest((None, None), 0, (0, 1), (None, 0), ("", ""))  # type: ignore[arg-type]
    assert tree_rows(forest) == [[(0, 0)], [(1, 0)]]
