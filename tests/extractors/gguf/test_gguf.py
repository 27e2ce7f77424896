"""GGUF: the contract, and odd but valid files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_gguf import ARRAY, BOOL, F32, F64, I8, I16, I32, I64, STRING, U8, U16, U32, U64, entry, gguf_bytes, header, info
from tiny_models import floats

from extractors.gguf import GgufExtractor
from trimcache.tensors import Kind
from trimcache.testing import Expected, ExtractorContract, RangeOnlyPart, Sample

_ODD = {
    "token_embd.weight": (2, (64, 3), floats(27)),
    "scalar": (0, (), b"abcd"),
    "empty": (1, (4, 0), b""),
    "brain": (30, (3, 1), b"abcdef"),
    "i8": (24, (5,), b"abcde"),
    "schrödinger.重み": (28, (1,), b"12345678"),
    "bn.running_mean": (0, (2, 2), floats(4)),
}
_METADATA = {
    "general.architecture": (STRING, "llama"),
    "general.alignment": (U32, 64),
    "a.bool": (BOOL, True),
    "a.f32": (F32, 0.5),
    "a.f64": (F64, -2.0),
    "a.u8": (U8, 255),
    "a.i8": (I8, -1),
    "a.u16": (U16, 7),
    "a.i16": (I16, -7),
    "a.i32": (I32, -5),
    "a.u64": (U64, 2**64 - 1),
    "a.i64": (I64, -(2**63)),
    "a.long": (STRING, "x" * 5000),
    "a.broken": (STRING, b"\xffx"),
    "tokens": (ARRAY, (STRING, ["<s>", "", "é"])),
    "scores": (ARRAY, (F32, [0.0] * 9)),
    "nested": (ARRAY, (ARRAY, [(U8, [1, 2]), (STRING, ["a"]), (ARRAY, [(BOOL, [])])])),
    "none": (ARRAY, (STRING, [])),
}


class TestGguf(ExtractorContract):
    def make_extractor(self) -> GgufExtractor:
        return GgufExtractor()

    def write_valid(self, folder: Path) -> Sequence[Sample]:
        files = {
            "odd/model.GGUF": gguf_bytes(_ODD, _METADATA, alignment=64),
            "plain/model.gguf": gguf_bytes({"w": (0, (4, 2), floats(8)), "b": (1, (2,), b"1234")}, version=2),
            "big/model.gguf": gguf_bytes({"w": (0, (2, 1), b"12345678"), "d": (28, (), b"12345678"), "i": (24, (2,), b"12")}, order=">"),
            "none/none.gguf": gguf_bytes({}, {"split.count": (U16, 1), "split.no": (U16, 0)}),
            "adapter/lora.gguf": gguf_bytes({"w.lora_a": (0, (2,), floats(2))}, {"general.type": (STRING, "adapter")}),
        }
        expected = {
            "odd/model.GGUF": {
                "token_embd.weight": Expected("gguf.q4_0", (3, 64), floats(27), Kind.PARAMETER),
                "scalar": Expected("float32", (), b"abcd"),
                "empty": Expected("float16", (0, 4), b""),
                "brain": Expected("bfloat16", (1, 3), b"abcdef"),
                "i8": Expected("int8", (5,), b"abcde"),
                "schrödinger.重み": Expected("float64", (1,), b"12345678"),
                "bn.running_mean": Expected("float32", (2, 2), floats(4), Kind.BUFFER),
            },
            "plain/model.gguf": {"w": Expected("float32", (2, 4), floats(8)), "b": Expected("float16", (2,), b"1234")},
            "big/model.gguf": {
                "w": Expected("float32", (1, 2), b"43218765"),
                "d": Expected("float64", (), b"87654321"),
                "i": Expected("int8", (2,), b"12"),
            },
            "none/none.gguf": {},
            "adapter/lora.gguf": {"w.lora_a": Expected("float32", (2,), floats(2), Kind.ADAPTER)},
        }
        for path, raw in files.items():
            (folder / path).parent.mkdir()
            (folder / path).write_bytes(raw)
        return [Sample(folder / path, expected[path]) for path in files]

    def test_scalars_and_short_text_are_kept(self) -> None:
        metadata = self.extract_bytes(gguf_bytes({}, _METADATA, alignment=64), "m.gguf").metadata
        assert metadata == {
            "general.architecture": "llama", "general.alignment": "64", "a.bool": "true", "a.f32": "0.5", "a.f64": "-2.0", "a.u8": "255",
            "a.i8": "-1", "a.u16": "7", "a.i16": "-7", "a.i32": "-5", "a.u64": str(2**64 - 1), "a.i64": str(-(2**63)),
            "a.broken": "\ufffdx",
        }  # fmt: skip

    def test_tensors_come_in_file_order_and_padding_at_the_end_may_lack(self) -> None:
        raw = header(2, 0) + info("z", 24, (3,), 32) + info("a", 24, (1,), 0)
        raw += bytes(-len(raw) % 32) + b"a" + bytes(31) + b"zzz"
        assert [(tensor.name, tensor.offset) for tensor in self.extract_bytes(raw, "m.gguf").tensors] == [("a", 96), ("z", 128)]

    @pytest.mark.parametrize(
        ("base", "declared"),
        [
            ({"general.base_model.0.repo_url": (STRING, "https://huggingface.co/org/base/")}, "org/base"),
            ({"general.base_model.0.name": (STRING, "Base 7B")}, "Base 7B"),
            ({"general.base_model.0.name": (U8, 3)}, None),
            ({}, None),
        ],
    )
    def test_an_adapter_declares_its_base(self, base: dict[str, tuple[int, str]], declared: str | None) -> None:
        adapter = gguf_bytes({}, {"general.type": (STRING, "adapter"), **base})
        assert self.extract_bytes(adapter, "lora.gguf").declared_base == declared
        assert self.extract_bytes(gguf_bytes({}, base), "model.gguf").declared_base is None


def _piece(number: int, count: int) -> bytes:
    return gguf_bytes({f"w{number}": (24, (1,), b"x")}, {"split.no": (U16, number), "split.count": (U16, count)})


class TestSplits:
    names = tuple(f"sub/m-{i:05d}-of-00003.gguf" for i in (1, 2, 3))

    def _extract(self, files: dict[str, bytes], name: str) -> tuple[str, ...]:
        part = RangeOnlyPart(files)
        with part.open(name) as source:
            return GgufExtractor().extract(source, part).notes

    def test_a_complete_model_has_nothing_to_say(self) -> None:
        files = {name: _piece(i, 3) for i, name in enumerate(self.names)} | {"other.gguf": gguf_bytes({})}
        assert [self._extract(files, name) for name in files] == [()] * 4

    def test_missing_pieces_are_noted(self) -> None:
        [note] = self._extract({self.names[1]: _piece(1, 3)}, self.names[1])
        assert note == "sub/m-00002-of-00003.gguf: 2 of the 3 pieces of the model are missing"

    def test_another_name_says_nothing(self) -> None:
        assert self._extract({"blob.gguf": _piece(1, 3)}, "blob.gguf") == ()

    def test_entries_are_typed(self) -> None:
        raw = gguf_bytes({}, {"split.count": (U16, 3), "x": (ARRAY, (STRING, ["a"]))})
        assert self._extract({self.names[0]: raw}, self.names[0])[0].endswith("2 of the 3 pieces of the model are missing")
        assert entry("k", U8, 1)[-1:] == b"\x01"
