"""Rayleigh fading: many scattered paths and none that dominates, so the power gain ``|h|^2`` is exponential with mean 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import NetworkError

__all__ = ["rayleigh_gains", "rayleigh_outage"]


def rayleigh_gains(shape: int | tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """float64[shape]: independent power gains ``|h|^2 ~ Exp(1)``; the rate is then ``B log2(1 + snr |h|^2)``."""
    return rng.standard_exponential(shape)


def rayleigh_outage(rate_bps: ArrayLike, bandwidth_hz: ArrayLike, snr: ArrayLike) -> NDArray[np.float64]:
    """float64: the probability that a faded link is slower than ``rate_bps``; the arguments broadcast.

    ``P(B log2(1 + snr |h|^2) < r) = 1 - exp(-(2^(r/B) - 1) / snr)`` (Tse and Viswanath, Fundamentals of Wireless Communication, 2005,
    section 5.4.1). No rate is ever below 0; without signal (``snr`` 0) every positive rate is out of reach.

    Args:
        rate_bps: ``r``.
        bandwidth_hz: ``B``, positive.
        snr: mean signal-to-noise ratio, linear, not negative.

    Raises:
        NetworkError: a bandwidth that is not positive, a negative ratio, or NaN.
    """
    rate, bandwidth, ratio = (np.asarray(value, dtype=np.float64) for value in (rate_bps, bandwidth_hz, snr))
    if not (bandwidth > 0).all():
        raise NetworkError("bandwidth_hz", "holds a value that is not positive", "give Hz > 0")
    if not (ratio >= 0).all():
        raise NetworkError("snr", "holds a negative value or NaN", "give linear ratios >= 0")
    if np.isnan(rate).any():
        raise NetworkError("rate_bps", "holds NaN", "give bit/s")
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        needed = np.expm1(np.maximum(rate, 0.0) / bandwidth * np.log(2.0)) / ratio  # expm1: exact for rates far below B too
    return np.asarray(np.where(rate > 0, -np.expm1(-needed), 0.0))
