"""Draws of a link that depend on the server, the user, the seed and the purpose alone, so they stay when a network grows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimcache._atoms import mix64

__all__ = ["normal", "uniform"]


def uniform(server: NDArray[np.int64], user: NDArray[np.int64], seed: int, stream: int) -> NDArray[np.float64]:
    """float64, strictly between 0 and 1, one for each pair of indices (below 2**32); ``stream`` keeps purposes apart."""
    pair = (server.astype(np.uint64) << np.uint64(32)) | user.astype(np.uint64)
    drawn = mix64(pair ^ np.uint64(stream), seed) >> np.uint64(12)  # 52 bits, so that adding a half is exact
    return (drawn.astype(np.float64) + 0.5) * 2.0**-52


def normal(server: NDArray[np.int64], user: NDArray[np.int64], seed: int, stream: int) -> NDArray[np.float64]:
    """float64: standard normal draws, by inversion."""
    from scipy.special import ndtri

    return np.asarray(ndtri(uniform(server, user, seed, stream)))
