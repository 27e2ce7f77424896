"""Deflate streams, a window at a time: all that zlib unpacks, and not a byte more."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.byte_streams import WINDOW_NBYTES, inflate, range_chunks
from trimcache.bytesource import MemoryBytes
from trimcache.errors import FormatError


def _packed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=3), st.integers(0, WINDOW_NBYTES)), max_size=4), st.integers(-2, 2), st.integers(1, 9))
def test_inflate_gives_what_was_packed(runs: list[tuple[bytes, int]], more: int, n_chunks: int) -> None:
    """Runs of one pattern unpack a thousandfold, so that output outlives the input that it came from."""
    data = b"".join(pattern * times for pattern, times in runs) + bytes(WINDOW_NBYTES + more)
    packed = _packed(data)
    step = -(-len(packed) // n_chunks)
    chunks = [packed[at : at + step] for at in range(0, len(packed), step)]
    assert b"".join(inflate(chunks, len(data), "m")) == data
    for wrong, problem in ((len(data) - 1, "more"), (len(data) + 1, "fewer")):
        with pytest.raises(FormatError, match=f"unpacks to {problem} bytes"):
            list(inflate(chunks, wrong, "m"))


@pytest.mark.parametrize("nbytes", [(16 << 20) + 128, 64 << 20])
def test_inflate_of_zeros_gives_all_of_them(nbytes: int) -> None:
    packed = _packed(bytes(nbytes))
    chunks = range_chunks(MemoryBytes(packed), 0, len(packed))
    assert sum(map(len, inflate(chunks, nbytes, "m"))) == nbytes


def test_a_bomb_is_cut_off_within_a_window() -> None:
    unpacked = inflate([_packed(bytes(64 << 20))], 1000, "m")
    with pytest.raises(FormatError, match="unpacks to more bytes"):
        next(unpacked)
