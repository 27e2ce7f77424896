"""Long arrays, a piece at a time: a piece stays in the processor's cache, and no temporary grows with the number of blocks.

Fresh memory is what large graphs cost most: the kernel zeroes every page before it is written for the first time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

STEP = 1 << 19  # elements; eight bytes each are 4 MiB


def slices(n: int) -> Iterator[slice]:
    """``0:n`` in pieces of ``STEP``."""
    for start in range(0, n, STEP):
        yield slice(start, min(start + STEP, n))


def row_slices(indptr: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """``0:n_rows`` in pieces ``first:end`` of at most ``STEP`` entries each, or of one row that has more."""
    n_rows, first = indptr.size - 1, 0
    while first < n_rows:
        end = int(np.searchsorted(indptr, indptr[first] + STEP, side="right")) - 1
        end = min(max(end, first + 1), n_rows)
        yield first, end
        first = end
