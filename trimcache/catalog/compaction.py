"""Merging the shards of a catalog into one, so that a catalog of many small scans opens fast.

The merged rows get a new generation (the old one plus one nanosecond, so that a scan publishing at this moment still wins) and are
published like any shard; only then are the merged shards deleted. Killed in between, the catalog holds rows twice, of which readers
keep the newer.
"""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from trimcache.catalog.layout import FORGOTTEN, TABLES
from trimcache.catalog.reader import Catalog, open_catalog
from trimcache.catalog.schema import schemas
from trimcache.catalog.shards import publish_shard

_ORPHAN_AGE_S = 3600.0


def compact(root: Path) -> None:
    """Merge every shard of the catalog into one and drop what is superseded or forgotten.

    Raises:
        CatalogError: the catalog cannot be read or written; it is unchanged then.
    """
    catalog = open_catalog(root)
    shards = sorted(path.name for path in (root / "parts").glob("*.parquet"))
    if shards:
        publish_shard(root, {table: _bumped(_live_rows(catalog, table), table, catalog) for table in TABLES})
    for shard in shards:
        # parts first: without its parts row the rest of a shard is invisible.
        for table in reversed(TABLES):
            (root / table / shard).unlink(missing_ok=True)
    _remove_orphans(root)


def _live_rows(catalog: Catalog, table: str) -> pa.Table:
    schema = schemas(catalog.rules.digest_nbytes)[table]
    if table not in ("parts", "models"):
        return catalog.table(table).cast(schema)
    rows = []
    for shard in {part.shard for part in catalog.parts}:
        live = {part.part: part.generation for part in catalog.parts if part.shard == shard}
        rows += [row for row in catalog.read_shard(table, shard).to_pylist() if live.get(row["part"]) == row["generation"]]
    return pa.Table.from_pylist([row for row in rows if row.get("status") != FORGOTTEN], schema)


def _bumped(rows: pa.Table, table: str, catalog: Catalog) -> pa.Table:
    schema = schemas(catalog.rules.digest_nbytes)[table]
    column = pc.add(rows["generation"], pa.scalar(1, pa.int64()))
    return rows.set_column(rows.column_names.index("generation"), schema.field("generation"), column).cast(schema)


def _remove_orphans(root: Path) -> None:
    """Delete shards that a killed writer published without their parts, once no live writer can still be about to."""
    complete = {path.name for path in (root / "parts").glob("*.parquet")}
    limit = time.time() - _ORPHAN_AGE_S
    for table in TABLES[:-1]:
        for path in (root / table).glob("*.parquet"):
            if path.name not in complete and path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
