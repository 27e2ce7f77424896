"""The links from servers to the users that they serve directly, with their rates: one form for geometry and for tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimcache.network._values import at
from trimcache.network.coverage import covered_pairs, user_slices

if TYPE_CHECKING:
    from trimcache.network.edge_network import EdgeNetwork

__all__ = ["Links", "association", "mean_links"]


@dataclass(frozen=True, eq=False)
class Links:
    """n direct links, ascending by user, then server.

    Attributes:
        user: int64[n], counted from the first user that was asked for.
        server: int64[n].
        distance_m: float64[n]; None for a table.
        bandwidth_hz: float64[n], the share of one active user; 0 for a table.
        snr: float64[n], mean signal-to-noise ratio, linear; None for a table. ``bandwidth_hz * log2(1 + snr * g)`` is the rate under a
            fading gain ``g`` of mean 1.
        rate_bps: float64[n].
        fixed_s: float64[n], seconds that every download takes beside its bytes.
    """

    user: NDArray[np.int64]
    server: NDArray[np.int64]
    distance_m: NDArray[np.float64] | None
    bandwidth_hz: NDArray[np.float64]
    snr: NDArray[np.float64] | None
    rate_bps: NDArray[np.float64]
    fixed_s: NDArray[np.float64]


def mean_links(network: EdgeNetwork, users: slice = slice(None)) -> Links:
    """The links of some users with their expected rates.

    Geometry: ``C_mk = B_mk log2(1 + P_mk g_mk / (n0 B_mk))`` bit/s, ``g_mk`` the mean gain of the channel, for users within coverage.
    ``B_mk = B_m / max(1, pA |K_m|)`` and ``P_mk`` likewise: bandwidth and power are shared by the expected active users, so
    the signal-to-noise ratio does not depend on their number (Qu et al., arXiv 2404.14204; the ``max`` is ours).

    Table: rates and latencies as given, not shared.
    """
    start, stop, _ = users.indices(network.n_users)
    if network.links is not None:
        table = network.links
        rows = slice(*np.searchsorted(table.user, (start, stop)).tolist())
        none = np.zeros(rows.stop - rows.start)
        return Links(table.user[rows] - start, table.server[rows], None, none, None, table.rate_bps[rows], table.latency_s[rows])
    servers, places = network.places_m()
    user, server, distance_m = covered_pairs(servers, places[start:stop], network.coverage_radius_m)
    sharers = np.maximum(1.0, network.active_probability * network.covered_users)[server]
    bandwidth_hz = at(network.bandwidth_hz, server) / sharers
    power_w = 10.0 ** ((at(network.power_dbm, server) - 30.0) / 10.0) / sharers
    noise_w_per_hz = 10.0 ** ((network.noise_dbm_per_hz - 30.0) / 10.0)
    received_w = power_w * network.channel.gain(distance_m, server, user + start, network.seed)
    snr = received_w / (noise_w_per_hz * bandwidth_hz)
    return Links(user, server, distance_m, bandwidth_hz, snr, bandwidth_hz * np.log2(1.0 + snr), np.zeros(user.size))


def association(network: EdgeNetwork) -> NDArray[np.int64]:
    """int64[K]: the server of each user's fastest direct link, the first of equals; -1 for a user without a link."""
    home = np.full(network.n_users, -1, dtype=np.int64)
    for users in user_slices(network.n_servers, network.n_users):
        links = mean_links(network, users)
        last_is_best = np.lexsort((-links.server, links.rate_bps, links.user))
        home[links.user[last_is_best] + users.start] = links.server[last_is_best]
    return home
