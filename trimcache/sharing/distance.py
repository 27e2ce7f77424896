"""How far two tensors of one shape are apart, measured on streams of their bytes in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trimcache.dtypes import DTYPE_BITS
from trimcache.sharing.elements import is_numeric, numbers

# Elements taken from both sides at once: 2 MiB as float64, which stay in a core's cache.
CHUNK_ELEMENTS = 1 << 18
# Chunks of a tensor whose difference is compressed, spread evenly over it: a tensor of up to a million float32 elements is taken whole.
SAMPLED_CHUNKS = 4
_ZSTD_LEVEL = 3


class Stream(Protocol):
    """The canonical bytes of one tensor, in order."""

    def read(self, n: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Distance:
    """What was measured between tensor a and tensor b.

    Attributes:
        n_elements: elements compared (all, or those of the common leading rows where one tensor has more rows).
        compared_bytes, equal_bytes: bytes compared position by position and how many are equal; None across dtypes.
        norm_a, norm_b, norm_difference: Euclidean norms of a, b and a - b over the elements that are finite on both sides; None for
            dtypes without numbers.
        n_not_finite: numbers left out of the norms because a or b is NaN or infinite there.
        sampled_bytes: bytes of b whose difference to a was compressed; 0 across dtypes.
        difference_bytes: their compressed size as a difference: XOR, split into byte planes, zstd.
        alone_bytes: the compressed size of the same bytes of b alone, split into byte planes, zstd.
    """

    n_elements: int
    compared_bytes: int | None
    equal_bytes: int | None
    norm_a: float | None
    norm_b: float | None
    norm_difference: float | None
    n_not_finite: int
    sampled_bytes: int
    difference_bytes: int
    alone_bytes: int

    @property
    def equal_share(self) -> float | None:
        """Equal bytes over compared bytes."""
        return self.equal_bytes / self.compared_bytes if self.compared_bytes and self.equal_bytes is not None else None

    @property
    def relative(self) -> float | None:
        """``||a - b|| / ||a||``; 0 if nothing differs in value; None if a is 0, or the norms are unknown or beyond float64."""
        return None if self.norm_a is None else _ratio(self.norm_difference, self.norm_a)

    @property
    def bounded(self) -> float | None:
        """``||a - b|| / max(||a||, ||b||)``, 2 at most; None if the norms are unknown or beyond float64."""
        return None if self.norm_a is None or self.norm_b is None else _ratio(self.norm_difference, max(self.norm_a, self.norm_b))

    @property
    def difference_share(self) -> float | None:
        """Compressed difference over raw bytes, an estimate from a sample where the tensor is large."""
        return self.difference_bytes / self.sampled_bytes if self.sampled_bytes else None

    @property
    def alone_share(self) -> float | None:
        """The same of the tensor alone: what is gained without knowing a."""
        return self.alone_bytes / self.sampled_bytes if self.sampled_bytes else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "elements": self.n_elements,
            "compared_bytes": self.compared_bytes,
            "equal_bytes": self.equal_bytes,
            "norm_a": _finite(self.norm_a),
            "norm_b": _finite(self.norm_b),
            "norm_difference": _finite(self.norm_difference),
            "relative_difference": self.relative,
            "not_finite": self.n_not_finite,
            "sampled_bytes": self.sampled_bytes,
            "compressed_difference_bytes": self.difference_bytes,
            "compressed_alone_bytes": self.alone_bytes,
        }


def distance(
    a: Stream, b: Stream, dtype_a: str, dtype_b: str, n_elements: int, nbytes: int, advance: Callable[[int], None] | None = None
) -> Distance:
    """Read both streams once and measure.

    Args:
        n_elements: to compare, from the start of both.
        nbytes: what those elements take in ``b``; they are compared as bytes where the dtypes are equal.
        advance: told the bytes read, of both sides together.

    Raises:
        SourceError: from reading.
    """
    if dtype_a != dtype_b:
        return _across_dtypes(a, b, dtype_a, dtype_b, n_elements, advance)
    values = is_numeric(dtype_a) and DTYPE_BITS[dtype_a] * n_elements == 8 * nbytes
    width = DTYPE_BITS[dtype_a] // 8 if values else 1
    chunk = CHUNK_ELEMENTS * width
    n_chunks = -(-nbytes // chunk)
    sampled = {i * n_chunks // SAMPLED_CHUNKS for i in range(SAMPLED_CHUNKS)} if n_chunks > SAMPLED_CHUNKS else set(range(n_chunks))
    compressed = _Compressed(width)
    norms = _Norms() if values else None
    equal = 0
    for index in range(n_chunks):
        n = min(chunk, nbytes - index * chunk)
        raw_a, raw_b = a.read(n), b.read(n)
        bytes_a, bytes_b = np.frombuffer(raw_a, np.uint8), np.frombuffer(raw_b, np.uint8)
        equal += int(np.count_nonzero(bytes_a == bytes_b))
        if norms is not None:
            norms.add(numbers(raw_a, dtype_a), numbers(raw_b, dtype_b))
        if index in sampled:
            compressed.add(bytes_a, bytes_b)
        if advance is not None:
            advance(2 * n)
    return _result(norms, n_elements, nbytes, equal, compressed)


def _across_dtypes(a: Stream, b: Stream, dtype_a: str, dtype_b: str, n_elements: int, advance: Callable[[int], None] | None) -> Distance:
    width_a, width_b = DTYPE_BITS[dtype_a] // 8, DTYPE_BITS[dtype_b] // 8
    norms = _Norms()
    for begin in range(0, n_elements, CHUNK_ELEMENTS):
        n = min(CHUNK_ELEMENTS, n_elements - begin)
        norms.add(numbers(a.read(n * width_a), dtype_a), numbers(b.read(n * width_b), dtype_b))
        if advance is not None:
            advance(n * (width_a + width_b))
    return _result(norms, n_elements, None, None, _Compressed(1))


def _result(norms: _Norms | None, n_elements: int, compared: int | None, equal: int | None, compressed: _Compressed) -> Distance:
    return Distance(
        n_elements=n_elements,
        compared_bytes=compared,
        equal_bytes=equal,
        norm_a=None if norms is None else norms.a,
        norm_b=None if norms is None else norms.b,
        norm_difference=None if norms is None else norms.difference,
        n_not_finite=0 if norms is None else norms.n_not_finite,
        sampled_bytes=compressed.raw,
        difference_bytes=compressed.difference,
        alone_bytes=compressed.alone,
    )


class _Norms:
    """Running norms; chunks are joined by ``hypot``, so that squares of large numbers do not overflow."""

    def __init__(self) -> None:
        from scipy.linalg.blas import dnrm2

        self._norm = dnrm2  # scaled inside, and four times as fast as a dot product of a vector with itself
        self.a = self.b = self.difference = 0.0
        self.n_not_finite = 0

    def add(self, a: NDArray[Any], b: NDArray[Any]) -> None:
        whole = a.dtype.kind in "iu" and b.dtype.kind in "iu"
        with np.errstate(invalid="ignore"):  # signalling NaN
            x, y = a.astype(np.float64), b.astype(np.float64)
        if whole and a.dtype == b.dtype and a.dtype.itemsize == 8:
            # float64 has 53 bits: the difference is taken before the numbers are rounded.
            d = (np.maximum(a, b).view(np.uint64) - np.minimum(a, b).view(np.uint64)).astype(np.float64)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                d = x - y
        if not whole:
            finite = np.isfinite(x) & np.isfinite(y)
            if not finite.all():
                self.n_not_finite += int(finite.size - np.count_nonzero(finite))
                x, y, d = x[finite], y[finite], d[finite]
        if len(d):
            self.a = math.hypot(self.a, self._norm(x))
            self.b = math.hypot(self.b, self._norm(y))
            self.difference = math.hypot(self.difference, self._norm(d))


class _Compressed:
    """Sizes after compression of a sample: of b as a difference to a, and of b alone."""

    def __init__(self, width: int) -> None:
        import pyarrow as pa

        self._codec = pa.Codec("zstd", compression_level=_ZSTD_LEVEL)
        self._width = width
        self.raw = self.difference = self.alone = 0

    def add(self, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
        self.raw += len(b)
        self.difference += self._size(a ^ b)
        self.alone += self._size(b)

    def _size(self, data: NDArray[np.uint8]) -> int:
        # The k-th bytes of all elements together: signs and exponents repeat, low bits of mantissas are noise.
        planes = data.reshape(-1, self._width).T.tobytes()
        # What does not shrink is stored as it is.
        return min(len(self._codec.compress(planes)), len(planes))


def _ratio(difference: float | None, scale: float) -> float | None:
    if difference is None:
        return None
    if difference == 0:
        return 0.0
    return _finite(difference / scale) if scale else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
