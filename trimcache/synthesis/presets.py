"""Whole libraries by name. Every number carries its source or the word *assumption*.

    paper-special   fine-tunes of ResNet-18/34/50 from one pretrained network each, bottom layers frozen
    paper-general   two rounds of fine-tuning, so that a shared prefix can belong to one branch only
    llm-lora        LoRA adapters, and some merged ones, beside a few large language models
    vision-frozen   image classifiers with frozen bottoms
    hub-mixed       everything at once, in families of heavy-tailed sizes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trimcache.errors import UsageError
from trimcache.synthesis import regimes
from trimcache.synthesis.adapters import LoraSpec, default_targets, targeted
from trimcache.synthesis.architectures import Architecture, architecture, load_architectures, nearest
from trimcache.synthesis.gguf_files import MIXTURES, convertible
from trimcache.synthesis.lineage import Forest
from trimcache.synthesis.regimes import Shape

# Freeze ranges of the paper's special case (PAPER section 3): 29-40 of 41, 49-72 of 73, 87-106 of 107 layers.
PAPER_DEPTHS = {"resnet-18": (29, 40), "resnet-34": (49, 72), "resnet-50": (87, 106)}
PAPER_LABELS = 100  # PAPER section 3
# PAPER section 3: "about 100 models a backbone, 300 in all; I are drawn from them". Round one is "a few super-classes"; five a
# backbone is an assumption.
PAPER_SUPERCLASSES = 5
# Bytes of tokenizer.json a token. 23.3 is what the MiniLM of the demo measures (711,661 bytes, 30,522 tokens); 50 for byte-pair
# vocabularies of decoders is an assumption.
WORDPIECE_TOKEN_NBYTES, BPE_TOKEN_NBYTES = 23.3, 50.0


@dataclass(frozen=True)
class Options:
    """What a user may change of a preset.

    Attributes:
        bases: architectures instead of the preset's.
        depths: smallest and largest number of frozen layers instead of the preset's.
        ranks: of LoRA adapters instead of the preset's.
        architectures: a data file with more architectures.
    """

    bases: tuple[str, ...] = ()
    depths: tuple[int, int] | None = None
    ranks: tuple[int, ...] = ()
    architectures: Path | None = None

    def find(self, names: Sequence[str]) -> list[Architecture]:
        """The architectures to start from, ``names`` unless the user gave others."""
        return [architecture(name, self.architectures) for name in self.bases or names]


@dataclass(frozen=True)
class Preset:
    """A library to be generated: ``build(n, rng, options)`` gives a forest with ``n`` listed models."""

    name: str
    summary: str
    popularity: str
    build: Callable[[int, np.random.Generator, Options], Forest] = field(repr=False)


def preset(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        UsageError: there is none; the nearest names are offered.
    """
    if name not in PRESETS:
        raise UsageError(f"preset {name!r}", "is not known", nearest(name, PRESETS))
    return PRESETS[name]


def build(name: str, n_models: int, seed: int, options: Options | None = None) -> Forest:
    """The forest of a preset with exactly ``n_models`` listed models.

    Raises:
        UsageError: no such preset or architecture, no models, an impossible depth or rank.
    """
    chosen = preset(name)
    if n_models < 1:
        raise UsageError(f"{n_models} models", "is no library", "ask for at least 1 with --models")
    forest = chosen.build(n_models, np.random.default_rng([seed, n_models]), options or Options())
    assert forest.n_listed == n_models
    return forest


def _depths(arch: Architecture, options: Options, usual: tuple[int, int]) -> tuple[int, int]:
    low, high = options.depths or usual
    for depth in (low, high):
        regimes.check_depth(arch, depth)
    if low > high:
        raise UsageError(f"depths {low}-{high}", "are the wrong way round", f"write {high}-{low}")
    return low, high


def _ranks(arch: Architecture, options: Options, usual: tuple[int, ...]) -> tuple[int, ...]:
    ranks = options.ranks or usual
    for rank in ranks:
        targeted(arch, LoraSpec(rank, default_targets(arch)))
    return ranks


def _paper_special(n: int, rng: np.random.Generator, options: Options) -> Forest:
    forest = Forest()
    archs = options.find(tuple(PAPER_DEPTHS))
    shape = Shape(labels=PAPER_LABELS)
    roots = [regimes.base(forest, arch, shape, f"{arch.name}/pretrained", listed=False) for arch in archs]
    ranges = [_depths(arch, options, PAPER_DEPTHS.get(arch.name, (arch.layers * 7 // 10, arch.layers - 1))) for arch in archs]
    for i in range(n):
        which = i % len(archs)
        low, high = ranges[which]
        depth = int(rng.integers(low, high + 1))
        regimes.frozen(forest, roots[which], archs[which], shape, depth, f"{archs[which].name}/{i:06d}-frozen-{depth}")
    return forest


def _paper_general(n: int, rng: np.random.Generator, options: Options) -> Forest:
    forest = Forest()
    archs = options.find(tuple(PAPER_DEPTHS))
    shape = Shape(labels=PAPER_LABELS)
    ranges = [_depths(arch, options, PAPER_DEPTHS.get(arch.name, (arch.layers * 7 // 10, arch.layers - 1))) for arch in archs]
    rounds: list[list[int]] = []
    for arch in archs:
        root = regimes.base(forest, arch, shape, f"{arch.name}/pretrained", listed=False)
        # Round one trains the whole network (PAPER section 3 says "fine-tunes"; that nothing is frozen is an assumption).
        rounds.append(
            [regimes.frozen(forest, root, arch, shape, 0, f"{arch.name}/superclass-{k}", listed=False) for k in range(PAPER_SUPERCLASSES)]
        )
    for i in range(n):
        which = i % len(archs)
        low, high = ranges[which]
        depth, branch = int(rng.integers(low, high + 1)), int(rng.integers(PAPER_SUPERCLASSES))
        name = f"{archs[which].name}/{i:06d}-superclass-{branch}-frozen-{depth}"
        regimes.frozen(forest, rounds[which][branch], archs[which], shape, depth, name)
    return forest


def _shape(arch: Architecture, *, labels: int | None = None, dtype: str | None = None, extra_tokens: int = 0) -> Shape:
    per_token = WORDPIECE_TOKEN_NBYTES if arch.dtype == "float32" else BPE_TOKEN_NBYTES
    tokenizer = int(per_token * (arch.vocab or 0))
    vocab = arch.vocab + extra_tokens if arch.vocab and extra_tokens else None
    return Shape(labels=labels, vocab=vocab, dtype=dtype, tokenizer_nbytes=tokenizer)


# Assumption: the bases that llm-lora adapts; ranks are the powers of two around peft's default of 8; one adapter in ten is merged.
LLM_BASES = ("llama-2-7b", "llama-3-8b", "mistral-7b", "qwen2.5-7b")
LORA_RANKS = (4, 8, 16, 32, 64)
LORA_RANK_SHARES = (0.05, 0.3, 0.35, 0.2, 0.1)
MERGED_SHARE = 0.1


def _llm_lora(n: int, rng: np.random.Generator, options: Options) -> Forest:
    forest = Forest()
    archs = options.find(LLM_BASES)[:n]
    bases = [regimes.base(forest, arch, _shape(arch), f"{arch.name}/{arch.name}-base") for arch in archs]
    ranks = [_ranks(arch, options, LORA_RANKS) for arch in archs]
    for i in range(n - len(bases)):
        which = int(rng.integers(len(archs)))
        arch = archs[which]
        chosen = _chosen_rank(ranks[which], rng)
        # Assumption: half of the adapters target peft's defaults, half all linear maps of the blocks.
        targets = default_targets(arch) if rng.random() < 0.5 else arch.linear
        spec = LoraSpec(min(chosen, _widest(arch, targets)), targets)
        merging = rng.random() < MERGED_SHARE
        if merging:
            writer = forest.write_id(arch.trunk, [])
            hidden = forest.add(f"{arch.name}/{i:06d}-unpublished", bases[which], forest.layout[bases[which]], writer,
                                architecture=arch.model_class, regime="lora", listed=False)  # fmt: skip
            regimes.merged(forest, hidden, arch, spec, _shape(arch), f"{arch.name}/{i:06d}-merged-r{spec.rank}")
        else:
            regimes.lora(forest, bases[which], arch, spec, f"{arch.name}/{i:06d}-lora-r{spec.rank}")
    return forest


def _chosen_rank(ranks: tuple[int, ...], rng: np.random.Generator) -> int:
    shares = LORA_RANK_SHARES if ranks == LORA_RANKS else None
    return int(rng.choice(ranks, p=shares))


def _widest(arch: Architecture, targets: tuple[str, ...]) -> int:
    return min(min(tensor.shape) for tensor in targeted(arch, LoraSpec(1, targets)))


# Assumption: the backbones of vision-frozen. Numbers of classes are those of public data sets: CIFAR-10 (10), CIFAR-100 (100),
# Oxford-IIIT Pet (37), Flowers-102 (102), Food-101 (101), EuroSAT (10).
VISION_BASES = ("resnet-18", "resnet-34", "resnet-50", "resnet-101", "mobilenet-v2", "convnext-tiny", "vit-base")
VISION_LABELS = (10, 100, 37, 102, 101)


def _vision_frozen(n: int, rng: np.random.Generator, options: Options) -> Forest:
    forest = Forest()
    archs = options.find(VISION_BASES)[:n]
    bases = [regimes.base(forest, arch, Shape(), f"{arch.name}/{arch.name}-base") for arch in archs]
    # Assumption: at least half of the layers stay frozen, uniformly; a quarter of the models train the head alone.
    ranges = [_depths(arch, options, (arch.layers // 2, arch.layers - 1)) for arch in archs]
    for i in range(n - len(bases)):
        which = int(rng.integers(len(archs)))
        low, high = ranges[which]
        depth = high if rng.random() < 0.25 else int(rng.integers(low, high + 1))
        shape = Shape(labels=int(rng.choice(VISION_LABELS)))
        regimes.frozen(forest, bases[which], archs[which], shape, depth, f"{archs[which].name}/{i:06d}-frozen-{depth}")
    return forest


from trimcache.synthesis.hub import hub_mixed  # noqa: E402  (it uses the helpers above)

PRESETS: Mapping[str, Preset] = {
    one.name: one
    for one in (
        # Exponent 0.8: PAPER section 3 (an assumption there).
        Preset("paper-special", "ResNets with frozen bottoms, one pretrained network each", "zipf:0.8", _paper_special),
        Preset("paper-general", "ResNets fine-tuned in two rounds", "zipf:0.8", _paper_general),
        # The laws of the other presets are assumptions.
        Preset("llm-lora", "adapters beside large language models", "zipf:1.0", _llm_lora),
        Preset("vision-frozen", "image classifiers with frozen bottoms", "zipf:0.8", _vision_frozen),
        Preset("hub-mixed", "families of every kind and of heavy-tailed sizes", "zipf-mandelbrot:1.0,10", hub_mixed),
    )
}
_ = (MIXTURES, convertible, load_architectures)
