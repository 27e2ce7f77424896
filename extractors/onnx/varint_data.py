"""Integer data fields (``int32_data``, ``int64_data``, ``uint64_data``): varints in the file, arrays of fixed width to everybody else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from extractors.onnx.element_types import INT32_DATA
from trimcache.bytesource import ByteSource
from trimcache.dtypes import DTYPE_BITS
from trimcache.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK_NBYTES = 64 << 10  # decoding takes up to eighty times as much memory
_LONGEST_VARINT = 10
_AGAIN = "download or export the model again"


def n_entries(dtype: str, n_elements: int) -> int:
    """How many varints hold ``n_elements``: elements of 4 and 2 bits share a byte, those of 6 bits do not."""
    bits = DTYPE_BITS[dtype]
    return n_elements if bits >= 6 else -(-n_elements * bits // 8)


def decode(
    source: ByteSource, pieces: Sequence[tuple[int, int]], field: int, dtype: str, n_elements: int, label: str
) -> Iterator[memoryview]:
    """The canonical bytes, a few megabytes at a time, of a tensor whose elements are the varints in ``pieces``.

    Raises:
        FormatError: a varint is broken, or there are more or fewer than the shape asks for.
    """
    import numpy as np

    expected = n_entries(dtype, n_elements)
    width = max(1, DTYPE_BITS[dtype] // 8)
    element = np.dtype(f"<u{width}")
    packs = DTYPE_BITS[dtype] == 6 and field == INT32_DATA
    rest = np.empty(0, dtype=element)
    done = 0
    for values in _varints(source, pieces, label):
        if done + values.size > expected:
            raise FormatError(source.uri, f"{label} holds more elements than its shape says", _AGAIN)
        # Wider values lose their upper bits: negative int32 are written as ten bytes, float16 as the integer of the same bits.
        codes = values.astype(element)
        done += codes.size
        if packs:
            codes = np.concatenate((rest, codes))
            whole = codes.size // 4 * 4  # four elements end with a byte
            codes, rest = _pack_6_bits(codes[:whole]), codes[whole:]
        if codes.size:
            yield codes.data.cast("B").toreadonly()
    if done != expected:
        raise FormatError(source.uri, f"{label} holds {done} elements, its shape says {expected}", _AGAIN)
    if rest.size:
        yield _pack_6_bits(rest).data.cast("B").toreadonly()


def _varints(source: ByteSource, pieces: Sequence[tuple[int, int]], label: str) -> Iterator[NDArray[np.uint64]]:
    """All varints of the pieces in order, a chunk at a time; none crosses the end of its piece."""
    import numpy as np

    for offset, nbytes in pieces:
        end, rest = offset + nbytes, b""
        while offset < end:
            size = min(_CHUNK_NBYTES, end - offset)
            chunk = np.frombuffer(rest + source.read_at(offset, size), dtype=np.uint8)
            offset += size
            lasts = np.flatnonzero(chunk < 0x80)
            whole = int(lasts[-1]) + 1 if lasts.size else 0
            rest = chunk[whole:].tobytes()
            if len(rest) >= _LONGEST_VARINT or (rest and offset >= end):
                raise FormatError(source.uri, f"{label} holds a broken number before byte {offset}", _AGAIN)
            yield _decode_chunk(chunk[:whole], lasts, source.uri, label)


def _decode_chunk(chunk: NDArray[np.uint8], lasts: NDArray[np.intp], uri: str, label: str) -> NDArray[np.uint64]:
    """Whole varints: ``lasts`` are the indices of their last bytes."""
    import numpy as np

    firsts = np.concatenate((np.zeros(1, dtype=lasts.dtype), lasts[:-1] + 1)) if lasts.size else lasts
    lengths = lasts - firsts + 1
    longest = int(lengths.max(initial=0))
    if longest > _LONGEST_VARINT:
        raise FormatError(uri, f"{label} holds a number that is longer than ten bytes", _AGAIN)
    values = np.zeros(lasts.size, dtype=np.uint64)
    for i in range(longest):
        here = lengths > i
        bits = (chunk[firsts[here] + i] & 0x7F).astype(np.uint64)
        values[here] |= bits << np.uint64(7 * i)
    return values


def _pack_6_bits(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Four 6-bit elements to three bytes, the first in the lowest bits: the form ``raw_data`` has."""
    import numpy as np

    bits = np.unpackbits(codes[:, None], axis=1, count=6, bitorder="little")
    return np.packbits(bits.reshape(-1), bitorder="little")
