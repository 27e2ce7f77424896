"""Each user's order of servers, the fastest first, and how many of them are in time for a request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Orders", "ends_of"]


@dataclass(frozen=True, eq=False)
class Orders:
    """Seconds a byte between U users and M servers, compressed: servers of their own ``slope``, all others alike by relay.

    Attributes:
        n_servers: M.
        ptr, server, slope: CSR user -> servers with a finite slope of their own, ascending by it: int64[U+1], int64[n], float64[n].
        relay: float64[U], the slope of all the user's other servers; infinite where there is none.
    """

    n_servers: int
    ptr: NDArray[np.int64]
    server: NDArray[np.int64]
    slope: NDArray[np.float64]
    relay: NDArray[np.float64]

    @classmethod
    def with_relays(
        cls, n_servers: int, n_users: int, user: NDArray[np.int64], server: NDArray[np.int64], slope: NDArray[np.float64], hop: float
    ) -> Orders:
        """From covered pairs, ascending by user; the others relay in ``hop`` seconds a byte by the user's fastest."""
        usable = np.isfinite(slope)
        user, server, slope = user[usable], server[usable], slope[usable]
        order = np.lexsort((slope, user))
        server, slope = server[order], slope[order]
        ptr = ends_of(np.bincount(user, minlength=n_users))
        relay = np.full(n_users, np.inf)
        some = np.flatnonzero(ptr[1:] > ptr[:-1])
        relay[some] = hop + slope[ptr[some]]
        return cls(n_servers, ptr, server, slope, relay)

    @classmethod
    def of_all(cls, slope: NDArray[np.float64]) -> Orders:
        """From a matrix float64[M, U], infinite where there is no way."""
        n_servers, n_users = slope.shape
        order = np.argsort(slope.T, axis=1, kind="stable")
        ascending = np.take_along_axis(slope.T, order, axis=1)
        finite = np.isfinite(ascending)
        return cls(n_servers, ends_of(finite.sum(axis=1)), order[finite], ascending[finite], np.full(n_users, np.inf))

    def in_time(
        self, row: NDArray[np.int32], size: NDArray[np.float64], budget: NDArray[np.float64], inference_s: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """int64[R]: how many of the user's servers, fastest first, are in time for each request of user ``row``.

        ``inference_s`` is one number or float64[R].

        The test is the definition itself, ``size * slope + inference_s <= budget``. It is monotone in the slope also in floating
        point, so bisection counts exactly what testing every server would.
        """
        low, high = self.ptr[row], self.ptr[row + 1]
        first = low.copy()
        while bool((open_ := low < high).any()):
            middle = (low + high) // 2
            fast = size * self.slope[np.minimum(middle, self.slope.size - 1)] + inference_s <= budget
            low = np.where(open_ & fast, middle + 1, low)
            high = np.where(open_ & ~fast, middle, high)
        relay = self.relay[row]
        with np.errstate(invalid="ignore"):  # 0 bytes at an infinite slope: no link delivers nothing either
            relayed = np.isfinite(relay) & (size * relay + inference_s <= budget)
        others = self.n_servers - (self.ptr[row + 1] - self.ptr[row])
        return np.asarray(low - first + np.where(relayed, others, 0))

    def rows(self, length: NDArray[np.int64]) -> NDArray[np.int32]:
        """int32: the first ``length[u]`` servers of every user's order, user after user."""
        own = np.diff(self.ptr)
        user = np.repeat(np.arange(own.size), own)
        place = np.arange(self.server.size) - self.ptr[user]
        relayed = np.isfinite(self.relay)
        # Relaying servers stand between the faster and the slower ones.
        place += np.where(relayed[user] & (self.slope > self.relay[user]), (self.n_servers - own)[user], 0)
        start = ends_of(length)
        total = int(start[-1])
        kept = place < length[user]
        at = (start[user] + place)[kept]
        order = np.empty(total, dtype=np.int32)
        order[at] = self.server[kept]
        long = np.flatnonzero(relayed & (length > self._before_relays(user, own.size)))
        if long.size:
            is_relay = np.zeros(total, dtype=np.bool_)
            is_relay[_ranges(start[long], length[long])] = True
            is_relay[at] = False
            is_other = np.ones((long.size, self.n_servers), dtype=np.bool_)
            rank = np.full(own.size, -1)
            rank[long] = np.arange(long.size)
            mine = rank[user] >= 0
            is_other[rank[user[mine]], self.server[mine]] = False
            order[is_relay] = np.broadcast_to(np.arange(self.n_servers, dtype=np.int32), is_other.shape)[is_other]
        return order

    def _before_relays(self, user: NDArray[np.int64], n_users: int) -> NDArray[np.int64]:
        return np.bincount(user[self.slope <= self.relay[user]], minlength=n_users)


def ends_of(length: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[n+1]: row ends of rows of these lengths."""
    return np.concatenate(([0], np.cumsum(length))).astype(np.int64)


def _ranges(start: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    return np.repeat(start, length) + within
