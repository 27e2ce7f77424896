"""A cursor over a :class:`ByteSource` that reads headers in few requests and hardly anything else.

Headers of unknown length are fetched in chunks that grow while reading goes on in sequence. Where tensor bytes lie between pieces of
header, chunks shrink to what the last piece turned out to need, so that all bytes fetched in vain stay below :data:`MAX_WASTE_NBYTES`
however many tensors there are: a header costs at most its own length plus that.
"""

from __future__ import annotations

import struct

from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError

MAX_WASTE_NBYTES = 768 << 10
_FIRST_CHUNK = 4 << 10
_LARGEST_CHUNK = 256 << 10
_SMALLEST_CHUNK = 64
_AGAIN = "download or save the file again"


class RangedReader:
    """Reads forward from ``position``; every read is checked against the end of the source first.

    Args:
        source: where the bytes are.
        max_header_nbytes: refuse to read more header than this; a bound on time for files that are nothing but header.
    """

    def __init__(self, source: ByteSource, max_header_nbytes: int) -> None:
        self.source = source
        self.uri = source.uri
        self.size = source.size
        self._max_header_nbytes = max_header_nbytes
        self._buffer = b""
        self._start = 0  # where the buffer lies in the source
        self._at = 0  # position in the buffer
        self._chunk = _FIRST_CHUNK
        self._fetched = 0
        self._wasted = 0
        self._run_start = 0  # where the header bytes since the last tensor start

    @property
    def position(self) -> int:
        """Offset in the source of the next byte."""
        return self._start + self._at

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the source."""
        return self.size - self.position

    def take(self, n: int) -> bytes:
        """The next ``n`` bytes.

        Raises:
            FormatError: the source ends before, or the header is longer than any header may be.
        """
        at = self._at
        if at + n > len(self._buffer):
            self._fetch(n)
            at = self._at
        self._at = at + n
        return self._buffer[at : at + n]

    def byte(self) -> int:
        """The next byte."""
        at = self._at
        if at >= len(self._buffer):
            self._fetch(1)
            at = self._at
        self._at = at + 1
        return self._buffer[at]

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """The next values of a fixed layout."""
        at = self._at
        if at + layout.size > len(self._buffer):
            self._fetch(layout.size)
            at = self._at
        self._at = at + layout.size
        return layout.unpack_from(self._buffer, at)

    def window(self, n: int) -> tuple[bytes, int]:
        """A buffer that holds at least the next ``n`` bytes, and where in it they start; :meth:`skip` what was used of it."""
        if self._at + n > len(self._buffer):
            self._fetch(n)
        return self._buffer, self._at

    def skip(self, n: int) -> None:
        """Step over ``n`` bytes of header that nobody needs to see."""
        self._require(n)
        self._move(n)

    def leap(self, n: int) -> None:
        """Step over ``n`` bytes of tensors; those fetched already were fetched in vain."""
        self._require(n)
        self._wasted += min(n, len(self._buffer) - self._at)
        run = self.position - self._run_start
        if n > 4 * run:
            self._chunk = max(_SMALLEST_CHUNK, min(2 * run, _LARGEST_CHUNK))
        self._run_start = self.position + n
        self._move(n)

    def _move(self, n: int) -> None:
        if self._at + n <= len(self._buffer):
            self._at += n
        else:
            self._start = self.position + n
            self._buffer, self._at = b"", 0

    def _require(self, n: int) -> None:
        if n > self.size - self.position:
            raise FormatError(self.uri, f"truncated: {n} bytes are expected at offset {self.position}, but it holds {self.size}", _AGAIN)

    def _fetch(self, n: int) -> None:
        """Extend the buffer so that it holds the next ``n`` bytes."""
        self._require(n)
        rest = self._buffer[self._at :]
        affordable = (MAX_WASTE_NBYTES - self._wasted) // 4
        start = self._start + len(self._buffer)
        size = min(max(n - len(rest), min(self._chunk, affordable)), self.size - start)
        self._fetched += size
        if self._fetched - self._wasted > self._max_header_nbytes + _LARGEST_CHUNK:
            raise FormatError(self.uri, f"its header is longer than {self._max_header_nbytes} bytes", "check what wrote it")
        self._chunk = min(2 * self._chunk, _LARGEST_CHUNK)
        self._start = self.position
        self._buffer, self._at = rest + self.source.read_at(start, size), 0
