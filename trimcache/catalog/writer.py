"""Publishing scanned parts in shards.

A shard is one Parquet file in each table, all of the same name. Each file is written under a temporary name and renamed, the ``parts``
file last: a reader either sees a shard's parts with everything they refer to, or does not see them at all. Shards are never changed, so
any number of processes publish into one catalog without a lock.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trimcache.catalog.description import CatalogDescription, create_or_check
from trimcache.catalog.schema import FORGOTTEN, SCANNED, TABLES, schemas
from trimcache.errors import CatalogError
from trimcache.records import PartRecord

PARTS_PER_SHARD = 64
SECONDS_PER_SHARD = 2.0
_TEMPORARY_PREFIX = ".tmp-"


class CatalogWriter:
    """Buffers records and publishes them as shards; the catalog is created with the first one.

    Thread-safe. Use as a context manager: leaving it publishes what is buffered, also after an error.
    """

    def __init__(self, root: Path, description: CatalogDescription) -> None:
        self._root = root
        self._description = description
        self._schemas = schemas(description.rules.digest_nbytes)
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
            publish_shard(self._root, _tables(records, forgotten, self._schemas, time.time_ns()))


def publish_shard(root: Path, tables: dict[str, pa.Table]) -> str:
    """Write one shard and make it visible, ``parts`` last. Returns its name.

    Raises:
        CatalogError: it cannot be written.
    """
    name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}.parquet"
    written: list[tuple[Path, Path]] = []
    try:
        for table in TABLES:
            folder = root / table
            folder.mkdir(exist_ok=True)
            temporary = folder / f"{_TEMPORARY_PREFIX}{name}"
            written.append((temporary, folder / name))
            pq.write_table(tables[table], temporary, compression="zstd", use_dictionary=_dictionary_columns(tables[table]))
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        for temporary, final in written:
            os.rename(temporary, final)
    except OSError as error:
        for temporary, final in written:
            temporary.unlink(missing_ok=True)
            final.unlink(missing_ok=True)
        raise CatalogError(str(root), f"cannot be written ({error.strerror or error})", "make room or check its permissions") from error
    return name


def remove_leftovers(root: Path, older_than_s: float = 3600.0) -> None:
    """Delete temporary files that a killed process left behind, once no live process can still be writing them."""
    limit = time.time() - older_than_s
    for folder in (root, *(root / table for table in TABLES)):
        for path in folder.glob(f"{_TEMPORARY_PREFIX}*"):
            try:
                if path.stat().st_mtime < limit:
                    path.unlink()
            except FileNotFoundError:
                continue


def _dictionary_columns(table: pa.Table) -> list[str]:
    """Columns that repeat. Digests of tensors hardly do within a shard, and a dictionary of them costs memory for nothing."""
    return [name for name in table.column_names if name not in ("digest", "block", "offset")]


def _tables(
    records: Sequence[PartRecord], forgotten: Sequence[tuple[str, str, str]], schema: dict[str, pa.Schema], generation: int
) -> dict[str, pa.Table]:
    now = datetime.now(UTC)
    parts = [_part_row(record, generation, now) for record in records]
    parts += [_forgotten_row(part, name, source, generation, now) for part, name, source in forgotten]
    models = [{"part": record.part, "generation": generation, "model": record.name, "parts": [record.part]} for record in records]
    return {
        "parts": pa.Table.from_pylist(parts, schema["parts"]),
        "models": pa.Table.from_pylist(models, schema["models"]),
        "files": _columns(records, "files", generation, schema["files"]),
        "tensors": _columns(records, "tensors", generation, schema["tensors"]),
        "extents": _columns(records, "extents", generation, schema["extents"]),
    }


def _part_row(record: PartRecord, generation: int, now: datetime) -> dict[str, Any]:
    return {
        "part": record.part,
        "generation": generation,
        "status": SCANNED,
        "name": record.name,
        "source": record.source,
        "version": record.version,
        "format": record.format,
        "architecture": record.architecture,
        "declared_base": record.declared_base,
        "base_revision": record.base_revision,
        "needs_base": record.needs_base,
        "popularity": None,
        "nbytes": record.nbytes,
        "notes": list(record.notes),
        "scanned_at": now,
    }


def _forgotten_row(part: str, name: str, source: str, generation: int, now: datetime) -> dict[str, Any]:
    return {
        "part": part,
        "generation": generation,
        "status": FORGOTTEN,
        "name": name,
        "source": source,
        "version": "",
        "format": "",
        "needs_base": False,
        "nbytes": 0,
        "notes": [],
        "scanned_at": now,
    }


def _columns(records: Sequence[PartRecord], table: str, generation: int, schema: pa.Schema) -> pa.Table:
    """One Arrow table from the column lists of every record."""

    def gather(column: str) -> list[Any]:
        return [value for record in records for value in getattr(getattr(record, table), column)]

    def stamps(attribute: str) -> list[int | None]:
        return [None if stamp is None else getattr(stamp, attribute) for stamp in gather("stamp")]

    lengths = [len(getattr(record, table).nbytes) for record in records]
    arrays: list[pa.Array] = []
    for field in schema:
        values: Iterable[Any]
        if field.name == "part":
            values = [record.part for record, n in zip(records, lengths, strict=True) for _ in range(n)]
        elif field.name == "generation":
            values = [generation] * sum(lengths)
        elif field.name in ("mtime_ns", "ctime_ns", "device", "inode"):
            values = stamps(field.name)
        else:
            values = gather(field.name)
        arrays.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
