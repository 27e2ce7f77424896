"""On real fine-tunes: what was frozen is shared with the base, what was trained is not, and an adapter adds only its own files."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from finetunes_fixture import finetunes_folder
from safetensors.torch import load_file

from trimcache import scan
from trimcache.catalog.reader import Catalog

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(finetunes_folder())


@pytest.fixture(scope="module")
def catalog(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return scan(folder, tmp_path_factory.mktemp("frozen") / "c")


@pytest.fixture(scope="module")
def models(folder: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text())["models"]
    return listed


@pytest.fixture(scope="module")
def digests(catalog: Catalog) -> dict[str, dict[str, bytes]]:
    """Of every tensor that has bytes, by part and name."""
    name_of = {part.part: part.name for part in catalog.parts}
    table: dict[str, dict[str, bytes]] = {}
    for row in catalog.table("tensors").to_pylist():
        if row["nbytes"]:
            table.setdefault(name_of[row["part"]], {})[row["name"]] = row["digest"]
    return table


def _children(models: list[dict[str, Any]], *kinds: str) -> Iterator[dict[str, Any]]:
    found = [model for model in models if model["kind"] in kinds]
    assert found, f"the fine-tunes hold no {' or '.join(kinds)}"
    yield from found


def _in_parent(model: dict[str, Any], name: str, parent: Collection[str]) -> str:
    """What the parent calls the tensor ``name``: a head around a backbone puts a prefix before its names."""
    bare = name.removeprefix(model["parent_prefix"])
    return bare if bare in parent else name


def _equal_to_parent(folder: Path, model: dict[str, Any]) -> set[str]:
    """Names in ``model`` of the tensors that torch finds equal to the parent's of that name."""
    child, parent = (load_file(folder / path / "model.safetensors") for path in (model["path"], model["parent"]))
    same = set()
    for name, tensor in child.items():
        other = parent.get(_in_parent(model, name, parent))
        if tensor.numel() and other is not None and other.dtype == tensor.dtype and torch.equal(tensor, other):
            same.add(name)
    return same


def test_each_fine_tune_shares_exactly_the_tensors_that_are_equal(
    folder: Path, models: list[dict[str, Any]], digests: dict[str, dict[str, bytes]]
) -> None:
    for model in _children(models, "frozen", "full", "merged"):
        own, base = digests[model["path"]], digests[model["parent"]]
        in_base = set(base.values())
        shared = {name for name, digest in own.items() if digest in in_base}
        equal = _equal_to_parent(folder, model)
        # Apart: bytes that equal some other tensor of the base, zeros and ones nearly always.
        elsewhere = {name for name in shared - equal if own[name] != base.get(_in_parent(model, name, base))}
        assert shared == equal | elsewhere, model["path"]
        trained = set(model["trained_tensors"])
        frozen = set(own) - trained
        coincidental = set(model["equal_by_coincidence"])
        assert coincidental <= trained
        assert equal == frozen | coincidental, model["path"]


def test_frozen_models_share_much_and_full_ones_nothing_that_was_trained(
    models: list[dict[str, Any]], digests: dict[str, dict[str, bytes]]
) -> None:
    for model in _children(models, "frozen"):
        base = set(digests[model["parent"]].values())
        assert any(digest in base for digest in digests[model["path"]].values()), model["path"]
    for model in _children(models, "full"):
        base = set(digests[model["parent"]].values())
        trained = {name: digests[model["path"]][name] for name in model["trained_tensors"]}
        assert trained
        assert not [name for name, digest in trained.items() if digest in base], model["path"]


def test_a_merged_adapter_changes_every_tensor_it_touched(models: list[dict[str, Any]], digests: dict[str, dict[str, bytes]]) -> None:
    for model in _children(models, "merged"):
        own, base = digests[model["path"]], digests[model["parent"]]
        touched = set(model["trained_tensors"])
        assert touched
        assert {name for name in own if own[name] != base.get(_in_parent(model, name, base))} == touched, model["path"]


def test_what_an_adapter_model_adds_to_its_base_is_exactly_its_files(folder: Path, models: list[dict[str, Any]], tmp_path: Path) -> None:
    for model in _children(models, "lora"):
        pair = scan([folder / model["parent"], folder / model["path"]], tmp_path / model["path"].replace("/", "-")).graph()
        exclusive = dict(zip(pair.model_names, pair.exclusive_bytes().tolist(), strict=True))
        assert exclusive == {
            Path(model["parent"]).name: 0,
            Path(model["path"]).name: sum(path.stat().st_size for path in (folder / model["path"]).iterdir()),
        }


def test_what_an_adapter_shares_with_others_is_its_head_in_the_merged_model(models: list[dict[str, Any]], catalog: Catalog) -> None:
    merged_of = {model["adapter"]: model["path"] for model in _children(models, "merged")}
    name_of = {part.part: part.name for part in catalog.parts}
    blocks: dict[str, set[bytes]] = {}
    for row in catalog.table("extents").to_pylist():
        if row["kind"] in ("parameter", "adapter"):
            blocks.setdefault(name_of[row["part"]], set()).add(row["block"])
    for model in _children(models, "lora"):
        own = blocks[model["path"]]
        assert own
        holders = {name for name, held in blocks.items() if held & own and name != model["path"]}
        assert holders <= {merged_of.get(model["path"])}
