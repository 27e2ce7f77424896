"""GDSF, greedy-dual size frequency, where a model's size is what it alone takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trimcache.placement.online._kernels import Blocks, Log, Resident, serve_gdsf
from trimcache.placement.online.policy import Policy, Serve

__all__ = ["Gdsf"]


@dataclass(frozen=True, eq=False)
class Gdsf(Policy):
    """Priority = inflation at the last use + uses while resident / bytes; the lowest goes first and lifts the inflation.

    Cherkasova, *Improving WWW proxies performance with greedy-dual-size-frequency caching policy*, HP Laboratories report
    HPL-98-69R1, 1998, with cost 1 (every hit counts alike). Bytes are *freeable* bytes for a resident model, at the moment of the
    eviction, and *missing* bytes for the newcomer. A newcomer whose own priority is the lowest is the victim itself: it is not
    written, and the inflation rises to its priority.
    """

    base_name: ClassVar[str] = "gdsf"

    def _start(self, blocks: Blocks, resident: Resident) -> Serve:
        uses, inflation, floor = np.zeros(self.graph.n_models), np.zeros(self.graph.n_models), np.zeros(1)

        def serve(models: NDArray[np.int32], log: Log) -> None:
            serve_gdsf(blocks, resident, self.capacity_bytes, models, uses, inflation, floor, log)

        return serve
