"""Tensors that a file holds in another layout: their canonical bytes, gathered when asked for.

A view is read in pieces of a few megabytes whatever its strides. What comes out above 64 MiB lies in an unlinked temporary file that is
mapped into memory, so that the kernel can move it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from extractors.byte_streams import inflate, range_chunks
from extractors.stored_array import filled, swap_bytes, writable_buffer
from trimcache.bytesource import ByteSource, MemoryBytes

_PIECE_NBYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class StoredView:
    """A strided view of stored bytes; called with an open source of its file, it gives the canonical bytes.

    Attributes:
        start: where the storage starts in the file.
        stored_nbytes: bytes it takes there.
        nbytes: bytes of the storage; other than ``stored_nbytes`` if it is deflated.
        itemsize: bytes of one element.
        first, shape, stride: the view, in elements.
        swap: width of what must be turned from big-endian to little-endian; 1: nothing.
        component: width of a real number of the element (half of it for complex types).
        floating: whether a sign is a bit (floating point) or two's complement.
        conj, neg: lazy conjugation and negation.
    """

    start: int
    stored_nbytes: int
    nbytes: int
    deflated: bool
    itemsize: int
    first: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    swap: int = 1
    component: int = 1
    floating: bool = True
    conj: bool = False
    neg: bool = False

    def __call__(self, source: ByteSource) -> memoryview:
        import numpy as np

        storage, start = source, self.start
        if self.deflated:
            storage, start = MemoryBytes(self._unpacked(source), uri=source.uri), 0
        count = 1
        for size in self.shape:
            count *= size
        out = writable_buffer(count * self.itemsize, source.uri)
        array = np.frombuffer(out, dtype=_element(np, self.itemsize)).reshape(self.shape)
        order = sorted(range(len(self.shape)), key=lambda axis: -self.stride[axis])
        order = [axis for axis in order if self.shape[axis] > 1]
        rest = tuple(axis for axis in range(len(self.shape)) if self.shape[axis] == 1)
        if count:
            target: Any = array.transpose((*order, *rest))
            for _ in rest:
                target = target[..., 0]
            dims = [(self.shape[axis], self.stride[axis]) for axis in order]
            self._copy(np, storage, start, self.first, dims, target)
        self._finish(np, out)
        return out

    def _copy(self, np: Any, source: ByteSource, start: int, first: int, dims: list[tuple[int, int]], target: Any) -> None:
        """Copy a view whose strides fall: read it whole if its span is one piece, else cut its outermost dimension."""
        span = 1 + sum((size - 1) * stride for size, stride in dims)
        if span * self.itemsize <= _PIECE_NBYTES:
            raw = source.read_at(start + first * self.itemsize, span * self.itemsize)
            flat = np.frombuffer(raw, dtype=target.dtype)
            strides = [stride * self.itemsize for _, stride in dims]
            target[...] = np.lib.stride_tricks.as_strided(flat, [size for size, _ in dims], strides, writeable=False)
            return
        size, stride = dims[0]
        inner = 1 + sum((n - 1) * step for n, step in dims[1:])
        rows = max(1, (_PIECE_NBYTES // self.itemsize - inner) // max(1, stride) + 1)
        for row in range(0, size, rows):
            n = min(rows, size - row)
            if n == 1:
                self._copy(np, source, start, first + row * stride, dims[1:], target[row])
            else:
                self._copy(np, source, start, first + row * stride, [(n, stride), *dims[1:]], target[row : row + n])

    def _finish(self, np: Any, out: memoryview) -> None:
        """Byte order, then signs, in place."""
        if self.swap > 1:
            swap_bytes(out, self.swap)
        if not (self.conj or self.neg):
            return
        numbers = np.frombuffer(out, dtype=f"<u{self.component}")
        for chosen, wanted in ((numbers, self.neg), (numbers[1::2], self.conj)):
            if wanted and self.floating:
                np.bitwise_xor(chosen, numbers.dtype.type(1 << (8 * self.component - 1)), out=chosen)
            elif wanted:
                np.negative(chosen, out=chosen)

    def _unpacked(self, source: ByteSource) -> memoryview:
        return filled(
            writable_buffer(self.nbytes, source.uri),
            inflate(range_chunks(source, self.start, self.stored_nbytes), self.nbytes, source.uri),
        )


def _element(np: Any, itemsize: int) -> Any:
    return np.dtype(f"u{itemsize}" if itemsize <= 8 else f"V{itemsize}")
