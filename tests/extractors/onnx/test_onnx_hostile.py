"""ONNX models made to confuse: each is refused with one line that says what is wrong."""

from __future__ import annotations

import time

import pytest
from tiny_onnx import FLOAT, INT64, attribute, external, field, graph, model, node, packed_varints, tensor, varint

from extractors.onnx import OnnxExtractor
from trimcache.errors import FormatError
from trimcache.testing import RangeOnlyPart, check_message


def _with(*initializers: bytes) -> bytes:
    return model(graph(initializers=initializers))


def _outside(location: str, offset: object = None, length: object = None) -> bytes:
    return _with(tensor("w", FLOAT, (2,), None, external(location, offset, length)))


def _bomb(depth: int) -> bytes:
    inner = graph()
    for _ in range(depth):
        inner = graph(nodes=[node("If", "y", attribute("then_branch", g=inner))])
    return model(inner)


def _long_names() -> bytes:
    inner = graph(initializers=[tensor("w", FLOAT, (0,))] * 2000)
    for _ in range(30):
        inner = graph(nodes=[node("If", "y" * 1000, attribute("g", g=inner))])
    return model(inner)


HOSTILE = {
    "nothing": (b"", "holds no graph"),
    "zeros": (bytes(64), "field number 0"),
    "text": (b"hello, this is no model at all", "no protobuf message|truncated|expected"),
    "a zip": (b"PK\x03\x04" + bytes(100), "no protobuf message|field number 0|truncated|no graph"),
    "no graph": (field(1, 8), "holds no graph"),
    "graph longer than the file": (varint(7 << 3 | 2) + varint(1000) + b"x", "claims 1000 bytes"),
    "graph of 2**64 - 1 bytes": (varint(7 << 3 | 2) + varint(2**64 - 1) + b"x", "claims 18446744073709551615 bytes"),
    "varint of eleven bytes": (varint(1 << 3) + b"\x80" * 10 + b"\x01", "longer than ten bytes"),
    "varint that never ends": (varint(1 << 3) + b"\xff" * 100_000, "longer than ten bytes"),
    "varint at the end": (varint(1 << 3) + b"\x80", "truncated"),
    "tag alone": (varint(7 << 3 | 2), "truncated"),
    "tag of 64 bits": (varint(2**64 - 1), "field number"),
    "group": (varint(9 << 3 | 3) + varint(9 << 3 | 4), "wire type 3"),
    "wire type 7": (varint(9 << 3 | 7), "wire type 7"),
    "fixed field beyond the file": (varint(9 << 3 | 1) + b"1234", "truncated"),
    "inner field longer than its message": (field(7, varint(5 << 3 | 2) + varint(50) + b"x") + bytes(100), "claims 50 bytes"),
    "fixed field longer than its message": (field(7, varint(9 << 3 | 1) + b"1234") + field(1, 3) * 9, "should end at byte"),
    "varint longer than its message": (field(7, varint(9 << 3) + b"\x80") + field(1, 3), "should end at byte|longer than ten"),
    "negative dimension": (_with(tensor("w", FLOAT, (-1,), b"abcd")), "negative dimension -1"),
    "negative dimension, packed": (_with(tensor("w", FLOAT, (), b"abcd", field(1, packed_varints(2, -2)))), "negative dimension -2"),
    "packed dimensions beyond their end": (
        _with(tensor("w", FLOAT, (), b"abcd", field(1, b"\x81"))),
        "do not end|claims|ends at",
    ),
    "65 dimensions": (_with(tensor("w", FLOAT, (1,) * 65, b"abcd")), "more than 64 dimensions"),
    "huge product": (_with(tensor("w", FLOAT, (2**62,) * 64, b"abcd")), "more bytes than any file"),
    "product that wraps": (_with(tensor("w", FLOAT, (2**32, 2**32), b"")), "more bytes than any file"),
    "more than it holds": (_with(tensor("w", FLOAT, (2,), b"abcd")), "takes 8 bytes by its type and shape, it holds 4"),
    "less than it holds": (_with(tensor("w", FLOAT, (0,), b"abcd")), "takes 0 bytes by its type and shape, it holds 4"),
    "no data": (_with(tensor("w", FLOAT, (1,))), "takes 4 bytes by its type and shape, it holds 0"),
    "data in a field of another type": (_with(tensor("w", FLOAT, (1,), None, field(7, packed_varints(5)))), "it holds 0"),
    "too few integers": (_with(tensor("w", INT64, (9,), None, field(7, packed_varints(5)))), "should hold 9 integers, and 1 bytes cannot"),
    "too many integers": (_with(tensor("w", INT64, (1,), None, field(7, packed_varints(*[5] * 11)))), "should hold 1 integers"),
    "no type": (_with(tensor("w", 0, (1,), b"abcd")), "unknown element type 0"),
    "unknown type": (_with(tensor("w", 99, (1,), b"abcd")), "unknown element type 99"),
    "segments": (_with(tensor("w", FLOAT, (1,), b"abcd", field(3, field(1, 0)))), "stored in segments"),
    "name is not UTF-8": (_with(tensor(b"\xff\xfe", FLOAT, (1,), b"abcd")), "not UTF-8"),
    "name of a megabyte": (_with(tensor("x" * (1 << 20), FLOAT, (1,), b"abcd")), "too long"),
    "elements one by one without end": (
        _with(tensor("w", INT64, (5000,), None, *[field(7, 1)] * 5000)),
        "scattered over more than 4096 pieces",
    ),
    "an attribute with two values": (
        model(graph(nodes=[node("Constant", "c", attribute("value", more=field(5, tensor("", FLOAT, (0,))) * 2))])),
        "holds two values",
    ),
    "sparse values twice": (
        model(graph(more=field(15, field(1, tensor("s", FLOAT, (0,))) * 2))),
        "values or indices twice",
    ),
    "graphs 33 deep": (_bomb(33), "nests graphs more than 32 deep"),
    "graphs 5,000 deep": (_bomb(5000), "nests graphs more than 32 deep"),
    "names that multiply": (_long_names(), "names of its tensors take more than"),
    "external at an absolute path": (_outside("/etc/passwd"), "'/etc/passwd', which is no path below"),
    "external above the folder": (_outside("../secret"), "no path below"),
    "external above the folder, hidden": (_outside("sub/../../secret"), "no path below"),
    "external with backslashes": (_outside("..\\secret"), "no path below"),
    "external on a drive": (_outside("C:secret"), "no path below"),
    "external with a zero byte": (_outside("a\0b"), "no path below"),
    "external nowhere": (_outside(""), "no path below"),
    "external at a URL": (_outside("file:///etc/passwd"), "no path below"),
    "external in memory of a runtime": (_outside("*/_ORT_MEM_ADDR_/*", 1234, 8), "not there"),
    "external that is not there": (_outside("other.data"), "'other.data', which is not there"),
    "external out of the file": (_outside("w.data", 4), "lies at bytes 4 to 12 of 'w.data', which holds 8"),
    "external offset of 2**63": (_outside("w.data", 2**63), "lies at bytes"),
    "external offset of a mile": (_outside("w.data", "9" * 500), "no size"),
    "external offset below zero": (_outside("w.data", -4), "external offset '-4', which is no size"),
    "external offset in other digits": (_outside("w.data", "\u0663"), "no size"),
    "external length too short": (_outside("w.data", 0, 4), "takes 8 bytes by its type and shape, its external data has 4"),
    "external length is no number": (_outside("w.data", 0, "0x8"), "no size"),
    "too many external entries": (
        _with(tensor("w", FLOAT, (2,), None, *(field(13, field(1, str(i))) for i in range(65)))),
        "more than 64 entries",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_is_refused(name: str) -> None:
    data, match = HOSTILE[name]
    part = RangeOnlyPart({"bad.onnx": data, "w.data": bytes(8)})
    started = time.process_time()
    with part.open("bad.onnx") as source, pytest.raises(FormatError, match=match) as caught:
        OnnxExtractor().extract(source, part)
    assert time.process_time() - started < 5
    check_message(caught.value, part)
    assert part.refused == []


@pytest.mark.parametrize(
    ("payload", "n", "match"),
    [
        (b"\x80" * 11 + b"\x01", 2, "longer than ten bytes|broken number"),
        (b"\x01\x80", 2, "broken number"),
        (b"\x01\x02\x03", 2, "more elements than its shape says"),
        (b"\x81\x81\x01", 2, "holds 1 elements, its shape says 2"),
    ],
)
def test_broken_integers_are_found_when_they_are_read(payload: bytes, n: int, match: str) -> None:
    part = RangeOnlyPart({"bad.onnx": _with(tensor("w", INT64, (n,), None, field(7, payload)))})
    with part.open("bad.onnx") as source:
        [found] = OnnxExtractor().extract(source, part).tensors
        with pytest.raises(FormatError, match=match) as caught:
            found.whole(source)
    check_message(caught.value, part)
