"""Small GGUF files written with ``struct`` alone, so that tests do not lean on the code they test."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}

# name -> (type number of ggml, dims with the fastest first, bytes)
Tensors = Mapping[str, tuple[int, Sequence[int], bytes]]
# key -> (value type, value); an array's value is (item type, items)
Metadata = Mapping[str, tuple[int, Any]]


def string(text: str | bytes, order: str = "<") -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack(f"{order}Q", len(raw)) + raw


def value(value_type: int, content: Any, order: str = "<") -> bytes:
    if value_type == STRING:
        return string(content, order)
    if value_type == ARRAY:
        item_type, items = content
        return struct.pack(f"{order}IQ", item_type, len(items)) + b"".join(value(item_type, item, order) for item in items)
    return struct.pack(order + _CODES[value_type], content)


def entry(key: str | bytes, value_type: int, content: Any, order: str = "<") -> bytes:
    return string(key, order) + struct.pack(f"{order}I", value_type) + value(value_type, content, order)


def info(name: str | bytes, element_type: int, dims: Sequence[int], offset: int, order: str = "<") -> bytes:
    return string(name, order) + struct.pack(f"{order}I{len(dims)}QIQ", len(dims), *dims, element_type, offset)


def header(n_tensors: int, n_entries: int, version: int = 3, order: str = "<") -> bytes:
    return b"GGUF" + struct.pack(f"{order}IQQ", version, n_tensors, n_entries)


def gguf_bytes(tensors: Tensors, metadata: Metadata | None = None, version: int = 3, order: str = "<", alignment: int = 32) -> bytes:
    """A whole file; tensors are laid out in this order, each padded to ``alignment`` (state it in ``metadata`` if it is not 32)."""
    metadata = metadata or {}
    raw = header(len(tensors), len(metadata), version, order)
    raw += b"".join(entry(key, *typed, order) for key, typed in metadata.items())
    position, data = 0, b""
    for name, (element_type, dims, content) in tensors.items():
        raw += info(name, element_type, dims, position, order)
        data += content + bytes(-len(content) % alignment)
        position = len(data)
    return raw + bytes(-len(raw) % alignment) + data
