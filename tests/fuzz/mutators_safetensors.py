"""safetensors files, and damage to them: fields of the header by name, bytes anywhere."""

from __future__ import annotations

import copy
import json
import random
import struct
from typing import Any

_EXTREMES = (-1, 0, 1, 2, 3, 7, 8, 255, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 1.5, "8", None, [], {}, True)
_DTYPES = ("F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4", "C64", "X1", "f32", "")


def valid_files() -> list[bytes]:
    return [
        _file({"a": ("F32", [2, 3], 24), "b": ("I64", [], 8), "c": ("BF16", [0, 4], 0)}, {"format": "pt"}),
        _file({"layers.0.weight": ("F16", [8, 8], 128), "layers.0.bias": ("F16", [8], 16), "mask": ("BOOL", [5], 5)}, None),
        _file({"packed": ("F4", [4, 2], 4), "scale": ("F8_E8M0", [4], 4), "q": ("F8_E4M3", [3], 3)}, {}),
        _file({}, None),
    ]


def mutate(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        return bytes(damaged)
    (length,) = struct.unpack("<Q", data[:8])
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    choice = rng.randrange(8)
    names = [name for name in header if name != "__metadata__"]
    if names and choice < 4:
        entry = header[rng.choice(names)]
        field = rng.choice(("dtype", "shape", "data_offsets"))
        if field == "dtype":
            entry["dtype"] = rng.choice(_DTYPES)
        elif rng.random() < 0.3 or not isinstance(entry[field], list):
            entry[field] = copy.copy(rng.choice(_EXTREMES))
        elif entry[field]:
            entry[field][rng.randrange(len(entry[field]))] = rng.choice(_EXTREMES)
        else:
            entry[field].append(rng.choice(_EXTREMES))
    elif choice == 4:
        header["__metadata__"] = rng.choice(({"k": "v" * rng.randrange(100)}, {"k": 1}, [], "x", None))
    elif choice == 5 and names:
        name = rng.choice(names)
        header[rng.choice(("", "x" * 1000, "\ud800", "a\nb", "__metadata__", "é"))] = header.pop(name)
    elif choice == 6:
        body = body[: rng.randrange(len(body) + 1)] if rng.random() < 0.5 else body + bytes(rng.randrange(1, 9))
    text = json.dumps(header).encode()
    if choice == 7 and rng.random() < 0.7:
        text = rng.choice((text + b" " * rng.randrange(64), text.replace(b"{", b"[", 1), b"[" * 5000 + text, text + text, text[:-1]))
    claimed = rng.choice((len(text), len(text), len(text), len(text) - 1, 2**63, 0)) if rng.random() < 0.1 else len(text)
    return struct.pack("<Q", claimed % 2**64) + text + body


def _file(tensors: dict[str, tuple[str, list[int], int]], metadata: dict[str, str] | None) -> bytes:
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    position = 0
    for name, (dtype, shape, nbytes) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + nbytes]}
        position += nbytes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(i % 251 for i in range(position))
