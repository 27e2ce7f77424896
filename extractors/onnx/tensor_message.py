"""One ``TensorProto``: type, shape and where its bytes are, without reading them."""

from __future__ import annotations

from dataclasses import dataclass, field

from extractors.onnx.element_types import DATA_FIELDS, FIXED_WIDTH_FIELDS, STRING_DATA, VARINT_FIELDS
from extractors.onnx.protobuf import FIXED32, FIXED64, LENGTH, VARINT, WireReader, signed64
from trimcache.errors import FormatError

MAX_NAME_NBYTES = 1024
_MAX_DIMENSIONS = 64  # what numpy, and so the reference library, can hold
_MAX_PIECES = 4096
_MAX_EXTERNAL_ENTRIES = 64
_AGAIN = "download or export the model again"

_DIMS, _DATA_TYPE, _SEGMENT, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 3, 8, 13, 14
_EXTERNAL = 1


@dataclass(slots=True)
class TensorMessage:
    """What a ``TensorProto`` says.

    Attributes:
        position: where the message starts in the file; names the tensor in errors when it has no name.
        pieces: for each data field that is present, the ranges ``(offset, nbytes)`` of its payload, tags and lengths left out.
        external: the entries of ``external_data``, or None if the bytes are inline.
    """

    position: int
    name: str = ""
    data_type: int = 0
    dims: list[int] = field(default_factory=list)
    pieces: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    external: dict[str, str] | None = None

    @property
    def label(self) -> str:
        """The tensor, for errors."""
        return f"tensor {self.name[:80]!r}" if self.name else f"the tensor at byte {self.position}"


def read_tensor(reader: WireReader, end: int) -> TensorMessage:
    """The ``TensorProto`` that starts at the reader's position and ends at ``end``."""
    tensor = TensorMessage(reader.position)
    entries: dict[str, str] = {}
    location = 0
    for number, wire_type in reader.fields(end):
        if number == _DIMS and wire_type == VARINT:
            _add_dimension(reader, tensor)
        elif number == _DIMS and wire_type == LENGTH:
            packed_end = reader.message_end(end)
            while reader.position < packed_end:
                _add_dimension(reader, tensor)
            if reader.position != packed_end:
                raise FormatError(reader.uri, f"{tensor.label} has dimensions that do not end where they should", _AGAIN)
        elif number == _DATA_TYPE and wire_type == VARINT:
            tensor.data_type = reader.varint() & 0xFFFF_FFFF
        elif number == _NAME and wire_type == LENGTH:
            tensor.name = reader.text(end, MAX_NAME_NBYTES, "the name of a tensor")
        elif number in DATA_FIELDS and wire_type in _wire_types(number):
            _add_piece(reader, tensor, number, wire_type, end)
        elif number == STRING_DATA and wire_type == LENGTH:
            reader.leap(reader.length(end))
        elif number == _EXTERNAL_DATA and wire_type == LENGTH:
            key, value = read_entry(reader, reader.message_end(end))
            if len(entries) >= _MAX_EXTERNAL_ENTRIES:
                raise FormatError(reader.uri, f"{tensor.label} has more than {_MAX_EXTERNAL_ENTRIES} entries of external data", _AGAIN)
            entries[key] = value
        elif number == _DATA_LOCATION and wire_type == VARINT:
            location = reader.varint()
        elif number == _SEGMENT:
            raise FormatError(reader.uri, f"{tensor.label} is stored in segments, which no runtime reads", _AGAIN)
        else:
            reader.skip_value(wire_type, end)
    if location == _EXTERNAL:
        tensor.external = entries
    return tensor


def read_entry(reader: WireReader, end: int) -> tuple[str, str]:
    """A ``StringStringEntryProto``."""
    key = value = ""
    for number, wire_type in reader.fields(end):
        if number == 1 and wire_type == LENGTH:
            key = reader.free_text(end, MAX_NAME_NBYTES, "a key")
        elif number == 2 and wire_type == LENGTH:
            value = reader.free_text(end, 4 * MAX_NAME_NBYTES, "a value")
        else:
            reader.skip_value(wire_type, end)
    return key, value


def _add_dimension(reader: WireReader, tensor: TensorMessage) -> None:
    size = signed64(reader.varint())
    if size < 0:
        raise FormatError(reader.uri, f"{tensor.label} has the negative dimension {size}", _AGAIN)
    if len(tensor.dims) >= _MAX_DIMENSIONS:
        raise FormatError(reader.uri, f"{tensor.label} has more than {_MAX_DIMENSIONS} dimensions", _AGAIN)
    tensor.dims.append(size)


def _wire_types(number: int) -> tuple[int, ...]:
    """How a data field may be written: packed, or (by very old writers) one element at a time."""
    if number in VARINT_FIELDS:
        return (LENGTH, VARINT)
    width = FIXED_WIDTH_FIELDS.get(number)
    return (LENGTH,) if width is None else (LENGTH, FIXED32 if width == 4 else FIXED64)


def _add_piece(reader: WireReader, tensor: TensorMessage, number: int, wire_type: int, end: int) -> None:
    pieces = tensor.pieces.setdefault(number, [])
    if number not in VARINT_FIELDS and number not in FIXED_WIDTH_FIELDS:
        pieces.clear()  # raw_data is one value, and of several the last one counts
    if len(pieces) >= _MAX_PIECES:
        raise FormatError(reader.uri, f"{tensor.label} is scattered over more than {_MAX_PIECES} pieces", "export it with a newer onnx")
    if wire_type == LENGTH:
        nbytes = reader.length(end)
        pieces.append((reader.position, nbytes))
        reader.leap(nbytes)
        return
    start = reader.position
    reader.skip_value(wire_type, end)
    pieces.append((start, reader.position - start))
