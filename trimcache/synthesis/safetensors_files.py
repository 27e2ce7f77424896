"""safetensors files as the reference implementation writes them: header bytes, order of tensors, split into several files.

Format: https://huggingface.co/docs/safetensors. Order: by dtype (widest first), then by name; the header is padded with spaces to a
multiple of 8 bytes. Splitting: ``split_torch_state_dict_into_shards`` of huggingface_hub, in state-dict order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from trimcache.synthesis.architectures import TensorShape

# Position in the reference implementation's enumeration of dtypes; larger comes first in a file.
_RANK = {"float16": 9, "bfloat16": 10, "int32": 11, "float32": 13, "float64": 15, "int64": 16}
_SPELLED = {"float16": "F16", "bfloat16": "BF16", "int32": "I32", "float32": "F32", "float64": "F64", "int64": "I64"}


@dataclass(frozen=True)
class SafetensorsFile:
    """One file: its header, and tensors with their offsets in the file."""

    path: str
    header: bytes
    tensors: tuple[tuple[TensorShape, int], ...]

    @property
    def nbytes(self) -> int:
        return len(self.header) + sum(tensor.nbytes for tensor, _ in self.tensors)


def safetensors_file(path: str, tensors: Sequence[TensorShape]) -> SafetensorsFile:
    """The file that ``safetensors.torch.save_file(..., metadata={"format": "pt"})`` writes."""
    ordered = sorted(tensors, key=lambda tensor: (-_RANK[tensor.dtype], tensor.name.encode()))
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    starts = []
    for tensor in ordered:
        end = position + tensor.nbytes
        entries[tensor.name] = {"dtype": _SPELLED[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, end]}
        starts.append(position)
        position = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return SafetensorsFile(path, header, tuple((tensor, len(header) + start) for tensor, start in zip(ordered, starts, strict=True)))


def split_files(tensors: Sequence[TensorShape], max_shard_bytes: int, parameters: int) -> tuple[list[SafetensorsFile], bytes | None]:
    """Weight files of a model, and its index if there are several.

    Args:
        max_shard_bytes: largest sum of tensors in one file, unless a single tensor is larger.
        parameters: the count that the index states.
    """
    shards: list[list[TensorShape]] = []
    current: list[TensorShape] = []
    size = 0
    for tensor in tensors:
        if tensor.nbytes > max_shard_bytes:
            shards.append([tensor])
            continue
        if size + tensor.nbytes > max_shard_bytes:
            shards.append(current)
            current, size = [], 0
        current.append(tensor)
        size += tensor.nbytes
    if current:
        shards.append(current)
    if len(shards) == 1:
        return [safetensors_file("model.safetensors", shards[0])], None
    paths = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    files = [safetensors_file(path, shard) for path, shard in zip(paths, shards, strict=True)]
    index = {
        "metadata": {"total_parameters": parameters, "total_size": sum(tensor.nbytes for tensor in tensors)},
        "weight_map": {tensor.name: path for path, shard in zip(paths, shards, strict=True) for tensor in shard},
    }
    return files, (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()
