"""Layers in forward order, and freezing the bottom of a network.

For the ResNets a layer is what the TrimCaching paper counts: every convolution, every batch-norm and every fully connected layer
is one, 41 in ResNet-18 and 73 in ResNet-34, in forward order with the shortcut last in its block. `named_modules()` of
transformers gives the shortcut *first*, so its order must not be used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

if TYPE_CHECKING:
    from transformers import ResNetForImageClassification


class Layer(NamedTuple):
    """One freezable layer: its name in the model's state dict, and the module."""

    name: str
    module: nn.Module


def resnet_layers(model: ResNetForImageClassification) -> list[Layer]:
    """The layers of a ResNet, from the input to the classifier, in the paper's order."""
    names = {module: name for name, module in model.named_modules()}
    return [Layer(names[module], module) for module in _resnet_modules(model)]


def _resnet_modules(model: ResNetForImageClassification) -> Iterator[nn.Module]:
    yield from _conv_and_norm(model.resnet.embedder.embedder)
    for block in residual_blocks(model):
        for part in block.layer:
            yield from _conv_and_norm(part)
        yield from _conv_and_norm(block.shortcut)
    yield model.classifier[-1]


def _conv_and_norm(part: nn.Module) -> Iterator[nn.Module]:
    """A convolution and its batch-norm; nothing for an identity shortcut."""
    if hasattr(part, "convolution"):
        yield part.convolution
        yield part.normalization


def residual_blocks(model: ResNetForImageClassification) -> list[nn.Module]:
    """The residual blocks of a ResNet in forward order: 8 in ResNet-18, 16 in ResNet-34."""
    return [block for stage in model.resnet.encoder.stages for block in stage.layers]


def freeze_bottom(layers: list[Layer], depth: int) -> None:
    """Freeze the first `depth` layers and leave the others trainable.

    A frozen layer gets no gradient *and* is put into eval(): in train() a batch-norm layer would go on updating its running
    statistics, and these buffers would no longer equal the base's.
    """
    for position, layer in enumerate(layers):
        frozen = position < depth
        layer.module.requires_grad_(not frozen)
        layer.module.train(not frozen)


def tensor_names(model: nn.Module, layers: list[Layer]) -> list[str]:
    """Names in the model's state dict of all parameters and buffers of some layers, sorted."""
    prefixes = tuple(layer.name + "." for layer in layers)
    return sorted(name for name in model.state_dict() if name.startswith(prefixes))
