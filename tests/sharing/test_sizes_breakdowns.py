"""Breakdowns of sizes against a count made from the files with ``blake3``, sets and fractions; every column adds up."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sharing_count import Count, Row, random_zoo
from tiny_models import floats, tensors_of, write_model

from trimcache import scan
from trimcache.catalog.reader import Catalog
from trimcache.errors import UsageError
from trimcache.sharing.extent_labels import dtype_of_extents
from trimcache.sharing.families import families
from trimcache.sharing.sizes import BY, SizeAnalysis, SizeRow
from trimcache.sharing.spectrum import spectrum


def _check(rows: list[SizeRow], expected: dict[str, Row], several: int, unique: int, total: int) -> None:
    *named, last = rows
    assert (last.held_by_several, last.name, last.exclusive_bytes, last.fair_share) == (True, "several", several, 0)
    assert {row.name for row in named} == set(expected)
    for row in named:
        want = expected[row.name]
        stated = (row.total_bytes, row.exclusive_bytes, row.shared_bytes, row.exclusive_blocks)
        assert stated == (want.total, want.exclusive, want.shared, want.exclusive_blocks)
        assert row.fair_share == want.fair
        assert abs(row.fair_share_bytes - want.fair) <= 1
        assert sum(map(Fraction, row.to_dict()["fair_share_exact"].split(" + "))) == want.fair
    assert sum(row.exclusive_bytes for row in rows) == sum(row.fair_share_bytes for row in rows) == unique
    assert sum(row.fair_share for row in rows) == unique
    assert sum(row.total_bytes for row in rows) == total
    assert [row.total_bytes for row in named] == sorted((row.total_bytes for row in named), reverse=True)


def _check_all(catalog: Catalog, count: Count) -> None:
    analysis = SizeAnalysis(catalog)
    unique, total = count.unique, sum(row.total for row in count.by_model()[0].values())
    assert (analysis.headline.unique_bytes, analysis.headline.total_bytes) == (unique, total)
    _check(analysis.by("model"), *count.by_model(), unique, total)
    for what in ("kind", "dtype", "format"):
        _check(analysis.by(what), *count.by(what), unique, total)
        assert SizeAnalysis(catalog, expected=what).by(what) == analysis.by(what)
    found = families(catalog)
    family = {model.name: found.names[label] for model, label in zip(catalog.models, found.labels.tolist(), strict=True)}
    _check(analysis.by("family"), *count.by_family(family), unique, total)
    assert [(row.models, row.nbytes, row.blocks) for row in analysis.spectrum] == count.spectrum()
    assert spectrum(catalog) == analysis.spectrum


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_random_catalogs(tmp_path_factory: pytest.TempPathFactory, generator: random.Random) -> None:
    root = tmp_path_factory.mktemp("zoo")
    models = random_zoo(root / "zoo", generator)
    catalog = scan(root / "zoo", root / "c")
    named = {model.name: models[model.name.rpartition("/")[2]] for model in catalog.models}
    _check_all(catalog, Count(named))


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    from finetunes_fixture import finetunes_folder

    catalog = scan(finetunes_folder(), tmp_path / "c")
    place = {part.part: Path(part.part.removeprefix("file://")) for part in catalog.parts}
    rows = catalog.table("tensors", ["file", "name", "kind"]).to_pylist()
    kinds = {(place[row["part"]] / row["file"], row["name"]): row["kind"] for row in rows}
    _check_all(catalog, Count({m.name: [place[part] for part in m.parts] for m in catalog.models}, lambda *key: kinds[key]))


def test_a_block_of_several_kinds_is_in_the_row_of_several(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "zoo" / "a", {"x": ("F32", (16,), floats(16)), "y": ("I64", (8,), floats(16))})
    (folder / "notes.txt").write_bytes(floats(16))
    analysis = SizeAnalysis(scan(tmp_path / "zoo", tmp_path / "c"))
    for what, names in (("kind", ("parameter", "file")), ("dtype", ("float32", "int64", "none"))):
        rows = {row.name: row for row in analysis.by(what)}
        assert rows["several"].exclusive_bytes == 64
        assert [rows[name].fair_share - rows[name].exclusive_bytes for name in names] == [Fraction(64, len(names))] * len(names)


@pytest.mark.parametrize("by", BY)
def test_a_hundred_percent_duplicates(tmp_path: Path, by: str) -> None:
    for i in range(7):
        write_model(tmp_path / "zoo" / f"m{i}", tensors_of(x=1, y=2))
    analysis = SizeAnalysis(scan(tmp_path / "zoo", tmp_path / "c"))
    rows = analysis.by(by)
    unique = analysis.headline.unique_bytes
    assert analysis.headline.shared_bytes == unique
    assert sum(row.fair_share for row in rows) == sum(row.fair_share_bytes for row in rows) == unique
    if by == "model":
        assert [row.exclusive_bytes for row in rows] == [0] * 7 + [unique]
        assert {row.fair_share for row in rows[:7]} == {Fraction(unique, 7)}
        assert max(row.fair_share_bytes for row in rows[:7]) - min(row.fair_share_bytes for row in rows[:7]) <= 1


@pytest.mark.parametrize("by", BY)
def test_one_model_without_parameters(tmp_path: Path, by: str) -> None:
    write_model(tmp_path / "zoo" / "only", {})
    analysis = SizeAnalysis(scan(tmp_path / "zoo", tmp_path / "c"))
    *rows, several = analysis.by(by)
    assert several.exclusive_bytes == 0
    assert sum(row.exclusive_bytes for row in rows) == analysis.headline.unique_bytes == analysis.headline.specific_bytes
    assert {row.name for row in rows} == {
        "model": {"only"}, "family": {"only"}, "kind": {"header", "file"}, "dtype": {"none"}, "format": {"safetensors"},
    }[by]  # fmt: skip


@pytest.mark.parametrize("by", BY)
def test_an_empty_catalog(tmp_path: Path, by: str) -> None:
    write_model(tmp_path / "zoo" / "only", {})
    root = scan(tmp_path / "zoo", tmp_path / "c").root
    for shard in root.rglob("*.parquet"):
        shard.unlink()
    analysis = SizeAnalysis(Catalog(root))
    [several] = analysis.by(by)
    assert (several.held_by_several, several.exclusive_bytes, analysis.spectrum) == (True, 0, [])


def test_a_model_may_be_named_several(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "several", tensors_of(x=1))
    rows = SizeAnalysis(scan(tmp_path / "zoo", tmp_path / "c")).by("model")
    assert [(row.name, row.held_by_several, row.exclusive_bytes > 0) for row in rows] == [
        ("several", False, True),
        ("several", True, False),
    ]


def test_an_unknown_breakdown_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "a", tensors_of(x=1))
    with pytest.raises(UsageError, match="choose one of model, family"):
        SizeAnalysis(scan(tmp_path / "zoo", tmp_path / "c"), expected="colour").by("colour")


# -- types at granularities other than tensors ----------------------------------------------------------------------


@pytest.mark.parametrize("granularity", ["tensor", "row", "layer", "chunk", "file"])
def test_types_of_blocks_of_any_granularity(tmp_path: Path, granularity: str) -> None:
    """Blocks that lie within tensors count for their type; larger ones with several types inside are shared by these."""
    weights = {
        "a.w": ("F32", (64, 256), floats(64 * 256)),
        "b.w": ("F16", (64, 256), floats(32 * 256, 1)),
        "b.i": ("I64", (2,), floats(4, 2)),
    }
    folder = write_model(tmp_path / "zoo" / "m", weights)
    catalog = scan(tmp_path / "zoo", tmp_path / "c", granularity=granularity)
    *rows, several = SizeAnalysis(catalog).by("dtype")
    total = {row.name: row.total_bytes for row in rows}
    sizes = {"float32": 65536, "float16": 32768, "int64": 16}
    nbytes = sum(path.stat().st_size for path in folder.iterdir())
    assert sum(total.values()) + several.total_bytes == nbytes
    assert sum(row.fair_share for row in rows) == nbytes
    assert set(total) == {*sizes, "none"}
    if granularity in ("tensor", "row"):
        assert {name: total[name] for name in sizes} == sizes
    if granularity == "file":
        weight_file = (folder / "model.safetensors").stat().st_size
        assert several.total_bytes == several.exclusive_bytes == weight_file
        assert {row.name: row.fair_share for row in rows if row.name != "none"} == dict.fromkeys(sizes, Fraction(weight_file, 3))


def test_types_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    for name in "ab":
        write_model(
            tmp_path / "zoo" / name,
            {"x": ("F32", (64, 256), floats(64 * 256)), "y": ("I64", (8,), floats(16)), "z": ("F16", (3,), b"123456")},
        )
    catalog = scan(tmp_path / "zoo", tmp_path / "c", granularity="row")
    [shard] = catalog.shards
    extents = catalog.live_rows("extents", shard, ["file", "offset", "nbytes", "kind"])
    order = np.random.default_rng(0).permutation(len(extents))
    expected = dtype_of_extents(catalog, shard, extents).to_pylist()
    shuffled = dtype_of_extents(catalog, shard, extents.take(pa.array(order))).to_pylist()
    assert len(set(expected)) == 4
    assert shuffled == [expected[i] for i in order]


def test_tensors_that_are_not_stored_row_by_row(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    np.savez_compressed(tmp_path / "zoo" / "m.npz", x=np.arange(1000, dtype=np.float32))
    rows = {row.name: row.total_bytes for row in SizeAnalysis(scan(tmp_path / "zoo", tmp_path / "c")).by("dtype")}
    assert set(rows) == {"encoded", "none", "several"}
    assert 0 < rows["encoded"] < 4000
