"""ONNX models, and damage to them: tags, lengths and numbers of the messages with the lengths around them kept right, bytes anywhere."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

from tiny_onnx import FLOAT, FLOAT16, INT64, attribute, external, field, graph, model, node, packed_floats, packed_varints, tensor, varint

_EXTREMES = (0, 1, 2, 3, 8, 16, 28, 29, 127, 128, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
# Which fields of a message hold messages: model -> graph -> node -> attribute -> tensor, and so on.
_MESSAGES = {
    "model": {7: "graph", 14: "entry", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}  # fmt: skip


def valid_files() -> list[bytes]:
    typed = [
        tensor("f", FLOAT, (2,), None, field(4, packed_floats(1.0, 2.0))),
        tensor("pieces", FLOAT, (2,), None, field(4, packed_floats(1.0)), field(4, packed_floats(2.0))),
        tensor("d", 11, (1,), None, field(10, struct.pack("<d", 3.0))),
        tensor("half", FLOAT16, (2,), None, field(5, packed_varints(0x3C00, 0xC000))),
        tensor("six", 27, (5,), None, field(5, packed_varints(1, 2, 3, 63, 32))),
        tensor("i", INT64, (3,), None, field(7, packed_varints(-1, 5, 1 << 40))),
        tensor("u", 12, (1,), None, field(11, packed_varints(4_000_000_000))),
        tensor("words", 8, (1,), None, field(6, b"hello")),
    ]
    raw = [tensor("w", FLOAT, (4, 4), bytes(64)), tensor("q", 22, (3,), b"\x21\x03"), tensor("e", 9, (0, 2), b"")]
    inner = graph(initializers=raw, nodes=[node("Constant", "c", attribute("value", t=raw[0]))])
    sparse = field(1, tensor("s", FLOAT, (1,), b"abcd")) + field(2, tensor("", INT64, (1,), bytes(8))) + field(3, 10)
    outer = graph(
        initializers=raw + typed,
        nodes=[
            node("If", "y", attribute("then_branch", g=inner), attribute("else_branch", g=inner)),
            node("Several", "z", attribute("many", more=field(10, raw[0]) + field(10, raw[1]))),
            node("Sparse", "p", attribute("sparse_value", more=field(22, sparse))),
        ],
        more=field(15, sparse),
    )
    function = field(1, "F") + field(10, "local") + field(7, node("Constant", "c", attribute("value", t=raw[0])))
    outside = graph(initializers=[tensor("w", FLOAT, (2,), None, external("model.onnx_data", 4, 8)), raw[0]])
    return [
        model(graph(initializers=raw)),
        model(graph(initializers=typed), properties={"key": "value"}),
        model(outer, field(25, function) + field(20, field(1, inner))),
        model(outside),
    ]


@dataclass
class _Field:
    """A field taken apart: ``content`` is a number, bytes, or the fields of a message."""

    tag: int
    content: int | bytes | list[_Field]


def mutate(data: bytes, rng: random.Random) -> bytes:
    fields = _parse(data, "model") if rng.random() < 0.75 else None
    if fields:
        everything = list(_all(fields))
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            _damage(rng.choice(everything), rng)
        return _join(fields)
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        way = rng.random()
        at = rng.randrange(len(damaged) + 1)
        if way < 0.7 and at < len(damaged):
            damaged[at] = rng.choice((rng.randrange(256), damaged[at] ^ 1 << rng.randrange(8), 0x80, 0xFF))
        elif way < 0.8:
            del damaged[at:]
        elif way < 0.9:
            del damaged[at : at + rng.randrange(20)]
        else:
            damaged[at:at] = damaged[at : at + rng.randrange(40)] or b"\xff" * 11
    return bytes(damaged)


def _damage(target: list[_Field], rng: random.Random) -> None:
    """Change, repeat, drop or move a field of one message."""
    if not target:
        return
    i = rng.randrange(len(target))
    way = rng.random()
    chosen = target[i]
    if way < 0.6:
        if isinstance(chosen.content, int):
            new = rng.choice((chosen.content + 1, chosen.content - 1, rng.choice(_EXTREMES), rng.getrandbits(64)))
            chosen.content = new % (1 << 64)
        elif isinstance(chosen.content, bytes):
            changed = bytearray(chosen.content or b"\0")
            changed[rng.randrange(len(changed))] = rng.randrange(256)
            if rng.random() < 0.2:
                changed = changed[: rng.randrange(len(changed) + 1)]
            chosen.content = bytes(changed)
        else:
            _damage(chosen.content, rng)
    elif way < 0.7:
        target.insert(rng.randrange(len(target) + 1), chosen)
    elif way < 0.8:
        del target[i]
    elif way < 0.9:
        target[i] = _Field(rng.randrange(1, 256) << 3 | chosen.tag & 7, chosen.content)
    else:
        rng.shuffle(target)


def _parse(data: bytes, message: str) -> list[_Field] | None:
    """The fields of a message, or None if the bytes are none."""
    fields: list[_Field] = []
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == 0:
            content, at = _read_varint(data, at)
            fields.append(_Field(tag, content))
        elif tag & 7 == 2:
            nbytes, at = _read_varint(data, at)
            if at + nbytes > len(data):
                return None
            raw = data[at : at + nbytes]
            at += nbytes
            inner = _MESSAGES[message].get(tag >> 3)
            parsed = _parse(raw, inner) if inner else None
            fields.append(_Field(tag, raw if parsed is None else parsed))
        else:
            return None
    return fields


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            break
        shift += 7
    return value, at


def _all(fields: list[_Field]) -> list[list[_Field]]:
    """Every message, so that small ones deep inside are chosen as often as the outermost."""
    return [fields] + [inner for f in fields if isinstance(f.content, list) for inner in _all(f.content)]


def _join(fields: list[_Field]) -> bytes:
    out = bytearray()
    for f in fields:
        out += varint(f.tag)
        if isinstance(f.content, int):
            out += varint(f.content)
        else:
            raw = f.content if isinstance(f.content, bytes) else _join(f.content)
            out += varint(len(raw)) + raw
    return bytes(out)
