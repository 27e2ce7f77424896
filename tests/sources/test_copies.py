"""The rule for folders that hold the same weights twice, on lists of names as real repositories have them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimcache.errors import NoWeightsError, SourceUnreadableError
from trimcache.sources.copies import variants_of
from trimcache.sources.weights import missing_shards, n_shards, weight_format, without_shard

READABLE = (".bin", ".ckpt", ".gguf", ".jit", ".npz", ".onnx", ".pt", ".pth", ".pth.tar", ".safetensors")


def _variants(*paths: str, weights: str = "preferred", readable: tuple[str, ...] = READABLE, **options: bool) -> dict[str, list[str]]:
    found = variants_of(paths, readable, name="m", weights=weights, **options)
    return {variant.label: list(variant.paths) for variant in found}


def _preferred(*paths: str, **options: bool) -> list[str]:
    found = _variants(*paths, **options)
    assert list(found) == [""]
    return found[""]


@pytest.mark.parametrize(
    ("kept", "copies"),
    [
        (
            ["model.safetensors"],
            ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot", "model.onnx", "onnx/model.onnx"],
        ),
        (["pytorch_model.bin"], ["tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "onnx/model_quantized.onnx"]),
        (["model.safetensors"], ["openvino/openvino_model.bin", "openvino/openvino_model.xml", "openvino_model.bin", "openvino_model.xml"]),
        (["model.safetensors"], ["coreml/fill-mask/float32_model.mlpackage/Data/com.apple.CoreML/weights/weight.bin"]),
        (
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "original/consolidated.00.pth"],
        ),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], ["consolidated.safetensors"]),
        (["model.safetensors"], ["open_clip_model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin"]),
        (["adapter_model.safetensors"], ["adapter_model.bin"]),
        (["diffusion_pytorch_model.safetensors"], ["diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bin"]),
        (["diffusion_pytorch_model.safetensors"], ["diffusion_pytorch_model.non_ema.safetensors", "diffusion_flax_model.msgpack"]),
        (["model.safetensors"], ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"]),
        (["model.safetensors"], ["model-00001-of-00002.fp16.safetensors", "model-00002-of-00002.fp16.safetensors"]),
        (["model.bin"], ["model.fp16.safetensors"]),
        (["x.safetensors"], ["x.pt", "x.jit", "x.pth.tar"]),
        (["model.safetensors"], ["model.jit"]),
        (["pytorch_model.bin"], ["model.jit", "model.pth.tar", "model.pt"]),
        (["model.pth.tar"], ["model.jit"]),
        (["x.PTH.TAR"], ["x.jit"]),
        (["pytorch_model.bin"], ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]),
        (["model.safetensors"], ["pytorch_model.safetensors", "consolidated.00.pth.tar"]),
        (["v1.safetensors"], ["v1.ckpt", "v1-fp16.safetensors"]),
        (["model.safetensors"], ["model-Q4_K_M.gguf", "gguf/model-Q8_0.gguf"]),
        (["onnx/model.onnx", "onnx/model.onnx_data"], ["onnx/model_fp16.onnx", "onnx/model_fp16.onnx_data", "onnx/model_q4f16.onnx"]),
        (["onnx/decoder_model.onnx", "onnx/encoder_model.onnx"], ["onnx/decoder_model_int8.onnx", "onnx/encoder_model_int8.onnx"]),
    ],
)
def test_the_preferred_copy(kept: list[str], copies: list[str]) -> None:
    others = ["config.json", "tokenizer.json", "model.safetensors.index.json"]
    assert _preferred(*others, *copies, *kept) == sorted([*others, *kept])
    [variant] = variants_of([*others, *copies, *kept], READABLE, name="m")
    assert f"left out {len(copies)} further copies" in variant.notes[0]


@pytest.mark.parametrize(
    "paths",
    [
        ["model.safetensors", "vocoder.pt", "voices/one.pt", "voices/two.pt"],
        ["model.safetensors", "adapter_model.safetensors"],
        ["model.safetensors", "2_Dense/model.safetensors", "3_Dense/pytorch_model.bin"],
    ],
)
def test_what_is_not_the_same_weights_is_kept(paths: list[str]) -> None:
    assert _preferred(*paths) == sorted(paths)


def test_the_preferred_copy_of_each_component() -> None:
    kept = ["unet/model.safetensors", "vae/model.fp16.safetensors", "text/pytorch_model.bin"]
    assert _preferred(*kept, "unet/model.bin", "text/model.onnx") == sorted(kept)


def test_a_format_that_cannot_be_read_never_displaces_one_that_can() -> None:
    assert _variants("model.safetensors", "pytorch_model.bin", readable=(".bin",)) == {"": ["pytorch_model.bin"]}
    assert _variants("model.safetensors", "tf_model.h5", readable=(".h5",)) == {"": ["tf_model.h5"]}


def test_the_bin_of_openvino_is_no_torch_file() -> None:
    with pytest.raises(NoWeightsError, match="openvino"):
        _variants("config.json", "openvino_model.bin", "openvino_model.xml")


def test_only_weights_that_nothing_reads_are_an_error_that_names_them() -> None:
    with pytest.raises(NoWeightsError) as caught:
        _variants("config.json", "flax_model.msgpack")
    assert str(caught.value) == (
        "m: no installed extractor reads its weights (flax_model.msgpack); install an extractor for flax or convert them to safetensors"
    )


def test_a_copy_with_a_missing_shard_is_left_out_and_said() -> None:
    [variant] = variants_of(["model-00001-of-00002.safetensors", "pytorch_model.bin"], READABLE, name="m")
    assert variant.paths == ("pytorch_model.bin",)
    assert variant.notes == ("left out model-00001-of-00002.safetensors: model-00002-of-00002.safetensors is missing; download it again",)


def test_missing_shards_of_the_only_copy_are_an_error() -> None:
    with pytest.raises(SourceUnreadableError, match=r"model-00001-of-00002.safetensors is missing"):
        _variants("model-00002-of-00002.safetensors")


@pytest.mark.parametrize("total", [2, 5, 99999])
def test_a_total_that_lies_costs_nothing(total: int) -> None:
    missing = missing_shards([f"x-00001-of-{total:05d}.gguf"])
    assert missing[0] == f"x-00002-of-{total:05d}.gguf"
    assert len(missing) <= 5


def test_shards_may_count_from_zero() -> None:
    assert missing_shards([f"x-0000{i}-of-00003.bin" for i in range(3)]) == []


# Variants.


def test_each_quantization_is_a_variant() -> None:
    split = ["big-Q8_0-00001-of-00002.gguf", "big-Q8_0-00002-of-00002.gguf"]
    assert _variants("README.md", "config.json", "small-Q4_K_M.gguf", "Q8_0/big-Q8_0.gguf", *split) == {
        "Q8_0/big-Q8_0": ["Q8_0/big-Q8_0.gguf", "README.md", "config.json"],
        "big-Q8_0": ["README.md", *split, "config.json"],
        "small-Q4_K_M": ["README.md", "config.json", "small-Q4_K_M.gguf"],
    }
    assert _variants("README.md", "a-Q4.gguf", *split) == {"a-Q4": ["README.md", "a-Q4.gguf"], "big-Q8_0": ["README.md", *split]}


def test_one_quantization_is_a_variant_too_so_that_its_name_stays() -> None:
    assert _variants("README.md", "a-Q4.gguf") == {"a-Q4": ["README.md", "a-Q4.gguf"]}


def test_a_quantization_with_a_missing_part_is_left_out_and_said() -> None:
    found = variants_of(["a-Q4.gguf", "a-Q8-00001-of-00002.gguf"], READABLE, name="m")
    assert [variant.label for variant in found] == ["a-Q4"]
    assert "a-Q8-00002-of-00002.gguf is missing" in found[0].notes[0]


def test_all_copies_each_with_the_other_files() -> None:
    paths = [
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "onnx/model.onnx",
        "onnx/model_fp16.onnx",
        "original/consolidated.00.pth",
    ]
    assert _variants(*paths, "flax_model.msgpack", weights="all") == {
        "": ["config.json", "model.safetensors"],
        "onnx": ["config.json", "onnx/model.onnx"],
        "onnx-fp16": ["config.json", "onnx/model_fp16.onnx"],
        "original": ["config.json", "original/consolidated.00.pth"],
        "torch": ["config.json", "pytorch_model.bin"],
    }


def test_a_variant_of_components_falls_back_to_the_best_copy() -> None:
    assert _variants("unet/m.safetensors", "unet/m.fp16.safetensors", "safety/m.safetensors", "unet/m.bin", weights="all") == {
        "": ["safety/m.safetensors", "unet/m.safetensors"],
        "safetensors-fp16": ["safety/m.safetensors", "unet/m.fp16.safetensors"],
        "torch": ["safety/m.safetensors", "unet/m.bin"],
    }


def test_quantizations_beside_the_weights_are_shown_by_all() -> None:
    assert list(_variants("model.safetensors", "x-Q4.gguf", "x-Q8.gguf")) == [""]
    assert list(_variants("model.safetensors", "x-Q4.gguf", "x-Q8.gguf", weights="all")) == ["", "x-Q4", "x-Q8"]


def test_single_files_of_a_pipeline_are_the_whole_model_again() -> None:
    paths = ["model_index.json", "unet/m.safetensors", "vae/m.safetensors", "v1-5-pruned.ckpt", "v1-5-pruned.safetensors"]
    assert _variants(*paths, pipeline=True) == {"": ["model_index.json", "unet/m.safetensors", "vae/m.safetensors"]}
    assert _variants(*paths, pipeline=True, weights="all") == {
        "": ["model_index.json", "unet/m.safetensors", "vae/m.safetensors"],
        "v1-5-pruned": ["model_index.json", "v1-5-pruned.safetensors"],
        "v1-5-pruned-torch": ["model_index.json", "v1-5-pruned.ckpt"],
    }


def test_a_collection_is_a_variant_each() -> None:
    paths = ["README.md", "large.pt", "large.safetensors", "small.pt"]
    assert _variants(*paths, collection=True) == {"large": ["README.md", "large.safetensors"], "small": ["README.md", "small.pt"]}
    assert list(_variants(*paths, collection=True, weights="all")) == ["large", "large-torch", "small"]
    assert _variants("README.md", "best.pt", collection=True) == {"": ["README.md", "best.pt"]}


_NAMES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "onnx/", "vae/", "original/", "gguf/", "a/b/"]),
    st.sampled_from(["model", "pytorch_model", "x", "consolidated", "openvino_model", "model-00001-of-00002", "model-00002-of-00002"]),
    st.sampled_from(["", ".fp16", "_fp16", "-non_ema"]),
    st.sampled_from([".safetensors", ".bin", ".gguf", ".onnx", ".onnx_data", ".json", ".md", ".h5", ".xml"]),
)


@given(paths=st.lists(_NAMES, unique=True, max_size=12), pipeline=st.booleans(), collection=st.booleans())
@example(paths=["model.safetensors", "model.gguf", "vae/model.safetensors"], pipeline=False, collection=True)
@example(paths=["model.safetensors", "model-00001-of-00002.safetensors"], pipeline=False, collection=False)
def test_every_variant_holds_every_other_file_and_some_weights(paths: list[str], pipeline: bool, collection: bool) -> None:
    others = {path for path in paths if weight_format(path) is None}
    try:
        few = variants_of(paths, READABLE, name="m", pipeline=pipeline, collection=collection)
        many = variants_of(paths, READABLE, name="m", weights="all", pipeline=pipeline, collection=collection)
    except (NoWeightsError, SourceUnreadableError):
        return
    assert {variant.paths for variant in few} <= {variant.paths for variant in many}
    assert {variant.label for variant in few} <= {variant.label for variant in many}
    assert len({variant.label for variant in many}) == len(many)
    for variant in many:
        assert others < set(variant.paths) <= set(paths)
        assert list(variant.paths) == sorted(set(variant.paths))
        kept = {(without_shard(path), n_shards(path)) for path in variant.paths}
        assert {path for path in paths if (without_shard(path), n_shards(path)) in kept} == set(variant.paths), "shards stay together"


def test_torch_files_of_one_stem_are_variants_of_their_own() -> None:
    found = _variants("config.json", "model.jit", "pytorch_model.bin", "model.pth.tar", "weights.jit", weights="all")
    assert found == {
        "": ["config.json", "pytorch_model.bin"],
        "torch-jit": ["config.json", "model.jit"],
        "torch-pth.tar": ["config.json", "model.pth.tar"],
        "torch-weights.jit": ["config.json", "weights.jit"],
    }
    # The complete copy, be it the less usual one.
    assert _preferred("config.json", "pytorch_model-00001-of-00002.bin", "model.jit") == ["config.json", "model.jit"]


def test_training_state_in_tar_named_files_holds_no_weights() -> None:
    assert weight_format("optimizer.pth.tar") is None
    assert weight_format("checkpoint.pth.tar") == "torch"
