"""Hashing the extents of a file: each byte read once, in file order, through buffers of bounded size.

Small neighbouring extents are read together and hashed from one buffer; a large one streams through it. Reads and hashes release the
GIL, so several files, or several runs of one file, go on at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from trimcache.blocks.digests import DigestAlgorithm
from trimcache.blocks.tiling import Extent
from trimcache.bytesource import ByteSource

# One buffer a thread. 1 MiB stays in a core's cache between the read that fills it and the hash that drains it.
BUFFER_NBYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Hashed:
    """The digest of an extent, and whether all its elements are equal (zeros, ones: they say nothing about descent)."""

    digest: bytes
    constant: bool


def hash_extents(
    source: ByteSource,
    extents: Sequence[Extent],
    algorithm: DigestAlgorithm,
    *,
    executor: Executor | None = None,
    advance: Callable[[int], None] | None = None,
) -> list[Hashed]:
    """Digests of ``extents`` (in file order, not overlapping), in the same order.

    Args:
        executor: where to hash runs of extents at once; None: here, one after another.
        advance: told the number of bytes done, from whichever thread did them.

    Raises:
        SourceUnreadableError, SourceChangedError: from reading.
    """

    def hash_run(run: Sequence[Extent]) -> list[Hashed]:
        hashed = _hash_run(source, run, algorithm)
        if advance is not None:
            advance(sum(extent.nbytes for extent in run))
        return hashed

    runs = list(_runs(extents))
    results = executor.map(hash_run, runs) if executor is not None and len(runs) > 1 else map(hash_run, runs)
    return [hashed for run in results for hashed in run]


def _runs(extents: Sequence[Extent]) -> Iterator[Sequence[Extent]]:
    """Cut ``extents`` into runs of neighbours that fit one buffer together, or of one extent that does not fit alone."""
    start, nbytes = 0, 0
    for index, extent in enumerate(extents):
        if index > start and nbytes + extent.nbytes > BUFFER_NBYTES:
            yield extents[start:index]
            start, nbytes = index, 0
        nbytes += extent.nbytes
    if start < len(extents):
        yield extents[start:]


def _hash_run(source: ByteSource, run: Sequence[Extent], algorithm: DigestAlgorithm) -> list[Hashed]:
    first, last = run[0], run[-1]
    nbytes = last.offset + last.nbytes - first.offset
    if nbytes > BUFFER_NBYTES:
        return [_hash_stream(source, extent, algorithm) for extent in run]
    buffer = memoryview(bytearray(nbytes))
    source.read_into(first.offset, buffer)
    results = []
    for extent in run:
        begin = extent.offset - first.offset
        data = buffer[begin : begin + extent.nbytes]
        results.append(Hashed(algorithm.of(data), is_constant(data, extent.itemsize)))
    return results


def _hash_stream(source: ByteSource, extent: Extent, algorithm: DigestAlgorithm) -> Hashed:
    hasher = algorithm.new()
    buffer = memoryview(bytearray(min(BUFFER_NBYTES, extent.nbytes)))
    element, constant = b"", extent.itemsize > 0 and len(buffer) % extent.itemsize == 0
    for offset in range(0, extent.nbytes, len(buffer)):
        part = buffer[: min(len(buffer), extent.nbytes - offset)]
        source.read_into(extent.offset + offset, part)
        hasher.update(part)
        if constant:
            element = element or bytes(part[: extent.itemsize])
            constant = part[: extent.itemsize] == element and is_constant(part, extent.itemsize)
    return Hashed(hasher.digest(), constant)


def is_constant(data: memoryview, itemsize: int) -> bool:
    """Whether ``data`` is one element of ``itemsize`` bytes repeated. Nearly always settled by the first few elements."""
    if itemsize <= 0 or len(data) < itemsize or len(data) % itemsize:
        return False
    head = bytes(data[:itemsize])
    # Two cheap looks first: whole-buffer comparisons are only for what is very likely constant.
    if bytes(data[-itemsize:]) != head or bytes(data[: 4 * itemsize]) != (head * 4)[: len(data)]:
        return False
    return bytes(data) == head * (len(data) // itemsize)
