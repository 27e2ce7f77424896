"""Merged adapters are recognised by their weights alone, and nothing else is taken for one: on really trained models."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from finetunes_fixture import finetunes_folder
from tiny_models import safetensors_bytes

import trimcache
from trimcache.sharing.lineage import Finding, lineage, with_merges
from trimcache.sharing.merges import MergeSearch, find_merges
from trimcache.sharing.relations import Kind

Arrays = dict[str, np.ndarray]


def _load(model: str) -> Arrays:
    from safetensors.numpy import load_file

    return load_file(finetunes_folder() / model / "model.safetensors")


def _write_stripped(path: Path, arrays: Arrays, seed: int) -> None:
    """One file without metadata or configuration; tensors in random order under names that say nothing."""
    rng = random.Random(seed)
    shuffled = rng.sample(list(arrays.values()), len(arrays))
    spelled = {"float32": "F32", "float16": "F16", "int64": "I64"}
    tensors = {f"{rng.getrandbits(64):x}": (spelled[a.dtype.name], a.shape, a.tobytes()) for a in shuffled}
    path.write_bytes(safetensors_bytes(tensors))


def _searched(folder: Path, tmp_path: Path) -> tuple[dict[str, str], MergeSearch, set[str]]:
    """Merged model -> base, the search, and the models that are said to be related."""
    catalog = trimcache.scan(folder, tmp_path / "c")
    forest = lineage(catalog)
    search = find_merges(catalog, forest)
    told = with_merges(forest, {m.model: (m.base, m.text) for m in search.merges})
    merged = {one.model: str(one.other) for one in told.disagreements if one.finding is Finding.MERGED}
    assert {edge.model for edge in told.edges if edge is not None and edge.kind is Kind.MERGED} == set(merged)
    return merged, search, {one.model for one in told.disagreements if one.finding is Finding.RELATED}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "merged", "frozen"), [("decoder", "lora-words-merged", ["code"]), ("minilm", "lora-lexical-merged", ["chapter"])]
)
def test_a_merge_is_named_with_everything_else_stripped(family: str, merged: str, frozen: list[str], tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    for seed, model in enumerate([merged, "base", *frozen]):
        _write_stripped(zoo / f"{'xyzw'[seed]}.safetensors", _load(f"{family}/{model}"), seed)
    found, search, _ = _searched(zoo, tmp_path)
    assert found == {"x.safetensors": "y.safetensors"}
    [merge] = search.merges
    adapter = json.loads((finetunes_folder() / family / merged.removesuffix("-merged") / "adapter_config.json").read_text())
    assert (merge.rank, merge.others) == (adapter["r"], 0)
    truth, base = _load(f"{family}/{merged}"), _load(f"{family}/base")
    changed = [n for n in truth if n.removeprefix("bert.") in base and not np.array_equal(truth[n], base[n.removeprefix("bert.")])]
    assert merge.matrices == len(changed) == 12


@pytest.mark.slow
def test_a_full_fine_tune_is_no_merge(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    for model in ("base", "full", "lora-lexical-merged"):
        shutil.copytree(finetunes_folder() / "minilm" / model, zoo / model)
    found, _, related = _searched(zoo, tmp_path)
    assert found == {"lora-lexical-merged": "base"}
    assert related == {"full"}


def _int8(array: np.ndarray) -> np.ndarray:
    step = np.abs(array).max(axis=-1, keepdims=True) / 127
    return (np.round(array / step) * step).astype(np.float32)


def _half(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16)


def _through_half(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("quantize", [_int8, _half, _through_half])
@pytest.mark.parametrize("only_matrices", [True, False])
def test_a_quantized_copy_is_no_merge(quantize: Callable[[np.ndarray], np.ndarray], only_matrices: bool, tmp_path: Path) -> None:
    base = _load("decoder/base")
    copy = {name: quantize(a) if a.ndim > 1 and not (only_matrices and "embed" in name) else a for name, a in base.items()}
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    _write_stripped(zoo / "base.safetensors", base, 1)
    _write_stripped(zoo / "copy.safetensors", copy, 2)
    found, search, _ = _searched(zoo, tmp_path)
    assert found == {}
    # It was looked at: what is equal is enough for a candidate.
    assert search.compared == 1


def test_files_that_changed_are_not_read(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    for seed, model in enumerate(["base", "lora-words-merged", "code"]):
        _write_stripped(zoo / f"{model}.safetensors", _load(f"decoder/{model}"), seed)
    catalog = trimcache.scan(zoo, tmp_path / "c")
    forest = lineage(catalog)
    (zoo / "lora-words-merged.safetensors").write_bytes(b"another file")
    search = find_merges(catalog, forest)
    assert search.merges == ()
    assert len(search.unread) == 1
    assert "lora-words-merged.safetensors" in search.unread[0]


def test_synthetic_weights_cannot_be_read(tmp_path: Path) -> None:
    from trimcache.synthesis.library import generate_preset

    generate_preset("llm-lora", 20, tmp_path / "c")
    catalog = trimcache.open_catalog(tmp_path / "c")
    search = find_merges(catalog, lineage(catalog))
    assert (search.compared, search.unread) == (0, ("the catalog is synthetic: there are no weights to read",))
