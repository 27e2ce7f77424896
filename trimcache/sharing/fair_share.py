"""Fair shares: each block's bytes divided equally among its holders, without rounding.

A share is a sum of fractions ``nbytes / holders``, kept as such: their common denominator may have thousands of digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trimcache._graph_slices import row_slices
from trimcache.graph import ModelBlockGraph

Ints = NDArray[np.int64]
_FRACTION_BITS = 31


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of every row's share, T in all, those of a row together and by ``holders`` ascending.

    Attributes:
        row, holders, nbytes: int64[T]: row ``row`` owns one ``holders``-th of ``nbytes`` bytes.
    """

    row: Ints
    holders: Ints
    nbytes: Ints

    @classmethod
    def merged(cls, row: Ints, holders: Ints, nbytes: Ints) -> Terms:
        """Terms in any order, repeats allowed."""
        order = np.lexsort((holders, row))
        row, holders, nbytes = row[order], holders[order], nbytes[order]
        new = np.flatnonzero((np.diff(row, prepend=-1) != 0) | (np.diff(holders, prepend=-1) != 0))
        return cls(row[new], holders[new], np.add.reduceat(nbytes, new) if len(new) else nbytes)

    def grouped(self, group_of_row: Ints) -> Terms:
        """The terms of groups of rows: a group's share is the sum of its rows'."""
        return Terms.merged(group_of_row[self.row], self.holders, self.nbytes)

    def of_rows(self, n_rows: int) -> list[tuple[tuple[int, int], ...]]:
        """``(nbytes, holders)`` pairs of each row."""
        pairs = list(zip(self.nbytes.tolist(), self.holders.tolist(), strict=True))
        ends = np.searchsorted(self.row, np.arange(n_rows + 1)).tolist()
        return [tuple(pairs[begin:end]) for begin, end in pairwise(ends)]

    def rounded(self, n_rows: int, total: int) -> list[int]:
        """Shares in whole bytes that still add up to ``total``: rounded down, then one byte more where most was lost."""
        whole, lost = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
        np.add.at(whole, self.row, self.nbytes // self.holders)
        # A remainder is smaller than the number of holders, which is below 2**31: nothing overflows.
        np.add.at(lost, self.row, ((self.nbytes % self.holders) << _FRACTION_BITS) // self.holders)
        whole += lost >> _FRACTION_BITS
        left = total - int(whole.sum())
        # The fraction is cut to 31 bits, so a row that should have reached the next byte may be just below it; it then comes first here.
        most = np.argsort(-(lost & ((1 << _FRACTION_BITS) - 1)), kind="stable")
        whole[most[:left]] += 1
        return [int(nbytes) for nbytes in whole]


def model_terms(graph: ModelBlockGraph) -> Terms:
    """The terms of every model; ``holders`` counts models."""
    holders = graph.holders()
    pieces = [(np.zeros(0, np.int64),) * 3]
    for first, end in row_slices(graph.indptr):
        blocks = graph.indices[graph.indptr[first] : graph.indptr[end]]
        row = np.repeat(np.arange(first, end, dtype=np.int64), np.diff(graph.indptr[first : end + 1]))
        of_block, nbytes = holders[blocks], graph.block_bytes[blocks]
        # Neighbours mostly have as many holders: joined first, few are left to sort.
        runs = np.flatnonzero((np.diff(of_block, prepend=-1) != 0) | (np.diff(row, prepend=-1) != 0))
        if len(runs):
            pieces.append((row[runs], of_block[runs], np.add.reduceat(nbytes, runs)))
    row, of_block, nbytes = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return Terms.merged(row, of_block, nbytes)
