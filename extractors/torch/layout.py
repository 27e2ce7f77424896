"""What a checkpoint is made of: which of its tensors are the model's, and under which names a user would load them.

The rules:

1. Nested dictionaries and lists give dotted names, ``{"encoder": {"weight": ...}}`` the name ``encoder.weight``; a pickled module gives the
   names of its ``state_dict()``.
2. State of a training run is left out, with a note: whatever has the form of an optimizer's state dict (``state`` beside ``param_groups``),
   and top-level entries named like optimizers, schedulers, gradient scalers and random number generators.
3. One wrapper is taken off: if exactly one top-level entry that holds tensors is called ``state_dict``, ``model``, ``module`` or another of
   ``WRAPPERS``, and no tensor of more than one element stands beside it, the tensors in it lose that first piece of their name. Tensors of
   other entries (``ema.weight``) keep it. With two such entries none is taken off.
4. A name that two tensors would share gets ``#2``, ``#3``, ... behind it.
"""

from __future__ import annotations

import re
from typing import Any

from extractors.torch.inert import Table
from extractors.torch.walking import Leaf, Walker, entries, is_optimizer, join

WRAPPERS = frozenset(
    {"state_dict", "model_state_dict", "net_state_dict", "model_state", "model", "module", "net", "network", "weights", "params"}
)
_TRAINING = re.compile(
    r"(?:.*_)?(?:optimi[sz]ers?|optim|opt)(?:_?states?|_?state_dicts?)?$"
    r"|(?:.*_)?(?:lr_)?schedulers?(?:_?states?|_?state_dicts?)?$"
    r"|(?:grad_|amp_|loss_)?scaler(?:_?state|_?state_dict)?$",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"(?:.*_)?(?:rng|random)_?states?(?:_.*)?$", re.IGNORECASE)


def model_leaves(root: Any, walker: Walker) -> tuple[list[Leaf], list[str]]:
    """``(tensors, notes)`` of the value that a checkpoint holds."""
    notes: list[str] = []
    if type(root) is not Table or is_optimizer(root):
        leaves = [Leaf(leaf.name or "tensor", leaf.tensor, leaf.kind) for leaf in walker.leaves(root)]
    else:
        leaves = _of_table(root, walker, notes)
    if walker.optimizers:
        shown = ", ".join(name or "the file itself" for name in walker.optimizers[:3])
        notes.append(f"optimizer state left out: {shown[:200]}")
    for name, why in walker.without_bytes[:3]:
        notes.append(f"tensor {name[:80]!r} left out: {why}")
    return _unique(leaves), notes


def _of_table(root: Table, walker: Walker, notes: list[str]) -> list[Leaf]:
    groups: list[tuple[str, list[Leaf]]] = []
    for key, value in entries(root):
        is_container = type(value) in (Table, list, tuple)
        passed, without = len(walker.optimizers), len(walker.without_bytes)
        found = list(walker.leaves(value))
        if (is_container and _TRAINING.match(key)) or _RANDOM.match(key):
            if found or len(walker.optimizers) > passed:
                notes.append(f"training state left out: {key[:80]}")
            del walker.optimizers[passed:], walker.without_bytes[without:]
            continue
        walker.optimizers[passed:] = [join(key, name) for name in walker.optimizers[passed:]]
        walker.without_bytes[without:] = [(join(key, name), why) for name, why in walker.without_bytes[without:]]
        if found:
            groups.append((key, found))
    wrapped = _wrapper(groups)
    return [Leaf(leaf.name if key == wrapped else join(key, leaf.name), leaf.tensor, leaf.kind) for key, found in groups for leaf in found]


def _wrapper(groups: list[tuple[str, list[Leaf]]]) -> str | None:
    """The one entry whose name is no part of its tensors' names, or None."""
    chosen = None
    for key, found in groups:
        if found[0].name == "" and any(size != 1 for size in found[0].tensor.shape):
            return None  # a tensor of the model stands at the top: so do all others
        if key in WRAPPERS and found[0].name:
            if chosen is not None:
                return None
            chosen = key
    return chosen


def _unique(leaves: list[Leaf]) -> list[Leaf]:
    taken: set[str] = set()
    result = []
    for leaf in leaves:
        name, n = leaf.name, 1
        while name in taken:
            n += 1
            name = f"{leaf.name}#{n}"
        taken.add(name)
        result.append(leaf if name == leaf.name else Leaf(name, leaf.tensor, leaf.kind))
    return result
