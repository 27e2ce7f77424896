"""Shards: one Parquet file of the same name in each table, published whole.

Each file is written under a temporary name and renamed, the ``parts`` file last: a reader either sees a shard's parts with everything
they refer to, or does not see them at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trimcache.catalog.layout import FORGOTTEN, SCANNED, TABLES, TEMPORARY_PREFIX
from trimcache.catalog.schema import schemas
from trimcache.errors import CatalogError
from trimcache.scanning.records import PartRecord


def publish_shard(root: Path, tables: dict[str, pa.Table]) -> str:
    """Write one shard and make it visible, ``parts`` last. Returns its name.

    Raises:
        CatalogError: it cannot be written.
    """
    name = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}.parquet"
    written: list[tuple[Path, Path]] = []
    try:
        for table in TABLES:
            folder = root / table
            folder.mkdir(exist_ok=True)
            temporary = folder / f"{TEMPORARY_PREFIX}{name}"
            written.append((temporary, folder / name))
            pq.write_table(tables[table], temporary, compression="zstd", use_dictionary=_dictionary_columns(tables[table]))
        with ThreadPoolExecutor(len(written)) as pool:  # one wait for the disk, not one a table
            list(pool.map(_to_disk, [temporary for temporary, _ in written]))
        for temporary, final in written:
            os.rename(temporary, final)
    except OSError as error:
        for temporary, final in written:
            temporary.unlink(missing_ok=True)
            final.unlink(missing_ok=True)
        raise CatalogError(str(root), f"cannot be written ({error.strerror or error})", "make room or check its permissions") from error
    return name


def _to_disk(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _dictionary_columns(table: pa.Table) -> list[str]:
    """Columns that repeat. Digests of tensors hardly do within a shard, and a dictionary of them costs memory for nothing."""
    return [name for name in table.column_names if name not in ("digest", "block", "offset")]


def tables_of(
    records: Sequence[PartRecord], forgotten: Sequence[tuple[str, str, str]], digest_nbytes: int, generation: int
) -> dict[str, pa.Table]:
    """The rows of every table for ``records``, and of ``forgotten`` parts ``(part, name, source)``."""
    schema = schemas(digest_nbytes)
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
