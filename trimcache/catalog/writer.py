"""Buffering scanned parts and publishing them in shards.

Shards are never changed, so any number of processes publish into one catalog without a lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from trimcache.catalog.description import CatalogDescription, create_or_check
from trimcache.catalog.layout import TABLES, TEMPORARY_PREFIX
from trimcache.scanning.records import PartRecord

PARTS_PER_SHARD = 64
SECONDS_PER_SHARD = 2.0


Publish = Callable[[Path, Sequence[PartRecord], Sequence[tuple[str, str, str]], int, int], None]
"""(catalog, records, forgotten parts as (part, name, source), bytes of a digest, generation); raises CatalogError."""


def publish_here(
    root: Path, records: Sequence[PartRecord], forgotten: Sequence[tuple[str, str, str]], digest_nbytes: int, generation: int
) -> None:
    """Publish one shard from this process.

    Raises:
        CatalogError: it cannot be written (disk full, no permission); nothing of it is visible then.
    """
    # Parquet is a third of a second to import, which a scan spends better while files are being hashed.
    from trimcache.catalog.shards import publish_shard, tables_of

    publish_shard(root, tables_of(records, forgotten, digest_nbytes, generation))


class CatalogWriter:
    """Buffers records and publishes them as shards; the catalog is created with the first one.

    Thread-safe. Use as a context manager: leaving it publishes what is buffered, also after an error.
    """

    def __init__(self, root: Path, description: CatalogDescription, publish: Publish | None = None) -> None:
        self._root = root
        self._publish = publish or publish_here
        self._description = description
        self._lock = threading.Lock()
        self._records: list[PartRecord] = []
        self._forgotten: list[tuple[str, str, str]] = []
        self._last_flush = time.monotonic()
        if root.exists():
            create_or_check(root, description)

    def __enter__(self) -> CatalogWriter:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.flush()

    def add(self, record: PartRecord) -> None:
        """Buffer one part; publishes when a shard is full or old enough."""
        with self._lock:
            self._records.append(record)
        self.flush_if_due()

    def forget(self, part: str, name: str, source: str) -> None:
        """Publish that a part is gone; its rows disappear with the next compaction."""
        with self._lock:
            self._forgotten.append((part, name, source))

    def flush_if_due(self) -> None:
        """Publish if the buffer holds a shard's worth of parts or is older than ``SECONDS_PER_SHARD``."""
        with self._lock:
            due = len(self._records) >= PARTS_PER_SHARD or time.monotonic() - self._last_flush >= SECONDS_PER_SHARD
        if due:
            self.flush()

    def flush(self) -> None:
        """Publish what is buffered as one shard.

        Raises:
            CatalogError: the shard cannot be written (disk full, no permission); nothing of it is visible then.
        """
        with self._lock:
            records, self._records = self._records, []
            forgotten, self._forgotten = self._forgotten, []
            self._last_flush = time.monotonic()
        if records or forgotten:
            create_or_check(self._root, self._description)
            # Wall-clock nanoseconds order the generations of a part across processes.
            self._publish(self._root, records, forgotten, self._description.rules.digest_nbytes, time.time_ns())


def remove_leftovers(root: Path, older_than_s: float = 3600.0) -> None:
    """Delete temporary files that a killed process left behind, once no live process can still be writing them."""
    limit = time.time() - older_than_s
    for folder in (root, *(root / table for table in TABLES)):
        for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
            try:
                if path.stat().st_mtime < limit:
                    path.unlink()
            except FileNotFoundError:
                continue
