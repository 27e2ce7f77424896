"""Cutting one extent into smaller blocks while its bytes stream by.

Row chunks cut a matrix after every so many whole rows, so that a matrix with rows appended shares all rows but the last chunk's.
Content-defined chunks put their cuts where the bytes say so (FastCDC: Xia et al., USENIX ATC 2016), so that an insertion moves no cut
behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from trimcache.blocks.digests import DigestAlgorithm, Hasher
from trimcache.errors import UsageError

# (bytes, digest) of each piece, in order.
PieceList = list[tuple[int, bytes]]


class Pieces(Protocol):
    """A running cut of one extent."""

    def update(self, data: memoryview) -> None: ...
    def finish(self) -> PieceList: ...


class FixedPieces:
    """A cut after every ``nbytes`` bytes."""

    def __init__(self, nbytes: int, algorithm: DigestAlgorithm) -> None:
        self._nbytes = nbytes
        self._algorithm = algorithm
        self._open: Hasher | None = None
        self._filled = 0
        self._pieces: PieceList = []

    def update(self, data: memoryview) -> None:
        begin = 0
        while begin < len(data):
            n = min(self._nbytes - self._filled, len(data) - begin)
            if n == self._nbytes:
                self._pieces.append((n, self._algorithm.of(data[begin : begin + n])))
            else:
                self._open = self._open or self._algorithm.new()
                self._open.update(data[begin : begin + n])
                self._filled += n
                if self._filled == self._nbytes:
                    self._close()
            begin += n

    def _close(self) -> None:
        assert self._open is not None
        self._pieces.append((self._filled, self._open.digest()))
        self._open, self._filled = None, 0

    def finish(self) -> PieceList:
        if self._open is not None:
            self._close()
        return self._pieces


class ContentPieces:
    """Content-defined cuts by the ``fastcdc`` library."""

    def __init__(self, cut: Callable[[bytes], list[int]], max_nbytes: int, algorithm: DigestAlgorithm) -> None:
        self._cut = cut
        self._algorithm = algorithm
        # A cut depends on at most max_nbytes behind its chunk's start, so all but the last chunk of a longer buffer are final.
        self._enough = 8 * max_nbytes
        self._pending = bytearray()
        self._pieces: PieceList = []

    def update(self, data: memoryview) -> None:
        self._pending += data
        if len(self._pending) >= self._enough:
            self._take(keep_last=True)

    def _take(self, *, keep_last: bool) -> None:
        buffer = bytes(self._pending)
        sizes = self._cut(buffer)
        begin = 0
        for size in sizes[:-1] if keep_last else sizes:
            self._pieces.append((size, self._algorithm.of(buffer[begin : begin + size])))
            begin += size
        self._pending = bytearray(buffer[begin:])

    def finish(self) -> PieceList:
        if self._pending:
            self._take(keep_last=False)
        return self._pieces


def content_cutter(min_nbytes: int, avg_nbytes: int, max_nbytes: int) -> Callable[[bytes], list[int]]:
    """A function from bytes to the sizes of their chunks.

    Raises:
        UsageError: the library is not installed.
    """
    try:
        from fastcdc import fastcdc
    except ImportError as error:
        raise UsageError("granularity chunk", "needs the library fastcdc", "pip install 'trimcache[chunks]'") from error
    chunks: Any = fastcdc

    def cut(buffer: bytes) -> list[int]:
        if len(buffer) <= min_nbytes:
            return [len(buffer)]
        return [chunk.length for chunk in chunks(buffer, min_nbytes, avg_nbytes, max_nbytes)]

    return cut
