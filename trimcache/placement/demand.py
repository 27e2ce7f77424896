"""Demand: the probability p[k, i] that user k requests model i, sparse and in exact fixed point.

Floating-point sums depend on their order, so ties between placements would too. Demand is therefore held as int64
weights on a scale where all demand is 2**40: every gain is an exact integer and the same in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import ProblemError

__all__ = ["DEMAND_TOTAL", "Demand"]

DEMAND_TOTAL = 2**40
"""All demand, in weight units. A request loses at most half a unit to rounding, about 5e-13 of the total."""

_SUBJECT = "demand"


@dataclass(frozen=True, eq=False)
class Demand:
    """R requests (user, model) of positive probability, ascending by user, then model; arrays read-only.

    Attributes:
        n_users, n_models: K and I.
        user, model: int32[R].
        weight: int64[R]. Each is rounded on its own, so equal probabilities stay equal; ``total`` is their exact sum,
            within R / 2 units of ``DEMAND_TOTAL`` (0 when there is no demand), and what hit ratios divide by.
    """

    n_users: int
    n_models: int
    user: NDArray[np.int32]
    model: NDArray[np.int32]
    weight: NDArray[np.int64]

    @property
    def n_requests(self) -> int:
        """R, the number of requests."""
        return int(self.weight.size)

    @property
    def total(self) -> int:
        """The exact sum of all weights."""
        return int(self.weight.sum())

    @classmethod
    def from_dense(cls, probability: ArrayLike) -> Demand:
        """Demand from a non-negative array [K, I] on any scale (counts, probabilities).

        Raises:
            ProblemError: not two-dimensional, or a value is negative, NaN or infinite.
        """
        values = _finite(probability)
        if values.ndim != 2:
            raise ProblemError(_SUBJECT, f"has shape {values.shape}", "give an array users x models")
        user, model = np.nonzero(values)
        return cls._made(values.shape[0], values.shape[1], user, model, values[user, model])

    @classmethod
    def from_requests(cls, n_users: int, n_models: int, user: ArrayLike, model: ArrayLike, probability: ArrayLike) -> Demand:
        """Demand from rows (user index, model index, probability) in any order; rows of one pair are added up.

        Raises:
            ProblemError: an index out of range, arrays of different lengths, or a negative or non-finite probability.
        """
        values = _finite(probability).reshape(-1)
        users, models = np.asarray(user, np.int64).reshape(-1), np.asarray(model, np.int64).reshape(-1)
        if not users.size == models.size == values.size:
            raise ProblemError(_SUBJECT, f"{users.size} users, {models.size} models, {values.size} values", "give rows")
        for what, rows, count in (("user", users, n_users), ("model", models, n_models)):
            if rows.size and (rows.min() < 0 or rows.max() >= count):
                bad = int(rows.min()) if rows.min() < 0 else int(rows.max())
                raise ProblemError(_SUBJECT, f"refers to {what} {bad}, there are {count}", "use indices from 0")
        keys = users * np.int64(max(n_models, 1)) + models
        if keys.size > 1 and bool((keys[1:] <= keys[:-1]).any()):
            order = np.argsort(keys, kind="stable")
            keys, values = keys[order], values[order]
            first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
            keys, values = keys[first], np.add.reduceat(values, first)
        positive = values > 0
        users, models = np.divmod(keys[positive], max(n_models, 1))
        return cls._made(n_users, n_models, users, models, values[positive])

    def scaled(self, factor: NDArray[np.int64]) -> Demand:
        """The same requests, each weight times the factor (int64[I], >= 0) of its model, on the same scale."""
        weight = _fixed_point(self.weight.astype(np.float64) * factor[self.model])
        weight.flags.writeable = False
        return Demand(self.n_users, self.n_models, self.user, self.model, weight)

    def to_dense(self) -> NDArray[np.int64]:
        """int64[K, I] weights; for small cases."""
        dense = np.zeros((self.n_users, self.n_models), dtype=np.int64)
        dense[self.user, self.model] = self.weight
        return dense

    @classmethod
    def _made(
        cls,
        n_users: int,
        n_models: int,
        user: NDArray[np.int64],
        model: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> Demand:
        columns = (user.astype(np.int32), model.astype(np.int32), _fixed_point(values))
        for column in columns:
            column.flags.writeable = False
        return cls(int(n_users), int(n_models), *columns)


def _fixed_point(values: NDArray[np.float64]) -> NDArray[np.int64]:
    if not values.size or values.max() <= 0:
        return np.zeros(values.size, dtype=np.int64)
    scaled = values / values.max()  # so that the sum of very large or very small values stays finite
    return np.asarray(np.rint(scaled * (DEMAND_TOTAL / scaled.sum())), dtype=np.int64)


def _finite(probability: ArrayLike) -> NDArray[np.float64]:
    try:
        values = np.asarray(probability, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProblemError(_SUBJECT, "is not an array of numbers", "give numbers >= 0") from error
    if not np.isfinite(values).all():
        raise ProblemError(_SUBJECT, "holds NaN or infinity", "give finite numbers >= 0")
    if values.size and values.min() < 0:
        raise ProblemError(_SUBJECT, f"holds the negative value {values.min():g}", "give finite numbers >= 0")
    return values
