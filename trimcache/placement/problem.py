"""The placement problem P1.1 of the paper (section 1): what to hold where, so that most demand is served in time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimcache.errors import ProblemError
from trimcache.graph import ModelBlockGraph
from trimcache.placement._instance import Instance, make_instance
from trimcache.placement._pairs import Pairs, as_pairs, rows_of
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
        reach: a ``Reach`` (any form) with the demand's requests as rows, or a boolean array [M, K, I].
        pinned: pairs (server, model) that every placement holds: a boolean array [M, I], or (server, model) pairs.
        forbidden: pairs that no placement holds (a licence, a gated model, the operator's choice), in the same forms.
        objective: ``"requests"`` counts each request by its probability, as the paper does; ``"bytes"`` by
            probability times ``model_bytes``: the share of *bytes* that edge servers deliver in time.

    Attributes:
        capacity_bytes: int64[M]. The other attributes hold the arguments in their sparse form.
        demand: weights by the objective; ``requests`` keeps those of the argument.
        pinned, forbidden: int64[n], ascending keys ``server * I + model``.

    Raises:
        ProblemError: shapes that disagree, NaN or negative demand, a capacity that is no whole number >= 0, pins that
            do not fit or are forbidden.
    """

    graph: ModelBlockGraph
    capacity_bytes: NDArray[np.int64]
    demand: Demand
    reach: Reach
    requests: Demand
    pinned: NDArray[np.int64]
    forbidden: NDArray[np.int64]
    objective: Literal["requests", "bytes"]

    def __init__(
        self,
        graph: ModelBlockGraph,
        capacity_bytes: int | ArrayLike,
        demand: Demand | ArrayLike,
        reach: Reach | ArrayLike,
        pinned: Pairs | None = None,
        forbidden: Pairs | None = None,
        objective: Literal["requests", "bytes"] = "requests",
    ) -> None:
        if objective not in ("requests", "bytes"):
            raise ProblemError(f"objective {objective!r}", "is unknown", "there are requests, bytes")
        demand = demand if isinstance(demand, Demand) else Demand.from_dense(demand)
        if demand.n_models != graph.n_models:
            problem = f"demand has {demand.n_models} models, the graph {graph.n_models}"
            raise ProblemError(_SUBJECT, problem, "give one column of demand for each model of the graph")
        reach = reach if isinstance(reach, Reach) else Reach.from_dense(reach, demand)
        if reach.n_requests != demand.n_requests:
            problem = f"reach has {reach.n_requests} rows, demand {demand.n_requests} requests"
            raise ProblemError(_SUBJECT, problem, "give one row of reach for each request, in the order of demand")
        object.__setattr__(self, "graph", graph)
        object.__setattr__(self, "requests", demand)
        object.__setattr__(self, "demand", demand if objective == "requests" else demand.scaled(graph.model_bytes))
        object.__setattr__(self, "reach", reach)
        object.__setattr__(self, "objective", objective)
        object.__setattr__(self, "capacity_bytes", _capacity(capacity_bytes, reach.n_servers))
        object.__setattr__(self, "pinned", as_pairs(pinned, reach.n_servers, graph.n_models, "pinned"))
        object.__setattr__(self, "forbidden", as_pairs(forbidden, reach.n_servers, graph.n_models, "forbidden"))
        self._check_pins()

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
    def instance(self) -> Instance:
        """What pins and forbidden pairs leave to decide: what algorithms work on."""
        return make_instance(self)

    @cached_property
    def attainable_weight(self) -> int:
        """Exact demand weight of the requests that some server can serve in time."""
        return int(self.demand.weight[self.reach.reachable()].sum())

    @property
    def attainable(self) -> float:
        """The hit ratio if every server held everything, forbidden pairs included; 0 without demand."""
        total = self.demand.total
        return self.attainable_weight / total if total else 0.0

    def pinned_models(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """CSR server -> pinned models, ascending: int64[M+1], int32[n]."""
        return rows_of(self.pinned, self.n_servers, self.n_models)

    def models_that_fit(self) -> NDArray[np.bool_]:
        """bool[I]: models that an empty server of the largest capacity can hold. None: every plan is empty."""
        largest = int(self.capacity_bytes.max()) if self.n_servers else -1
        return np.asarray(self.graph.closed_bytes() <= largest)

    def with_capacity(self, capacity_bytes: int | ArrayLike) -> PlacementProblem:
        """The same problem with another capacity; demand and reach are shared, not copied."""
        return self.changed(capacity_bytes=capacity_bytes)

    def changed(
        self,
        *,
        capacity_bytes: int | ArrayLike | None = None,
        pinned: Pairs | None = None,
        forbidden: Pairs | None = None,
    ) -> PlacementProblem:
        """The same problem with another capacity, or other pins or forbidden pairs; None keeps what there is."""
        return PlacementProblem(
            self.graph,
            self.capacity_bytes if capacity_bytes is None else capacity_bytes,
            self.requests,
            self.reach,
            self._unpacked(self.pinned) if pinned is None else pinned,
            self._unpacked(self.forbidden) if forbidden is None else forbidden,
            self.objective,
        )

    def _unpacked(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.stack(np.divmod(keys, max(self.n_models, 1)), axis=1)

    def _check_pins(self) -> None:
        names = self.graph.model_names
        both = np.intersect1d(self.pinned, self.forbidden)
        if both.size:
            m, i = divmod(int(both[0]), self.n_models)
            raise ProblemError(f"model {names[i]!r}", f"is both pinned and forbidden on server {m}", "leave out one")
        ends, models = self.pinned_models()
        for m in np.flatnonzero(np.diff(ends)).tolist():
            need, room = self.graph.set_bytes(models[ends[m] : ends[m + 1]].tolist()), int(self.capacity_bytes[m])
            if need > room:
                problem = f"the models pinned there need {need} bytes, its capacity is {room}"
                raise ProblemError(f"server {m}", problem, "pin fewer models, or raise its capacity")


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
