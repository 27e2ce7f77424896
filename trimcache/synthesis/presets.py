"""Whole libraries by name. Every number carries its source or the word *assumption*.

paper-special   fine-tunes of ResNet-18/34/50 from one pretrained network each, bottom layers frozen
paper-general   two rounds of fine-tuning, so that a shared prefix can belong to one branch only
llm-lora        LoRA adapters, and some merged ones, beside a few large language models
vision-frozen   image classifiers with frozen bottoms
hub-mixed       everything at once, in families of heavy-tailed sizes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from trimcache.errors import UsageError
from trimcache.synthesis.architectures import nearest
from trimcache.synthesis.hub_library import hub_mixed
from trimcache.synthesis.lineage import Forest
from trimcache.synthesis.one_kind_libraries import llm_lora, vision_frozen
from trimcache.synthesis.options import Options
from trimcache.synthesis.paper_libraries import paper_general, paper_special


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


PRESETS: Mapping[str, Preset] = {
    one.name: one
    for one in (
        # Exponent 0.8: assumption, the same as the network preset `paper`.
        Preset("paper-special", "ResNets with frozen bottoms, one pretrained network each", "zipf:0.8", paper_special),
        Preset("paper-general", "ResNets fine-tuned in two rounds", "zipf:0.8", paper_general),
        # The laws of the other presets are assumptions.
        Preset("llm-lora", "adapters beside large language models", "zipf:1.0", llm_lora),
        Preset("vision-frozen", "image classifiers with frozen bottoms", "zipf:0.8", vision_frozen),
        Preset("hub-mixed", "families of every kind and of heavy-tailed sizes", "zipf-mandelbrot:1.0,10", hub_mixed),
    )
}
