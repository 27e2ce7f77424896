"""What is one part, what it is called, and which files belong to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import safetensors_bytes, tensors_of, write_adapter, write_model

from trimcache.sources.parts import PartSpec
from trimcache.sources.resolve import Resolution, rename_clashes, resolve

WEIGHTS = tensors_of(a=1)


def _resolve(*sources: Path | str, **filters: list[str]) -> Resolution:
    resolution = resolve([str(source) for source in sources], **filters)
    assert len({part.uri for part in resolution.parts}) == len(resolution.parts)
    return resolution


def _named(resolution: Resolution) -> dict[str, list[str]]:
    assert resolution.errors == []
    return {part.name: [file.path for file in part.files] for part in resolution.parts}


def test_a_model_folder_is_one_part_with_everything_serving_needs(tmp_path: Path) -> None:
    write_model(tmp_path / "zoo" / "org" / "m", WEIGHTS, tokenizer_json="{}", LICENSE="free")
    assert _named(_resolve(tmp_path / "zoo")) == {"org/m": ["LICENSE", "config.json", "model.safetensors", "tokenizer.json"]}
    assert list(_named(_resolve(tmp_path / "zoo" / "org" / "m"))) == ["m"]


def test_a_lone_weight_file_is_its_own_part(tmp_path: Path) -> None:
    for name in ("one.safetensors", "two.SafeTensors", "notes.txt"):
        (tmp_path / name).write_bytes(safetensors_bytes(WEIGHTS))
    assert _named(_resolve(tmp_path)) == {"one.safetensors": ["one.safetensors"], "two.SafeTensors": ["two.SafeTensors"]}
    assert _named(_resolve(tmp_path / "one.safetensors")) == {"one.safetensors": ["one.safetensors"]}


def test_a_shard_index_makes_a_folder_one_part(tmp_path: Path) -> None:
    for i in (1, 2):
        (tmp_path / f"model-{i:05}-of-00002.safetensors").write_bytes(safetensors_bytes(tensors_of(**{f"layer{i}": i})))
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    [part] = _resolve(tmp_path).parts
    assert len(part.files) == 3


@pytest.mark.parametrize("marker", ["config.json", "model_index.json", "adapter_config.json"])
def test_a_marker_without_weights_is_no_part(tmp_path: Path, marker: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / marker).write_text("{}")
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes(WEIGHTS))
    assert list(_named(_resolve(tmp_path))) == ["x.safetensors"]


def test_nested_adapters_and_checkpoints_are_parts_of_their_own(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", WEIGHTS)
    write_adapter(model / "lora", "m", tensors_of(lora_A=2))
    write_model(model / "checkpoint-500", tensors_of(a=3))
    (model / "checkpoint-500" / "optimizer.pt").write_bytes(b"state")
    assert _named(_resolve(tmp_path)) == {
        "m": ["config.json", "model.safetensors"],
        "m/checkpoint-500": ["config.json", "model.safetensors"],
        "m/lora": ["adapter_config.json", "adapter_model.safetensors"],
    }


def test_a_composed_model_is_one_part_its_adapter_another(tmp_path: Path) -> None:
    write_model(tmp_path / "pipe" / "unet", WEIGHTS)
    write_model(tmp_path / "pipe" / "vae", tensors_of(b=2))
    (tmp_path / "pipe" / "model_index.json").write_text("{}")
    write_adapter(tmp_path / "pipe" / "lora", "pipe", tensors_of(lora_A=2))
    named = _named(_resolve(tmp_path))
    assert list(named) == ["pipe", "pipe/lora"]
    assert {"unet/model.safetensors", "vae/model.safetensors", "vae/config.json"} <= set(named["pipe"])


def test_copies_of_the_same_weights_are_left_out_and_said(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", WEIGHTS)
    for copy in ("pytorch_model.bin", "model.onnx", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "onnx/model_fp16.onnx"):
        (model / copy).parent.mkdir(exist_ok=True)
        (model / copy).write_bytes(b"copy")
    (model / "onnx" / "config.json").write_text("{}")
    [part] = _resolve(tmp_path).parts
    assert [file.path for file in part.files] == ["config.json", "model.safetensors", "onnx/config.json"]
    assert any("left out 6 further copies" in note for note in part.notes)


def test_training_state_is_left_out_and_said(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", WEIGHTS)
    for state in (
        "optimizer.pt",
        "scheduler.pt",
        "rng_state_0.pth",
        "training_args.bin",
        "optimizer.safetensors",
        "runs/events.out.tfevents.1",
    ):
        (model / state).parent.mkdir(exist_ok=True)
        (model / state).write_bytes(b"state")
    [part] = _resolve(tmp_path).parts
    assert [file.path for file in part.files] == ["config.json", "model.safetensors"]
    assert any("6 files of training state" in note for note in part.notes)


def test_hidden_files_and_caches_are_not_looked_at(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m", WEIGHTS)
    for hidden in (".git/objects/x.safetensors", ".cache/y.safetensors", "__pycache__/z.safetensors", ".DS_Store"):
        (model / hidden).parent.mkdir(parents=True, exist_ok=True)
        (model / hidden).write_bytes(b"not weights")
    assert _named(_resolve(tmp_path)) == {"m": ["config.json", "model.safetensors"]}


def test_include_then_exclude(tmp_path: Path) -> None:
    for name in ("org/a", "org/b", "other/a"):
        write_model(tmp_path / name, WEIGHTS)
    assert list(_named(_resolve(tmp_path, include=["org/*"]))) == ["org/a", "org/b"]
    assert list(_named(_resolve(tmp_path, exclude=["*/a"]))) == ["org/b"]
    assert list(_named(_resolve(tmp_path, include=["*/a"], exclude=["other/*"]))) == ["org/a"]
    assert list(_named(_resolve(tmp_path, include=["A"]))) == []


def test_overlapping_sources_give_each_part_once(tmp_path: Path) -> None:
    write_model(tmp_path / "org" / "m", WEIGHTS)
    resolution = _resolve(tmp_path, tmp_path / "org", tmp_path / "org" / "m", tmp_path / "org" / ".." / "org")
    assert [part.name for part in resolution.parts] == ["org/m"]


def test_clashing_names_get_a_suffix_and_keep_it(tmp_path: Path) -> None:
    for place in ("one", "two", "three"):
        write_model(tmp_path / place / "m", WEIGHTS)
    parts = _resolve(*(tmp_path / place for place in ("one", "two", "three"))).parts
    named = rename_clashes(parts, {})
    assert [part.name for part in named] == ["m", "m~2", "m~3"]
    later = rename_clashes(list(reversed(parts)), {part.uri: part.name for part in named})
    assert {part.uri: part.name for part in later} == {part.uri: part.name for part in named}


def test_a_suffix_never_meets_a_real_name() -> None:
    parts = [PartSpec(f"file:///{i}", name, "file:///", ()) for i, name in enumerate(["m", "m~2", "m", "m"])]
    names = [part.name for part in rename_clashes(parts, {})]
    assert len(set(names)) == 4
    assert names[:2] == ["m", "m~2"]


def test_parts_come_in_one_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write_model(tmp_path / name, WEIGHTS)
    assert [part.name for part in _resolve(tmp_path).parts] == ["a", "b", "c"]
