"""Names and version of the catalog format, apart from its columns so that they cost no import of pyarrow."""

from __future__ import annotations

from pathlib import Path

FORMAT = "trimcache-catalog"
# Readers accept every minor version of their major version: columns and tables are only ever added.
MAJOR_VERSION, MINOR_VERSION = 1, 0
DESCRIPTION = "catalog.json"

# Written in this order: a part counts as published once its row in ``parts`` is there.
TABLES = ("extents", "tensors", "files", "models", "parts")

# Values of parts.status.
SCANNED, FORGOTTEN = "scanned", "forgotten"

TEMPORARY_PREFIX = ".tmp-"

# With more shards than this, opening the catalog takes noticeable time.
MAX_SHARDS = 256


def is_fragmented(root: Path, max_shards: int = MAX_SHARDS) -> bool:
    """Whether the catalog has so many shards that it is worth merging them (:func:`trimcache.catalog.compaction.compact`)."""
    return sum(1 for _ in (root / "parts").glob("*.parquet")) > max_shards
