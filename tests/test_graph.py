"""Sizes against Python sets, atoms against a dictionary, and a file that survives the disk but not damage."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimcache.errors import GraphError
from trimcache.graph import ModelBlockGraph

libraries = st.integers(1, 9).flatmap(
    lambda n_blocks: st.tuples(
        st.lists(st.integers(0, 10**6), min_size=n_blocks, max_size=n_blocks),
        st.lists(st.lists(st.integers(0, n_blocks - 1), max_size=8), min_size=1, max_size=7),
    )
)


def build(library: tuple[list[int], list[list[int]]], shuffle: int | None = None) -> ModelBlockGraph:
    sizes, models = library
    used = sorted({b for blocks in models for b in blocks})
    if shuffle is not None:
        used = list(np.random.default_rng(shuffle).permutation(used))
    return ModelBlockGraph.from_blocks(
        {f"m{i}": [f"b{b}" for b in blocks] for i, blocks in enumerate(models)}, {f"b{b}": sizes[b] for b in used}
    )


@given(libraries)
def test_sizes_are_those_of_sets(library):
    sizes, models = library
    graph = build(library)
    sets = [set(blocks) for blocks in models]
    count = {b: sum(b in s for s in sets) for b in set().union(*sets)}
    assert graph.total_bytes == sum(sizes[b] for s in sets for b in s)
    assert graph.unique_bytes == sum(sizes[b] for b in count) == graph.shared_bytes + graph.specific_bytes
    assert graph.shared_bytes == sum(sizes[b] for b, n in count.items() if n >= 2)
    assert graph.exclusive_bytes().tolist() == [sum(sizes[b] for b in s if count[b] == 1) for s in sets]
    assert graph.closed_bytes().tolist() == graph.model_bytes.tolist()
    chosen = [i for i in range(len(models)) if i % 2 == 0]
    assert graph.set_bytes(chosen) == sum(sizes[b] for b in set().union(*(sets[i] for i in chosen)))
    assert graph.set_bytes([]) == 0
    smaller = graph.subset(chosen)
    assert smaller.unique_bytes == graph.set_bytes(chosen)
    assert smaller.model_names == tuple(f"m{i}" for i in chosen)


@given(libraries)
def test_atoms_group_exactly_by_the_set_of_models(library):
    graph = build(library)
    pointers, holders = graph.transposed()
    groups: dict[tuple[int, ...], list[int]] = {}
    for j in range(graph.n_blocks):
        groups.setdefault(tuple(holders[pointers[j] : pointers[j + 1]]), []).append(j)
    atoms = graph.atoms()
    assert atoms.n_atoms == len(groups)
    for number, (key, blocks) in enumerate(groups.items()):
        assert (atoms.atom_of_block[blocks] == number).all()
        assert atoms.atom_bytes[number] == graph.block_bytes[blocks].sum()
        assert atoms.degree[number] == len(key)
    for i in range(graph.n_models):
        row = atoms.indices[atoms.indptr[i] : atoms.indptr[i + 1]]
        assert row.tolist() == sorted({int(atoms.atom_of_block[j]) for j in graph.blocks_of(i)})
    assert np.diff(atoms.transposed()[0]).tolist() == atoms.degree.tolist()


def test_atoms_stay_exact_when_hashes_collide(monkeypatch):
    import trimcache._atoms as module

    true_hashes = module.set_hashes
    monkeypatch.setattr(module, "set_hashes", lambda ptr, idx, seed: true_hashes(ptr, idx, seed) * np.uint64(0 if seed < 2 else 1))
    graph = build(([1, 2, 4, 8], [[0, 1, 2], [1, 2, 3], [0, 3]]))
    assert graph.atoms().atom_bytes.tolist() == [1, 6, 8]


@given(libraries, st.integers(0, 99))
@settings(max_examples=40)
def test_fingerprint_ignores_the_order_of_blocks_only(library, shuffle):
    one, other = build(library), build(library, shuffle)
    assert one.fingerprint() == other.fingerprint()
    names = list(one.model_names)
    anonymous = [ModelBlockGraph(g.model_names, g.block_bytes, g.indptr, g.indices, g.model_bytes).fingerprint() for g in (one, other)]
    assert anonymous[0] == anonymous[1] != one.fingerprint() or one.n_blocks == 0
    if len(names) > 1:
        assert one.subset(names[::-1]).fingerprint() != one.fingerprint()


def test_fingerprint_sees_names_sizes_rules_and_structure():
    models, sizes = {"a": ["x", "y"], "b": ["x"]}, {"x": 10, "y": 5}
    base = ModelBlockGraph.from_blocks(models, sizes)
    others = [
        ModelBlockGraph.from_blocks({"a": ["x", "y"], "c": ["x"]}, sizes),
        ModelBlockGraph.from_blocks(models, sizes | {"y": 6}, {"a": 15, "b": 10}),
        ModelBlockGraph.from_blocks(models, sizes, {"a": 15, "b": 11}),
        ModelBlockGraph.from_blocks({"a": ["x", "y"], "b": ["y"]}, sizes),
        ModelBlockGraph(base.model_names, base.block_bytes, base.indptr, base.indices, base.model_bytes, meta={"digest": "q"}),
    ]
    assert len({g.fingerprint() for g in [base, *others]}) == 6


def full_graph() -> ModelBlockGraph:
    return ModelBlockGraph.from_incidence(
        ["a", "b\u00e9", "empty"],
        [0, 0, 1, 1, 1],
        [0, 1, 1, 2, 1],
        [10, 20, 0],
        [31, 20, 7],
        np.arange(96, dtype=np.uint8).reshape(3, 32),
        popularity=[3.5, 0, 1],
        synthetic=True,
        meta={"granularity": "tensor", "digest": "blake3-256"},
    )


def test_a_graph_survives_the_disk_and_pickling(tmp_path):
    graph = full_graph()
    path = tmp_path / "library.npz"
    graph.save(path)
    first = path.read_bytes()
    graph.save(path)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["library.npz"]
    for copy in (ModelBlockGraph.load(path), pickle.loads(pickle.dumps(graph))):
        assert copy.fingerprint() == graph.fingerprint()
        assert copy.model_names == graph.model_names
        assert copy.synthetic
        assert dict(copy.meta) == dict(graph.meta)
        assert copy.granularity == "tensor"
        assert copy.digest == "blake3-256"
        for name in ("block_bytes", "indptr", "indices", "model_bytes", "block_ids", "popularity"):
            array = getattr(copy, name)
            assert np.array_equal(array, getattr(graph, name))
            assert not array.flags.writeable
    with np.load(path, allow_pickle=False) as archive:  # the documented format, read without us
        assert archive["block_bytes"].tolist() == [10, 20, 0]
        assert json.loads(archive["graph.json"])["model_names"][1] == "b\u00e9"


def rewritten(path, change):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)


def edit(**values):
    return lambda members: members.update({"graph.json": json.dumps(json.loads(members["graph.json"]) | values)})


@pytest.mark.parametrize(
    "change",
    [
        edit(version=2),
        edit(version="1"),
        edit(format="other"),
        edit(model_names=["a"]),
        edit(model_names=["a", "a", "b"]),
        edit(model_names=[1, 2, 3]),
        edit(model_names=None),
        edit(meta=[1]),
        lambda members: members.pop("graph.json"),
        lambda members: members.pop("indices.npy"),
        lambda members: members.update({"graph.json": b"[1"}),
        lambda members: members.update({"graph.json": b"[]"}),
        lambda members: members.update({"indices.npy": members["indptr.npy"]}),
        lambda members: members.update({"model_bytes.npy": members["popularity.npy"]}),
        lambda members: members.update({"indptr.npy": members["indptr.npy"][:-3]}),
        lambda members: members.update({"block_bytes.npy": b"nothing"}),
    ],
)
def test_damage_is_one_line(tmp_path, change):
    path = tmp_path / "library.npz"
    full_graph().save(path)
    rewritten(path, change)
    with pytest.raises(GraphError) as caught:
        ModelBlockGraph.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "library.npz"
    full_graph().save(path)
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    rewritten(path, lambda members: members.update({"indptr.npy": (tmp_path / "evil.npy").read_bytes()}))
    with pytest.raises(GraphError):
        ModelBlockGraph.load(path)


def test_every_truncation_is_a_graph_error(tmp_path):
    path = tmp_path / "library.npz"
    full_graph().save(path)
    raw = path.read_bytes()
    for n in range(0, len(raw), 37):
        path.write_bytes(raw[:n])
        with pytest.raises(GraphError):
            ModelBlockGraph.load(path)
    with pytest.raises(GraphError, match="does not exist"):
        ModelBlockGraph.load(tmp_path / "no.npz")
    with pytest.raises(GraphError):
        ModelBlockGraph.load(tmp_path)
    with pytest.raises(GraphError, match="cannot be written"):
        full_graph().save(tmp_path / "no" / "library.npz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (({"a": ["x"]}, {"x": 1, "y": 2}), "'y'.*no model"),
        (({"a": ["x", "z"]}, {"x": 1}), "'z'.*unknown size"),
        (({"a": ["x"]}, {"x": -1}), "negative"),
        (({"a": ["x"]}, {"x": 1.5}), "64-bit integers"),
        (({"a": ["x"]}, {"x": 2**63}), "64-bit integers"),
        (({"a": ["x"], "b": ["x"]}, {"x": 2**62}), "2\\*\\*62"),
        (({"a": ["x"]}, {"x": 1}, {"b": 1}), "'a'"),
        (({"a": ["x"]}, {"x": 1}, {"a": -1}), "negative"),
        (({"": ["x"]}, {"x": 1}), "non-empty"),
    ],
)
def test_bad_libraries(arguments, words):
    with pytest.raises(GraphError, match=words):
        ModelBlockGraph.from_blocks(*arguments)


def test_bad_arrays():
    good = full_graph()
    parts = {n: getattr(good, n) for n in ("model_names", "block_bytes", "indptr", "indices", "model_bytes")}
    for change in (
        {"indices": np.array([1, 0, 1, 2])},
        {"indices": np.array([0, 0, 1, 2])},
        {"indices": np.array([0, 1, 1, 3])},
        {"indptr": np.array([0, 2, 4])},
        {"indptr": np.array([0, 3, 2, 4])},
        {"block_bytes": np.array([[1, 2, 3]])},
        {"popularity": np.array([1.0, np.nan, 0])},
        {"popularity": np.array([1.0])},
        {"popularity": np.array(["a", "b", "c"])},
        {"block_ids": np.zeros((3, 4), dtype=np.uint8)},
        {"block_ids": np.zeros((2, 4), dtype=np.uint8)},
    ):
        with pytest.raises(GraphError):
            ModelBlockGraph(**(parts | change))
    for rows in ([[0], [5]], [[-1], [0]], [[0, 1], [0]]):
        with pytest.raises(GraphError):
            ModelBlockGraph.from_incidence(["a"], *rows, [1], None)
    with pytest.raises(GraphError, match="'nobody'"):
        good.subset(["nobody"])
    with pytest.raises(GraphError, match="index"):
        good.set_bytes([3])


def test_nothing_at_all_is_a_graph():
    graph = ModelBlockGraph.from_blocks({}, {})
    assert (graph.n_models, graph.n_blocks, graph.unique_bytes, graph.atoms().n_atoms) == (0, 0, 0, 0)
    assert len(graph.fingerprint()) == 64


def test_millions_of_incidences_take_seconds():
    import time

    n = 100_000
    rng = np.random.default_rng(0)
    own = rng.random((n, 20)) > 0.8
    blocks = np.where(own, 40_000 + np.arange(n)[:, None] * 20 + np.arange(20), np.arange(n)[:, None] // 100 * 20 + np.arange(20))
    _, blocks = np.unique(blocks, return_inverse=True)
    begin = time.process_time()
    graph = ModelBlockGraph.from_incidence(
        [str(i) for i in range(n)], np.repeat(np.arange(n), 20), blocks.ravel(), np.ones(blocks.max() + 1, np.int64), None
    )
    assert graph.atoms().n_atoms < graph.n_blocks
    assert time.process_time() - begin < 10
