"""LFU with admission: a model comes in only if it is asked for more than all that its missing bytes push out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trimcache.placement.online._kernels import Blocks, Log, Resident, serve_lfu
from trimcache.placement.online.policy import Policy, Serve, check_positive

__all__ = ["Lfu"]


@dataclass(frozen=True, eq=False)
class Lfu(Policy):
    """Least frequently used per byte, with admission by unique bytes.

    Each model has a count that decays by half every ``half_life_requests`` requests. On a miss the resident models with the fewest
    counts per *freeable* byte are marked until the newcomer's *missing* bytes fit; it is admitted if its own count exceeds
    ``margin`` times the sum of theirs, which is an exchange of hits for hits over the same bytes. Otherwise nothing changes and
    nothing is written.

    Admission by frequency is that of TinyLFU (Einziger, Friedman, Manes, ACM Transactions on Storage 13(4), 2017); weighing a
    newcomer against all its victims that of size-aware TinyLFU (Einziger, Eytan, Friedman, Manes 2021). Counts are exact here: models
    are thousands, not the billions of objects that a sketch is for.

    Args:
        half_life_requests: > 0.
        margin: >= 1; above 1 fewer bytes are written for noise in the counts.
    """

    half_life_requests: float = 2500.0
    margin: float = 1.1

    base_name: ClassVar[str] = "lfu"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("half life", self.half_life_requests)
        check_positive("margin", self.margin, 1.0, strict=False)

    def _start(self, blocks: Blocks, resident: Resident) -> Serve:
        frequency, step = np.zeros(self.graph.n_models), np.ones(1)
        growth = 2.0 ** (1.0 / self.half_life_requests)

        def serve(models: NDArray[np.int32], log: Log) -> None:
            serve_lfu(blocks, resident, self.capacity_bytes, models, frequency, step, growth, float(self.margin), log)

        return serve
