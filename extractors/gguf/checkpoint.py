"""Tensors of a GGUF file as byte ranges: little-endian and row-major in the file already, whatever their quantization."""

from __future__ import annotations

import math

from extractors.gguf.quantization import ELEMENT_TYPES, REMOVED_TYPES, ElementType
from extractors.gguf.reader import Header, TensorInfo, read_header
from extractors.gguf.splits import check_split
from extractors.stored_array import StoredArray
from trimcache.bytesource import ByteSource, PartFiles
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, Kind, TensorRef, kind_of

_AGAIN = "download or save the file again"
_HUB = "https://huggingface.co/"


def read_checkpoint(source: ByteSource, files: PartFiles) -> Extraction:
    """The tensors, from the header alone. A quantized one keeps its blocks: its digest is that of the quantized bytes."""
    header = read_header(source)
    is_adapter = header.metadata.get("general.type") == "adapter"
    data_start = -(-header.end // header.alignment) * header.alignment
    tensors = [_tensor(source, header, data_start, info, is_adapter) for info in header.tensors]
    tensors.sort(key=_range_of)
    _refuse_overlaps(source, tensors)
    return Extraction(
        tuple(tensors),
        {key: _text(value) for key, value in header.metadata.items()},
        declared_base=_declared_base(header) if is_adapter else None,
        notes=check_split(source, files, header.metadata),
    )


def _tensor(source: ByteSource, header: Header, data_start: int, info: TensorInfo, is_adapter: bool) -> TensorRef:
    element = _element_type(source, header, info)
    row = info.dims[0] if info.dims else 1
    if row % element.block_size:
        text = f"tensor {info.name[:80]!r} has rows of {row} elements, {element.dtype} needs multiples of {element.block_size}"
        raise FormatError(source.uri, text, _AGAIN)
    if info.offset % header.alignment:
        raise FormatError(source.uri, f"tensor {info.name[:80]!r} is not aligned to {header.alignment} bytes", _AGAIN)
    nbytes = math.prod(info.dims) // element.block_size * element.block_nbytes
    begin = data_start + info.offset
    if begin + nbytes > source.size:
        # An empty tensor may lie behind the last byte: then nothing of it is missing.
        if nbytes or info.offset >= 2**62:
            text = f"truncated: tensor {info.name[:80]!r} lies at bytes {begin} to {begin + nbytes}, the file holds {source.size}"
            raise FormatError(source.uri, text[:600], _AGAIN)
        begin = source.size
    kind = Kind.ADAPTER if is_adapter else kind_of(info.name, element.dtype)
    shape = info.dims[::-1]
    if header.big_endian and element.block_nbytes > 1:
        data = StoredArray(((begin, nbytes),), nbytes, swap=element.block_nbytes)
        return TensorRef(info.name, element.dtype, shape, kind, nbytes, None, data=data, stored=((begin, nbytes),))
    return TensorRef(info.name, element.dtype, shape, kind, nbytes, begin)


def _element_type(source: ByteSource, header: Header, info: TensorInfo) -> ElementType:
    element = ELEMENT_TYPES.get(info.element_type)
    if element is None:
        removed = REMOVED_TYPES.get(info.element_type)
        name = f"{info.element_type} ({removed}, removed from ggml)" if removed else str(info.element_type)
        fix = "quantize the model again" if removed else "update trimcache"
        raise FormatError(source.uri, f"tensor {info.name[:80]!r} has the unknown element type {name}", fix)
    if header.big_endian and not element.is_dense:
        # Blocks mix fields of several widths: without a layout of each, swapping them would give an identity that means nothing.
        text = f"is big-endian, and its tensor {info.name[:80]!r} is quantized ({element.dtype})"
        raise FormatError(source.uri, text, "convert it with gguf-convert-endian")
    return element


def _range_of(tensor: TensorRef) -> tuple[int, int]:
    begin = tensor.stored[0][0] if tensor.offset is None else tensor.offset
    return begin, tensor.nbytes


def _refuse_overlaps(source: ByteSource, tensors: list[TensorRef]) -> None:
    position = 0
    for tensor in tensors:
        begin, nbytes = _range_of(tensor)
        if nbytes and begin < position:
            raise FormatError(source.uri, f"tensors overlap at byte {begin} ({tensor.name[:80]!r})", _AGAIN)
        position = max(position, begin + nbytes)


def _declared_base(header: Header) -> str | None:
    """The base model of a LoRA adapter: its repository on the hub if it is stated, else its name."""
    url, name = header.metadata.get("general.base_model.0.repo_url"), header.metadata.get("general.base_model.0.name")
    if isinstance(url, str) and url.startswith(_HUB) and len(url) > len(_HUB):
        return url.removeprefix(_HUB).rstrip("/")
    return name if isinstance(name, str) and name else None


def _text(value: int | float | str) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
