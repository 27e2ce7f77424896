"""Everything a catalog says, without what must differ between two scans of the same files (generations, shards, times)."""

from __future__ import annotations

from typing import Any

from trimcache.catalog.reader import Catalog

_VARIES = {"generation"}


def contents(catalog: Catalog) -> dict[str, list[Any]]:
    """Parts, models and the rows of every table, sorted."""
    parts = [
        (p.part, p.name, p.source, p.version, p.format, p.architecture, p.declared_base, p.base_revision, p.needs_base, p.nbytes, p.notes)
        for p in catalog.parts
    ]
    tables = {name: _rows(catalog, name) for name in ("files", "tensors", "extents")}
    return {"parts": parts, "models": [(m.name, m.parts, m.missing) for m in catalog.models], **tables}


def _rows(catalog: Catalog, table: str) -> list[str]:
    rows = catalog.table(table).to_pylist()
    return sorted(repr({key: value for key, value in row.items() if key not in _VARIES}) for row in rows)
