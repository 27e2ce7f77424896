"""Numbering blocks by their digests: what a dictionary would do, some ten times faster for millions of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def number_blocks(digests: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(block of each row, first row of each block)``, blocks numbered in the order of their first rows. Exact.

    Rows are sorted by the first bits of their digest with the row's own number in the remaining bits: one sort of machine words. Rows
    whose first bits agree are then compared whole.

    Args:
        digests: uint8[n, w], w a multiple of 8.
    """
    n = len(digests)
    words = np.ascontiguousarray(digests).view(np.uint64)
    if n == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    bits = np.uint64(max(1, (n - 1).bit_length()))
    low = (np.uint64(1) << bits) - np.uint64(1)
    keys = (words[:, 0] & ~low) | np.arange(n, dtype=np.uint64)
    keys.sort()
    row = (keys & low).astype(np.int64)
    keys >>= bits
    begins = np.concatenate([[True], keys[1:] != keys[:-1]])
    del keys
    # Only rows that agree with the one before them in their first bits can be the same block, or clash.
    later = np.flatnonzero(~begins)
    same = (words[row[later]] == words[row[later - 1]]).all(axis=1)
    clash = later[~same] - 1
    if len(clash):
        _separate(row, begins, words, clash)
    starts = np.flatnonzero(begins)
    first = row[starts]
    is_first = np.zeros(n, bool)
    is_first[first] = True
    number = np.cumsum(is_first) - 1
    block = np.empty(n, np.int64)
    block[row] = np.repeat(number[first], np.diff(starts, append=n))
    return block, np.flatnonzero(is_first)


def _separate(row: NDArray[np.int64], begins: NDArray[np.bool_], words: NDArray[np.uint64], clash: NDArray[np.int64]) -> None:
    """Put the rows of groups that hold several digests in order of digest, and mark where each digest begins. In place."""
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(row))
    for group in np.unique(np.searchsorted(starts, clash, side="right") - 1):
        start, end = starts[group], ends[group]
        members = sorted(row[start:end].tolist(), key=lambda r: (words[r].tobytes(), r))
        row[start:end] = members
        for position in range(start + 1, end):
            begins[position] = words[row[position]].tobytes() != words[row[position - 1]].tobytes()
