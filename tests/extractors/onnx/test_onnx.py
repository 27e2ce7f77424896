"""ONNX: the contract, and where tensors can be in a model."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from tiny_models import floats
from tiny_onnx import (
    FLOAT,
    FLOAT16,
    INT64,
    STRING,
    attribute,
    external,
    field,
    graph,
    model,
    node,
    packed_floats,
    packed_varints,
    tensor,
    varint,
)

from extractors.onnx import OnnxExtractor
from trimcache.tensors import Kind
from trimcache.testing import Expected, ExtractorContract, RangeOnlyPart, Sample

_INITIALIZERS = [
    tensor("raw", FLOAT, (8, 8), floats(64)),
    tensor("bn.running_mean", FLOAT, (4,), floats(4)),
    tensor("scalar", FLOAT, (), b"abcd"),
    tensor("empty", FLOAT, (0, 3), b""),
    tensor("empty.without.data", FLOAT, (0,)),
    tensor("flags", 9, (3,), b"\x00\x01\x01"),
    tensor("four bits", 22, (3,), b"\x21\x03"),
    tensor("float_data", FLOAT, (2,), None, field(4, packed_floats(1.5, -2.0))),
    tensor("double_data", 11, (1,), None, field(10, struct.pack("<d", 3.0))),
    tensor("complex", 14, (1,), None, field(4, packed_floats(1.0, 2.0))),
    tensor("pieces", FLOAT, (3,), None, field(4, packed_floats(1.0)), field(4, packed_floats(2.0, 3.0))),
    tensor("one by one", FLOAT, (2,), None, *(varint(4 << 3 | 5) + packed_floats(x) for x in (1.0, 2.0))),
    tensor("int32_data", 6, (3,), None, field(5, packed_varints(1, -1, 300))),
    tensor("half", FLOAT16, (2,), None, field(5, packed_varints(0x3C00, 0xC000))),
    tensor("int8", 3, (2,), None, field(5, packed_varints(-128, 127))),
    tensor("six bits", 27, (5,), None, field(5, packed_varints(1, 2, 3, 63, 32))),
    tensor("int64_data", INT64, (3,), None, field(7, packed_varints(-1)), field(7, 5), field(7, packed_varints(1 << 40))),
    tensor("uint32", 12, (1,), None, field(11, packed_varints(4_000_000_000))),
    tensor("dims packed", INT64, (), struct.pack("<2q", 1, 2), field(1, packed_varints(2, 1))),
    tensor("last raw counts", FLOAT, (1,), b"abcdefgh", field(9, b"wxyz")),
    tensor("words", STRING, (1,), None, field(6, b"hello")),
    tensor("", FLOAT, (1,), b"anon"),
]
_EXPECTED = {
    "raw": Expected("float32", (8, 8), floats(64), Kind.PARAMETER),
    "bn.running_mean": Expected("float32", (4,), floats(4), Kind.BUFFER),
    "scalar": Expected("float32", (), b"abcd"),
    "empty": Expected("float32", (0, 3), b""),
    "empty.without.data": Expected("float32", (0,), b""),
    "flags": Expected("bool", (3,), b"\x00\x01\x01", Kind.BUFFER),
    "four bits": Expected("int4", (3,), b"\x21\x03"),
    "float_data": Expected("float32", (2,), packed_floats(1.5, -2.0)),
    "double_data": Expected("float64", (1,), struct.pack("<d", 3.0)),
    "complex": Expected("complex64", (1,), packed_floats(1.0, 2.0)),
    "pieces": Expected("float32", (3,), packed_floats(1.0, 2.0, 3.0)),
    "one by one": Expected("float32", (2,), packed_floats(1.0, 2.0)),
    "int32_data": Expected("int32", (3,), struct.pack("<3i", 1, -1, 300)),
    "half": Expected("float16", (2,), b"\x00\x3c\x00\xc0"),
    "int8": Expected("int8", (2,), b"\x80\x7f"),
    "six bits": Expected("float6_e2m3fn", (5,), (1 | 2 << 6 | 3 << 12 | 63 << 18 | 32 << 24).to_bytes(4, "little")),
    "int64_data": Expected("int64", (3,), struct.pack("<3q", -1, 5, 1 << 40)),
    "uint32": Expected("uint32", (1,), struct.pack("<I", 4_000_000_000)),
    "dims packed": Expected("int64", (2, 1), struct.pack("<2q", 1, 2)),
    "last raw counts": Expected("float32", (1,), b"wxyz"),
    "initializer.0": Expected("float32", (1,), b"anon"),
}


def _nested() -> tuple[bytes, dict[str, Expected]]:
    def one(name: str, content: bytes) -> bytes:
        return tensor(name, FLOAT, (1,), content)

    sparse = field(1, one("s", b"val1")) + field(2, tensor("", INT64, (1,), bytes(8))) + field(3, 10)
    deep = graph(initializers=[one("w", b"deep")])
    then_branch = graph(initializers=[one("w", b"then")], nodes=[node("Loop", "", attribute("body", g=deep), name="loop")])
    else_branch = graph(initializers=[one("w", b"else")], nodes=[node("Constant", "c", attribute("value", t=one("", b"cons")))])
    main = graph(
        initializers=[one("w", b"main"), one("w", b"same")],
        nodes=[
            node("If", "y", attribute("then_branch", g=then_branch), attribute("else_branch", g=else_branch), name="/if"),
            node("Constant", "k", attribute("value", t=one("inner name", b"kkkk")), name="Constant_3"),
            node("ConstantOfShape", "f", attribute("value", t=one("", b"fill"))),
            node("Several", "s", attribute("many", more=field(10, one("", b"many")) + field(10, one("", b"more")))),
            node("Graphs", "h", attribute("all", more=field(11, deep) + field(11, deep))),
            node("Sparse", "p", attribute("sparse_value", more=field(22, sparse))),
            # The name after the attribute, as no writer does but a reader must take.
            field(5, attribute("value", t=one("", b"late"))) + field(4, "Constant") + field(2, "z"),
        ],
        more=field(15, sparse),
    )
    function = field(1, "F") + field(10, "local") + field(7, node("Constant", "c", attribute("value", t=one("", b"func"))))
    function += field(11, attribute("alpha", t=one("", b"attr")))
    raw = model(main, field(25, function) + field(20, field(1, graph(initializers=[one("w", b"left")]))))
    contents = {
        "w": b"main", "w#2": b"same", "/if.then_branch/w": b"then", "/if.then_branch/loop.body/w": b"deep", "/if.else_branch/w": b"else",
        "/if.else_branch/c": b"cons", "k": b"kkkk", "f.value": b"fill", "s.many.0": b"many", "s.many.1": b"more", "h.all.0/w": b"deep",
        "h.all.1/w": b"deep", "p.sparse_value.values": b"val1", "z": b"late", "s.values": b"val1", "local.F/c": b"func",
        "local.F/alpha": b"attr",
    }  # fmt: skip
    expected = {name: Expected("float32", (1,), content) for name, content in contents.items()}
    indices = Expected("int64", (1,), bytes(8))
    return raw, {**expected, "p.sparse_value.indices": indices, "s.indices": indices}


class TestOnnx(ExtractorContract):
    def make_extractor(self) -> OnnxExtractor:
        return OnnxExtractor()

    def write_valid(self, folder: Path) -> Sequence[Sample]:
        for name in ("inline", "nested", "external"):
            (folder / name).mkdir()
        inline = folder / "inline" / "model.ONNX"
        inline.write_bytes(model(graph(initializers=_INITIALIZERS), properties={"a": "b"}))
        nested = folder / "nested" / "model.onnx"
        raw, expected = _nested()
        nested.write_bytes(raw)
        outside = folder / "external" / "model.onnx"
        (folder / "external" / "model.onnx_data").write_bytes(b"pad " + floats(8) + b"tail")
        (folder / "external" / "sub").mkdir()
        (folder / "external" / "sub" / "b.data").write_bytes(b"12345678")
        entries = [
            tensor("a", FLOAT, (2, 4), None, external("model.onnx_data", 4, 32)),
            tensor("tied", FLOAT, (8,), None, external("./model.onnx_data", 4)),
            tensor("b", 11, (1,), None, external("sub/b.data")),
            tensor("inside", FLOAT, (1,), b"here"),
        ]
        outside.write_bytes(model(graph(initializers=entries)))
        values = {"a": Expected("float32", (2, 4), floats(8)), "tied": Expected("float32", (8,), floats(8))}
        values |= {"b": Expected("float64", (1,), b"12345678"), "inside": Expected("float32", (1,), b"here")}
        return [Sample(inline, _EXPECTED), Sample(nested, expected), Sample(outside, values)]

    def test_what_is_left_out_is_said(self) -> None:
        raw, _ = _nested()
        [note] = self.extract_bytes(raw, "m.onnx").notes
        assert note == "ranges://part/m.onnx: left out its training information"
        [note] = self.extract_bytes(model(graph(initializers=_INITIALIZERS)), "m.onnx").notes
        assert note == "ranges://part/m.onnx: left out 1 tensors of text"

    def test_metadata(self) -> None:
        raw = model(graph(), field(5, 7), {"long": "x" * 2000, "key": "value", "producer_name": "a lie"})
        assert self.extract_bytes(raw, "m.onnx").metadata == {
            "ir_version": "10", "producer_name": "tests", "model_version": "7", "key": "value",
        }  # fmt: skip

    def test_external_data_is_found_from_the_folder_of_the_model(self) -> None:
        raw = model(graph(initializers=[tensor("w", FLOAT, (1,), None, external("w.data"))]))
        files = {"onnx/model.onnx": raw, "other.onnx": model(graph()), "onnx/w.data": b"abcd", "w.data": b"wrong one"}
        part = RangeOnlyPart(files)
        with part.open("onnx/model.onnx") as source:
            [found] = OnnxExtractor().extract(source, part).tensors
        assert (found.file, found.offset, found.nbytes) == ("onnx/w.data", 0, 4)
        assert part.nbytes_read == len(raw)
