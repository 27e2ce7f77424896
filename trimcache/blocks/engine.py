"""Hashing the extents of a file: each byte read once, in file order, through buffers of bounded size.

Small neighbouring extents are read together and hashed from one buffer; a large one streams through two, one being filled while the
other is hashed. Reads and hashes release the GIL, so runs of extents go on at once in the threads of an executor. Nothing is mapped here: a
file that shrinks under a map kills the process. Large scans have processes that may be killed (``mapped``), and map in those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimcache.blocks.digests import DigestAlgorithm, Hasher
from trimcache.blocks.pieces import PieceList, Pieces
from trimcache.blocks.stream import Hashed, Stream, finish_pieces, is_constant
from trimcache.blocks.tiling import Extent
from trimcache.bytesource import ByteSource, LocalFile

if TYPE_CHECKING:
    from trimcache.blocks.mapped import MapWorkers

# One buffer a thread. 1 MiB stays in a core's cache between the read that fills it and the hash that drains it.
BUFFER_NBYTES = 1 << 20
# An extent this large is hashed by all threads together; the buffers are larger so that each thread gets enough of one.
GIANT_NBYTES = 256 << 20
GIANT_BUFFER_NBYTES = 16 << 20
# Spinning disks and network mounts like few large reads in file order.
SEQUENTIAL_BUFFER_NBYTES = 8 << 20
_MAX_AHEAD = 4
# What a helper process is sent at a time: a share of what is left, so that few orders are sent while this process is busy starting up, and
# no helper is late at the end.
_ORDER_SHARE, _LEAST_ORDER_NBYTES, _ORDER_EXTENTS = 0.4, 16 << 20, 4096

# Starts the pieces of one extent, or None where a granularity does not cut it.
Cutter = Callable[[Extent], Pieces | None]


@dataclass(frozen=True, slots=True)
class Engine:
    """How to hash.

    Attributes:
        algorithm: the digest.
        executor: threads to share the work among; None: everything here and now.
        sequential: read in file order from one thread, in large reads, and only hash in the executor.
        cutters: further cuts of each extent, made in the same pass.
        advance: told the number of bytes done, from whichever thread did them; less than nothing where they must be done again.
        mapped: processes that hash local files through maps; not together with ``sequential`` or ``cutters``, used with ``executor``.
    """

    algorithm: DigestAlgorithm
    executor: Executor | None = None
    sequential: bool = False
    cutters: tuple[Cutter, ...] = ()
    advance: Callable[[int], None] | None = None
    mapped: MapWorkers | None = None

    def hash_extents(self, source: ByteSource, extents: Sequence[Extent]) -> list[Hashed]:
        """Hash ``extents`` (in file order, not overlapping); results in the same order.

        Raises:
            SourceUnreadableError, SourceChangedError: from reading.
        """
        if self.mapped is not None and self.executor is not None and isinstance(source, LocalFile):
            return self._in_processes(source, extents, self.mapped, self.executor)
        runs = list(_runs(extents, SEQUENTIAL_BUFFER_NBYTES if self.sequential else BUFFER_NBYTES))
        if self.executor is None or (len(runs) == 1 and not _is_giant(runs[0])):
            return [hashed for run in runs for hashed in self._hash_run(source, run)]
        if self.sequential:
            return self._in_file_order(source, runs, self.executor)
        pending: list[Future[list[Hashed]] | None] = [
            None if _is_giant(run) else self.executor.submit(self._hash_run, source, run) for run in runs
        ]
        results: list[list[Hashed]] = []
        try:
            for run, future in zip(runs, pending, strict=True):
                results.append(future.result() if future is not None else [self._hash_giant(source, run[0], self.executor)])
        finally:
            _settle(future for future in pending if future is not None)
        return [hashed for run in results for hashed in run]

    def hash_pieces(self, pieces: Iterable[memoryview], itemsize: int) -> Hashed:
        """Hash bytes that come in pieces of whole elements, wherever they come from."""
        stream = Stream(self.algorithm.new(), (), itemsize)
        for piece in pieces:
            stream.update(piece)
        return stream.finish()

    def _in_file_order(self, source: ByteSource, runs: Sequence[Sequence[Extent]], executor: Executor) -> list[Hashed]:
        """Read here, hash in the executor, never more than a few buffers ahead of the slowest hash."""
        results: list[list[Hashed] | Future[list[Hashed]]] = []
        for index, run in enumerate(runs):
            if _nbytes(run) > SEQUENTIAL_BUFFER_NBYTES:
                results.append([self._hash_stream(source, run[0], SEQUENTIAL_BUFFER_NBYTES, self.algorithm.new(), executor)])
                continue
            ahead = results[index - _MAX_AHEAD] if index >= _MAX_AHEAD else None
            if isinstance(ahead, Future):
                ahead.result()
            results.append(executor.submit(self._hash_buffer, _read_run(source, run), run))
        return [hashed for run in results for hashed in (run.result() if isinstance(run, Future) else run)]

    def _in_processes(self, source: LocalFile, extents: Sequence[Extent], mapped: MapWorkers, executor: Executor) -> list[Hashed]:
        """Each thread of the executor sends orders to a helper process, and reads what that cannot map."""

        def carry_out(order: Sequence[Extent]) -> list[Hashed]:
            found = mapped.hash(source, order, GIANT_NBYTES, self._done)
            return found if found is not None else [one for run in _runs(order, BUFFER_NBYTES) for one in self._hash_run(source, run)]

        pending = [executor.submit(carry_out, order) for order in _orders(extents, mapped.n)]
        try:
            return [hashed for future in pending for hashed in future.result()]
        finally:
            _settle(pending)

    def _hash_run(self, source: ByteSource, run: Sequence[Extent]) -> list[Hashed]:
        if len(run) == 1 and run[0].nbytes > BUFFER_NBYTES:
            return [self._hash_stream(source, run[0], BUFFER_NBYTES, self.algorithm.new(), None)]
        return self._hash_buffer(_read_run(source, run), run)

    def _hash_buffer(self, buffer: memoryview, run: Sequence[Extent]) -> list[Hashed]:
        """Hash extents that lie back to back in ``buffer``."""
        results = []
        begin = 0
        digest_of = self.algorithm.of
        for extent in run:
            data = buffer[begin : begin + extent.nbytes]
            begin += extent.nbytes
            results.append(Hashed(digest_of(data), is_constant(data, extent.itemsize), self._cut(extent, data) if self.cutters else ()))
        self._done(begin)
        return results

    def _hash_giant(self, source: ByteSource, extent: Extent, executor: Executor) -> Hashed:
        return self._hash_stream(source, extent, GIANT_BUFFER_NBYTES, self.algorithm.new_parallel(), executor)

    def _hash_stream(self, source: ByteSource, extent: Extent, buffer_nbytes: int, hasher: Hasher, helper: Executor | None) -> Hashed:
        """Stream one extent through two buffers; with a ``helper`` one is hashed while the other is filled."""
        nbytes = min(buffer_nbytes, extent.nbytes)
        buffers = (memoryview(bytearray(nbytes)), memoryview(bytearray(nbytes if helper is not None else 0)))
        stream = Stream(hasher, self._start_pieces(extent), extent.itemsize)
        hashing: Future[None] | None = None
        for turn, offset in enumerate(range(0, extent.nbytes, nbytes)):
            part = buffers[turn % 2 if helper is not None else 0][: min(nbytes, extent.nbytes - offset)]
            source.read_into(extent.offset + offset, part)
            if hashing is not None:
                hashing.result()
            if helper is not None:
                hashing = helper.submit(stream.update, part)
            else:
                stream.update(part)
            self._done(len(part))
        if hashing is not None:
            hashing.result()
        return stream.finish()

    def _cut(self, extent: Extent, data: memoryview) -> tuple[PieceList | None, ...]:
        pieces = self._start_pieces(extent)
        for piece in pieces:
            if piece is not None:
                piece.update(data)
        return finish_pieces(pieces)

    def _start_pieces(self, extent: Extent) -> tuple[Pieces | None, ...]:
        return tuple(cutter(extent) for cutter in self.cutters)

    def _done(self, nbytes: int) -> None:
        if self.advance is not None and nbytes:
            self.advance(nbytes)


def _settle(futures: Iterable[Future[Any]]) -> None:
    """Cancel what has not begun and wait for what has: after that nobody reads the source any more."""
    # Not for what is cancelled: where the executor was shut down, nobody is left to say so.
    wait([future for future in futures if not future.cancel()])


def _nbytes(run: Sequence[Extent]) -> int:
    return run[-1].offset + run[-1].nbytes - run[0].offset


def _is_giant(run: Sequence[Extent]) -> bool:
    return len(run) == 1 and run[0].nbytes >= GIANT_NBYTES


def _runs(extents: Sequence[Extent], limit_nbytes: int) -> Iterator[Sequence[Extent]]:
    """Cut ``extents`` into runs of neighbours that fit one buffer together, or of one extent that does not fit alone."""
    start, nbytes, end = 0, 0, -1
    for index, extent in enumerate(extents):
        if index > start and (nbytes + extent.nbytes > limit_nbytes or extent.offset != end):
            yield extents[start:index]
            start, nbytes = index, 0
        nbytes += extent.nbytes
        end = extent.offset + extent.nbytes
    if start < len(extents):
        yield extents[start:]


def _orders(extents: Sequence[Extent], n_helpers: int) -> Iterator[Sequence[Extent]]:
    """Cut ``extents`` into what one helper is sent at a time (guided self-scheduling: Polychronopoulos, Kuck, 1987)."""
    left = sum(extent.nbytes for extent in extents)
    start = nbytes = 0
    for index, extent in enumerate(extents, 1):
        nbytes += extent.nbytes
        if nbytes >= max(_LEAST_ORDER_NBYTES, _ORDER_SHARE * left / n_helpers) or index - start == _ORDER_EXTENTS:
            yield extents[start:index]
            left -= nbytes
            start, nbytes = index, 0
    if start < len(extents):
        yield extents[start:]


def _read_run(source: ByteSource, run: Sequence[Extent]) -> memoryview:
    buffer = memoryview(bytearray(_nbytes(run)))
    source.read_into(run[0].offset, buffer)
    return buffer
