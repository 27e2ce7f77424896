"""Whatever the length of a piece, a graph is what plain Python makes of the same rows: also where a piece ends within a run or a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import tensors_of, write_adapter, write_model

from trimcache import _graph_slices, open_catalog, scan
from trimcache.errors import GraphError
from trimcache.graph import ModelBlockGraph


@pytest.fixture(params=[1, 2, 3, 7, 1 << 19])
def step(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(_graph_slices, "STEP", request.param)
    return int(request.param)


def _random_graph(seed: int) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Blocks come in runs of one set of models, and some sets come back later."""
    rng = np.random.default_rng(seed)
    sets = [rng.choice(6, rng.integers(1, 5), replace=False) for _ in range(4)]
    models: dict[str, list[str]] = {f"m{i}": [] for i in range(6)}
    nbytes, chosen = {}, sets[0]
    for block in range(40):
        chosen = sets[rng.integers(4)] if block % 3 == 0 else chosen
        for model in chosen:
            models[f"m{model}"].append(f"b{block:02d}")
        nbytes[f"b{block:02d}"] = int(rng.integers(1, 100))
    return models, nbytes


@pytest.mark.parametrize("seed", range(8))
def test_atoms_and_holders(seed: int, step: int) -> None:
    models, nbytes = _random_graph(seed)
    graph = ModelBlockGraph.from_blocks(models, nbytes)
    holders = [sorted(i for i, held in enumerate(models.values()) if block in held) for block in nbytes]
    indptr, indices = graph.transposed()
    assert [indices[indptr[j] : indptr[j + 1]].tolist() for j in range(graph.n_blocks)] == holders
    assert graph.holders().tolist() == [len(held) for held in holders]
    sets = list(dict.fromkeys(map(tuple, holders)))
    atoms = graph.atoms()
    assert atoms.atom_of_block.tolist() == [sets.index(tuple(held)) for held in holders]
    sizes = [sum(size for size, held in zip(nbytes.values(), holders, strict=True) if tuple(held) == one) for one in sets]
    assert atoms.atom_bytes.tolist() == sizes
    assert atoms.degree.tolist() == [len(one) for one in sets]
    rows = [atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]].tolist() for i in range(6)]
    assert rows == [[a for a, one in enumerate(sets) if i in one] for i in range(6)]


@pytest.mark.parametrize("indices", [[0, 1, 2, 2], [1, 0, 2, 3], [0, 1, 3, 2]])
def test_a_row_that_does_not_rise_is_refused(indices: list[int], step: int) -> None:
    with pytest.raises(GraphError, match="not ascending"):
        ModelBlockGraph(("a", "b"), np.ones(4, np.int64), np.array([0, 2, 4]), np.array(indices, np.int32), np.ones(2, np.int64))


def test_a_catalog_of_several_shards(tmp_path: Path, step: int) -> None:
    """One shard a scan; blocks that several shards hold, a part that was scanned again, an adapter, and one without its base."""
    for number in range(3):
        write_model(tmp_path / "zoo" / "org" / f"m{number}", tensors_of(x=1, y=number % 2, z=number))
        scan(tmp_path / "zoo", tmp_path / "c")
    write_model(tmp_path / "zoo" / "org" / "m1", tensors_of(x=1, new=9))
    write_adapter(tmp_path / "zoo" / "org" / "lora", "org/m0", tensors_of(lora_A=5, x=1))
    write_adapter(tmp_path / "zoo" / "a-lost", "org/nowhere", tensors_of(lora_A=6))
    catalog = scan(tmp_path / "zoo", tmp_path / "c")
    assert len(open_catalog(tmp_path / "c").shards) > 1
    for incomplete in (False, True):
        graph = catalog.graph(incomplete=incomplete)
        of_part: dict[str, set[bytes]] = {}
        first: dict[bytes, int] = {}
        for row in catalog.table("extents").to_pylist():
            of_part.setdefault(row["part"], set()).add(row["block"])
            first.setdefault(row["block"], row["nbytes"])
        models = [model for model in catalog.models if incomplete or model.missing is None]
        wanted = [set().union(*(of_part[part] for part in model.parts)) for model in models]
        assert graph.block_ids is not None
        ids = [row.tobytes() for row in graph.block_ids]
        assert graph.model_names == tuple(model.name for model in models)
        assert [{ids[j] for j in graph.blocks_of(i)} for i in range(graph.n_models)] == wanted
        assert ids == [block for block in first if block in set().union(*wanted)]
        assert graph.block_bytes.tolist() == [first[block] for block in ids]


def test_rows_of_a_part_that_lie_apart(tmp_path: Path, step: int) -> None:
    import pyarrow.parquet as pq

    for name in ("a", "b"):
        write_model(tmp_path / "zoo" / name, tensors_of(x=1, y=ord(name)))
    before = scan(tmp_path / "zoo", tmp_path / "c").graph()
    [path] = (tmp_path / "c" / "extents").glob("*.parquet")
    rows = pq.read_table(path)
    pq.write_table(rows.take(np.argsort(np.arange(len(rows)) % 2, kind="stable")), path)
    after = open_catalog(tmp_path / "c").graph()
    assert after.fingerprint() == before.fingerprint()
