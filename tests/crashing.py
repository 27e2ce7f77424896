"""A scan that dies at a chosen point; a module of its own so that a fresh process can import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any


def scan_in_small_shards(source: str, catalog: str, die_at: int | None = None) -> None:
    """Scan with one part a shard; with ``die_at`` the process is killed at that step of the writing."""
    import pyarrow.parquet as pq

    from trimcache.catalog import description, writer
    from trimcache.scanning.run import run_scan

    writer.PARTS_PER_SHARD = 1
    if die_at is not None:
        steps = _Steps(die_at)
        pq.write_table = steps.before(pq.write_table)
        os.rename = steps.before(os.rename)
        description.os.link = steps.before(os.link)
        os.fsync = steps.before(os.fsync)
    from pathlib import Path

    from trimcache.rules import Rules

    run_scan([source], Path(catalog), Rules(), workers=2)


def compact_dying(catalog: str, die_at: int) -> None:
    """Compact, and die before that step."""
    from pathlib import Path

    import pyarrow.parquet as pq

    from trimcache.catalog.compaction import compact

    steps = _Steps(die_at)
    pq.write_table = steps.before(pq.write_table)
    os.rename = steps.before(os.rename)
    Path.unlink = steps.before(Path.unlink)  # type: ignore[method-assign]
    compact(Path(catalog))


class _Steps:
    def __init__(self, die_at: int) -> None:
        self._left = die_at

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return step
