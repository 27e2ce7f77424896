"""Reach: which servers can serve which request in time, I1(m, k, i) of the paper (section 1), never as M x K x I."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import ProblemError
from trimcache.placement.demand import Demand

__all__ = ["Reach"]

_SUBJECT = "reach"


@dataclass(frozen=True, eq=False)
class Reach:
    """Request -> servers, sparse: request ``r`` can be served by ``servers[indptr[r]:indptr[r+1]]``.

    Requests are those of one ``Demand``, in its order. Only requested pairs (k, i) have a row.

    Attributes:
        n_servers: M.
        indptr: int64[R+1].
        servers: int32[nnz], ascending within each request (they are sorted here if need be), each once.

    Raises:
        ProblemError: rows that do not tile ``servers``, a server out of range, or a server twice in one row.
    """

    n_servers: int
    indptr: NDArray[np.int64]
    servers: NDArray[np.int32]

    def __post_init__(self) -> None:
        indptr = np.array(self.indptr, dtype=np.int64)
        servers = np.asarray(self.servers)
        tiles = indptr.ndim == 1 and indptr.size and indptr[0] == 0 and indptr[-1] == servers.size
        if not tiles or servers.ndim != 1 or bool((np.diff(indptr) < 0).any()):
            raise ProblemError(_SUBJECT, "row ends do not tile the server list", "give int64[R+1] row ends from 0")
        if servers.size and (servers.min() < 0 or servers.max() >= self.n_servers):
            bad = int(servers.min()) if servers.min() < 0 else int(servers.max())
            raise ProblemError(_SUBJECT, f"refers to server {bad}, there are {self.n_servers}", "use indices from 0")
        servers = _ascending(indptr, servers.astype(np.int32), self.n_servers)
        for name, array in (("indptr", indptr), ("servers", servers)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def n_requests(self) -> int:
        """R, the number of rows."""
        return int(self.indptr.size - 1)

    def reachable(self) -> NDArray[np.bool_]:
        """bool[R]: requests that at least one server can serve in time."""
        return np.asarray(self.indptr[1:] > self.indptr[:-1])

    def lists(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
        """Row ``r`` is ``pool[start[r]:stop[r]]``: ``(start, stop, pool)``, the form that compiled loops read."""
        return self.indptr[:-1], self.indptr[1:], self.servers

    def servers_of(self, request: int) -> NDArray[np.int32]:
        """The servers of one request, ascending."""
        return self.servers[self.indptr[request] : self.indptr[request + 1]]

    @classmethod
    def from_dense(cls, feasible: ArrayLike, demand: Demand) -> Reach:
        """Reach from a boolean array [M, K, I], for small cases.

        Raises:
            ProblemError: the shape is not [M, K, I] of ``demand``, or the values are not all 0 or 1.
        """
        table = np.asarray(feasible)
        if table.ndim != 3 or table.shape[1:] != (demand.n_users, demand.n_models):
            expected = f"(servers, {demand.n_users}, {demand.n_models})"
            raise ProblemError(_SUBJECT, f"has shape {table.shape}, not {expected}", "give servers x users x models")
        if table.dtype != np.bool_:
            if not np.isin(table, (0, 1)).all():
                raise ProblemError(_SUBJECT, "holds values other than 0 and 1", "give booleans")
            table = table.astype(np.bool_)
        rows = table[:, demand.user, demand.model].T
        request, servers = np.nonzero(rows)
        ends = np.concatenate(([0], np.cumsum(np.bincount(request, minlength=demand.n_requests))))
        return cls(int(table.shape[0]), ends, servers.astype(np.int32))

    def to_dense(self, demand: Demand) -> NDArray[np.bool_]:
        """bool[M, K, I], False where nothing is requested; for small cases."""
        table = np.zeros((self.n_servers, demand.n_users, demand.n_models), dtype=np.bool_)
        request = np.repeat(np.arange(self.n_requests), np.diff(self.indptr))
        table[self.servers, demand.user[request], demand.model[request]] = True
        return table


def _ascending(indptr: NDArray[np.int64], servers: NDArray[np.int32], n_servers: int) -> NDArray[np.int32]:
    """Each row's servers sorted; a repeated one is refused, for it would be counted twice."""
    if servers.size < 2:
        return servers
    rising = servers[1:] > servers[:-1]
    starts = indptr[1:-1]
    rising[starts[(starts > 0) & (starts < servers.size)] - 1] = True
    if rising.all():
        return servers
    keys = np.repeat(np.arange(indptr.size - 1, dtype=np.int64), np.diff(indptr)) * n_servers + servers
    keys.sort()
    if bool((keys[1:] == keys[:-1]).any()):
        raise ProblemError(_SUBJECT, "lists a server twice for one request", "list each server once")
    return np.asarray(keys % n_servers, dtype=np.int32)
