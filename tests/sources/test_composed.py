"""Composed models, laid out as diffusers and sentence-transformers save them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import safetensors_bytes, tensors_of, write_adapter, write_model

from trimcache import scan
from trimcache.sources.resolve import Resolution, resolve

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.30.0",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "requires_safety_checker": True,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def _weights(path: Path, *seed: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(safetensors_bytes(tensors_of(w=repr(seed))))


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """As ``DiffusionPipeline.save_pretrained`` lays it out, with the fp16 variant beside."""
    root = tmp_path / "zoo" / "sd"
    root.mkdir(parents=True)
    (root / "model_index.json").write_text(json.dumps(INDEX))
    for component, stem in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        _weights(root / component / f"{stem}.safetensors", component)
        _weights(root / component / f"{stem}.fp16.safetensors", component, "half")
        (root / component / "config.json").write_text('{"_class_name": "X"}')
    for component, name in (
        ("scheduler", "scheduler_config.json"),
        ("tokenizer", "vocab.json"),
        ("feature_extractor", "preprocessor_config.json"),
    ):
        (root / component).mkdir()
        (root / component / name).write_text("{}")
    return root


OTHERS = [
    "feature_extractor/preprocessor_config.json",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "vae/config.json",
]
FULL = ["text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"]


def _parts(root: Path, weights: str = "preferred") -> dict[str, list[str]]:
    resolution: Resolution = resolve([str(root)], weights=weights)
    assert resolution.errors == []
    return {part.name: [file.path for file in part.files] for part in resolution.parts}


def test_the_components_of_a_pipeline_are_one_model(pipeline: Path, tmp_path: Path) -> None:
    assert _parts(pipeline.parent) == {"sd": sorted([*OTHERS, *FULL])}
    catalog = scan(pipeline, tmp_path / "c")
    [part] = catalog.parts
    assert (part.name, part.architecture) == ("sd", "StableDiffusionPipeline")
    assert part.nbytes == sum((pipeline / path).stat().st_size for path in [*OTHERS, *FULL])
    assert len(catalog.table("tensors")) == 3


def test_its_fp16_variant(pipeline: Path) -> None:
    (pipeline / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    assert _parts(pipeline, "all")["sd#safetensors-fp16"] == sorted(
        [*OTHERS, "text_encoder/model.fp16.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors", FULL[2]]
    )


def test_a_single_file_beside_the_components_is_a_copy(pipeline: Path) -> None:
    _weights(pipeline / "sd-v1-5-pruned-emaonly.safetensors", "all")
    assert list(_parts(pipeline)) == ["sd"]
    assert _parts(pipeline, "all")["sd#sd-v1-5-pruned-emaonly"] == sorted([*OTHERS, "sd-v1-5-pruned-emaonly.safetensors"])


def test_what_the_index_does_not_list_is_no_component(pipeline: Path) -> None:
    write_model(pipeline / "vae_1_0", tensors_of(w="old"))
    write_adapter(pipeline / "unet" / "lora", "sd", tensors_of(lora_A=1))
    _weights(pipeline / "loras" / "style.safetensors", "style")
    (pipeline / "images").mkdir()
    (pipeline / "images" / "sample.png").write_bytes(b"png")
    parts = _parts(pipeline)
    assert list(parts) == ["sd", "loras/style.safetensors", "vae_1_0", "unet/lora"]
    assert parts["sd"] == sorted([*OTHERS, *FULL, "images/sample.png"])


def test_a_listed_component_without_files_is_no_reason_to_fail(pipeline: Path) -> None:
    index = {**INDEX, "image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}
    (pipeline / "model_index.json").write_text(json.dumps(index))
    assert _parts(pipeline) == {"sd": sorted([*OTHERS, *FULL])}


@pytest.mark.parametrize("index", ["", "{", "[]", "3", "[" * 100_000, " " * (2 << 20)])
def test_an_index_that_cannot_be_understood_makes_every_folder_a_component(pipeline: Path, index: str) -> None:
    (pipeline / "model_index.json").write_text(index)
    assert _parts(pipeline) == {"sd": sorted([*OTHERS, *FULL])}


def _sentence_transformer(root: Path, transformer: str) -> Path:
    """As ``SentenceTransformer.save`` lays it out; newer versions keep the transformer in the root."""
    modules = [
        {"idx": 0, "name": "0", "path": transformer, "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
        {"idx": 3, "name": "3", "path": "3_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    write_model(root / transformer, tensors_of(w=1), "BertModel")
    for module in ("1_Pooling", "2_Dense", "3_Normalize"):
        (root / module).mkdir()
        (root / module / "config.json").write_text("{}")
    _weights(root / "2_Dense" / "model.safetensors", "dense")
    (root / "modules.json").write_text(json.dumps(modules))
    (root / "config_sentence_transformers.json").write_text("{}")
    return root


@pytest.mark.parametrize("transformer", ["", "0_Transformer"])
def test_sentence_transformers_are_one_model(tmp_path: Path, transformer: str) -> None:
    _sentence_transformer(tmp_path / "zoo" / "embed", transformer)
    prefix = f"{transformer}/" if transformer else ""
    assert _parts(tmp_path / "zoo") == {
        "embed": sorted(
            [
                "1_Pooling/config.json",
                "2_Dense/config.json",
                "2_Dense/model.safetensors",
                "3_Normalize/config.json",
                "config_sentence_transformers.json",
                "modules.json",
                f"{prefix}config.json",
                f"{prefix}model.safetensors",
            ]
        )
    }


def test_copies_of_a_sentence_transformer(tmp_path: Path) -> None:
    root = _sentence_transformer(tmp_path / "embed", "")
    for copy in (
        "pytorch_model.bin",
        "onnx/model.onnx",
        "onnx/model_O3.onnx",
        "openvino/openvino_model.bin",
        "openvino/openvino_model.xml",
    ):
        (root / copy).parent.mkdir(exist_ok=True)
        (root / copy).write_bytes(b"copy")
    [part] = resolve([str(root)]).parts
    assert "left out 5 further copies" in part.notes[0]
    assert [file.path for file in part.files if file.path.endswith(".safetensors")] == ["2_Dense/model.safetensors", "model.safetensors"]


def test_modules_that_a_router_lists(tmp_path: Path) -> None:
    root = tmp_path / "embed"
    for module in ("query_0_Static", "document_0_Transformer"):
        write_model(root / module, tensors_of(w=module))
    (root / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}]))
    (root / "router_config.json").write_text("{}")
    assert list(_parts(root)) == ["embed"]
