"""Arrays in another layout than the canonical one: the bytes that numpy sees, and never all of them in memory."""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiny_onnx
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny_gguf import gguf_bytes

import trimcache
from extractors import stored_array
from extractors.gguf import GgufExtractor
from extractors.npz import NpzExtractor
from extractors.onnx import OnnxExtractor
from extractors.stored_array import StoredArray
from trimcache.blocks.digests import digest_algorithm
from trimcache.blocks.engine import Engine, Hashed
from trimcache.bytesource import MemoryBytes
from trimcache.errors import FormatError, SourceUnreadableError
from trimcache.tensors import Extractor, TensorRef
from trimcache.testing import RangeOnlyPart


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so low that a few hundred bytes are many pieces, and are turned in a file."""
    monkeypatch.setattr(stored_array, "PIECE_NBYTES", 64)
    monkeypatch.setattr(stored_array, "_TURNED_NBYTES", 48)
    monkeypatch.setattr(stored_array, "IN_MEMORY_NBYTES", 100)


@pytest.mark.usefixtures("small")
@settings(max_examples=200, deadline=None)
@given(
    dtype=st.sampled_from(["u1", "<i2", ">i2", "<f4", ">f4", ">f8", "<c8", ">c8", ">c16", "V3", "<f16", ">f16"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
    order=st.sampled_from("CF"),
    deflated=st.booleans(),
    cuts=st.lists(st.integers(0, 5000), max_size=3),
    skip=st.integers(0, 200),
    seed=st.integers(0, 2**32),
)
def test_the_bytes_are_those_that_numpy_sees(dtype, shape, order, deflated, cuts, skip, seed) -> None:
    kind = np.dtype(dtype)
    nbytes = kind.itemsize * int(np.prod(shape))
    raw = np.random.default_rng(seed).bytes(nbytes)
    array = np.frombuffer(raw, dtype=kind).reshape(shape, order=order)
    held = bytes(skip) + raw + b"behind"
    stored, skipped = held[skip : skip + nbytes], 0
    if deflated:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        stored, skipped = packer.compress(held) + packer.flush(), skip
    # The bytes in several ranges with something between them, as old protobuf writers leave them.
    borders = sorted({0, len(stored), *(cut % (len(stored) + 1) for cut in cuts)})
    pieces = [stored[a:b] for a, b in pairwise(borders)]
    ranges, file = [], b""
    for piece in pieces:
        file += b"gap"
        ranges.append((len(file), len(piece)))
        file += piece
    of = StoredArray(
        tuple(ranges),
        nbytes,
        unpacked_nbytes=len(held) if deflated else None,
        skip=skipped,
        swap=kind.itemsize // (2 if kind.kind == "c" else 1) if dtype[0] == ">" else 1,
        columns=(shape, kind.itemsize) if order == "F" and nbytes else None,
    )
    found = list(of(MemoryBytes(file)))
    assert b"".join(found) == array.astype(kind.newbyteorder("<")).tobytes("C")
    assert all(0 < piece.nbytes <= 64 for piece in found)


@pytest.mark.usefixtures("small")
def test_damage_behind_the_last_element_is_found() -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    stored = packer.compress(bytes(100)) + packer.flush()
    array = StoredArray(((0, len(stored) - 2),), 50, unpacked_nbytes=100)
    with pytest.raises(FormatError, match=r"fewer bytes|damaged"):
        list(array(MemoryBytes(stored[:-2])))


@pytest.mark.usefixtures("small")
def test_no_room_for_a_file_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stored_array.tempfile, "tempdir", str(tmp_path / "missing"))
    array = StoredArray(((0, 400),), 400, columns=((10, 10), 4))
    with pytest.raises(SourceUnreadableError, match=r"no room to bring 400 bytes into order \(No such file or directory\); set TMPDIR"):
        list(array(MemoryBytes(bytes(400))))


# Memory, format by format: a digest needs no more than a piece at a time.

_SIDE = 2048  # rows and columns of float32: 16 MiB
_NBYTES = 4 * _SIDE * _SIDE


def _npz(array: np.ndarray, *, compressed: bool = False) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, w=array)
    return out.getvalue()


def _onnx(data_type: int, n_elements: int, *fields: bytes) -> bytes:
    return tiny_onnx.model(tiny_onnx.graph(initializers=[tiny_onnx.tensor("w", data_type, (n_elements,), None, *fields)]))


_HALF = tiny_onnx.field(4, bytes(_NBYTES // 2))
_LARGE: dict[str, tuple[Extractor, Callable[[], bytes]]] = {
    "npz, deflated": (NpzExtractor(), lambda: _npz(np.zeros((_SIDE, _SIDE), "<f4"), compressed=True)),
    "npz, column-major": (NpzExtractor(), lambda: _npz(np.zeros((_SIDE, _SIDE), "<f4", "F"))),
    "npz, column-major, deflated": (NpzExtractor(), lambda: _npz(np.zeros((_SIDE, _SIDE), ">f4", "F"), compressed=True)),
    "npz, big-endian": (NpzExtractor(), lambda: _npz(np.zeros((_SIDE, _SIDE), ">f4"))),
    "GGUF, big-endian": (GgufExtractor(), lambda: gguf_bytes({"w": (0, (_SIDE, _SIDE), bytes(_NBYTES))}, order=">")),
    "ONNX, in pieces": (OnnxExtractor(), lambda: _onnx(tiny_onnx.FLOAT, _SIDE * _SIDE, _HALF, _HALF)),
    "ONNX, varints": (OnnxExtractor(), lambda: _onnx(tiny_onnx.INT64, _NBYTES // 8, tiny_onnx.field(7, bytes(_NBYTES // 8)))),
}


def _tensor(extractor: Extractor, raw: bytes) -> TensorRef:
    part = RangeOnlyPart({"m": raw})
    with part.open("m") as source:
        [tensor] = extractor.extract(source, part).tensors
    assert tensor.nbytes == _NBYTES
    assert tensor.offset is None
    return tensor


@pytest.mark.parametrize("name", _LARGE)
def test_hashing_holds_a_piece_and_not_the_tensor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_array, "IN_MEMORY_NBYTES", 1 << 20)
    monkeypatch.setattr(stored_array, "_TURNED_NBYTES", 1 << 20)
    extractor, raw = _LARGE[name]
    source = MemoryBytes(raw())
    tensor = _tensor(extractor, bytes(source.read_at(0, source.size)))
    engine = Engine(digest_algorithm("blake3-256"))
    tracemalloc.start()
    try:
        hashed = engine.hash_pieces(tensor.pieces(source), 4)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert hashed == Hashed(blake3(bytes(_NBYTES)).digest(), True)
    assert peak < _NBYTES // 2


_SCAN = """
import re, sys, threading
import trimcache
peak, done = 0, threading.Event()
def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+) kB", open("/proc/self/status").read())[1]))
watcher = threading.Thread(target=watch)
watcher.start()
trimcache.scan(sys.argv[1], sys.argv[2])
done.set(); watcher.join()
print(peak)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_scan_of_a_large_archive_keeps_to_the_limit(order: str, tmp_path: Path) -> None:
    """400 MB, unpacked and swapped, and turned around where it is column-major, in less than 300 MB."""
    np.savez_compressed(tmp_path / "large.npz", w=np.zeros((10_000, 10_000), ">f4", order))
    command = [sys.executable, "-c", _SCAN, str(tmp_path / "large.npz"), str(tmp_path / "catalog")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 300e6
    [row] = trimcache.open_catalog(tmp_path / "catalog").table("tensors").to_pylist()
    assert (row["nbytes"], row["constant"]) == (400_000_000, True)
    hasher = blake3()
    for _ in range(400):
        hasher.update(bytes(1_000_000))
    assert row["digest"] == hasher.digest()
