"""Who stands within whose coverage radius, and how far from it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trimcache.network._values import at

__all__ = ["MIN_DISTANCE_M", "count_covered", "covered_pairs", "user_slices"]

_CHUNK_ENTRIES = 4_000_000  # server-user pairs worked on at once: about 100 MB of temporary arrays
_FEW_PAIRS = 100_000  # up to here every pair is measured: sooner done than building a search tree
MIN_DISTANCE_M = 1.0  # path-loss laws diverge at 0; closer users are treated as 1 m away (assumption)


def covered_pairs(
    server_positions_m: NDArray[np.float64], user_positions_m: NDArray[np.float64], radius_m: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs in coverage: user, server, and distance in metres (at least 1); ascending by user, then server.

    Args:
        radius_m: one for all servers, or float64[M]. A user at exactly the radius is covered.
    """
    n_servers = len(server_positions_m)
    if n_servers * len(user_positions_m) <= _FEW_PAIRS:
        user, server = (index.reshape(-1) for index in np.indices((len(user_positions_m), n_servers)))
    else:
        from scipy.spatial import cKDTree

        # A little wider than the largest radius: what is inside is decided below, as everywhere.
        widest_m = float(radius_m.max(initial=0.0)) * (1 + 1e-9) + 1e-9
        near = cKDTree(user_positions_m).sparse_distance_matrix(cKDTree(server_positions_m), widest_m, output_type="ndarray")
        user, server = np.divmod(np.sort(near["i"] * n_servers + near["j"]), n_servers)
    difference = server_positions_m[server] - user_positions_m[user]
    distance_m = np.maximum(np.sqrt((difference**2).sum(axis=1)), MIN_DISTANCE_M)
    inside = distance_m <= at(radius_m, server)
    return user[inside], server[inside], distance_m[inside]


def count_covered(
    server_positions_m: NDArray[np.float64], user_positions_m: NDArray[np.float64], radius_m: NDArray[np.float64]
) -> NDArray[np.int64]:
    """int64[M]: |K_m|, the users that each server covers."""
    n_servers = len(server_positions_m)
    total = np.zeros(n_servers, dtype=np.int64)
    for users in user_slices(n_servers, len(user_positions_m)):
        server = covered_pairs(server_positions_m, user_positions_m[users], radius_m)[1]
        total += np.bincount(server, minlength=n_servers)
    return total


def user_slices(n_servers: int, n_users: int) -> Iterator[slice]:
    """Users in runs whose pairs with all servers are few enough to be worked on at once."""
    step = max(1, _CHUNK_ENTRIES // max(1, n_servers))
    for start in range(0, n_users, step):
        yield slice(start, min(start + step, n_users))
