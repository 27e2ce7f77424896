"""The table of results: one row for each (parameters, seed, algorithm), as Parquet or CSV."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimcache._files import atomic_write
from trimcache.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_results_path", "read_results", "write_results"]

_TEXT = ("preset", "network", "ranking", "algorithm")  # text also where every row leaves it empty
_KEY = b"trimcache.simulation"


def check_results_path(path: Path) -> None:
    """UsageError unless the name ends in .parquet or .csv."""
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise UsageError(str(path), "is neither .parquet nor .csv", "name the results like results.parquet")


def write_results(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str], definition: Mapping[str, Any] | None = None) -> None:
    """Write ``path`` whole or not at all; ``definition`` is kept in the metadata of a Parquet file (key ``trimcache.simulation``)."""
    import pyarrow.csv
    import pyarrow.parquet

    target = Path(path)
    check_results_path(target)
    table = _table(rows)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as file:
            if target.suffix.lower() == ".csv":
                pyarrow.csv.write_csv(table, file)
            else:
                kept = {_KEY: json.dumps(definition).encode()} if definition is not None else {}
                pyarrow.parquet.write_table(table.replace_schema_metadata(kept), file)
    except OSError as error:
        raise UsageError(str(target), f"cannot be written ({error.strerror})", "choose another place") from error


def read_results(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a table that ``write_results`` wrote; UsageError names the file and what is wrong."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    target = Path(path)
    check_results_path(target)
    try:
        if target.suffix.lower() == ".csv":
            as_text = pa.csv.ConvertOptions(
                column_types=dict.fromkeys(_TEXT, pa.string()), strings_can_be_null=True, quoted_strings_can_be_null=True
            )
            table = pa.csv.read_csv(target, convert_options=as_text)
        else:
            table = pa.parquet.read_table(target)
    except OSError as error:
        raise UsageError(str(target), "cannot be read", "name results of trimcache simulate") from error
    except pa.ArrowInvalid as error:
        raise UsageError(str(target), "is no table of results", "name results of trimcache simulate") from error
    rows: list[dict[str, Any]] = table.to_pylist()
    if rows and not {"seed", "algorithm"} <= rows[0].keys():
        raise UsageError(str(target), "has no columns seed and algorithm", "name results of trimcache simulate")
    return rows


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        mixed = any(isinstance(value, float) for value in values)
        column = pa.array([float(value) if mixed and isinstance(value, int) else value for value in values])
        if pa.types.is_null(column.type):
            column = column.cast(pa.string() if name in _TEXT else pa.float64())
        columns.append(column)
    return pa.table(columns, names=names)
