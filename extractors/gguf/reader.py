"""The header of a GGUF file: version, metadata, tensor infos. Read in order, kept in part, skipped where it is long.

A vocabulary is an array of some hundred thousand strings: its lengths are walked, its text is never made into Python objects.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from extractors.ranged_reader import RangedReader
from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError

MAGIC = b"GGUF"
# Bounds on what no real file comes near: they limit memory and time for files made to cost both.
_MAX_HEADER_NBYTES = 256 << 20
_MAX_ENTRIES = 1 << 16
_MAX_TENSORS = 1 << 17
_MAX_DIMENSIONS = 32
_MAX_NAME_NBYTES = 1024
_MAX_KEPT_TEXT_NBYTES = 1024
_MAX_NESTED_ARRAYS = 16

_AGAIN = "download or save the file again"
_STRING, _ARRAY = 8, 9
# Metadata value types of fixed width: number in the file -> struct code.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_UINT32 = 4


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor as the header describes it: ``dims`` fastest first, ``offset`` from the start of the tensor data."""

    name: str
    dims: tuple[int, ...]
    element_type: int
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """What was kept of a header.

    Attributes:
        version: 2 or 3.
        big_endian: all numbers, in tensors too, have their most significant byte first.
        metadata: scalars and short strings; arrays and long strings are left out.
        alignment: tensors start at multiples of it.
        end: where the header ends, before padding.
    """

    version: int
    big_endian: bool
    metadata: dict[str, int | float | str]
    alignment: int
    tensors: list[TensorInfo]
    end: int


def read_header(source: ByteSource) -> Header:
    """Parse the header of ``source``.

    Raises:
        FormatError: it breaks the rules of the format, or its bounds.
    """
    return _HeaderParser(source).parse()


class _HeaderParser:
    def __init__(self, source: ByteSource) -> None:
        self._reader = RangedReader(source, _MAX_HEADER_NBYTES)
        self._uri = source.uri
        self._byte_order = "<"

    def parse(self) -> Header:
        version = self._version()
        self._u32 = struct.Struct(f"{self._byte_order}I")
        self._u64 = struct.Struct(f"{self._byte_order}Q")
        self._scalars = {number: struct.Struct(self._byte_order + code) for number, code in _SCALARS.items()}
        n_tensors = self._count("tensors", _MAX_TENSORS, least_nbytes=24)
        n_entries = self._count("metadata entries", _MAX_ENTRIES, least_nbytes=13)
        metadata, alignment = self._metadata(n_entries)
        tensors = self._tensors(n_tensors)
        return Header(version, self._byte_order == ">", metadata, alignment, tensors, self._reader.position)

    def _version(self) -> int:
        magic = self._reader.take(4)
        if magic != MAGIC:
            older = magic in (b"lmgg", b"tjgg", b"algg", b"fmgg", b"ggml", b"ggjt", b"ggla", b"ggmf")
            fix = "convert it to GGUF with llama.cpp" if older else _AGAIN
            raise FormatError(self._uri, f"does not start with GGUF but with {magic!r}", fix)
        raw = self._reader.take(4)
        version = int.from_bytes(raw, "little")
        if version & 0xFFFF == 0:
            version = int.from_bytes(raw, "big")
            self._byte_order = ">"
        if version == 1:
            raise FormatError(self._uri, "is GGUF version 1, which had other field widths", "convert it again with a current llama.cpp")
        if version not in (2, 3):
            raise FormatError(self._uri, f"is GGUF version {version}, 2 and 3 are known", "update trimcache")
        return version

    def _count(self, what: str, at_most: int, least_nbytes: int) -> int:
        (count,) = self._reader.unpack(self._u64)
        if count > at_most or count * least_nbytes > self._reader.remaining:
            raise FormatError(self._uri, f"claims to hold {count} {what}", _AGAIN)
        return count

    def _metadata(self, n_entries: int) -> tuple[dict[str, int | float | str], int]:
        metadata: dict[str, int | float | str] = {}
        seen: set[str] = set()
        alignment = 32
        for _ in range(n_entries):
            key = self._name("metadata key")
            if key in seen:
                raise FormatError(self._uri, f"metadata holds the key {key[:80]!r} twice", _AGAIN)
            seen.add(key)
            (value_type,) = self._reader.unpack(self._u32)
            value = self._value(key, value_type)
            if key == "general.alignment":
                alignment = self._alignment(value_type, value)
            if value is not None:
                metadata[key] = value
        return metadata, alignment

    def _alignment(self, value_type: int, value: int | float | str | None) -> int:
        if value_type != _UINT32 or not isinstance(value, int) or value <= 0 or value & (value - 1):
            raise FormatError(self._uri, f"general.alignment is {str(value)[:40]}, not a power of two in 32 bits", _AGAIN)
        return value

    def _value(self, key: str, value_type: int) -> int | float | str | None:
        """A scalar or short string; None for what was skipped."""
        if value_type == _STRING:
            (nbytes,) = self._reader.unpack(self._u64)
            if nbytes > _MAX_KEPT_TEXT_NBYTES:
                self._reader.skip(nbytes)
                return None
            # Free text: broken characters in a licence are no reason to refuse a model.
            return self._reader.take(nbytes).decode("utf-8", errors="replace")
        if value_type == _ARRAY:
            self._skip_array(key, 1)
            return None
        if value_type not in self._scalars:
            raise FormatError(self._uri, f"metadata {key[:80]!r} has the unknown value type {value_type}", "update trimcache")
        (value,) = self._reader.unpack(self._scalars[value_type])
        return value

    def _skip_array(self, key: str, depth: int) -> None:
        (item_type,) = self._reader.unpack(self._u32)
        (count,) = self._reader.unpack(self._u64)
        if item_type in self._scalars:
            self._reader.skip(count * self._scalars[item_type].size)
            return
        least = {_STRING: 8, _ARRAY: 12}.get(item_type)
        if least is None:
            raise FormatError(self._uri, f"metadata {key[:80]!r} is an array of the unknown value type {item_type}", "update trimcache")
        if depth >= _MAX_NESTED_ARRAYS:
            raise FormatError(self._uri, f"metadata {key[:80]!r} nests arrays more than {_MAX_NESTED_ARRAYS} deep", _AGAIN)
        if count * least > self._reader.remaining:
            raise FormatError(self._uri, f"metadata {key[:80]!r} claims to hold {count} items", _AGAIN)
        if item_type == _STRING:
            self._skip_strings(count)
            return
        for _ in range(count):
            self._skip_array(key, depth + 1)

    def _skip_strings(self, count: int) -> None:
        """Step over ``count`` strings: the inner loop of a vocabulary, so it works on the buffer itself."""
        length_at = self._u64.unpack_from
        while count:
            buffer, start = self._reader.window(8)
            at, last = start, len(buffer) - 8
            while count and at <= last:
                (nbytes,) = length_at(buffer, at)
                at += 8 + nbytes
                count -= 1
            self._reader.skip(at - start)

    def _tensors(self, n_tensors: int) -> list[TensorInfo]:
        tensors: list[TensorInfo] = []
        seen: set[str] = set()
        for _ in range(n_tensors):
            name = self._name("tensor name")
            if name in seen:
                raise FormatError(self._uri, f"holds the tensor {name[:80]!r} twice", _AGAIN)
            seen.add(name)
            (n_dims,) = self._reader.unpack(self._u32)
            if n_dims > _MAX_DIMENSIONS:
                raise FormatError(self._uri, f"tensor {name[:80]!r} claims to have {n_dims} dimensions", _AGAIN)
            dims = self._reader.unpack(struct.Struct(f"{self._byte_order}{n_dims}Q"))
            if any(size >= 2**63 for size in dims):
                raise FormatError(self._uri, f"tensor {name[:80]!r} has a dimension beyond 63 bits", _AGAIN)
            (element_type,) = self._reader.unpack(self._u32)
            (offset,) = self._reader.unpack(self._u64)
            tensors.append(TensorInfo(name, dims, element_type, offset))
        return tensors

    def _name(self, what: str) -> str:
        (nbytes,) = self._reader.unpack(self._u64)
        if nbytes > _MAX_NAME_NBYTES:
            raise FormatError(self._uri, f"a {what} claims to be {nbytes} bytes long", _AGAIN)
        raw = self._reader.take(nbytes)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(self._uri, f"a {what} is not UTF-8: {raw[:40]!r}", _AGAIN) from error
