"""Layers in forward order, from the names of tensors alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from trimcache.synthesis.architectures import load_architectures

_BLOCK = re.compile(r"(?:^|\.)(?:layers|layer|h|block|blocks)\.(\d+)\.")
_BOTTOM = re.compile(r"embed|(?:^|\.)(?:wte|wpe|stem|conv1)\.")


def layers_of(names: Sequence[str]) -> tuple[list[int | None], int]:
    """The layer of each tensor (None: unknown, or no tensor), and how many there are.

    A shipped architecture with exactly these names decides; else blocks are counted by their number, what is called an embedding is
    below them, anything else on top.
    """
    present = {name for name in names if name}
    for known in _shipped():
        if present and present == known.keys():
            return [known.get(name) for name in names], max(known.values()) + 1
    blocks = {int(found[1]) for name in present if (found := _BLOCK.search(name))}
    if not blocks or any(name.startswith("base_model.") for name in present):
        return [None] * len(names), 0
    top = max(blocks) + 2

    def layer(name: str) -> int | None:
        found = _BLOCK.search(name)
        if found:
            return int(found[1]) + 1
        return None if not name else 0 if _BOTTOM.search(name) else top

    return [layer(name) for name in names], top + 1


@cache
def _shipped() -> tuple[dict[str, int], ...]:
    found: dict[tuple[tuple[str, int], ...], dict[str, int]] = {}
    for arch in load_architectures().values():
        layers = {name: layer for name, _, _, layer in arch.rows}
        found.setdefault(tuple(layers.items()), layers)
    return tuple(found.values())
