"""What deleting frees and adding brings, against doing it: models forgotten, files removed, sources scanned."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from independent_count import files
from sharing_count import Count, random_zoo
from tiny_models import tensors_of, write_adapter, write_model

from trimcache import scan
from trimcache.catalog.forget import forget
from trimcache.catalog.reader import Catalog, open_catalog
from trimcache.errors import CatalogRulesError, ModelNameError, SourceError
from trimcache.sharing.sizes import SizeAnalysis
from trimcache.sharing.what_if import if_added, if_deleted
from trimcache.synthesis.library import generate_preset


def _as_is(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_deleting(tmp_path_factory: pytest.TempPathFactory, generator: random.Random) -> None:
    root = tmp_path_factory.mktemp("zoo")
    models = random_zoo(root / "zoo", generator)
    catalog = scan(root / "zoo", root / "c")
    named = {model.name: models[model.name.rpartition("/")[2]] for model in catalog.models}
    chosen = generator.sample(sorted(named), generator.randrange(1, len(named) + 1))
    before = _as_is(catalog.root)
    what = if_deleted(catalog, [*chosen, chosen[0]])
    assert _as_is(catalog.root) == before

    staying = {name: folders for name, folders in named.items() if name not in chosen}
    assert what.deleted == tuple(chosen)
    assert (what.models, what.unique_bytes) == (len(staying), Count(staying).unique)
    assert what.freed_bytes == Count(named).unique - Count(staying).unique
    assert what.freed_blocks == len(Count(named).nbytes) - len(Count(staying).nbytes)
    assert what.total_bytes == sum(path.stat().st_size for folders in staying.values() for folder in folders for path in files(folder))
    if len(chosen) == 1:
        [row] = [row for row in SizeAnalysis(catalog).by("model") if row.name == chosen[0] and not row.held_by_several]
        assert what.freed_bytes == row.exclusive_bytes
    gone = {named[name][-1] for name in chosen}
    assert set(what.adapters) == {name for name, folders in staying.items() if gone & set(folders)}
    forgotten = Count({name: [named[name][-1]] for name in staying}).unique
    assert what.freed_bytes + what.kept_for_adapters_bytes == Count(named).unique - forgotten
    assert what.freed_on_disk_bytes == sum(path.stat().st_size for folder in gone for path in files(folder))

    left = SizeAnalysis(forget(catalog, chosen)).headline
    assert (left.models, left.unique_bytes) == (len(staying), forgotten)


def test_links_to_one_file_are_freed_on_disk_with_the_last(tmp_path: Path) -> None:
    one = write_model(tmp_path / "zoo" / "one", tensors_of(a=1))
    two = write_model(tmp_path / "zoo" / "two", tensors_of(a=1))
    (two / "model.safetensors").unlink()
    os.link(one / "model.safetensors", two / "model.safetensors")
    catalog = scan(tmp_path / "zoo", tmp_path / "c")
    config, weights = ((one / name).stat().st_size for name in ("config.json", "model.safetensors"))
    assert (if_deleted(catalog, ["one"]).freed_on_disk_bytes, if_deleted(catalog, ["one"]).freed_bytes) == (config, 0)
    both = if_deleted(catalog, ["one", "two"])
    assert (both.freed_on_disk_bytes, both.freed_bytes) == (2 * config + weights, config + weights)
    assert (both.models, both.unique_bytes, both.total_bytes) == (0, 0, 0)


def test_the_files_of_a_generated_catalog_are_on_no_disk(tmp_path: Path) -> None:
    generate_preset("paper-special", 9, tmp_path / "c")
    catalog = open_catalog(tmp_path / "c")
    names = [model.name for model in catalog.models[:2]]
    what = if_deleted(catalog, names)
    assert what.freed_on_disk_bytes is None
    graph = catalog.graph()
    assert what.freed_bytes == graph.unique_bytes - graph.set_bytes(graph.model_names[2:])
    with pytest.raises(CatalogRulesError, match="synthetic"):
        if_added(catalog, [tmp_path])


def test_deleting_what_is_not_there(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "a", tensors_of(x=1))
    with pytest.raises(ModelNameError):
        if_deleted(scan(tmp_path / "zoo", tmp_path / "c"), ["a", "b"])


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_adding(tmp_path_factory: pytest.TempPathFactory, generator: random.Random) -> None:
    """Some models are in the catalog, some come: what is stated is what scanning them into it gives."""
    root = tmp_path_factory.mktemp("zoo")
    models = random_zoo(root / "zoo", generator)
    folders = {name: some[-1] for name, some in models.items()}
    there = generator.sample(sorted(folders), generator.randrange(1, len(folders) + 1))
    coming = generator.sample(sorted(folders), generator.randrange(1, len(folders) + 1))
    granularity = generator.choice(("tensor", "file", "chunk"))
    catalog = scan([folders[name] for name in there], root / "c", granularity=granularity)
    before = _as_is(catalog.root)
    what = if_added(catalog, [folders[name] for name in coming])
    assert _as_is(catalog.root) == before
    known = _blocks(catalog)
    then = scan([folders[name] for name in coming], catalog.root, granularity=granularity)
    new = {block: nbytes for block, nbytes in _blocks(then).items() if block not in known}
    assert (what.new_bytes, what.new_blocks) == (sum(new.values()), len(new))
    sizes = SizeAnalysis(then).headline
    assert (what.models, what.unique_bytes) == (sizes.models, sizes.unique_bytes)
    assert {name.rpartition("/")[2] for name in what.scanned} == set(coming) - set(there)
    assert {name.rpartition("/")[2] for name in what.unchanged} == set(coming) & set(there)
    assert set(what.incomplete) == {model.name for model in then.models if model.missing is not None} & set(what.scanned)
    graph = then.graph(incomplete=True)
    fetched = dict(zip(graph.model_names, graph.model_bytes.tolist(), strict=True))
    assert what.total_bytes == sum(fetched[name] for name in what.scanned)


def _blocks(catalog: Catalog) -> dict[bytes, int]:
    extents = catalog.table("extents", ["block", "nbytes"])
    return dict(zip(extents["block"].to_pylist(), extents["nbytes"].to_pylist(), strict=True))


def test_an_adapter_of_a_known_base_brings_itself_alone(tmp_path: Path) -> None:
    base = write_model(tmp_path / "org" / "base", tensors_of(a=1, b=2))
    lora = write_adapter(tmp_path / "org" / "lora", "org/base", tensors_of(lora_A=3))
    orphan = write_adapter(tmp_path / "org" / "orphan", "org/elsewhere", tensors_of(lora_A=4))
    catalog = scan(base, tmp_path / "c")
    own = sum(path.stat().st_size for path in files(lora))
    what = if_added(catalog, [lora])
    assert (what.new_bytes, what.total_bytes, what.incomplete) == (own, own + catalog.graph().total_bytes, ())
    assert if_added(catalog, [orphan]).incomplete == ("orphan",)


def test_a_new_version_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "zoo" / "a", tensors_of(x=1, y=2))
    catalog = scan(tmp_path / "zoo", tmp_path / "c")
    write_model(folder, tensors_of(x=1, y=3))
    what = if_added(catalog, [tmp_path / "zoo"])
    assert (what.scanned, what.new_bytes, what.models) == (("a",), 256, 1)
    assert what.unique_bytes == SizeAnalysis(catalog).headline.unique_bytes


def test_what_was_forgotten_stays_forgotten(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        write_model(tmp_path / "zoo" / name, tensors_of(x=seed))
    scan([tmp_path / "zoo" / "a", tmp_path / "zoo" / "b"], tmp_path / "cat")
    catalog = forget(open_catalog(tmp_path / "cat"), ["b"])
    what = if_added(catalog, [tmp_path / "zoo" / "c"])
    assert (what.models, what.scanned) == (2, ("c",))
    assert if_added(catalog, [tmp_path / "zoo" / "b"]).new_bytes == 256


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    good = write_model(tmp_path / "zoo" / "good", tensors_of(x=1))
    bad = write_model(tmp_path / "zoo" / "bad", tensors_of(x=2))
    (bad / "model.safetensors").write_bytes(b"\xff" * 40)
    catalog = scan(good, tmp_path / "c")
    copy = shutil.copytree(good, tmp_path / "zoo" / "copy")
    what = if_added(catalog, [bad, copy])
    assert (what.new_bytes, what.scanned, len(what.errors)) == (0, ("copy",), 1)
    with pytest.raises(SourceError):
        if_added(catalog, [bad])
