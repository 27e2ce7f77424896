"""Copies of a trained model as people publish them: uploaded again, other formats, other precisions, quantized, with added tokens.

Each function writes one folder or file from a safetensors folder, with the format's own library.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


def reuploaded(source: Path, target: Path) -> None:
    """The same files, another model card."""
    shutil.copytree(source, target)
    (target / "README.md").write_text("# My favourite model\n", encoding="utf-8")


def as_torch(source: Path, target: Path) -> None:
    """The weights as ``pytorch_model.bin``."""
    import torch

    _without_weights(source, target)
    torch.save(load_file(source / WEIGHTS), target / "pytorch_model.bin")


def in_shards(source: Path, target: Path) -> None:
    """The weights in two safetensors files with an index."""
    _without_weights(source, target)
    tensors = load_file(source / WEIGHTS)
    names = sorted(tensors)
    where = {}
    for number, some in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in some}, target / file, {"format": "pt"})
        where |= dict.fromkeys(some, file)
    size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": where}
    (target / f"{WEIGHTS}.index.json").write_text(json.dumps(index), encoding="utf-8")


def cast(source: Path, target: Path, dtype: str) -> None:
    """Every float as ``dtype``, ``float16`` or ``bfloat16``."""
    import torch

    def change(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: tensor.to(getattr(torch, dtype)) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}

    _changed(source, target, change)


def with_tokens(source: Path, target: Path, name: str, rows: int) -> None:
    """``rows`` more rows at the end of the embedding ``name``, as ``resize_token_embeddings`` adds them."""
    import torch

    def change(tensors: dict[str, Any]) -> dict[str, Any]:
        table = tensors[name]
        more = 0.02 * torch.randn(rows, table.shape[1], generator=torch.Generator().manual_seed(0))
        return {**tensors, name: torch.cat([table, more.to(table.dtype)])}

    _changed(source, target, change)


def quantized(source: Path, target: Path) -> None:
    """GGUF: matrices as Q8_0, vectors as float32, as llama.cpp does it; ``bert.`` before names is taken off."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    target.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(target, "bert")
    for name, tensor in sorted(load_file(source / WEIGHTS).items()):
        if not tensor.is_floating_point():
            continue
        array = tensor.float().numpy()
        plain = name.removeprefix("bert.")
        if array.ndim == 2 and array.shape[1] % 32 == 0:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(plain, quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(plain, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _changed(source: Path, target: Path, change: Any) -> None:
    _without_weights(source, target)
    save_file(change(load_file(source / WEIGHTS)), target / WEIGHTS, {"format": "pt"})


def _without_weights(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(WEIGHTS))
