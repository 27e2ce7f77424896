"""The placement problem P1.1 of the paper (section 1): what to hold where, so that most demand is served in time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import ProblemError
from trimcache.graph import ModelBlockGraph
from trimcache.placement.demand import Demand
from trimcache.placement.reach import Reach

__all__ = ["PlacementProblem"]

_SUBJECT = "placement problem"


@dataclass(frozen=True, init=False, eq=False)
class PlacementProblem:
    """Graph, capacity, demand and reach, validated: M servers, K users, I models, R requests.

    Args:
        graph: the I models and their blocks.
        capacity_bytes: whole bytes >= 0, one number for all servers or one for each of M.
        demand: a ``Demand``, or an array [K, I] of numbers >= 0 on any scale.
        reach: a ``Reach`` with the demand's requests as rows, or a boolean array [M, K, I].

    Attributes:
        capacity_bytes: int64[M]. The other attributes hold the arguments in their sparse form.

    Raises:
        ProblemError: shapes that disagree, NaN or negative demand, a capacity that is no whole number >= 0.
    """

    graph: ModelBlockGraph
    capacity_bytes: NDArray[np.int64]
    demand: Demand
    reach: Reach

    def __init__(
        self,
        graph: ModelBlockGraph,
        capacity_bytes: int | ArrayLike,
        demand: Demand | ArrayLike,
        reach: Reach | ArrayLike,
    ) -> None:
        demand = demand if isinstance(demand, Demand) else Demand.from_dense(demand)
        if demand.n_models != graph.n_models:
            problem = f"demand has {demand.n_models} models, the graph {graph.n_models}"
            raise ProblemError(_SUBJECT, problem, "give one column of demand for each model of the graph")
        reach = reach if isinstance(reach, Reach) else Reach.from_dense(reach, demand)
        if reach.n_requests != demand.n_requests:
            problem = f"reach has {reach.n_requests} rows, demand {demand.n_requests} requests"
            raise ProblemError(_SUBJECT, problem, "give one row of reach for each request, in the order of demand")
        object.__setattr__(self, "graph", graph)
        object.__setattr__(self, "demand", demand)
        object.__setattr__(self, "reach", reach)
        object.__setattr__(self, "capacity_bytes", _capacity(capacity_bytes, reach.n_servers))

    @property
    def n_servers(self) -> int:
        """M."""
        return self.reach.n_servers

    @property
    def n_users(self) -> int:
        """K."""
        return self.demand.n_users

    @property
    def n_models(self) -> int:
        """I."""
        return self.graph.n_models

    @cached_property
    def attainable_weight(self) -> int:
        """Exact demand weight of the requests that some server can serve in time."""
        return int(self.demand.weight[self.reach.reachable()].sum())

    @property
    def attainable(self) -> float:
        """The hit ratio if every server held everything; 0 without demand."""
        total = self.demand.total
        return self.attainable_weight / total if total else 0.0

    def models_that_fit(self) -> NDArray[np.bool_]:
        """bool[I]: models that an empty server of the largest capacity can hold. None: every plan is empty."""
        largest = int(self.capacity_bytes.max()) if self.n_servers else -1
        return np.asarray(self.graph.closed_bytes() <= largest)

    def with_capacity(self, capacity_bytes: int | ArrayLike) -> PlacementProblem:
        """The same problem with another capacity; demand and reach are shared, not copied."""
        return PlacementProblem(self.graph, capacity_bytes, self.demand, self.reach)


def _capacity(capacity_bytes: int | ArrayLike, n_servers: int) -> NDArray[np.int64]:
    values = np.asarray(capacity_bytes)
    if values.dtype.kind not in "iuf" or values.ndim > 1:
        raise ProblemError("capacity", f"{capacity_bytes!r} is not a number of bytes", "give one, or one a server")
    if values.ndim == 1 and values.size != n_servers:
        raise ProblemError("capacity", f"{values.size} capacities for {n_servers} servers", "give one a server")
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        raise ProblemError("capacity", "is not a whole number of bytes", "give whole bytes")
    if values.size and (values.min() < 0 or float(values.max()) >= 2.0**63):
        raise ProblemError("capacity", f"{values.min():d} bytes is negative" if values.min() < 0 else "is beyond int64",
                           "give bytes >= 0")  # fmt: skip
    array = np.array(np.broadcast_to(values.astype(np.int64), (n_servers,)))
    array.flags.writeable = False
    return array
