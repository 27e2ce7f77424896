"""From a forest to a catalog on disk: shards of at least 5,000 parts, written by two threads, visible as a whole at the end."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trimcache.catalog.description import SYNTHETIC_ORIGIN, CatalogDescription, create_or_check
from trimcache.catalog.layout import TABLES
from trimcache.catalog.schema import schemas
from trimcache.errors import CatalogError, CatalogRulesError
from trimcache.rules import Rules
from trimcache.synthesis.lineage import Forest
from trimcache.synthesis.tables import Tables

PARTS_PER_SHARD = 5000
_THREADS = 2
# Compression finds nothing in hashes, and dictionaries of these would hold nearly every value.
_HASHES, _NUMBERS = ("block", "digest"), ("offset", "ordinal")


def write_catalog(
    forest: Forest,
    root: Path,
    *,
    source: str,
    seed: int,
    digest: str = "blake3-256",
    popularity: NDArray[np.float64] | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the listed nodes of ``forest`` as the synthetic catalog ``root``: all of it, or, if stopped, nothing.

    Args:
        source: preset or catalog that the models were made after; part of their URIs.
        popularity: float64, one a node, or None.
        progress: told how many parts were written.

    Raises:
        CatalogError: ``root`` exists, or cannot be written.
    """
    refuse_existing(root)
    nodes = np.flatnonzero(np.array(forest.listed, bool))
    partial = root.with_name(f".{root.name}.partial-{secrets.token_hex(4)}")
    try:
        create_or_check(partial, CatalogDescription(Rules(digest), SYNTHETIC_ORIGIN))
        for table in TABLES:
            (partial / table).mkdir()
        tables = Tables(forest, digest, seed, source, popularity)
        n_shards = max(1, len(nodes) // PARTS_PER_SHARD)
        schema = schemas(Rules(digest).digest_nbytes)
        with ThreadPoolExecutor(_THREADS) as pool:
            pending: list[Future[None]] = []
            for number, chosen in enumerate(np.array_split(nodes, n_shards)):
                shard = tables.shard(chosen)
                for future in pending:  # at most one shard is being written while the next is made
                    future.result()
                name = f"{number:08d}.parquet"
                pending = [pool.submit(_write, shard[table], schema[table], partial / table / name) for table in TABLES]
                if progress is not None:
                    progress(len(chosen))
            for future in pending:
                future.result()
        refuse_existing(root)
        os.replace(partial, root)
    except OSError as error:
        raise CatalogError(str(root), f"cannot be written ({error.strerror or error})", "make room or choose another place") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_existing(root: Path) -> None:
    """Raise CatalogRulesError if there is something at ``root``: generated models are never added to what is there."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise CatalogRulesError(str(root), "exists, and a generated catalog is never added to one", "choose another place with -o")


def _write(table: pa.Table, schema: pa.Schema, path: Path) -> None:
    """One file of a shard; its columns read back as the schema says, whatever dictionaries they were made from."""
    columns = [field.name for field in schema]
    pq.write_table(
        table.select(columns),
        path,
        compression={name: "none" if name in _HASHES else "zstd" for name in columns},
        use_dictionary=[name for name in columns if name not in (*_HASHES, *_NUMBERS)],
        store_schema=False,
        write_statistics=False,
    )
