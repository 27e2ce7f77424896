"""Generated variants share exactly what the really trained ones of the demo share: the same tensor names, the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from finetunes.manifest import Manifest
from finetunes_fixture import finetunes_folder

import trimcache
from trimcache.catalog.reader import Catalog
from trimcache.synthesis import regimes
from trimcache.synthesis.adapters import LoraSpec
from trimcache.synthesis.architectures import architecture
from trimcache.synthesis.generate import write_catalog
from trimcache.synthesis.lineage import Forest
from trimcache.synthesis.regimes import Shape

pytestmark = pytest.mark.slow

Shared = tuple[set[tuple[str, int]], int]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = finetunes_folder()
    return trimcache.scan([str(folder)], tmp_path_factory.mktemp("real") / "c")


@pytest.fixture(scope="module")
def labels() -> dict[str, int]:
    """Number of classes of each trained model."""
    import json

    found = {}
    for config in finetunes_folder().glob("*/*/config.json"):
        document = json.loads(config.read_text())
        found[f"{config.parent.parent.name}/{config.parent.name}"] = len(document.get("id2label", {0: 0, 1: 1}))
    return found


def shared_with_parent(catalog: Catalog, child: str, parent: str) -> Shared:
    """Names (below the trunk) and sizes of the child's tensors that hold the same bytes as the parent's of that name, and their sum."""

    def tensors(name: str) -> dict[str, tuple[bytes, int]]:
        [part] = [part for part in catalog.parts if part.name == name or part.name.endswith(f"/{name}")]
        rows = catalog.table("tensors").to_pylist()
        strip = ("base_model.model.", "bert.")
        result = {}
        for row in rows:
            if row["part"] == part.part and row["file"].endswith(".safetensors"):
                key = row["name"]
                for prefix in strip:
                    key = key.removeprefix(prefix)
                result[key] = (row["digest"], row["nbytes"])
        return result

    ours, theirs = tensors(child), tensors(parent)
    same = {(name, nbytes) for name, (digest, nbytes) in ours.items() if theirs.get(name, (b"", 0))[0] == digest}
    return same, sum(nbytes for _, nbytes in same)


def tensor_sizes(catalog: Catalog, name: str) -> dict[str, int]:
    [part] = [part for part in catalog.parts if part.name == name or part.name.endswith(f"/{name}")]
    return {row["name"]: row["nbytes"] for row in catalog.table("tensors").to_pylist() if row["part"] == part.part}


def generated(tmp_path: Path, forest: Forest) -> Catalog:
    write_catalog(forest, tmp_path / "made", source="test", seed=0)
    return Catalog(tmp_path / "made")


@pytest.mark.parametrize("child", ["parity-rotated", "five-up-inverted", "prime-noisy", "holes-flipped"])
def test_frozen_resnet18(child: str, real: Catalog, labels: dict[str, int], tmp_path: Path) -> None:
    entry = Manifest.load(finetunes_folder()).entry(f"resnet18/{child}")
    assert entry is not None
    arch, forest = architecture("resnet-18"), Forest()
    base = regimes.base(forest, arch, Shape(labels=10), "base")
    regimes.frozen(forest, base, arch, Shape(labels=labels[f"resnet18/{child}"]), entry.frozen_layers or 0, child)
    made = generated(tmp_path, forest)
    expected = shared_with_parent(real, f"resnet18/{child}", "resnet18/base")
    coincidence = {(name, nbytes) for name, nbytes in expected[0] if name in entry.equal_by_coincidence}
    names, nbytes = shared_with_parent(made, child, "base")
    assert names == expected[0] - coincidence
    assert nbytes == expected[1] - sum(size for _, size in coincidence)
    assert tensor_sizes(made, child) == tensor_sizes(real, f"resnet18/{child}")
    regime = forest.regime[-1]
    assert regime == ("head" if child == "holes-flipped" else "frozen")


@pytest.mark.parametrize("child", ["is-code", "chapter", "full"])
def test_frozen_and_full_minilm(child: str, real: Catalog, labels: dict[str, int], tmp_path: Path) -> None:
    entry = Manifest.load(finetunes_folder()).entry(f"minilm/{child}")
    assert entry is not None
    arch, forest = architecture("minilm-l6-classifier"), Forest()
    base = regimes.base(forest, architecture("minilm-l6"), Shape(), "base")
    shape = Shape(labels=labels[f"minilm/{child}"])
    if child == "full":
        regimes.full(forest, base, arch, shape, child)
    else:
        regimes.frozen(forest, base, arch, shape, entry.frozen_layers or 0, child)
    made = generated(tmp_path, forest)
    real_names, real_nbytes = shared_with_parent(real, f"minilm/{child}", "minilm/base")
    coincidence = {(name, n) for name, n in real_names if any(other.endswith(name) for other in entry.equal_by_coincidence)}
    names, nbytes = shared_with_parent(made, child, "base")
    assert names == real_names - coincidence
    assert nbytes == real_nbytes - sum(n for _, n in coincidence)
    assert tensor_sizes(made, child) == tensor_sizes(real, f"minilm/{child}")


def test_lora_and_merged_minilm(real: Catalog, tmp_path: Path) -> None:
    entry = Manifest.load(finetunes_folder()).entry("minilm/lora-lexical")
    assert entry is not None
    arch, forest = architecture("minilm-l6-classifier"), Forest()
    n_labels = next(
        row["shape"][0]
        for row in real.table("tensors").to_pylist()
        if "minilm/lora-lexical/" in f"{row['part']}/" and row["name"].endswith("classifier.weight")
    )
    spec, shape = LoraSpec(8, ("query", "value"), n_labels), Shape(labels=n_labels)
    base = regimes.base(forest, architecture("minilm-l6"), Shape(), "base")
    adapter = regimes.lora(forest, base, arch, spec, "lora-lexical")
    regimes.merged(forest, adapter, arch, spec, shape, "lora-lexical-merged")
    made = generated(tmp_path, forest)
    for child, parent in (("lora-lexical-merged", "base"), ("lora-lexical-merged", "lora-lexical"), ("lora-lexical", "base")):
        expected = shared_with_parent(real, f"minilm/{child}", f"minilm/{parent}")
        assert shared_with_parent(made, child, parent) == expected, (child, parent)
    for name in ("lora-lexical", "lora-lexical-merged"):
        assert tensor_sizes(made, name) == tensor_sizes(real, f"minilm/{name}")
    [model] = [model for model in made.models if model.name == "lora-lexical"]
    assert len(model.parts) == 2
    assert model.missing is None
