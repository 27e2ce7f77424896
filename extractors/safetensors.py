"""safetensors: an 8-byte length, a JSON header, then the tensors back to back.

Specification: https://huggingface.co/docs/safetensors (section "Format"). The rules kept here are the reference implementation's:
the header is at most 100 MB, the ranges of the tensors tile the rest of the file without holes or overlaps.
"""

from __future__ import annotations

import struct
from typing import Any, ClassVar, TypeGuard

from extractors.strict_json import parse_object
from trimcache.bytesource import ByteSource, PartFiles
from trimcache.dtypes import DTYPE_BITS, SAFETENSORS_DTYPES
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, TensorRef, kind_of

_MAX_HEADER_BYTES = 100_000_000  # MAX_HEADER_SIZE of the reference implementation
_AGAIN = "download or save the file again"


class SafetensorsExtractor:
    """Reads the header alone: two ranged reads whatever the size of the file."""

    format: ClassVar[str] = "safetensors"
    suffixes: ClassVar[tuple[str, ...]] = (".safetensors",)
    priority: ClassVar[int] = 0

    def claims(self, path: str, files: PartFiles) -> bool:
        return True

    def extract(self, source: ByteSource, files: PartFiles) -> Extraction:
        header, data_start = _read_header(source)
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise FormatError(source.uri, "__metadata__ is not a map of text to text", _AGAIN)
        entries = [_entry(source, name, entry) for name, entry in header.items()]
        entries.sort(key=lambda entry: (entry[3], entry[4]))
        position = 0
        tensors = []
        for name, dtype, shape, begin, end in entries:
            if begin != position:
                word = "overlap" if begin < position else "leave a hole"
                raise FormatError(source.uri, f"tensors {word} at byte {data_start + begin} ({name[:80]!r})", _AGAIN)
            position = end
            tensors.append(TensorRef(name, dtype, shape, kind_of(name, dtype), end - begin, data_start + begin))
        if data_start + position != source.size:
            word = "truncated" if data_start + position > source.size else "too long"
            raise FormatError(source.uri, f"{word}: its header describes {data_start + position} bytes, it holds {source.size}", _AGAIN)
        return Extraction(tuple(tensors), metadata)


def _read_header(source: ByteSource) -> tuple[dict[str, Any], int]:
    if source.size < 8:
        raise FormatError(source.uri, f"truncated: {source.size} bytes cannot hold a safetensors header", _AGAIN)
    (length,) = struct.unpack("<Q", source.read_at(0, 8))
    if length > _MAX_HEADER_BYTES:
        raise FormatError(source.uri, f"claims a header of {length} bytes (at most {_MAX_HEADER_BYTES} are allowed)", _AGAIN)
    if 8 + length > source.size:
        raise FormatError(source.uri, f"truncated: its header should be {length} bytes, the file holds {source.size}", _AGAIN)
    return parse_object(source.read_at(8, length), source.uri, "header"), 8 + length


def _entry(source: ByteSource, name: str, entry: Any) -> tuple[str, str, tuple[int, ...], int, int]:
    """``(name, dtype, shape, begin, end)`` of one header entry, everything in it checked."""
    if not isinstance(entry, dict):
        raise FormatError(source.uri, f"tensor {name[:80]!r} is not described by an object", _AGAIN)
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    canonical = SAFETENSORS_DTYPES.get(dtype) if isinstance(dtype, str) else None
    if canonical is None:
        raise FormatError(source.uri, f"tensor {name[:80]!r} has the unknown dtype {str(dtype)[:40]!r}", "update trimcache")
    if not _all_sizes(shape):
        raise FormatError(source.uri, f"tensor {name[:80]!r} has no valid shape", _AGAIN)
    if not _all_sizes(offsets) or len(offsets) != 2:
        raise FormatError(source.uri, f"tensor {name[:80]!r} has no valid data_offsets", _AGAIN)
    bits = DTYPE_BITS[canonical]
    for size in shape:
        bits *= size
        # Stopping early keeps the product of a million hostile dimensions from becoming a million-digit number.
        if bits > 2**70:
            break
    begin, end = offsets
    if bits != 8 * (end - begin):
        raise FormatError(source.uri, f"tensor {name[:80]!r} has another size than its dtype and shape say", _AGAIN)
    return name, canonical, tuple(shape), begin, end


def _all_sizes(value: Any) -> TypeGuard[list[int]]:
    """Whether ``value`` is a list of sizes. The format allows 64 bits; no file has more than 63, and a catalog stores them signed."""
    if type(value) is not list:
        return False
    # A loop, not all(...): this runs twice a tensor, and a generator costs more than what it yields.
    for item in value:  # noqa: SIM110
        if type(item) is not int or not 0 <= item < 1 << 63:
            return False
    return True
