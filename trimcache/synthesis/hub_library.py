"""A whole hub: families of every kind, of heavy-tailed sizes. All shares here are assumptions; only shapes and bytes are facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trimcache.synthesis import regimes
from trimcache.synthesis.adapters import LoraSpec, default_targets
from trimcache.synthesis.architectures import Architecture, load_architectures
from trimcache.synthesis.gguf_files import convertible
from trimcache.synthesis.lineage import Forest
from trimcache.synthesis.one_kind_libraries import LORA_RANK_SHARES, LORA_RANKS
from trimcache.synthesis.options import Options, depth_range, possible_ranks, usual_shape

# Assumption: n models form about n ** 0.6 families (1,000 of 100,000), whose sizes follow Zipf's law with exponent 1.1: the largest
# then holds about a sixth of all models.
FAMILY_GROWTH, FAMILY_EXPONENT = 0.6, 1.1
# Assumption: one child in five descends from another child instead of the family's base.
SECOND_ROUND_SHARE = 0.2
# Assumption: kinds of family, and what becomes of their bases.
KINDS = {"decoder": 0.4, "encoder": 0.3, "vision": 0.15, "other": 0.15}
REGIMES = {
    "decoder": {"full": 0.25, "lora": 0.35, "merged": 0.08, "gguf": 0.2, "cast": 0.04, "resized": 0.03, "copy": 0.05},
    "encoder": {"full": 0.7, "frozen": 0.15, "head": 0.07, "cast": 0.03, "copy": 0.05},
    "vision": {"full": 0.5, "frozen": 0.3, "head": 0.15, "copy": 0.05},
    "other": {"full": 0.7, "lora": 0.2, "cast": 0.05, "copy": 0.05},
}
MIXTURES = {"Q4_K_M": 0.4, "Q8_0": 0.2, "Q5_K_M": 0.15, "Q6_K": 0.1, "Q4_0": 0.1, "F16": 0.05}
LABELS = (2, 2, 2, 3, 4, 5, 10, 20)  # binary tasks are the commonest
ADDED_TOKENS = (1, 2, 8, 64)
_CASTS = {"float32": "float16", "bfloat16": "float16", "float16": "bfloat16"}


def kind_of_family(arch: Architecture) -> str:
    """Which of ``KINDS`` an architecture is."""
    if convertible(arch):
        return "decoder"
    if arch.labels is not None and arch.vocab is None:
        return "vision"
    return "encoder" if arch.generation_config is None else "other"


@dataclass
class _Family:
    """One tree being grown: ``parents`` are nodes that others may descend from, with their shapes."""

    base_arch: Architecture
    child_arch: Architecture
    kind: str
    parents: list[tuple[int, Architecture, regimes.Shape]] = field(default_factory=list)
    everybody: list[int] = field(default_factory=list)


def hub_mixed(n: int, rng: np.random.Generator, options: Options) -> Forest:
    """``n`` listed models."""
    known = {**load_architectures(), **(load_architectures(options.architectures) if options.architectures else {})}
    roots = options.find([name for name in known if not name.endswith("-classifier")])
    by_kind: dict[str, list[Architecture]] = {}
    for arch in roots:
        by_kind.setdefault(kind_of_family(arch), []).append(arch)
    shares = np.array([KINDS[kind] for kind in by_kind])
    sizes = family_sizes(n, rng)
    kinds = rng.choice(list(by_kind), size=len(sizes), p=shares / shares.sum())
    forest = Forest()
    for number, (size, kind) in enumerate(zip(sizes, kinds, strict=True)):
        arch = by_kind[kind][int(rng.integers(len(by_kind[kind])))]
        family = _Family(arch, known.get(f"{arch.name}-classifier", arch), str(kind))
        _grow(forest, family, f"f{number:05d}", int(size), rng, options)
    return forest


def family_sizes(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Sizes of families, at least 1, adding up to ``n``, largest first."""
    count = max(1, min(n, round(n**FAMILY_GROWTH)))
    weights = np.arange(1, count + 1, dtype=np.float64) ** -FAMILY_EXPONENT
    return 1 + np.sort(rng.multinomial(n - count, weights / weights.sum()))[::-1]


def _grow(forest: Forest, family: _Family, tag: str, size: int, rng: np.random.Generator, options: Options) -> None:
    arch = family.base_arch
    shape = usual_shape(arch)
    root = regimes.base(forest, arch, shape, f"{tag}/{arch.name}-{tag}")
    family.parents.append((root, arch, shape))
    family.everybody.append(root)
    mix = REGIMES[family.kind]
    names, shares = list(mix), np.array(list(mix.values()))
    drawn = rng.choice(len(names), size=size - 1, p=shares / shares.sum())
    again = rng.random(size - 1) < SECOND_ROUND_SHARE
    for number in range(size - 1):
        regime = names[drawn[number]]
        parent = family.parents[int(rng.integers(len(family.parents))) if again[number] else 0]
        _add(forest, family, regime, parent, f"{tag}/{number:06d}-{regime}", rng, options)


def _add(
    forest: Forest,
    family: _Family,
    regime: str,
    parent: tuple[int, Architecture, regimes.Shape],
    name: str,
    rng: np.random.Generator,
    options: Options,
) -> None:
    node, arch, shape = parent
    if regime in ("full", "frozen", "head"):
        arch = family.child_arch
        labels = int(LABELS[rng.integers(len(LABELS))]) if arch.head_slots else None
        shape = usual_shape(arch, labels=labels) if shape.vocab is None else replace(shape, labels=labels)
        if regime == "full":
            made = regimes.full(forest, node, arch, shape, name)
        elif regime == "frozen":
            low, high = depth_range(arch, options, (1, arch.layers - 1))
            made = regimes.frozen(forest, node, arch, shape, int(rng.integers(low, high + 1)), name)
        else:
            made = regimes.head(forest, node, arch, shape, name)
        family.parents.append((made, arch, shape))
    elif regime == "lora":
        made = regimes.lora(forest, node, arch, _lora_spec(arch, rng, options), name)
    elif regime == "merged":
        spec = _lora_spec(arch, rng, options)
        hidden = regimes.lora(forest, node, arch, spec, f"{name}-unpublished", listed=False)
        made = regimes.merged(forest, hidden, arch, spec, shape, name)
        family.parents.append((made, arch, shape))
    elif regime == "gguf":
        mixture = str(rng.choice(list(MIXTURES), p=list(MIXTURES.values())))
        made = regimes.gguf(forest, node, arch, mixture, name)
    elif regime == "resized":
        more = int(ADDED_TOKENS[rng.integers(len(ADDED_TOKENS))])
        shape = replace(shape, vocab=(shape.vocab or arch.vocab or 0) + more)
        made = regimes.resized(forest, node, arch, shape, name)
        family.parents.append((made, arch, shape))
    elif regime == "cast":
        made = regimes.cast(forest, node, arch, replace(shape, dtype=_CASTS[shape.dtype or arch.dtype]), name)
    else:
        made = regimes.copy(forest, family.everybody[int(rng.integers(len(family.everybody)))], name)
    family.everybody.append(made)


def _lora_spec(arch: Architecture, rng: np.random.Generator, options: Options) -> LoraSpec:
    ranks = possible_ranks(arch, options, LORA_RANKS)
    shares = LORA_RANK_SHARES if ranks == LORA_RANKS else None
    targets = default_targets(arch)
    return LoraSpec(int(rng.choice(ranks, p=shares)), targets)
