"""The paper's libraries as graphs: fine-tunes of ResNet-18/34/50 with 100-class heads, sizes computed from the architectures."""

from __future__ import annotations

import numpy as np

from trimcache.graph import ModelBlockGraph

_WIDTHS = (64, 128, 256, 512)
_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
FROZEN = {"resnet18": (29, 40), "resnet34": (49, 72), "resnet50": (87, 106)}
STATE_BYTES = {"resnet18": 44_949_808, "resnet34": 85_412_272, "resnet50": 95_064_632}


def layer_bytes(name: str, n_classes: int = 100) -> list[int]:
    """Bytes of each conv, batch-norm and fully connected layer in forward order, the shortcut last in its block."""

    def conv(n_in: int, n_out: int, side: int) -> list[int]:
        return [4 * n_in * n_out * side * side, 4 * 4 * n_out + 8]  # with its batch norm: four vectors and a counter

    layers = conv(3, 64, 7)
    wide = 4 if name == "resnet50" else 1
    n_in = 64
    for width, n_blocks in zip(_WIDTHS, _BLOCKS[name], strict=True):
        for block in range(n_blocks):
            if wide == 4:
                layers += conv(n_in, width, 1) + conv(width, width, 3) + conv(width, 4 * width, 1)
            else:
                layers += conv(n_in, width, 3) + conv(width, width, 3)
            if block == 0 and (width > 64 or wide == 4):
                layers += conv(n_in, wide * width, 1)
            n_in = wide * width
    return [*layers, 4 * (n_in * n_classes + n_classes)]


def paper_special(n_models: int = 30, seed: int = 0, per_backbone: int = 100) -> ModelBlockGraph:
    """``n_models`` drawn from ``per_backbone`` fine-tunes of each backbone, bottoms frozen; the bases are not among them."""
    rng = np.random.default_rng([seed, 1])
    whole = {}
    for name, (low, high) in FROZEN.items():
        layers = layer_bytes(name)
        for n, depth in enumerate(np.random.default_rng([0, len(name), low]).integers(low, high + 1, per_backbone).tolist()):
            model = f"{name}-{n}"
            whole[model] = [(f"{name}/{j}" if j < depth else f"{model}/{j}", size) for j, size in enumerate(layers)]
    return _drawn(whole, n_models, rng)


def paper_general(n_models: int = 30, seed: int = 0, per_backbone: int = 100, n_first: int = 5) -> ModelBlockGraph:
    """Two rounds: ``n_first`` full fine-tunes a backbone on super-classes, then models that freeze the bottom of one of those."""
    rng = np.random.default_rng([seed, 2])
    draw = np.random.default_rng(7)
    whole = {}
    for name, (low, high) in FROZEN.items():
        layers = layer_bytes(name)
        for n in range(per_backbone):
            branch, depth = int(draw.integers(n_first)), int(draw.integers(low, high + 1))
            model = f"{name}-{n}"
            owner = [f"{name}+{branch}" if j < depth else model for j in range(len(layers))]
            whole[model] = [(f"{who}/{j}", size) for j, (who, size) in enumerate(zip(owner, layers, strict=True))]
    return _drawn(whole, n_models, rng)


def _drawn(whole: dict[str, list[tuple[str, int]]], n_models: int, rng: np.random.Generator) -> ModelBlockGraph:
    names = list(whole)
    chosen = names if n_models >= len(names) else [names[i] for i in sorted(rng.choice(len(names), n_models, replace=False))]
    sizes = {block: size for model in chosen for block, size in whole[model]}
    return ModelBlockGraph.from_blocks({model: [block for block, _ in whole[model]] for model in chosen}, sizes)
