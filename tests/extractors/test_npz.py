"""NumPy archives: the contract, what numpy writes, and archives made to confuse."""

from __future__ import annotations

import io
import struct
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from extractors.npz import NpzExtractor
from trimcache.errors import FormatError
from trimcache.tensors import Extraction, Kind
from trimcache.testing import Expected, ExtractorContract, RangeOnlyPart, Sample, check_message


def _header(descr: str = "'<f4'", shape: str = "(2,)", order: str = "False", version: bytes = b"\x01\x00") -> bytes:
    return _npy(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode(), version)


def _npy(literal: bytes, version: bytes = b"\x01\x00") -> bytes:
    literal += b" " * (-len(literal) - 11 % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version[:1] == b"\x01" else "<I", len(literal)) + literal


def _zip(members: Mapping[str, bytes], deflated: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def _npz(arrays: Mapping[str, np.ndarray], compressed: bool = False) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


def _extract(raw: bytes) -> tuple[Extraction, dict[str, tuple[str, tuple[int, ...], bytes]]]:
    part = RangeOnlyPart({"m.npz": raw})
    with part.open("m.npz") as source:
        extraction = NpzExtractor().extract(source, part)
        contents = {}
        for tensor in extraction.tensors:
            data = tensor.whole(source)
            contents[tensor.name] = (tensor.dtype, tensor.shape, bytes(data))
    return extraction, contents


_ARRAYS = {
    "plain": np.arange(6, dtype="<f4").reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype="<i8").reshape(2, 3)),
    "big": np.arange(3, dtype=">f8"),
    "both": np.asfortranarray(np.arange(4, dtype=">c8").reshape(2, 2)),
    "scalar": np.array(1.5, dtype="<f2"),
    "empty": np.zeros((0, 4), dtype=">f4"),
    "flags": np.array([True, False]),
    "bn.running_mean": np.ones(2, dtype="<f4"),
    "void": np.array([b"ab", b"cd"], dtype="V2"),
}


def _expected() -> dict[str, Expected]:
    kinds = {"flags": Kind.BUFFER, "bn.running_mean": Kind.BUFFER, "plain": Kind.PARAMETER}
    expected = {}
    for name, array in _ARRAYS.items():
        little = array.astype(array.dtype.newbyteorder("<"))
        expected[name] = Expected("void16" if name == "void" else array.dtype.name, array.shape, little.tobytes("C"), kinds.get(name))
    return expected


class TestNpz(ExtractorContract):
    def make_extractor(self) -> NpzExtractor:
        return NpzExtractor()

    def write_valid(self, folder: Path) -> Sequence[Sample]:
        samples = []
        for name, raw, expected in (
            ("stored", _npz(_ARRAYS), _expected()),
            ("deflated", _npz(_ARRAYS, compressed=True), _expected()),
            ("none", _npz({}), {}),
        ):
            (folder / name).mkdir()
            (folder / name / "m.npz").write_bytes(raw)
            samples.append(Sample(folder / name / "m.npz", expected))
        return samples

    def test_what_is_no_number_is_left_out_and_said(self) -> None:
        arrays = {
            "objects": np.array([{}, None], dtype=object),
            "words": np.array(["a"]),
            "bytes": np.array([b"a"]),
            "dates": np.array(["2020-01-01"], dtype="M8[D]"),
            "records": np.zeros(2, dtype=[("x", "<f4"), ("y'", "<i4", (2,))]),
            "kept": np.ones(2, dtype="<f4"),
        }
        extraction = self.extract_bytes(_npz(arrays), "m.npz")
        assert [tensor.name for tensor in extraction.tensors] == ["kept"]
        assert [note.removeprefix("ranges://part/m.npz: ") for note in extraction.notes] == [
            "left out 1 arrays of Python objects (pickles are never loaded)",
            "left out 2 arrays of text",
            "left out 1 arrays of dates",
            "left out 1 arrays of records",
        ]
        [note] = self.extract_bytes(_zip({"readme.txt": b"hello", "folder/": b""}), "m.npz").notes
        assert note.endswith("left out 1 entries that are no arrays")

    @pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"])
    @pytest.mark.parametrize("descr", ["'<f4'", '"<f4"', "'=f4'", "'f4'", "'|f4'"])
    def test_spellings_of_other_writers(self, version: bytes, descr: str) -> None:
        for shape in ("(2,)", "(2L,)", "( 2 , )", "(2,1)", "(2, 1,)"):
            _, contents = _extract(_zip({"w.npy": _header(descr, shape, "True", version) + b"abcdefgh"}))
            assert contents["w"][0::2] == ("float32", b"abcdefgh")

    def test_a_long_header(self) -> None:
        fields = ", ".join(f"('field{i}', '<f4')" for i in range(2000))
        for deflated in (True, False):
            extraction, _ = _extract(_zip({"w.npy": _header(f"[{fields}]", version=b"\x02\x00") + bytes(16000)}, deflated))
            assert extraction.notes == ("ranges://part/m.npz: left out 1 arrays of records",)

    @pytest.mark.parametrize("compressed", [False, True])
    def test_headers_of_many_arrays_are_cheap(self, compressed: bool) -> None:
        rng = np.random.default_rng(0)
        arrays = {f"layer.{i}": rng.standard_normal(2000).astype("<f4") for i in range(1500)}
        raw = _npz(arrays, compressed)
        part = RangeOnlyPart({"m.npz": raw})
        with part.open("m.npz") as source:
            tensors = NpzExtractor().extract(source, part).tensors
            stored = sum(tensor.nbytes if tensor.offset is not None else tensor.stored[0][1] for tensor in tensors)
            assert source.nbytes_read <= len(raw) - stored + (1 << 20)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.text("abc./é", min_size=1, max_size=8).filter(lambda name: not name.startswith("/") and ".." not in name),
        hnp.arrays(
            hnp.scalar_dtypes().filter(lambda dtype: dtype.kind in "biufc" and dtype.name not in ("float128", "complex256")),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        max_size=5,
    ),
    st.booleans(),
    st.booleans(),
)
def test_numpy_reads_the_same(arrays: dict[str, np.ndarray], compressed: bool, columns: bool) -> None:
    arrays = {name: np.asfortranarray(array) if columns else array for name, array in arrays.items() if name != "file"}
    raw = _npz(arrays, compressed)
    _, ours = _extract(raw)
    with np.load(io.BytesIO(raw)) as archive:
        theirs = {name.removesuffix(".npy"): archive[name] for name in archive.files}
    assert ours == {
        name: (array.dtype.name, array.shape, array.astype(array.dtype.newbyteorder("<")).tobytes("C")) for name, array in theirs.items()
    }


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_accepted_after_damage_numpy_reads_the_same(data: st.DataObject) -> None:
    damaged = bytearray(_npz({"a": np.arange(4, dtype=">f4"), "b": np.asfortranarray(np.ones((2, 2)))}, data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 2))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        _, ours = _extract(bytes(damaged))
    except FormatError:
        return
    try:
        archive = zipfile.ZipFile(io.BytesIO(bytes(damaged)))
    except (NotImplementedError, zipfile.BadZipFile):
        return  # versions, times and other fields that place no bytes
    for name, (dtype, shape, content) in ours.items():
        with archive.open(f"{name}.npy") as member:
            member._expected_crc = None  # vouches for the bytes, which is not asked here: how they are read is
            array = np.lib.format.read_array(member)
        assert (array.dtype.name, array.shape) == (dtype, shape)
        assert array.astype(array.dtype.newbyteorder("<")).tobytes("C") == content


def test_the_same_weights_as_in_safetensors() -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    from extractors.safetensors import SafetensorsExtractor

    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(3, dtype=np.float16)}
    part = RangeOnlyPart({"m.safetensors": safetensors.save(arrays)})
    with part.open("m.safetensors") as source:
        tensors = SafetensorsExtractor().extract(source, part).tensors
        expected = {t.name: (t.dtype, t.shape, source.read_at(t.offset or 0, t.nbytes)) for t in tensors}
    columns = {name: np.asfortranarray(array).astype(array.dtype.newbyteorder(">")) for name, array in arrays.items()}
    for raw in (_npz(arrays), _npz(arrays, compressed=True), _npz(columns), _npz(columns, compressed=True)):
        assert _extract(raw)[1] == expected


_LITERALS = {
    "empty": b"",
    "not a dictionary": b"[1]",
    "a call": b"{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (2,)}",
    "a name": b"{'descr': x, 'fortran_order': False, 'shape': (2,)}",
    "key missing": b"{'descr': '<f4', 'shape': (2,)}",
    "key too many": b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}",
    "key twice": b"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
    "key is a number": b"{1: '<f4', 'fortran_order': False, 'shape': (2,)}",
    "order is a number": b"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
    "shape is a number": b"{'descr': '<f4', 'fortran_order': False, 'shape': (2)}",
    "shape is a list": b"{'descr': '<f4', 'fortran_order': False, 'shape': [2]}",
    "shape of booleans": b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2)}",
    "negative size": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
    "size of 64 bits": b"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}",
    "size of a thousand digits": b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 1000 + b",)}",
    "65 dimensions": b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 65 + b")}",
    "something behind": b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} + 1",
    "open": b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,",
    "deep": b"{'descr': " + b"[" * 20_000 + b"]" * 20_000 + b", 'fortran_order': False, 'shape': (2,)}",
    "an arithmetic bomb": b"{'descr': '<f4', 'fortran_order': False, 'shape': (9**9**9,)}",
}


@pytest.mark.parametrize("name", _LITERALS)
@pytest.mark.parametrize("deflated", [False, True])
def test_headers_that_are_refused(name: str, deflated: bool) -> None:
    _refused(_zip({"w.npy": _npy(_LITERALS[name]) + b"abcdefgh"}, deflated), "header that is no dictionary|three entries|valid shape")


def _bomb() -> bytes:
    return _zip({"w.npy": _header(shape="(2,)") + bytes(64 << 20)}, deflated=True)


HOSTILE = {
    "nothing": (b"", "ZIP|truncated"),
    "no zip": (b"hello" * 100, "ZIP|truncated"),
    "member is no array": (_zip({"w.npy": b"hello, this is no array"}), "'w.npy' is no NumPy array"),
    "member is empty": (_zip({"w.npy": b""}), "no NumPy array"),
    "version 4": (_zip({"w.npy": _header(version=b"\x04\x00") + bytes(8)}), "unknown format version 4.0"),
    "header of 4 GiB": (_zip({"w.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(200)}), "claims a header of 4294967295 bytes"),
    "header beyond the member": (_zip({"w.npy": b"\x93NUMPY\x01\x00\xff\x00" + bytes(100)}), "ends in the middle of its header"),
    "fewer bytes than its shape": (_zip({"w.npy": _header(shape="(3,)") + bytes(8)}), "should have .* bytes, it has"),
    "more bytes than its shape": (_zip({"w.npy": _header(shape="(1,)") + bytes(8)}), "should have .* bytes, it has"),
    "huge product": (_zip({"w.npy": _header(shape="(" + f"{2**62}," * 64 + ")") + bytes(8)}), "should have"),
    "product that wraps": (_zip({"w.npy": _header(shape="(4294967296, 4294967296)")}), "should have"),
    "a zip bomb": (_bomb(), "should have .* bytes, it has 67"),
}


def _refused(raw: bytes, match: str) -> None:
    part = RangeOnlyPart({"bad.npz": raw})
    started = time.process_time()
    with part.open("bad.npz") as source, pytest.raises(FormatError, match=match) as caught:
        NpzExtractor().extract(source, part)
    assert time.process_time() - started < 5
    check_message(caught.value, part)


@pytest.mark.parametrize("name", HOSTILE)
def test_is_refused(name: str) -> None:
    _refused(*HOSTILE[name])


def test_a_member_that_unpacks_to_more_than_it_claims_is_cut_off() -> None:
    claimed = _header(shape="(2,)") + bytes(8)
    raw = bytearray(_zip({"w.npy": claimed + bytes(8 << 20)}, deflated=True))
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        where = raw.index(signature) + at
        raw[where : where + 4] = struct.pack("<I", len(claimed))
    part = RangeOnlyPart({"bad.npz": bytes(raw)})
    with part.open("bad.npz") as source:
        [tensor] = NpzExtractor().extract(source, part).tensors
        with pytest.raises(FormatError, match="unpacks to more bytes"):
            tensor.whole(source)
