"""What the gguf package writes, trimcache and the gguf package read the same."""

from __future__ import annotations

import tempfile
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_gguf import gguf_bytes

from extractors.gguf import GgufExtractor
from extractors.gguf.quantization import ELEMENT_TYPES
from trimcache.dtypes import DTYPE_BITS
from trimcache.errors import FormatError
from trimcache.tensors import Extraction
from trimcache.testing import RangeOnlyPart

gguf = pytest.importorskip("gguf")

_NAMES = st.text(st.characters(codec="utf-8"), max_size=20)
_TYPES = st.sampled_from(sorted(gguf.GGML_QUANT_SIZES))


def _extract(raw: bytes) -> tuple[Extraction, dict[str, bytes]]:
    part = RangeOnlyPart({"m.gguf": raw})
    with part.open("m.gguf") as source:
        extraction = GgufExtractor().extract(source, part)
        contents = {}
        for tensor in extraction.tensors:
            assert tensor.data is not None or tensor.offset is not None
            data = tensor.whole(source)
            contents[tensor.name] = bytes(data)
    return extraction, contents


def _reference(raw: bytes, folder: Path) -> dict[str, tuple[str, tuple[int, ...], int, bytes]]:
    """``(type, shape, offset, canonical bytes)`` by name, as GGUFReader reports them."""
    path = folder / "m.gguf"
    path.write_bytes(raw)
    tensors = {}
    for tensor in gguf.GGUFReader(path).tensors:
        data = tensor.data.astype(tensor.data.dtype.newbyteorder("<"))
        if tensor.tensor_type.name == "BF16" and tensor.data.size and raw[4:6] == b"\0\0":
            data = data.view(">u2").astype("<u2")  # the reference hands out the bytes of a big-endian file as they are
        tensors[tensor.name] = (tensor.tensor_type.name, tuple(reversed(tensor.shape.tolist())), tensor.data_offset, data.tobytes())
    return tensors


def test_every_type_of_the_package_is_known_and_no_other() -> None:
    assert {number: (t.block_size, t.block_nbytes) for number, t in ELEMENT_TYPES.items()} == {
        int(number): size for number, size in gguf.GGML_QUANT_SIZES.items()
    }
    for number, element in ELEMENT_TYPES.items():
        name = gguf.GGMLQuantizationType(number).name.lower()
        if element.is_dense:
            assert DTYPE_BITS[element.dtype] == 8 * element.block_nbytes
            assert element.dtype[-2:] == name[-2:] or element.dtype == "int8"
        else:
            assert element.dtype == f"gguf.{name}"
            assert element.dtype not in DTYPE_BITS


@pytest.mark.parametrize("number", sorted(gguf.GGML_QUANT_SIZES), ids=lambda number: number.name)
def test_every_type_is_read_the_same(number: int, tmp_path: Path) -> None:
    element = ELEMENT_TYPES[number]
    content = np.random.default_rng(number).bytes(3 * 2 * element.block_nbytes)
    raw = gguf_bytes({"w": (number, (2 * element.block_size, 3), content)})
    extraction, contents = _extract(raw)
    [tensor] = extraction.tensors
    assert _reference(raw, tmp_path) == {"w": (gguf.GGMLQuantizationType(number).name, tensor.shape, tensor.offset, contents["w"])}


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(_NAMES, st.tuples(_TYPES, st.integers(1, 2), st.lists(st.integers(1, 4), max_size=3)), max_size=6),
    st.sampled_from(["<", ">"]),
    st.sampled_from([1, 8, 32, 4096]),
)
def test_files_are_read_the_same(model: dict[str, tuple[int, int, list[int]]], order: str, alignment: int) -> None:
    tensors = {}
    for seed, (name, (number, n_blocks, further)) in enumerate(model.items()):
        if order == ">" and not ELEMENT_TYPES[number].is_dense:
            number = 0
        element = ELEMENT_TYPES[number]
        content = np.random.default_rng(seed).bytes(n_blocks * prod(further) * element.block_nbytes)
        tensors[name] = (number, (n_blocks * element.block_size, *further), content)
    raw = gguf_bytes(tensors, {"general.alignment": (4, alignment)}, order=order, alignment=alignment)
    extraction, contents = _extract(raw)
    with tempfile.TemporaryDirectory() as folder:
        theirs = _reference(raw, Path(folder))
    assert {name: (shape, content) for name, (_, shape, _, content) in theirs.items()} == {
        tensor.name: (tensor.shape, contents[tensor.name]) for tensor in extraction.tensors
    }
    for tensor in extraction.tensors:
        offset = tensor.offset if tensor.offset is not None else tensor.stored[0][0]
        assert offset == theirs[tensor.name][2]


def test_a_file_of_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_token_list(["<s>", "a", "b"])
    writer.add_token_scores([0.0, 1.0, 2.0])
    dense = np.arange(12, dtype=np.float32).reshape(3, 4)
    writer.add_tensor("dense.weight", dense)
    quantized = gguf.quants.quantize(np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("quantized.weight", quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    extraction, contents = _extract(path.read_bytes())
    assert {tensor.name: (tensor.dtype, tensor.shape) for tensor in extraction.tensors} == {
        "dense.weight": ("float32", (3, 4)), "quantized.weight": ("gguf.q8_0", (2, 64)),
    }  # fmt: skip
    assert contents == {"dense.weight": dense.tobytes(), "quantized.weight": quantized.tobytes()}
    assert extraction.metadata["general.architecture"] == "llama"
    assert extraction.metadata["llama.context_length"] == "128"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_accepted_after_damage_the_reference_reads_the_same(data: st.DataObject) -> None:
    whole = gguf_bytes(
        {"a": (0, (4, 2), bytes(range(32))), "b": (2, (32,), bytes(18))},
        {"general.alignment": (4, 32), "tokens": (9, (8, ["x", "yy"])), "name": (8, "n")},
    )
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 2))):
        damaged[data.draw(st.integers(4, 250))] = data.draw(st.sampled_from((0, 1, 2, 8, 32, 64, 255)) | st.integers(0, 255))
    try:
        extraction, contents = _extract(bytes(damaged))
    except FormatError:
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            theirs = _reference(bytes(damaged), Path(folder))
        except IndexError:
            # The reference's reader stumbles over arrays of type 13 and above only when they have items, and over empty files.
            assert not extraction.tensors
            return
    assert {name: (shape, content) for name, (_, shape, _, content) in theirs.items()} == {
        tensor.name: (tensor.shape, contents[tensor.name]) for tensor in extraction.tensors
    }
