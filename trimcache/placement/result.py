"""A placement, recounted exactly when it is made, so that a wrong one cannot exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import ProblemError
from trimcache.placement.evaluate import Held, check_held, served_weight, used_bytes
from trimcache.placement.problem import PlacementProblem

__all__ = ["Placement"]


@dataclass(frozen=True, eq=False)
class Placement:
    """Which server holds which models, with the hit ratio it reaches and the bound it is known to be near.

    Args:
        problem: the problem it solves.
        held: CSR server -> models, ``(int64[M+1], int32[n])``, ascending models within a server.
        algorithm: the name of the algorithm.
        seconds: how long it ran.
        bound: a proven bound on any placement's hit ratio; None means the hit ratio if every server held all it may.
        extra: more to know of how it was found, by name, such as ``crossing_share``.

    Attributes:
        hit_ratio: demand served in time over all demand, recounted from ``held`` by the formula.
        attainable: the hit ratio if every server held everything.
        upper_bound: ``bound``, never above ``attainable``, nor above what is attainable without forbidden pairs.
        gap: (upper_bound - hit_ratio) / upper_bound, 0 where the bound is 0.
        used_bytes: int64[M], the union of each server's blocks, recounted block by block.

    Raises:
        ProblemError: a server holds more than its capacity, or the hit ratio exceeds the bound (a fault of the
            algorithm, never of the input).
    """

    problem: PlacementProblem = field(repr=False)
    held: Held = field(repr=False)
    algorithm: str
    seconds: float
    bound: InitVar[float | None] = None
    extra: Mapping[str, float] = field(default_factory=dict)
    hit_ratio: float = field(init=False)
    attainable: float = field(init=False)
    upper_bound: float = field(init=False)
    gap: float = field(init=False)
    used_bytes: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self, bound: float | None) -> None:
        problem = self.problem
        check_held(problem, self.held)
        used = used_bytes(problem, self.held)
        over = np.flatnonzero(used > problem.capacity_bytes)
        subject = f"algorithm {self.algorithm!r}"
        if over.size:
            m = int(over[0])
            fault = f"put {used[m]} bytes on server {m} of capacity {problem.capacity_bytes[m]}"
            raise ProblemError(subject, fault, "this is a fault of the algorithm, please report it")
        total = problem.demand.total
        ratio = served_weight(problem, self.held) / total if total else 0.0
        ceiling = problem.instance.ceiling_weight / total if total else 0.0
        limit = ceiling if bound is None else min(bound, ceiling)
        if ratio > limit * (1 + 1e-12):
            fault = f"claims the bound {limit} below its own hit ratio {ratio}"
            raise ProblemError(subject, fault, "this is a fault of the algorithm, please report it")
        self._put("hit_ratio", ratio)
        self._put("attainable", problem.attainable)
        self._put("upper_bound", limit)
        self._put("gap", max(0.0, (limit - ratio) / limit) if limit > 0 else 0.0)
        used.flags.writeable = False
        self._put("used_bytes", used)

    def _put(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def optimal(self) -> bool:
        """Whether it is proven that no placement serves more."""
        return self.hit_ratio >= self.upper_bound

    @property
    def x(self) -> NDArray[np.bool_]:
        """bool[M, I]: x[m, i] of the paper, made anew at each call."""
        table = np.zeros((self.problem.n_servers, self.problem.n_models), dtype=np.bool_)
        table[np.repeat(np.arange(self.problem.n_servers), np.diff(self.held[0])), self.held[1]] = True
        return table

    def models_on(self, server: int) -> NDArray[np.int32]:
        """Indices of the models that ``server`` holds, ascending."""
        return self.held[1][self.held[0][server] : self.held[0][server + 1]]

    @property
    def n_placed(self) -> int:
        """Copies of models placed, over all servers; 0 is an empty placement."""
        return int(self.held[1].size)

    def _repr_html_(self) -> str:
        from trimcache.report.notebook import placement_html

        return placement_html(self)
