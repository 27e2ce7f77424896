"""safetensors: the contract, and odd but valid files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiny_models import floats, safetensors_bytes, with_header

from extractors.safetensors import SafetensorsExtractor
from trimcache.tensors import Kind
from trimcache.testing import Expected, ExtractorContract, RangeOnlyPart, Sample

_ODD = {
    "scalar": ("F64", (), bytes(range(8))),
    "empty": ("F32", (0, 3), b""),
    "flags": ("BOOL", (3,), b"\x00\x01\x01"),
    "half": ("F16", (2, 1), b"\x00\x3c\x00\x40"),
    "brain": ("BF16", (2,), b"\x80\x3f\x00\x40"),
    "eight.e4m3": ("F8_E4M3", (5,), b"\x01\x02\x03\x04\x05"),
    "eight.e5m2": ("F8_E5M2", (1,), b"\x07"),
    "four": ("F4", (2, 2), b"\x12\x34"),
    "schrödinger.重み": ("I64", (1,), b"\x01" + bytes(7)),
    "bn.running_mean": ("F32", (4,), floats(4)),
}
_CANONICAL = {
    "scalar": "float64", "empty": "float32", "flags": "bool", "half": "float16", "brain": "bfloat16", "eight.e4m3": "float8_e4m3fn",
    "eight.e5m2": "float8_e5m2", "four": "float4_e2m1fn", "schrödinger.重み": "int64", "bn.running_mean": "float32",
}  # fmt: skip


class TestSafetensors(ExtractorContract):
    def make_extractor(self) -> SafetensorsExtractor:
        return SafetensorsExtractor()

    def write_valid(self, folder: Path) -> Sequence[Sample]:
        (folder / "odd").mkdir()
        odd = folder / "odd" / "model.safetensors"
        odd.write_bytes(safetensors_bytes(_ODD, {"format": "pt"}))
        (folder / "plain").mkdir()
        plain = folder / "plain" / "weights.SAFETENSORS"
        plain.write_bytes(safetensors_bytes({"w": ("F32", (32, 2), floats(64)), "b": ("F32", (2,), floats(2, 1))}))
        (folder / "none").mkdir()
        none = folder / "none" / "none.safetensors"
        none.write_bytes(safetensors_bytes({}))
        kinds = {"flags": Kind.BUFFER, "bn.running_mean": Kind.BUFFER, "half": Kind.PARAMETER}
        return [
            Sample(odd, {name: Expected(_CANONICAL[name], shape, data, kinds.get(name)) for name, (_, shape, data) in _ODD.items()}),
            Sample(plain, {"w": Expected("float32", (32, 2), floats(64)), "b": Expected("float32", (2,), floats(2, 1))}),
            Sample(none, {}),
        ]

    def test_metadata_is_kept(self) -> None:
        assert self.extract_bytes(safetensors_bytes({}, {"format": "pt"}), "m.safetensors").metadata == {"format": "pt"}

    def test_padded_header(self) -> None:
        padded = with_header(b'{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}' + b" " * 19, b"ab")
        [tensor] = self.extract_bytes(padded, "m.safetensors").tensors
        assert tensor.offset == len(padded) - 2

    def test_two_ranged_reads_whatever_the_size(self) -> None:
        tensors = {f"layer.{i}.weight": ("F32", (4096,), floats(4096, i)) for i in range(200)}
        part = RangeOnlyPart({"m.safetensors": safetensors_bytes(tensors)})
        with part.open("m.safetensors") as source:
            self.make_extractor().extract(source, part)
            assert source.n_reads == 2

    def test_tensors_come_in_file_order_whatever_the_header_says(self) -> None:
        header = b'{"z":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
        assert [tensor.name for tensor in self.extract_bytes(with_header(header, b"ab"), "m.safetensors").tensors] == ["a", "z"]
