"""Arrays that a file holds in another layout: their canonical bytes, a piece at a time, when they are asked for.

Ranges that are scattered, deflated or big-endian are streamed. A column-major array is the one case that cannot be: it is turned in a
buffer, which above 64 MiB lies in an unlinked temporary file that is mapped into memory, so that the kernel can move it out.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from extractors.byte_streams import inflate, range_chunks
from trimcache.bytesource import ByteSource
from trimcache.errors import SourceUnreadableError

PIECE_NBYTES = 1 << 20  # a multiple of the width of every element that is swapped
_TURNED_NBYTES = 8 << 20  # the more columns are turned together, the longer the runs that are written
IN_MEMORY_NBYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class StoredArray:
    """Elements in ranges of a file; called with an open source of it, it gives their canonical bytes in pieces of at most 1 MiB.

    Attributes:
        ranges: ``(offset, nbytes)`` in the file, back to back.
        nbytes: of the elements.
        unpacked_nbytes: what the ranges unpack to, if they are one deflate stream.
        skip: bytes of the stream, as it is unpacked, before the first element; what follows the last is passed over too.
        swap: width of the numbers that are turned from big-endian to little-endian; 1: none.
        columns: ``(shape, itemsize)`` of an array whose first dimension varies fastest.
    """

    ranges: tuple[tuple[int, int], ...]
    nbytes: int
    unpacked_nbytes: int | None = None
    skip: int = 0
    swap: int = 1
    columns: tuple[tuple[int, ...], int] | None = None

    def __call__(self, source: ByteSource) -> Iterator[memoryview]:
        chunks: Iterator[bytes] = chain.from_iterable(range_chunks(source, offset, nbytes) for offset, nbytes in self.ranges)
        if self.unpacked_nbytes is not None:
            chunks = inflate(chunks, self.unpacked_nbytes, source.uri)
        reader = _Reader(chunks)
        reader.drop(self.skip)
        if self.columns is None:
            for offset in range(0, self.nbytes, PIECE_NBYTES):
                yield self._next(reader, min(PIECE_NBYTES, self.nbytes - offset))
            reader.finish()
            return
        turned = self._turned(reader, *self.columns, source.uri)
        reader.finish()
        for offset in range(0, self.nbytes, PIECE_NBYTES):
            yield turned[offset : offset + PIECE_NBYTES]

    def _next(self, reader: _Reader, nbytes: int) -> memoryview:
        buffer = memoryview(bytearray(nbytes))
        reader.fill(buffer)
        if self.swap > 1:
            swap_bytes(buffer, self.swap)
        return buffer

    def _turned(self, reader: _Reader, shape: tuple[int, ...], itemsize: int, uri: str) -> memoryview:
        import numpy as np

        out = writable_buffer(self.nbytes, uri)
        # Numbers are copied several times faster than what numpy takes for opaque bytes.
        element = f"u{itemsize}" if itemsize in (1, 2, 4, 8) else f"V{itemsize}"
        array = np.frombuffer(out, dtype=element).reshape([size for size in shape if size != 1])
        self._fill_columns(np, reader, array.T)
        return out.toreadonly()

    def _fill_columns(self, np: Any, reader: _Reader, target: Any) -> None:
        """Write the next elements into ``target``, a transposed view whose rows lie in the file one behind another."""
        if target.nbytes <= _TURNED_NBYTES:
            target[...] = np.frombuffer(self._next(reader, target.nbytes), dtype=target.dtype).reshape(target.shape)
            return
        row_nbytes = target.nbytes // len(target)
        if row_nbytes > _TURNED_NBYTES:
            for row in target:
                self._fill_columns(np, reader, row)
            return
        step = _TURNED_NBYTES // row_nbytes
        for row in range(0, len(target), step):
            self._fill_columns(np, reader, target[row : row + step])


class _Reader:
    """Chunks of any size, handed out in the sizes that are asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def fill(self, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            taken = self._take(len(buffer) - done)
            buffer[done : done + len(taken)] = taken
            done += len(taken)

    def drop(self, nbytes: int) -> None:
        while nbytes:
            nbytes -= len(self._take(nbytes))

    def finish(self) -> None:
        """Read to the end: a deflate stream is only known to be sound there."""
        for _ in self._chunks:
            pass

    def _take(self, most: int) -> memoryview:
        if not self._rest:
            chunk = next(self._chunks, None)
            assert chunk is not None, "ranges hold what their array needs; an extractor checked that"
            self._rest = memoryview(chunk)
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken


def swap_bytes(buffer: memoryview, width: int) -> None:
    """Turn numbers of ``width`` bytes around, in place."""
    import numpy as np

    if width <= 8:
        np.frombuffer(buffer, dtype=f"u{width}").byteswap(inplace=True)
    else:
        numbers = np.frombuffer(buffer, dtype=np.uint8).reshape(-1, width)
        numbers[...] = numbers[:, ::-1].copy()


def writable_buffer(nbytes: int, uri: str) -> memoryview:
    """Zeros: in anonymous memory if they are few, else in an unlinked file.

    Raises:
        SourceUnreadableError: there is no room for the file.
    """
    if nbytes <= IN_MEMORY_NBYTES:
        return memoryview(bytearray(nbytes))
    try:
        with tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, nbytes)  # a full disk is an error here and would be SIGBUS later
            return memoryview(mmap.mmap(file.fileno(), nbytes))
    except OSError as error:
        raise SourceUnreadableError(uri, f"no room to bring {nbytes} bytes into order ({error.strerror})", "set TMPDIR") from error


def filled(buffer: memoryview, chunks: Iterable[bytes]) -> memoryview:
    """``buffer`` with the chunks in it, back to back."""
    at = 0
    for chunk in chunks:
        buffer[at : at + len(chunk)] = chunk
        at += len(chunk)
    return buffer
