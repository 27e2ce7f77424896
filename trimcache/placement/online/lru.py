"""LRU: the least recently requested model goes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trimcache.placement.online._kernels import Blocks, Log, Resident, serve_lru
from trimcache.placement.online.policy import Policy, Serve

__all__ = ["Lru"]


@dataclass(frozen=True, eq=False)
class Lru(Policy):
    """Every missed model is admitted; resident models leave in the order of their last request until it fits.

    With sharing only *missing* blocks are written and only blocks that no other resident model (nor the newcomer) needs are
    freed, so more models may have to go than their sizes suggest. The order of eviction is plain LRU: the baseline.
    """

    base_name: ClassVar[str] = "lru"

    def _start(self, blocks: Blocks, resident: Resident) -> Serve:
        last, clock = np.zeros(self.graph.n_models, np.int64), np.zeros(1, np.int64)

        def serve(models: NDArray[np.int32], log: Log) -> None:
            serve_lru(blocks, resident, self.capacity_bytes, models, last, clock, log)

        return serve
