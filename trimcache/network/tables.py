"""An operator's tables: rates and latencies from servers to users, and between servers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import NetworkError
from trimcache.network._columns import Columns, columns_of

__all__ = ["Backhaul", "LinkTable", "backhaul_table", "link_table", "links_of"]

NUMBERS = ("rate_bps", "latency_s")
_DEFAULTS = {"latency_s": 0.0}
LINK_NAMES, BACKHAUL_NAMES = ("server", "user"), ("source", "target")


class LinkTable(NamedTuple):
    """n links, each pair at most once, ascending by user, then server; a pair that is missing has no link.

    Attributes:
        server, user: int64[n], places in the names.
        rate_bps: float64[n], positive.
        latency_s: float64[n], not negative: what every download takes beside its bytes.
        server_names, user_names: what the places stand for.
    """

    server: NDArray[np.int64]
    user: NDArray[np.int64]
    rate_bps: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    server_names: tuple[str, ...]
    user_names: tuple[str, ...]

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns ``server``, ``user``, ``rate_bps``, ``latency_s`` as plain lists."""
        return {
            "server": [self.server_names[m] for m in self.server.tolist()],
            "user": [self.user_names[k] for k in self.user.tolist()],
            "rate_bps": self.rate_bps.tolist(),
            "latency_s": self.latency_s.tolist(),
        }


def link_table(
    value: Any, folder: Path | None = None, server_names: Sequence[str] | None = None, user_names: Sequence[str] | None = None
) -> LinkTable:
    """The table ``rates`` of a network file: a path, rows, or columns; see ``links_of`` for what it must hold."""
    return links_of(columns_of(value, "rates", folder, LINK_NAMES, NUMBERS, _DEFAULTS), server_names, user_names)


def links_of(
    columns: Columns,
    server_names: Sequence[str] | None = None,
    user_names: Sequence[str] | None = None,
    names: tuple[str, str] = LINK_NAMES,
) -> LinkTable:
    """Links from the columns ``names`` (server, user), ``rate_bps`` and, if there, ``latency_s`` (default 0).

    A rate of 0 means what a missing pair means: no link.

    Args:
        server_names, user_names: the names known; None: those of the table, in order of appearance.

    Raises:
        NetworkError: a column missing, an unknown name (the nearest is offered), a value missing, negative, infinite or no number, or
            a pair that an earlier row has. One line naming the table and the row.
    """
    server, servers = columns.places(names[0], server_names)
    user, users = columns.places(names[1], user_names)
    rate_bps, latency_s = columns.numbers("rate_bps"), columns.numbers("latency_s", 0.0)
    order = np.argsort(user * len(servers) + server, kind="stable")
    again = np.flatnonzero((np.diff(user[order]) == 0) & (np.diff(server[order]) == 0)) + 1
    if again.size:
        at = again[np.argmin(order[again])]
        first, row = int(order[at - 1]), int(order[at])
        pair = f"{servers[server[row]]!r} and {users[user[row]]!r}"
        raise columns.error(row, f"gives {pair} again, after row {first + 1}", "keep one row for each pair")
    order = order[rate_bps[order] > 0]
    kept = (server[order], user[order], rate_bps[order], latency_s[order])
    for array in kept:
        array.flags.writeable = False
    return LinkTable(*kept, servers, users)


class Backhaul(NamedTuple):
    """Rates (0: no link) and latencies from server (row) to server (column): float64[M, M] each; ``complete`` if no pair is missing."""

    rate_bps: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    complete: bool


def backhaul_table(value: Any, folder: Path | None, server_names: Sequence[str]) -> Backhaul:
    """The table ``backhaul`` of a network file: columns ``source``, ``target``, ``rate_bps`` and, if there, ``latency_s``.

    A row counts both ways, unless the way back has a row of its own (of rate 0 if there is none).

    Raises:
        NetworkError: as in ``links_of``, or a link from a server to itself.
    """
    columns = columns_of(value, "backhaul", folder, BACKHAUL_NAMES, NUMBERS, _DEFAULTS)
    (source, _), (target, _) = (columns.places(name, server_names, "server") for name in BACKHAUL_NAMES)
    rate_bps, latency_s = columns.numbers("rate_bps"), columns.numbers("latency_s", 0.0)
    if bool((source == target).any()):
        row = int(np.flatnonzero(source == target)[0])
        raise columns.error(row, f"links {server_names[source[row]]!r} to itself", "leave the row out")
    n_servers = len(server_names)
    row_of = np.full((n_servers, n_servers), -1)
    for row, (a, b) in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        if row_of[a, b] >= 0:
            pair = f"{server_names[a]!r} and {server_names[b]!r}"
            raise columns.error(row, f"gives {pair} again, after row {row_of[a, b] + 1}", "keep one row for each pair")
        row_of[a, b] = row
    row_of = np.where(row_of >= 0, row_of, row_of.T)
    there = row_of >= 0
    rate, latency = np.zeros((2, n_servers, n_servers))
    rate[there], latency[there] = rate_bps[row_of[there]], latency_s[row_of[there]]
    latency[rate == 0] = 0.0
    if not (rate > 0).any() and columns.n_rows:
        raise NetworkError(columns.subject, "has no link of a rate above 0", "give rates in bit/s, or leave the table out")
    return Backhaul(rate, latency, int((rate > 0).sum()) == n_servers * (n_servers - 1))
