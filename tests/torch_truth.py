"""Making torch files for tests, and the truth about them."""

from __future__ import annotations

import io
from typing import Any

import torch

from extractors.torch import TorchExtractor
from trimcache.dtypes import normalize_dtype
from trimcache.tensors import Extraction
from trimcache.testing import RangeOnlyPart

OLD_FORMAT = {"_use_new_zipfile_serialization": False}


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def extract(data: bytes, name: str = "model.pt") -> Extraction:
    part = RangeOnlyPart({name: data})
    with part.open(name) as source:
        return TorchExtractor().extract(source, part)


def contents(data: bytes, name: str = "model.pt") -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """What the extractor finds; the bytes are read through a source opened afterwards."""
    found = extract(data, name)
    with RangeOnlyPart({name: data}).open(name) as source:
        return {
            tensor.name: (
                tensor.dtype,
                tensor.shape,
                bytes(tensor.whole(source)),
            )
            for tensor in found.tensors
        }


def truth(tensor: torch.Tensor) -> tuple[str, tuple[int, ...], bytes]:
    """The same of a tensor in memory."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    # One element is contiguous whatever its stride, and only a stride of 1 can be viewed as bytes.
    raw = plain.as_strided((plain.numel(),), (1,)).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return normalize_dtype(str(tensor.dtype)), tuple(tensor.shape), raw
