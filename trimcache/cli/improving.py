"""One line on stderr that follows a plan while it improves; on a terminal only."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from trimcache.sizes import format_size


class PlanProgress:
    """Rewrites one line with hit ratio and gap, or with the interval of capacities, as they improve; erased at the end."""

    def __init__(self, *, quiet: bool) -> None:
        self._on = sys.stderr.isatty() and not quiet
        self._begin = time.perf_counter()
        self._written = False

    def __enter__(self) -> PlanProgress:
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        if self._written:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def improved(self, hit_ratio: float, upper_bound: float) -> None:
        gap = 100 * (upper_bound - hit_ratio) / upper_bound if upper_bound else 0.0
        self._line(f"hit ratio {hit_ratio:.4f}, at most {gap:.2f} % below the best possible")

    def narrowed(self, proven_bytes: int, capacity_bytes: int) -> None:
        self._line(f"the least capacity is between {format_size(proven_bytes)} and {format_size(capacity_bytes)}")

    def _line(self, text: str) -> None:
        if self._on:
            self._written = True
            print(f"\r\x1b[K{time.perf_counter() - self._begin:6.1f} s  {text}", end="", file=sys.stderr, flush=True)
