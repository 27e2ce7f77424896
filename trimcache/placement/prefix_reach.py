"""Reach as "the first n servers of the user's own order", exact for the paper's latency and far smaller than a list.

In the paper's model a user's latency is ``model_bytes * a[m, k] + t``, so with servers sorted by ``a`` those in time
for a model are a prefix. A request then costs one number, and a user's order is stored once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import ProblemError
from trimcache.placement.reach import Reach

__all__ = ["PrefixReach"]

_SUBJECT = "reach"


@dataclass(frozen=True, init=False, eq=False)
class PrefixReach(Reach):
    """Request ``r`` of user ``u`` can be served by the first ``count[r]`` servers of ``u``'s order.

    Args:
        n_servers: M.
        order_ptr, order: CSR user -> servers, nearest first, each once a user: int64[K+1], int32[n].
        user: int32[R], the user of each request (``Demand.user``).
        count: int[R], how many of the user's servers are in time.

    ``indptr`` and ``servers`` are the list form, made when first asked for.

    Raises:
        ProblemError: a server out of range or twice for a user, or a count beyond the user's servers.
    """

    def __init__(self, n_servers: int, order_ptr: ArrayLike, order: ArrayLike, user: ArrayLike, count: ArrayLike) -> None:
        by_user = Reach(n_servers, np.asarray(order_ptr), np.asarray(order))  # its checks are ours
        users, counts = np.asarray(user, dtype=np.int64), np.asarray(count, dtype=np.int64)
        if users.shape != counts.shape or users.ndim != 1:
            raise ProblemError(_SUBJECT, f"has {counts.size} counts for {users.size} requests", "give one a request")
        if users.size and (users.min() < 0 or users.max() >= by_user.n_requests):
            raise ProblemError(_SUBJECT, "refers to a user without an order", "give one row of servers a user")
        if bool((counts < 0).any()) or bool((counts > np.diff(by_user.indptr)[users]).any()):
            raise ProblemError(_SUBJECT, "counts more servers than the user has", "give at most the length of the row")
        self._put(n_servers, np.array(order, dtype=np.int32), by_user.indptr[users], counts)

    @classmethod
    def trusted(
        cls, n_servers: int, order_ptr: NDArray[np.int64], order: NDArray[np.int32], user: ArrayLike, count: ArrayLike
    ) -> PrefixReach:
        """The same from arrays that are right by the way they were made: not copied, not checked, ``order`` becomes read-only."""
        made = cls.__new__(cls)
        made._put(n_servers, order, order_ptr[np.asarray(user)], np.asarray(count, dtype=np.int64))
        return made

    def _put(self, n_servers: int, pool: NDArray[np.int32], start: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        for name, value in (("pool", pool), ("start", start), ("stop", start + count)):
            value.flags.writeable = False
            object.__setattr__(self, f"_{name}", value)
        object.__setattr__(self, "n_servers", int(n_servers))

    @property
    def n_requests(self) -> int:
        """R, the number of rows."""
        return int(self._start.size)  # type: ignore[attr-defined]

    def reachable(self) -> NDArray[np.bool_]:
        """bool[R]: requests that at least one server can serve in time."""
        start, stop, _ = self.lists()
        return np.asarray(stop > start)

    def lists(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Row ``r`` is ``pool[start[r]:stop[r]]``, nearest first: ``(start, stop, pool)``; users' rows are shared."""
        return self._start, self._stop, self._pool  # type: ignore[attr-defined]

    def servers_of(self, request: int) -> NDArray[np.int32]:
        """The servers of one request, ascending."""
        start, stop, pool = self.lists()
        return np.sort(pool[start[request] : stop[request]])

    @cached_property
    def _listed(self) -> Reach:
        start, stop, pool = self.lists()
        length = stop - start
        ends = np.concatenate(([0], np.cumsum(length)))
        within = np.arange(int(ends[-1])) - np.repeat(ends[:-1], length)
        return Reach(self.n_servers, ends, pool[np.repeat(start, length) + within])

    @property  # type: ignore[misc]
    def indptr(self) -> NDArray[np.int64]:
        """int64[R+1]: row ends of the list form."""
        return self._listed.indptr

    @property  # type: ignore[misc]
    def servers(self) -> NDArray[np.int32]:
        """int32[nnz]: servers of the list form, ascending within each request."""
        return self._listed.servers
