"""Periodic re-placement: every so many requests the whole cache is planned anew, and a byte moved has its price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trimcache.placement.online._kernels import Blocks, Log, Resident, serve_replace
from trimcache.placement.online.blocks import trunks
from trimcache.placement.online.policy import Policy, Serve, check_positive, check_whole

__all__ = ["Replace"]


@dataclass(frozen=True, eq=False)
class Replace(Policy):
    """Greedy gain per new byte on a decayed demand estimate, less a switching cost for each byte moved.

    Demand is each model's share of past requests, those older by ``half_life_requests`` counting half. A plan is worth the
    hits it expects in the next ``horizon_requests`` less ``switch_cost_per_gb`` for every 10**9 bytes that must be written. The
    greedy by worth per new byte runs from what is resident, from nothing, and with *trunks* (what all models of a shared block have
    in common) bought in advance, which gain per byte alone undervalues; the best plan is kept, on a tie the present one.
    Between plans a missed model is kept only where it fits without an eviction.

    Args:
        half_life_requests: > 0.
        period_requests: >= 1, requests at this site from one plan to the next.
        horizon_requests: > 0.
        switch_cost_per_gb: >= 0, hits that one GB written must bring to be worth it.
        max_trunks: >= 0, trunks tried; None: 64, fewer above 312 models so that a plan stays a matter of milliseconds.
    """

    half_life_requests: float = 2500.0
    period_requests: int = 500
    horizon_requests: float = 2000.0
    switch_cost_per_gb: float = 50.0
    max_trunks: int | None = None

    base_name: ClassVar[str] = "replace"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("half life", self.half_life_requests)
        check_whole("period", self.period_requests, 1)
        check_positive("horizon", self.horizon_requests)
        check_positive("switching cost", self.switch_cost_per_gb, strict=False)
        if self.max_trunks is not None:
            check_whole("trunks", self.max_trunks, 0)

    def _start(self, blocks: Blocks, resident: Resident) -> Serve:
        n_models = self.graph.n_models
        frequency, step, clock = np.zeros(n_models), np.ones(1), np.zeros(1, np.int64)
        growth = 2.0 ** (1.0 / self.half_life_requests)
        period, horizon, price = int(self.period_requests), float(self.horizon_requests), self.switch_cost_per_gb / 1e9
        most = min(64, 20_000 // max(n_models, 1)) if self.max_trunks is None else self.max_trunks
        ends, members = trunks(blocks, most)

        def serve(models: NDArray[np.int32], log: Log) -> None:
            serve_replace(
                blocks, resident, self.capacity_bytes, models, frequency, step, growth, clock, period, horizon, price, ends, members, log
            )

        return serve
