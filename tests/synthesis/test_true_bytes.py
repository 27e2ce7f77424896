"""Generated sizes are those of real files, to the byte."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from synthesis_saves import assert_same_files, save_randomly_initialised

from trimcache.synthesis.adapters import LoraSpec, default_targets
from trimcache.synthesis.architectures import architecture, load_architectures
from trimcache.synthesis.gguf_files import gguf_tensors
from trimcache.synthesis.layouts import adapter_layout, model_layout
from trimcache.synthesis.paper_libraries import PAPER_DEPTHS

TINY = ("resnet-18", "mobilenet-v2", "minilm-l6", "minilm-l6-classifier", "whisper-tiny")
SMALL = (
    *("resnet-34", "resnet-50", "resnet-101", "convnext-tiny", "convnext-base", "vit-base"),
    *("distilbert", "distilbert-classifier", "bert-base", "bert-base-classifier", "roberta-base", "roberta-base-classifier"),
    *("t5-small", "gpt2", "whisper-base", "smollm2-135m"),
)
# Up to 7 GB of weights; those beyond are checked by their published parameter counts alone.
LARGE = tuple(sorted(name for name, arch in load_architectures().items()
              if name not in (*TINY, *SMALL) and model_layout(arch).nbytes < 7 * 10**9))  # fmt: skip


def _check(name: str, folder: Path) -> None:
    arch = architecture(name)
    save_randomly_initialised(arch, folder)
    assert_same_files(model_layout(arch, max_shard_bytes=50 * 10**9), folder)


@pytest.mark.parametrize("name", TINY)
def test_a_randomly_initialised_model_is_saved_in_exactly_these_bytes(name: str, tmp_path: Path) -> None:
    _check(name, tmp_path / "model")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_small_model_is_saved_in_exactly_these_bytes(name: str, tmp_path: Path) -> None:
    _check(name, tmp_path / "model")


@pytest.mark.long
@pytest.mark.parametrize("name", LARGE)
def test_a_large_model_is_saved_in_exactly_these_bytes(name: str, tmp_path: Path) -> None:
    _check(name, tmp_path / "model")


def test_split_into_several_files_like_the_real_one(tmp_path: Path) -> None:
    arch = architecture("minilm-l6-classifier")
    save_randomly_initialised(arch, tmp_path / "model", max_shard_size="20MB")
    layout = model_layout(arch, max_shard_bytes=20 * 10**6)
    assert len([path for path, _, _ in layout.files if path.endswith(".safetensors")]) > 2
    assert_same_files(layout, tmp_path / "model")


@pytest.mark.parametrize("labels", [2, 37])
def test_other_numbers_of_labels(labels: int, tmp_path: Path) -> None:
    arch = architecture("resnet-18")
    save_randomly_initialised(arch, tmp_path / "model", labels=labels)
    assert_same_files(model_layout(arch, labels=labels), tmp_path / "model")


@pytest.mark.parametrize("name", ["minilm-l6-classifier", "gpt2", "smollm2-135m"])
def test_adapters_are_those_that_peft_writes(name: str, tmp_path: Path) -> None:
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    arch = architecture(name)
    spec = LoraSpec(4, default_targets(arch), 2 if arch.head_slots else None)
    config = transformers.AutoConfig.for_model(**{k: v for k, v in arch.config.items() if k != "transformers_version"})
    with torch.device("meta"):
        model = getattr(transformers, arch.model_class)(config)
    task = "SEQ_CLS" if arch.head_slots else "CAUSAL_LM"
    wanted = LoraConfig(
        task_type=task, r=4, lora_alpha=8, lora_dropout=0.0, target_modules=list(spec.targets), fan_in_fan_out=arch.transposed
    )
    adapted = get_peft_model(model, wanted)
    adapted.to_empty(device="cpu")
    adapted.peft_config["default"].base_model_name_or_path = "some/base"
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "adapter").iterdir() if path.name != "README.md"}
    layout = adapter_layout(arch, spec, "some/base")
    assert {path: nbytes for path, nbytes, _ in layout.files} == sizes
    header = next(extent.content for extent in layout.extents if extent.kind == "header")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()[: len(header)] == header


def test_parameter_counts_are_the_published_ones() -> None:
    for arch in load_architectures().values():
        assert arch.published_parameters in (None, arch.parameters), arch.name
    assert sum(arch.published_parameters is not None for arch in load_architectures().values()) >= 49


@pytest.mark.parametrize(
    ("name", "layers", "nbytes"), [("resnet-18", 41, 44_949_808), ("resnet-34", 73, 85_412_272), ("resnet-50", 107, 95_064_632)]
)
def test_the_papers_networks(name: str, layers: int, nbytes: int) -> None:
    arch = architecture(name)
    assert arch.layers == layers
    assert sum(tensor.nbytes for tensor in arch.tensors(labels=100)) == nbytes
    assert PAPER_DEPTHS[name][1] == layers - 1
    # The shortcut comes last in its block although transformers registers it first.
    for slot, layer in arch.layer_of_slot.items():
        if ".shortcut." in slot:
            block = slot.partition(".shortcut.")[0]
            assert layer >= max(number for other, number in arch.layer_of_slot.items() if other.startswith(f"{block}.")) - 1


@pytest.mark.parametrize(("name", "mixture", "published_gb"), [
    # File sizes as the model cards of published conversions round them.
    ("llama-2-7b", "Q4_K_M", 4.08), ("llama-2-7b", "Q8_0", 7.16), ("llama-2-7b", "Q6_K", 5.53), ("llama-2-7b", "Q5_K_M", 4.78),
    ("llama-2-7b", "Q4_0", 3.83), ("llama-3-8b", "Q4_K_M", 4.92), ("mistral-7b", "Q4_K_M", 4.37), ("llama-2-13b", "Q4_K_M", 7.87),
])  # fmt: skip
def test_quantized_files_have_the_published_sizes(name: str, mixture: str, published_gb: float) -> None:
    assert round(gguf_tensors(architecture(name), mixture)[2] / 1e9, 2) == published_gb


def test_quantized_block_sizes_are_those_of_the_gguf_package() -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    from trimcache.synthesis.gguf_files import BLOCKS

    for name, sizes in BLOCKS.items():
        assert GGML_QUANT_SIZES[GGMLQuantizationType[name.upper()]] == sizes


def test_the_data_file_stays_small_and_readable() -> None:
    data = Path(architecture.__code__.co_filename).with_name("architectures.json")
    assert data.stat().st_size < 1_000_000
    assert max(map(len, data.read_text().splitlines())) < 6000
    assert re.search(r"\d", json.loads(data.read_text())["made_by"])
