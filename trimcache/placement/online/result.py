"""What a policy did with a trace, request by request; every total is a sum over requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["OnlineResult"]


@dataclass(frozen=True, eq=False)
class OnlineResult:
    """One policy on one trace: N requests in the order of the trace, all sites together.

    Attributes:
        policy: its name.
        capacity_bytes: of each site.
        hit: bool[N], the model was resident at its site when it was asked for.
        asked: int64[N], ``model_bytes`` of the model asked for.
        written: int64[N], bytes that the request (or the re-placement after it) made the cache write.
        evicted: int64[N], bytes that it made the cache delete.
    """

    policy: str
    capacity_bytes: int
    hit: NDArray[np.bool_]
    asked: NDArray[np.int64]
    written: NDArray[np.int64]
    evicted: NDArray[np.int64]

    @property
    def requests(self) -> int:
        """N."""
        return int(self.hit.size)

    @property
    def hits(self) -> int:
        """Requests served from the cache."""
        return int(self.hit.sum())

    @property
    def hit_ratio(self) -> float:
        """Hits over requests; 0 without requests."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def asked_bytes(self) -> int:
        """Bytes of the models asked for."""
        return int(self.asked.sum())

    @property
    def byte_hit_ratio(self) -> float:
        """``hit_bytes`` over ``asked_bytes``; 0 without requests."""
        return self.hit_bytes / self.asked_bytes if self.asked_bytes else 0.0

    @property
    def hit_bytes(self) -> int:
        """Bytes of the models served from the cache: the whole model travels to the user at each hit."""
        return int(self.asked[self.hit].sum())

    @property
    def written_bytes(self) -> int:
        """Bytes written to the caches; what was resident already is not written again."""
        return int(self.written.sum())

    @property
    def evicted_bytes(self) -> int:
        """Bytes deleted from the caches."""
        return int(self.evicted.sum())

    def after(self, n_requests: int) -> OnlineResult:
        """The same without the first ``n_requests``: the warm-up left out of every total."""
        return self.only(slice(max(n_requests, 0), None))

    def only(self, chosen: slice | NDArray[np.int64]) -> OnlineResult:
        """The same for some of the requests, by their numbers: those of one site, say."""
        return OnlineResult(
            self.policy, self.capacity_bytes, self.hit[chosen], self.asked[chosen], self.written[chosen], self.evicted[chosen]
        )

    def window_hits(self, window_requests: int = 1000) -> NDArray[np.int64]:
        """int64[ceil(N / window)]: hits in each window of so many requests; the last one may be shorter."""
        starts = np.arange(0, self.requests, max(int(window_requests), 1))
        return np.add.reduceat(self.hit.astype(np.int64), starts) if starts.size else np.zeros(0, np.int64)

    def to_dict(self) -> dict[str, Any]:
        """The totals as plain values."""
        names = (
            "policy", "capacity_bytes", "requests", "hits", "hit_ratio", "asked_bytes", "hit_bytes", "byte_hit_ratio", "written_bytes",
            "evicted_bytes",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}
