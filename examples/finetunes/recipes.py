"""What is built: every model of the demo on one line.

Nothing here imports torch, so a run that finds everything built ends at once. The order is the build order: a parent stands
before its children.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["base", "frozen", "full", "lora", "merged"]

# Raised whenever a recipe's training changes: finished models of an older number are built again.
RECIPE_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """One model to build.

    path: its folder below the output folder, `family/name`.
    kind: `base`; `frozen` (bottom frozen, the rest trained); `full` (everything trained); `lora` (adapter); `merged` (adapter
        added into a copy of the base's weights).
    task: a name in tasks.py, or for bases what they learn.
    parent: the base it starts from. adapter: for `merged`, the adapter that was merged.
    frozen_layers: how many layers, counted from the input, stay as in the parent (see `layer_unit` in the manifest).
    """

    path: str
    kind: Kind
    task: str
    parent: str | None = None
    adapter: str | None = None
    frozen_layers: int | None = None

    @property
    def family(self) -> str:
        return self.path.split("/")[0]

    @property
    def name(self) -> str:
        return self.path.split("/")[1]

    @property
    def needs(self) -> tuple[str, ...]:
        """The models that must be finished first."""
        return tuple(path for path in (self.parent, self.adapter) if path)


FAMILIES = ("resnet18", "resnet34", "minilm", "decoder")

# The depths span the paper's ranges, 29-40 of 41 layers and 49-72 of 73; 40 and 72 train nothing but the head.
# Some lie inside a residual block on purpose: a freeze that ends between a convolution and its batch-norm is the hard case.
RECIPES: tuple[Recipe, ...] = (
    Recipe("resnet18/base", "base", "digits"),
    Recipe("resnet18/parity-rotated", "frozen", "parity-rotated", "resnet18/base", frozen_layers=29),
    Recipe("resnet18/five-up-inverted", "frozen", "five-up-inverted", "resnet18/base", frozen_layers=33),
    Recipe("resnet18/prime-noisy", "frozen", "prime-noisy", "resnet18/base", frozen_layers=38),
    Recipe("resnet18/holes-flipped", "frozen", "holes-flipped", "resnet18/base", frozen_layers=40),
    Recipe("resnet34/base", "base", "digits"),
    Recipe("resnet34/mirrored", "frozen", "mirrored", "resnet34/base", frozen_layers=49),
    Recipe("resnet34/mod3-shifted", "frozen", "mod3-shifted", "resnet34/base", frozen_layers=58),
    Recipe("resnet34/upside-down", "frozen", "upside-down", "resnet34/base", frozen_layers=65),
    Recipe("resnet34/straight-faded", "frozen", "straight-faded", "resnet34/base", frozen_layers=72),
    Recipe("minilm/base", "base", "sentence embeddings"),
    Recipe("minilm/is-code", "frozen", "is-code", "minilm/base", frozen_layers=5),
    Recipe("minilm/chapter", "frozen", "chapter", "minilm/base", frozen_layers=6),
    Recipe("minilm/full", "full", "containers", "minilm/base", frozen_layers=0),
    Recipe("minilm/lora-errors", "lora", "mentions-errors", "minilm/base"),
    Recipe("minilm/lora-lexical", "lora", "lexical", "minilm/base"),
    Recipe("minilm/lora-lexical-merged", "merged", "lexical", "minilm/base", adapter="minilm/lora-lexical"),
    Recipe("decoder/base", "base", "prose"),
    Recipe("decoder/code", "frozen", "code", "decoder/base", frozen_layers=5),
    Recipe("decoder/lora-uppercase", "lora", "uppercase", "decoder/base"),
    Recipe("decoder/lora-words", "lora", "joined-words", "decoder/base"),
    Recipe("decoder/lora-words-merged", "merged", "joined-words", "decoder/base", adapter="decoder/lora-words"),
)


def select(families: tuple[str, ...]) -> tuple[Recipe, ...]:
    """The recipes of some families, in build order."""
    return tuple(recipe for recipe in RECIPES if recipe.family in families)
