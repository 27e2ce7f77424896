"""GGUF files, and damage to them: numbers of the header by their position, bytes anywhere."""

from __future__ import annotations

import random
import struct

from tiny_gguf import ARRAY, BOOL, F32, STRING, U8, U16, U32, gguf_bytes

_EXTREMES = (
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    12,
    13,
    31,
    32,
    63,
    64,
    255,
    256,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
)
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def valid_files() -> list[bytes]:
    metadata = {
        "general.architecture": (STRING, "llama"),
        "general.alignment": (U32, 32),
        "flag": (BOOL, True),
        "tokens": (ARRAY, (STRING, ["<s>", "a", "", "bcd"])),
        "scores": (ARRAY, (F32, [0.0, 1.0])),
        "nested": (ARRAY, (ARRAY, [(U8, [1]), (STRING, ["x"])])),
        "split.no": (U16, 0),
        "split.count": (U16, 1),
    }
    dense = {"a.weight": (0, (4, 2), bytes(range(32))), "b.weight": (1, (3,), b"abcdef"), "i": (24, (2, 2), b"1234")}
    quantized = {"q4": (2, (32, 2), bytes(36)), "q6_k": (14, (256,), bytes(210)), "norm": (0, (4,), bytes(16))}
    return [
        gguf_bytes(dense | quantized, metadata),
        gguf_bytes(dense, version=2),
        gguf_bytes(dense, metadata, order=">"),
        gguf_bytes(quantized, {"general.alignment": (U32, 256), "general.type": (STRING, "adapter")}, alignment=256),
        gguf_bytes({}, metadata),
    ]


def mutate(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    numbers, end = _numbers(data)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 4))):
        way = rng.random()
        if way < 0.4 and end < len(damaged):
            damaged[rng.randrange(end, len(damaged))] = rng.randrange(256)
        elif way < 0.75 and numbers:
            position, width = rng.choice(numbers)
            old = int.from_bytes(damaged[position : position + width], "little")
            new = rng.choice(
                (old + 1, old - 1, old * 2, old ^ 1 << rng.randrange(8 * width), rng.choice(_EXTREMES), rng.getrandbits(8 * width))
            )
            damaged[position : position + width] = (new % (1 << 8 * width)).to_bytes(width, "little")
        elif way < 0.85 and damaged:
            damaged[rng.randrange(min(len(damaged), max(1, end)))] = rng.randrange(256)
        elif way < 0.9:
            del damaged[rng.randrange(len(damaged) + 1) :]
        else:
            begin = rng.randrange(len(damaged) + 1)
            piece = damaged[begin : begin + rng.randrange(40)]
            if rng.random() < 0.5:
                del damaged[begin : begin + len(piece)]
            else:
                at = rng.randrange(len(damaged) + 1)
                damaged[at:at] = piece
    return bytes(damaged)


def _numbers(data: bytes) -> tuple[list[tuple[int, int]], int]:
    """``(position, width)`` of every number of a header, as far as it can be followed, and where that ended."""
    order = ">" if data[6:8] == b"\0\3" else "<"
    found: list[tuple[int, int]] = []
    at = 4

    def number(width: int) -> int:
        nonlocal at
        (value,) = struct.unpack_from(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[width], data, at)
        found.append((at, width))
        at += width
        return value

    def value(value_type: int) -> None:
        nonlocal at
        if value_type == STRING:
            at += number(8)
        elif value_type == ARRAY:
            item_type, count = number(4), number(8)
            for _ in range(min(count, 100)):
                value(item_type)
        else:
            number(_SIZES.get(value_type, 1))

    try:
        number(4)
        n_tensors, n_entries = number(8), number(8)
        for _ in range(min(n_entries, 100)):
            at += number(8)
            value(number(4))
        for _ in range(min(n_tensors, 100)):
            at += number(8)
            for _ in range(min(number(4), 100)):
                number(8)
            number(4)
            number(8)
    except (struct.error, OverflowError, RecursionError):
        pass
    return found, min(at, len(data))
