"""Small ONNX models written as protobuf bytes by hand, so that tests do not lean on the code they test.

Every function returns the payload of a message; :func:`field` wraps it for the message around it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

FLOAT, INT64, STRING, FLOAT16 = 1, 7, 8, 10


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, content: bytes | str | int) -> bytes:
    """A length-delimited field, or a varint if ``content`` is a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    raw = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def tensor(name: str | bytes, data_type: int, dims: Iterable[int], raw: bytes | None = None, *more: bytes) -> bytes:
    """A ``TensorProto``; ``more`` are further fields as they are."""
    out = b"".join(field(1, size) for size in dims) + field(2, data_type)
    out += field(8, name) if name else b""
    out += field(9, raw) if raw is not None else b""
    return out + b"".join(more)


def external(location: str, offset: object = None, length: object = None) -> bytes:
    """The fields that place a tensor's bytes in another file."""
    pairs = {"location": location, "offset": offset, "length": length}
    entries = (field(13, field(1, key) + field(2, str(value))) for key, value in pairs.items() if value is not None)
    return b"".join(entries) + field(14, 1)


def attribute(name: str, *, t: bytes | None = None, g: bytes | None = None, more: bytes = b"") -> bytes:
    out = field(1, name)
    if t is not None:
        out += field(5, t) + field(20, 4)
    if g is not None:
        out += field(6, g) + field(20, 5)
    return out + more


def node(op_type: str, output: str, *attributes: bytes, name: str = "") -> bytes:
    out = field(2, output) + (field(3, name) if name else b"") + field(4, op_type)
    return out + b"".join(field(5, content) for content in attributes)


def graph(*, nodes: Iterable[bytes] = (), initializers: Iterable[bytes] = (), more: bytes = b"") -> bytes:
    return b"".join(field(1, n) for n in nodes) + field(2, "g") + b"".join(field(5, t) for t in initializers) + more


def model(graph_payload: bytes, more: bytes = b"", properties: Mapping[str, str] | None = None) -> bytes:
    pairs = b"".join(field(14, field(1, key) + field(2, value)) for key, value in (properties or {}).items())
    return field(1, 10) + field(2, "tests") + field(7, graph_payload) + field(8, field(2, 21)) + pairs + more


def packed_floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def packed_varints(*values: int) -> bytes:
    return b"".join(varint(value) for value in values)
