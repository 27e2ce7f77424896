"""The expected downlink rate of the paper (section 1): path loss, bandwidth and power shared by active users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trimcache.network.edge_network import EdgeNetwork

__all__ = ["covered", "distances_m", "downlink_bps"]

MIN_DISTANCE_M = 1.0  # the path-loss law diverges at 0; closer users are treated as 1 m away (assumption)


def distances_m(network: EdgeNetwork, users: slice = slice(None)) -> NDArray[np.float64]:
    """float64[M, K]: distance from each server to each user, at least 1 m."""
    difference = network.server_positions_m[:, None, :] - network.user_positions_m[None, users, :]
    return np.asarray(np.maximum(np.sqrt((difference**2).sum(axis=2)), MIN_DISTANCE_M))


def covered(network: EdgeNetwork, users: slice = slice(None)) -> NDArray[np.bool_]:
    """bool[M, K]: whether each user lies within each server's coverage radius."""
    return np.asarray(distances_m(network, users) <= network.coverage_radius_m)


def downlink_bps(network: EdgeNetwork, covered_users: NDArray[np.int64], users: slice = slice(None)) -> NDArray[np.float64]:
    """float64[M, K]: ``C_mk = B_mk log2(1 + P_mk g0 d_mk^-a0 / (n0 B_mk))`` bit/s; 0 outside coverage.

    ``B_mk = B / max(1, pA |K_m|)`` and ``P_mk`` likewise: bandwidth and power are shared by the expected active
    users, so the signal-to-noise ratio does not depend on their number. The ``max`` is ours.

    Args:
        covered_users: int64[M], |K_m| over all users of the network, not only the slice.
    """
    distance_m = distances_m(network, users)
    sharers = np.maximum(1.0, network.active_probability * covered_users)[:, None]
    bandwidth_hz = network.bandwidth_hz / sharers
    power_w = 10.0 ** ((network.power_dbm - 30.0) / 10.0) / sharers
    noise_w_per_hz = 10.0 ** ((network.noise_dbm_per_hz - 30.0) / 10.0)
    received_w = power_w * network.path_gain * distance_m**-network.path_loss_exponent
    rate_bps = bandwidth_hz * np.log2(1.0 + received_w / (noise_w_per_hz * bandwidth_hz))
    return np.asarray(np.where(distance_m <= network.coverage_radius_m, rate_bps, 0.0))
