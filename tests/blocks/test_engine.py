"""The hashing engine: the digest of every extent is the digest of its slice, at every size around the buffer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import blake3
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from trimcache.blocks.digests import digest_algorithm
from trimcache.blocks.engine import BUFFER_NBYTES, SEQUENTIAL_BUFFER_NBYTES, Engine
from trimcache.blocks.stream import is_constant
from trimcache.blocks.tiling import Extent
from trimcache.tensors import Kind
from trimcache.testing import RangeOnlySource

_TRUTH = {"blake3-256": lambda data: blake3.blake3(data).digest(), "xxh3-128": lambda data: xxhash.xxh3_128(data).digest()}
_AROUND = [0, 1, 7, BUFFER_NBYTES - 1, BUFFER_NBYTES, BUFFER_NBYTES + 1, 2 * BUFFER_NBYTES, 2 * BUFFER_NBYTES + 8]


@cache
def _noise() -> bytes:
    return np.random.default_rng(0).bytes(8 * BUFFER_NBYTES)


def _extents(sizes: list[int], gaps: list[int], itemsize: int = 1) -> list[Extent]:
    extents, position = [], 0
    for size, gap in zip(sizes, gaps, strict=True):
        extents.append(Extent(position + gap, size, Kind.PARAMETER, itemsize))
        position += gap + size
    return extents


def _check(
    data: bytes, extents: list[Extent], algorithm: str, executor: ThreadPoolExecutor | None = None, *, sequential: bool = False
) -> RangeOnlySource:
    source, done = RangeOnlySource(data, "test"), []
    engine = Engine(digest_algorithm(algorithm), executor, sequential=sequential, advance=done.append)
    hashed = engine.hash_extents(source, extents)
    slices = [data[extent.offset : extent.offset + extent.nbytes] for extent in extents]
    assert [result.digest for result in hashed] == [_TRUTH[algorithm](part) for part in slices]
    assert [result.constant for result in hashed] == [_constant(part, e.itemsize) for part, e in zip(slices, extents, strict=True)]
    assert sum(done) == sum(extent.nbytes for extent in extents)
    return source


def _constant(data: bytes, itemsize: int) -> bool:
    """Written again with numpy."""
    if itemsize <= 0 or not data or len(data) % itemsize:
        return False
    rows = np.frombuffer(data, np.uint8).reshape(-1, itemsize)
    return bool((rows == rows[0]).all())


@pytest.mark.parametrize("algorithm", sorted(_TRUTH))
@pytest.mark.parametrize("size", _AROUND)
@pytest.mark.parametrize("offset", [0, 3])
def test_one_extent(algorithm: str, size: int, offset: int) -> None:
    _check(_noise()[: size + offset + 5], [Extent(offset, size, Kind.PARAMETER, 4)], algorithm)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*_AROUND[:6], 100, 70_000]) | st.integers(0, 5000), st.sampled_from([0, 0, 3])), max_size=6))
def test_many_extents_read_each_byte_once(plan: list[tuple[int, int]]) -> None:
    extents = _extents([size for size, _ in plan], [gap for _, gap in plan])
    source = _check(_noise(), extents, "xxh3-128")
    if not any(gap for _, gap in plan):
        assert source.nbytes_read == sum(size for size, _ in plan)


def test_an_empty_extent_behind_a_gap() -> None:
    _check(_noise(), _extents([BUFFER_NBYTES - 1, 0], [0, 3]), "xxh3-128")


_SIZES = [10, BUFFER_NBYTES + 5, 500_000, 700_000, 3, 2 * BUFFER_NBYTES, 0, 9]


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("threads", [0, 1, 4])
def test_threads_and_order_of_reading_do_not_change_a_digest(sequential: bool, threads: int) -> None:
    with ThreadPoolExecutor(max(1, threads)) as pool:
        _check(_noise(), _extents(_SIZES, [0] * 8), "blake3-256", pool if threads else None, sequential=sequential)
        _check(_noise(), _extents(_SIZES, [2] * 8), "blake3-256", pool if threads else None, sequential=sequential)


@pytest.mark.parametrize("size", [SEQUENTIAL_BUFFER_NBYTES - 1, SEQUENTIAL_BUFFER_NBYTES, SEQUENTIAL_BUFFER_NBYTES + 1])
def test_sequential_reads_in_file_order(size: int) -> None:
    data = _noise() + bytes(100)
    with ThreadPoolExecutor(2) as pool:
        source = _check(data, _extents([50, size - 50, 40], [0] * 3), "xxh3-128", pool, sequential=True)
    assert source.nbytes_read == size + 40


@pytest.mark.parametrize("algorithm", sorted(_TRUTH))
def test_a_giant_is_hashed_by_all_threads_to_the_same_digest(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimcache.blocks.engine.GIANT_NBYTES", 3 << 20)
    monkeypatch.setattr("trimcache.blocks.engine.GIANT_BUFFER_NBYTES", 1 << 20)
    with ThreadPoolExecutor(2) as pool:
        _check(_noise(), _extents([5, 4 << 20, 3 << 20, 7], [0] * 4), algorithm, pool)


def test_small_neighbours_are_read_together() -> None:
    source = _check(_noise()[:100_000], _extents([1000] * 100, [0] * 100), "xxh3-128")
    assert source.n_reads == 1


def test_memory_stays_bounded() -> None:
    """A large extent goes through buffers of one size, so it is read in pieces of at most that."""
    source = _check(_noise(), [Extent(0, len(_noise()), Kind.PARAMETER, 1)], "xxh3-128")
    assert source.n_reads == 8


@pytest.mark.parametrize("size", [8, 4096, BUFFER_NBYTES, BUFFER_NBYTES + 8, 3 * BUFFER_NBYTES])
@pytest.mark.parametrize("itemsize", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("broken_at", [None, 0, 0.5, 1])
def test_constant_tensors(size: int, itemsize: int, broken_at: float | None) -> None:
    data = bytearray(bytes(range(1, itemsize + 1)) * (size // itemsize))
    if broken_at is not None and data:
        data[min(int(broken_at * len(data)), len(data) - 1)] ^= 0x80
    _check(bytes(data), [Extent(0, len(data), Kind.PARAMETER, itemsize)], "xxh3-128")


def test_constant_in_every_buffer_but_not_the_same_constant() -> None:
    data = bytes(BUFFER_NBYTES) + b"\x01" * BUFFER_NBYTES
    _check(data, [Extent(0, len(data), Kind.PARAMETER, 4)], "xxh3-128")


@given(st.binary(max_size=6), st.integers(0, 40), st.binary(max_size=3), st.integers(-1, 9))
def test_is_constant_agrees_with_numpy(head: bytes, repeats: int, tail: bytes, itemsize: int) -> None:
    data = head * repeats + tail
    assert is_constant(memoryview(data), itemsize) == _constant(data, itemsize)


def test_nothing_to_hash() -> None:
    assert Engine(digest_algorithm("blake3-256")).hash_extents(RangeOnlySource(b"", "test"), []) == []
