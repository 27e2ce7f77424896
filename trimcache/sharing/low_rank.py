"""Is the difference of two matrices a product of two thin ones, up to rounding? So an adapter that was merged into its base shows.

A merged matrix is stored as ``M = W + L + N``: ``L`` has the adapter's rank ``r``, and ``N`` is what rounding to the stored type added, at
most half a unit in the last place of each element. The best approximation of ``M - W`` of rank ``r`` is at least as near as ``L`` (Eckart
and Young, 1936), so its residual is at most

    B(r) = ||N|| + r * 2**-24 * ||M - W||,      ||N||**2 <= sum of (ulp(M[i, j]) / 2)**2

where the second term allows for the accumulation of ``L`` itself in float32 (Higham, "Accuracy and Stability of Numerical Algorithms",
2002, section 3.1). A difference is called low-rank if for some ``r <= min(shape) / 4`` the residual is within ``B(r)`` and a tenth of the
energy: the difference of a full fine-tune, and the noise of a quantization, need nearly all ranks. The second condition keeps changes
that drown in the rounding of a coarse type (bfloat16) from being called anything.

Where one dimension is at most 2,048 the energies are the eigenvalues of the Gram matrix, summed up in one reading. For larger matrices a
randomized range finder with power iterations (Halko, Martinsson, Tropp, "Finding Structure with Randomness", 2011, algorithm 4.4) reads
both matrices a few times in slices of rows, so memory grows with rows + columns only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimcache.sharing.elements import rounding_error

Matrix = NDArray[np.float64]
# One reading of both matrices from the first row on: (base rows, merged rows), float64 of equal shapes.
Reading = Callable[[], Iterator[tuple[Matrix, Matrix]]]

MAX_RANK_SHARE = 4  # of the smaller dimension, a quarter
ENERGY_LEFT = 0.1
GRAM_DIMENSION, WHOLE_ELEMENTS = 2048, 1 << 23
SKETCHES = (32, 128, 288)  # columns; ranks above about 256 of large matrices are not looked for
_OVERSAMPLED, _POWER_ITERATIONS = 16, 2
_ACCUMULATION = 2.0**-24
_FLOAT16_SMALLEST = -13  # binary exponent of the smallest normal float16, as frexp counts: below it the step no longer shrinks
_CANCELLED = 1e-12  # of the energy: what rounding in double precision leaves of sums of products
# The k largest of r energies hold at least k / r of all; a sketch finds nearly as much. Less than this part of it tells that no rank that
# is looked for can be enough, without looking further.
_HOPELESS = 0.5


@dataclass(frozen=True, slots=True)
class LowRank:
    """What a difference of two matrices is.

    Attributes:
        rank: the smallest that is enough, or None if it is not low-rank (0: the matrices are equal).
        norm: Frobenius norm of the difference.
        residual, bound: of the approximation of that rank, and what rounding explains; of the highest rank tried if there is none.
    """

    rank: int | None
    norm: float
    residual: float
    bound: float


def low_rank(read: Reading, shape: tuple[int, int], dtypes: tuple[str, str], *, seed: int = 0) -> LowRank:
    """Judge the difference of two matrices of ``shape``.

    Args:
        read: starts a new reading of both; called a few times.
        dtypes: of the base and of the merged matrix, float types; the coarser one decides how much is rounding.
    """
    gram = _Gram(shape)
    energy, rounding = _energies(read, dtypes, gram)
    if not np.isfinite(energy) or not np.isfinite(rounding):
        return LowRank(None, float("nan"), float("nan"), float("nan"))
    if energy == 0.0:
        return LowRank(0, 0.0, 0.0, 0.0)
    highest = min(shape) // MAX_RANK_SHARE
    if gram.possible:
        return _judge(gram.energies(), energy, rounding, highest)
    verdict = LowRank(None, float(np.sqrt(energy)), float(np.sqrt(energy)), float(np.sqrt(rounding)))
    for columns in SKETCHES:
        columns = min(columns, highest + _OVERSAMPLED)
        leading = _leading(read, shape, columns, seed) ** 2
        verdict = _judge(leading, energy, rounding, min(highest, columns - _OVERSAMPLED))
        largest = min(highest, SKETCHES[-1])
        if verdict.rank is not None or columns > highest or leading.sum() < _HOPELESS * columns / largest * energy:
            break
    return verdict


class _Gram:
    """The Gram matrix of a difference over its smaller dimension, where that can be had in one reading."""

    def __init__(self, shape: tuple[int, int]) -> None:
        rows, columns = shape
        self._by_columns = columns <= min(rows, GRAM_DIMENSION)
        self._by_rows = not self._by_columns and rows <= GRAM_DIMENSION and rows * columns <= WHOLE_ELEMENTS
        self.possible = self._by_columns or self._by_rows
        self._sum: Matrix = np.zeros((columns, columns)) if self._by_columns else np.zeros((0, 0))
        self._slices: list[Matrix] = []

    def add(self, difference: Matrix) -> None:
        """Take in the next rows."""
        if self._by_columns:
            self._sum += difference.T @ difference
        elif self._by_rows:
            self._slices.append(difference)

    def energies(self) -> NDArray[np.float64]:
        """The squared singular values, descending."""
        if self._by_rows:
            whole = np.concatenate(self._slices)
            self._sum = whole @ whole.T
        found: NDArray[np.float64] = np.maximum(np.linalg.eigvalsh(self._sum)[::-1], 0.0)
        return found


def _energies(read: Reading, dtypes: tuple[str, str], gram: _Gram) -> tuple[float, float]:
    """``||M - W||**2``, and the most that rounding can contribute to it; the difference is also added to ``gram``."""
    roundoff = max(rounding_error("float64", dtype) or 2.0**-53 for dtype in dtypes)
    energy = rounding = 0.0
    for base, merged in read():
        difference = merged - base
        energy += float(np.vdot(difference, difference))
        if not np.isfinite(energy):
            break
        gram.add(difference)
        exponent = np.frexp(np.maximum(np.abs(base), np.abs(merged)))[1]
        if "float16" in dtypes:
            exponent = np.maximum(exponent, _FLOAT16_SMALLEST)
        half_step = np.ldexp(roundoff / 2, exponent)
        rounding += float(np.vdot(half_step, half_step))
    return energy, rounding


def _judge(largest: NDArray[np.float64], energy: float, rounding: float, highest: int) -> LowRank:
    """The smallest rank that is enough, by the largest squared singular values in descending order."""
    left = np.maximum(energy - np.concatenate([[0.0], np.cumsum(largest)]), 0.0)
    ranks = np.arange(len(left))
    bound = (np.sqrt(rounding) + ranks * _ACCUMULATION * np.sqrt(energy)) ** 2 + _CANCELLED * energy
    enough = (left <= bound) & (left <= ENERGY_LEFT * energy) & (ranks >= 1) & (ranks <= highest)
    rank = int(np.argmax(enough)) if enough.any() else None
    at = min(highest, len(left) - 1) if rank is None else rank
    return LowRank(rank, float(np.sqrt(energy)), float(np.sqrt(left[at])), float(np.sqrt(bound[at])))


def _leading(read: Reading, shape: tuple[int, int], columns: int, seed: int) -> NDArray[np.float64]:
    """float64[columns], the largest singular values of the difference, nearly; descending."""
    rng = np.random.default_rng(seed)
    basis = _times(read, rng.standard_normal((shape[1], columns)), shape)
    for _ in range(_POWER_ITERATIONS):
        basis = np.linalg.qr(basis)[0]
        other = np.linalg.qr(_transposed_times(read, basis, shape))[0]
        basis = _times(read, other, shape)
    basis = np.linalg.qr(basis)[0]
    return np.asarray(np.linalg.svd(_transposed_times(read, basis, shape), compute_uv=False), np.float64)


def _times(read: Reading, right: Matrix, shape: tuple[int, int]) -> Matrix:
    product = np.empty((shape[0], right.shape[1]))
    row = 0
    for base, merged in read():
        product[row : row + len(base)] = (merged - base) @ right
        row += len(base)
    return product


def _transposed_times(read: Reading, left: Matrix, shape: tuple[int, int]) -> Matrix:
    product = np.zeros((shape[1], left.shape[1]))
    row = 0
    for base, merged in read():
        product += (merged - base).T @ left[row : row + len(base)]
        row += len(base)
    return product
