"""safetensors files made to confuse: each is refused with one line that says what is wrong."""

from __future__ import annotations

import json
import struct

import pytest
from tiny_models import safetensors_bytes, with_header

from extractors.safetensors import SafetensorsExtractor
from trimcache.errors import FormatError
from trimcache.testing import RangeOnlyPart


def _tensor(begin: object = 0, end: object = 4, shape: object = (1,), dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "data_offsets": [begin, end]}


def _file(header: object, data: bytes = b"") -> bytes:
    return with_header(json.dumps(header).encode(), data)


HOSTILE = {
    "nothing": (b"", "truncated"),
    "seven bytes": (b"\x02" + bytes(6), "truncated"),
    "length 2**63": (struct.pack("<Q", 1 << 63) + b"{}", "claims a header of 9223372036854775808 bytes"),
    "length over the cap": (struct.pack("<Q", 100_000_001) + b"{}", "at most 100000000"),
    "length past the end": (struct.pack("<Q", 3) + b"{}", "truncated"),
    "empty header": (with_header(b""), "not JSON"),
    "not an object": (with_header(b"[]"), "not a JSON object"),
    "not JSON": (with_header(b"{'a':1}"), "not JSON"),
    "not UTF-8": (with_header(b'{"\xff":1}'), "not UTF-8"),
    "lone surrogate in a name": (with_header(b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "surrogate"),
    "deep": (with_header(b'{"a":' + b"[" * 200_000), "nested too deeply|not JSON"),
    "deep and closed": (with_header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested too deeply|object"),
    "long number": (with_header(b'{"a":' + b"1" * 10_000 + b"}"), "number|object"),
    "NaN": (with_header(b'{"__metadata__":{"a":NaN}}'), "NaN"),
    "Infinity": (with_header(b'{"w":{"dtype":"F32","shape":[-Infinity],"data_offsets":[0,4]}}', bytes(4)), "Infinity"),
    "key twice": (with_header(b'{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{}}'), "'w' twice"),
    "inner key twice": (with_header(b'{"w":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "'dtype' twice"),
    "metadata is a list": (_file({"__metadata__": []}), "__metadata__"),
    "metadata is nested": (_file({"__metadata__": {"a": {"b": "c"}}}), "__metadata__"),
    "metadata is null": (_file({"__metadata__": None}), "__metadata__"),
    "entry is a number": (_file({"w": 3}), "not described by an object"),
    "no dtype": (_file({"w": {"shape": [1], "data_offsets": [0, 4]}}, bytes(4)), "dtype"),
    "unknown dtype": (_file({"w": _tensor(dtype="F33")}, bytes(4)), "'F33'"),
    "dtype is a list": (_file({"w": _tensor(dtype=["F32"])}, bytes(4)), "dtype"),
    "negative size": (_file({"w": _tensor(shape=(-1,))}, bytes(4)), "shape"),
    "size is true": (_file({"w": _tensor(shape=(True,))}, bytes(4)), "shape"),
    "size is a float": (_file({"w": _tensor(shape=(1.0,))}, bytes(4)), "shape"),
    "shape is a number": (_file({"w": _tensor(shape=1)}, bytes(4)), "shape"),
    "size beyond 63 bits": (_file({"w": _tensor(0, 0, shape=(0, 1 << 63))}), "shape"),
    "size beyond 64 bits": (_file({"w": _tensor(shape=(1 << 64,))}, bytes(4)), "shape"),
    "huge product": (_file({"w": _tensor(shape=(1 << 62,) * 4)}, bytes(4)), "another size"),
    "product that wraps to 4": (_file({"w": _tensor(shape=(1 << 32, 1 << 32, 1))}, bytes(4)), "another size"),
    "long hostile shape": (_file({"w": _tensor(shape=(1 << 60,) * 20_000)}, bytes(4)), "another size"),
    "three offsets": (_file({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, bytes(4)), "data_offsets"),
    "offsets backwards": (_file({"w": _tensor(4, 0)}, bytes(4)), "another size"),
    "negative offset": (_file({"w": _tensor(-4, 0)}, bytes(4)), "data_offsets"),
    "overlap": (_file({"a": _tensor(0, 4), "b": _tensor(2, 6)}, bytes(6)), "overlap"),
    "same range twice": (_file({"a": _tensor(0, 4), "b": _tensor(0, 4)}, bytes(4)), "overlap"),
    "hole": (_file({"a": _tensor(0, 4), "b": _tensor(8, 12)}, bytes(12)), "hole"),
    "hole in front": (_file({"a": _tensor(4, 8)}, bytes(8)), "hole"),
    "out of the file": (_file({"a": _tensor(0, 4)}, bytes(3)), "truncated"),
    "bytes behind": (_file({"a": _tensor(0, 4)}, bytes(5)), "too long"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_is_refused(name: str) -> None:
    data, match = HOSTILE[name]
    part = RangeOnlyPart({"bad.safetensors": data})
    with part.open("bad.safetensors") as source, pytest.raises(FormatError, match=match) as caught:
        SafetensorsExtractor().extract(source, part)
    line = str(caught.value)
    assert line.startswith("ranges://part/bad.safetensors: ")
    assert line.isprintable()
    assert len(line) < 400


def test_a_long_name_does_not_fill_the_screen() -> None:
    data = safetensors_bytes({"\x1b[31m" + "n" * 100_000: ("F32", (2,), bytes(4))})
    part = RangeOnlyPart({"bad.safetensors": data})
    with part.open("bad.safetensors") as source, pytest.raises(FormatError) as caught:
        SafetensorsExtractor().extract(source, part)
    assert len(str(caught.value)) < 400
    assert "\x1b" not in str(caught.value)
