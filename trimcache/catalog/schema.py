"""Columns of the tables of a catalog. ``docs/formats.md`` describes them for readers that do not use trimcache."""

from __future__ import annotations

import pyarrow as pa

_KEY = [pa.field("part", pa.string(), nullable=False), pa.field("generation", pa.int64(), nullable=False)]


def _table(*columns: tuple[str, pa.DataType, bool]) -> pa.Schema:
    return pa.schema([*_KEY, *(pa.field(name, kind, nullable=nullable) for name, kind, nullable in columns)])


def schemas(digest_nbytes: int) -> dict[str, pa.Schema]:
    """The schema of every table, for digests of ``digest_nbytes`` bytes."""
    digest = pa.binary(digest_nbytes)
    return {
        "parts": _table(
            ("status", pa.string(), False),
            ("name", pa.string(), False),
            ("source", pa.string(), False),
            ("version", pa.string(), False),
            ("format", pa.string(), False),
            ("architecture", pa.string(), True),
            ("declared_base", pa.string(), True),
            ("base_revision", pa.string(), True),
            ("needs_base", pa.bool_(), False),
            ("popularity", pa.float64(), True),
            ("nbytes", pa.int64(), False),
            ("notes", pa.list_(pa.string()), False),
            ("scanned_at", pa.timestamp("us", tz="UTC"), False),
        ),
        "models": _table(
            ("model", pa.string(), False),
            ("parts", pa.list_(pa.string()), False),
        ),
        "files": _table(
            ("path", pa.string(), False),
            ("nbytes", pa.int64(), False),
            ("format", pa.string(), True),
            ("known_hash", pa.string(), True),
            ("mtime_ns", pa.int64(), True),
            ("ctime_ns", pa.int64(), True),
            ("device", pa.uint64(), True),
            ("inode", pa.uint64(), True),
        ),
        "tensors": _table(
            ("file", pa.string(), False),
            ("name", pa.string(), False),
            ("kind", pa.string(), False),
            ("dtype", pa.string(), False),
            ("shape", pa.list_(pa.int64()), False),
            ("offset", pa.int64(), True),
            ("nbytes", pa.int64(), False),
            ("digest", digest, False),
            ("constant", pa.bool_(), False),
        ),
        "extents": _table(
            ("file", pa.string(), False),
            ("ordinal", pa.int32(), False),
            ("offset", pa.int64(), False),
            ("nbytes", pa.int64(), False),
            ("block", digest, False),
            ("kind", pa.string(), False),
        ),
    }
