"""Which files of a model folder count: one copy of the weights, and everything that serving needs.

A repository often holds the same weights several times (``model.safetensors`` beside ``pytorch_model.bin`` beside ``onnx/``). Whoever
fetches the model fetches one of them, so a part holds one: per folder, the first of ``_PREFERENCE`` that is there. Training state is
never part of a served model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Best first: formats whose tensors can be found from a header alone, then the rest.
_PREFERENCE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("safetensors", (".safetensors",)),
    ("torch", (".bin", ".pt", ".pth", ".ckpt")),
    ("gguf", (".gguf",)),
    ("onnx", (".onnx", ".onnx_data", ".onnx.data")),
    ("numpy", (".npz",)),
    ("tensorflow", (".h5", ".tflite")),
    ("flax", (".msgpack",)),
    ("rust", (".ot",)),
)

# Sub-folders that hold exports or originals of the weights beside them.
COPY_FOLDERS = frozenset({"onnx", "openvino", "original", "coreml", "tensorrt", "gguf", "tflite", "executorch"})

# Files ending like weights that hold none, or hold the state of a training run (names used by transformers' Trainer and accelerate).
_TRAINING_STATE = re.compile(
    r"(?:^|/)(?:optimizer[^/]*|scheduler[^/]*|scaler[^/]*|rng_state[^/]*|random_states[^/]*)\.(?:pt|pth|bin|safetensors)$"
    r"|(?:^|/)training_args\.bin$|(?:^|/)(?:global_step\d+|runs|events\.out\.tfevents[^/]*)(?:/|$)"
)

MARKERS = frozenset({"config.json", "model_index.json", "adapter_config.json"})
_INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")


def is_training_state(path: str) -> bool:
    """Whether ``path`` is optimizer, scheduler or logging state that a served model does not need."""
    return _TRAINING_STATE.search(path) is not None


def is_marker(name: str) -> bool:
    """Whether a file called ``name`` makes its folder one part."""
    return name in MARKERS or name.endswith(_INDEX_SUFFIXES)


def weight_format(path: str) -> str | None:
    """The family of formats that ``path`` belongs to by its ending, or None if it holds no weights."""
    name = path.lower()
    if name.endswith((".index.json", ".json")) or is_training_state(path):
        return None
    for family, suffixes in _PREFERENCE:
        if name.endswith(suffixes):
            return family
    return None


def split_copies(paths: Iterable[str], readable: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """``(kept, left_out)``: the files of one part, and the further copies of its weights.

    Args:
        paths: of all files of the part, relative to it.
        readable: file endings for which an extractor is installed; a format that cannot be read never displaces one that can.
    """
    kept: list[str] = []
    left_out: list[str] = []
    weights: dict[str, dict[str, list[str]]] = {}
    for path in paths:
        family = weight_format(path)
        if family is None:
            kept.append(path)
            continue
        folder = path.rpartition("/")[0]
        weights.setdefault(_component(folder), {}).setdefault(_rank_key(path, folder, family, readable), []).append(path)
    for families in weights.values():
        best = min(families)
        for key, members in families.items():
            (kept if key == best else left_out).extend(members)
    return sorted(kept), sorted(left_out)


def _component(folder: str) -> str:
    """The folder whose weights a copy in ``folder`` duplicates: itself, or the one above an ``onnx/`` or ``original/``."""
    pieces = [piece for piece in folder.split("/") if piece]
    while pieces and pieces[-1].lower() in COPY_FOLDERS:
        pieces.pop()
    return "/".join(pieces)


def _rank_key(path: str, folder: str, family: str, readable: tuple[str, ...]) -> str:
    unreadable = not path.lower().endswith(readable)
    in_copy_folder = _component(folder) != folder
    order = next(index for index, (name, _) in enumerate(_PREFERENCE) if name == family)
    # Sorts as text: readable first, then proper folders, then the order of preference.
    return f"{int(unreadable)}{int(in_copy_folder)}{order:02d}{folder if in_copy_folder else ''}"
