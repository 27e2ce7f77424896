"""Tensors of an ONNX model: byte ranges of the model or of the files beside it, integers in varints through a decoder."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

from extractors.onnx.element_types import ELEMENT_TYPES, RAW_DATA, STRING, VARINT_FIELDS
from extractors.onnx.external import ExternalFiles
from extractors.onnx.graph import FoundTensor, read_model
from extractors.onnx.protobuf import WireReader
from extractors.onnx.tensor_message import TensorMessage
from extractors.onnx.varint_data import decode, n_entries
from extractors.stored_array import StoredArray
from trimcache.bytesource import ByteSource, PartFiles
from trimcache.dtypes import DTYPE_BITS
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, TensorRef, kind_of

_AGAIN = "download or export the model again"
_MAX_HEADER_NBYTES = 128 << 20
_MAX_ALL_NAMES = 32 << 20  # characters of all names together: prefixes of nested graphs repeat in each


def read_checkpoint(source: ByteSource, files: PartFiles) -> Extraction:
    """The initializers. Walks the message and steps over tensors, so that models of any size cost their graph alone."""
    model = read_model(WireReader(source, _MAX_HEADER_NBYTES))
    external = ExternalFiles(source, files)
    texts = [found for found in model.tensors if found.message.data_type == STRING]
    numbers = [found for found in model.tensors if found.message.data_type != STRING]
    names = _unique_names(source, numbers)
    tensors = tuple(_tensor(source, external, found, name) for found, name in zip(numbers, names, strict=True))
    return Extraction(tensors, model.metadata, notes=tuple(_notes(source, texts, model.has_training_info)))


def _notes(source: ByteSource, texts: list[FoundTensor], has_training_info: bool) -> Iterable[str]:
    if texts:
        yield f"{source.uri}: left out {len(texts)} tensors of text"
    if has_training_info:
        yield f"{source.uri}: left out its training information"


def _unique_names(source: ByteSource, tensors: list[FoundTensor]) -> list[str]:
    """Names in order; a name that occurs again gets ``#2`` and so on."""
    names: dict[str, None] = {}
    repeats: dict[str, int] = {}
    n_characters = 0
    for found in tensors:
        prefix = found.scope.prefix() if found.scope is not None else ""
        name = base = f"{prefix}{found.label}{found.suffix}"
        while name in names:
            repeats[base] = repeats.get(base, 1) + 1
            name = f"{base}#{repeats[base]}"
        names[name] = None
        n_characters += len(name)
        if n_characters > _MAX_ALL_NAMES:
            raise FormatError(source.uri, f"the names of its tensors take more than {_MAX_ALL_NAMES} characters", _AGAIN)
    return list(names)


def _tensor(source: ByteSource, external: ExternalFiles, found: FoundTensor, name: str) -> TensorRef:
    message = found.message
    element = ELEMENT_TYPES.get(message.data_type)
    if element is None:
        raise FormatError(source.uri, f"{message.label} has the unknown element type {message.data_type}", "update trimcache")
    dtype, field = element
    n_elements = math.prod(message.dims)
    nbytes = -(-DTYPE_BITS[dtype] * n_elements // 8)
    shape = tuple(message.dims)
    kind = kind_of(f"{found.label}{found.suffix}", dtype)
    if nbytes >= 2**63:
        raise FormatError(source.uri, f"{message.label} claims to hold more bytes than any file", _AGAIN)
    if message.external is not None:
        path, offset = external.place(message.external, nbytes, message.label)
        return TensorRef(name, dtype, shape, kind, nbytes, offset, file=path)
    if RAW_DATA in message.pieces:
        field = RAW_DATA
    pieces = message.pieces.get(field, [])
    if field in VARINT_FIELDS and nbytes:
        _check_entries(source, message, pieces, n_entries(dtype, n_elements))
        data = partial(decode, pieces=tuple(pieces), field=field, dtype=dtype, n_elements=n_elements, label=message.label)
        return TensorRef(name, dtype, shape, kind, nbytes, None, data=data, stored=tuple(pieces))
    if sum(piece_nbytes for _, piece_nbytes in pieces) != nbytes:
        text = f"{message.label} takes {nbytes} bytes by its type and shape, it holds {sum(n for _, n in pieces)}"
        raise FormatError(source.uri, text, _AGAIN)
    if len(pieces) > 1:
        return TensorRef(name, dtype, shape, kind, nbytes, None, data=StoredArray(tuple(pieces), nbytes), stored=tuple(pieces))
    return TensorRef(name, dtype, shape, kind, nbytes, pieces[0][0] if pieces else message.position)


def _check_entries(source: ByteSource, message: TensorMessage, pieces: list[tuple[int, int]], expected: int) -> None:
    """A varint takes one to ten bytes: what cannot be right is said at once, and no more memory is taken later than the file justifies."""
    held = sum(nbytes for _, nbytes in pieces)
    if not expected <= held <= 10 * expected:
        raise FormatError(source.uri, f"{message.label} should hold {expected} integers, and {held} bytes cannot", _AGAIN)
