"""Small checkpoints written with ``struct`` and ``json`` alone, so that tests do not lean on the code they test."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Mapping
from pathlib import Path

Tensors = Mapping[str, tuple[str, tuple[int, ...], bytes]]


def safetensors_bytes(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file; ``tensors`` maps names to (dtype as the format spells it, shape, bytes), laid out in this order."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    position = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + len(data)]}
        position += len(data)
    return with_header(json.dumps(header).encode(), b"".join(data for _, _, data in tensors.values()))


def with_header(header: bytes, data: bytes = b"") -> bytes:
    """A file whose header is exactly these bytes."""
    return struct.pack("<Q", len(header)) + header + data


def floats(n: int, seed: object = 0) -> bytes:
    """``n`` float32 elements of noise, the same for the same seed."""
    return random.Random(repr(seed)).randbytes(4 * n)


def tensors_of(**seeds: object) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Float32 tensors of 64 elements, one a keyword; equal seeds give equal bytes."""
    return {f"{name}.weight": ("F32", (8, 8), floats(64, seed)) for name, seed in seeds.items()}


def write_model(folder: Path, tensors: Tensors, architecture: str = "TinyModel", **files: str) -> Path:
    """A model folder: ``config.json``, ``model.safetensors`` and further text files (``vocab_txt="..."`` is written as ``vocab.txt``)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def write_adapter(folder: Path, base: str | None, tensors: Tensors, **config: object) -> Path:
    """A PEFT adapter folder that declares ``base``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": base, **config}))
    (folder / "adapter_model.safetensors").write_bytes(safetensors_bytes(tensors))
    return folder
