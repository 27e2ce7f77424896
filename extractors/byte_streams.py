"""The bytes of a range, or what a deflate stream in it unpacks to, a window at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from trimcache.bytesource import ByteSource
from trimcache.errors import FormatError

WINDOW_NBYTES = 256 << 10
_AGAIN = "download or copy it again"


def range_chunks(source: ByteSource, offset: int, nbytes: int) -> Iterator[bytes]:
    """The bytes of a range of ``source``, a window at a time."""
    end = offset + nbytes
    while offset < end:
        n = min(WINDOW_NBYTES, end - offset)
        yield source.read_at(offset, n)
        offset += n


def inflate(chunks: Iterable[bytes], nbytes: int, uri: str) -> Iterator[bytes]:
    """Unpack a raw deflate stream of exactly ``nbytes`` bytes, a window at a time.

    Raises:
        FormatError: it is damaged, or unpacks to more or fewer bytes; only who reads to the end hears of the latter.
    """
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    left = nbytes
    for chunk in chunks:
        out = b""
        # A full window may mean that there is more to come of what was already consumed.
        while chunk or len(out) == WINDOW_NBYTES:
            try:
                out = unpacker.decompress(chunk, WINDOW_NBYTES)
            except zlib.error as error:
                raise FormatError(uri, "holds compressed bytes that are damaged", _AGAIN) from error
            left -= len(out)
            if left < 0:
                raise FormatError(uri, "unpacks to more bytes than its directory says", _AGAIN)
            if out:
                yield out
            chunk = unpacker.unconsumed_tail
    if left or not unpacker.eof:
        raise FormatError(uri, "unpacks to fewer bytes than its directory says", _AGAIN)
