"""Libraries of one kind of fine-tune: adapters of language models, image classifiers with frozen bottoms."""

from __future__ import annotations

from functools import cache

import numpy as np

from trimcache.synthesis import regimes
from trimcache.synthesis.adapters import LoraSpec, default_targets, targeted
from trimcache.synthesis.architectures import Architecture
from trimcache.synthesis.lineage import Forest
from trimcache.synthesis.options import Options, depth_range, possible_ranks, usual_shape
from trimcache.synthesis.regimes import Shape

# Assumption: the bases that llm-lora adapts; ranks are the powers of two around peft's default of 8; one adapter in ten is merged.
LLM_BASES = ("llama-2-7b", "llama-3-8b", "mistral-7b", "qwen2.5-7b")
LORA_RANKS = (4, 8, 16, 32, 64)
LORA_RANK_SHARES = (0.05, 0.3, 0.35, 0.2, 0.1)
MERGED_SHARE = 0.1


def llm_lora(n: int, rng: np.random.Generator, options: Options) -> Forest:
    """Bases, and adapters of them, a few merged."""
    forest = Forest()
    archs = options.find(LLM_BASES)[:n]
    bases = [regimes.base(forest, arch, usual_shape(arch), f"{arch.name}/{arch.name}-base") for arch in archs]
    ranks = [possible_ranks(arch, options, LORA_RANKS) for arch in archs]
    for i in range(n - len(bases)):
        which = int(rng.integers(len(archs)))
        arch = archs[which]
        chosen = _chosen_rank(ranks[which], rng)
        # Assumption: half of the adapters target peft's defaults, half all linear maps of the blocks.
        targets = default_targets(arch) if rng.random() < 0.5 else arch.linear
        spec = LoraSpec(min(chosen, _widest(arch, targets)), targets)
        merging = rng.random() < MERGED_SHARE
        name = f"{arch.name}/{i:06d}"
        node = regimes.lora(forest, bases[which], arch, spec, f"{name}-lora-r{spec.rank}", listed=not merging)
        if merging:
            regimes.merged(forest, node, arch, spec, usual_shape(arch), f"{name}-merged-r{spec.rank}")
    return forest


def _chosen_rank(ranks: tuple[int, ...], rng: np.random.Generator) -> int:
    shares = LORA_RANK_SHARES if ranks == LORA_RANKS else None
    return int(rng.choice(ranks, p=shares))


@cache
def _widest(arch: Architecture, targets: tuple[str, ...]) -> int:
    return min(min(tensor.shape) for tensor in targeted(arch, LoraSpec(1, targets)))


# Assumption: the backbones of vision-frozen. Numbers of classes are those of public data sets: CIFAR-10 (10), CIFAR-100 (100),
# Oxford-IIIT Pet (37), Flowers-102 (102), Food-101 (101), EuroSAT (10).
VISION_BASES = ("resnet-18", "resnet-34", "resnet-50", "resnet-101", "mobilenet-v2", "convnext-tiny", "vit-base")
VISION_LABELS = (10, 100, 37, 102, 101)


def vision_frozen(n: int, rng: np.random.Generator, options: Options) -> Forest:
    """Bases, and classifiers for other labels with frozen bottoms."""
    forest = Forest()
    archs = options.find(VISION_BASES)[:n]
    bases = [regimes.base(forest, arch, Shape(), f"{arch.name}/{arch.name}-base") for arch in archs]
    # Assumption: at least half of the layers stay frozen, uniformly; a quarter of the models train the head alone.
    ranges = [depth_range(arch, options, (arch.layers // 2, arch.layers - 1)) for arch in archs]
    for i in range(n - len(bases)):
        which = int(rng.integers(len(archs)))
        low, high = ranges[which]
        depth = high if rng.random() < 0.25 else int(rng.integers(low, high + 1))
        shape = Shape(labels=int(rng.choice(VISION_LABELS)))
        regimes.frozen(forest, bases[which], archs[which], shape, depth, f"{archs[which].name}/{i:06d}-frozen-{depth}")
    return forest
