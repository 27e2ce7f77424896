"""Tables that people give as CSV, Parquet, inline rows or columns; every error names the table, the row and the nearest name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import NetworkError
from trimcache.network._values import nearest, refuse_unknown

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Columns", "columns_of", "read_columns"]


@dataclass(frozen=True, eq=False)
class Columns:
    """A table; ``subject`` names it in errors. Rows are counted from 1, below the heading."""

    subject: str
    table: pa.Table

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return int(self.table.num_rows)

    def has(self, name: str) -> bool:
        """Whether there is such a column."""
        return name in self.table.column_names

    def error(self, row: int, problem: str, fix: str) -> NetworkError:
        """The error of the row with this index."""
        return NetworkError(self.subject, f"row {row + 1} {problem}", fix)

    def texts(self, name: str) -> pa.Array:
        """The cells of a column of names, none empty."""
        import pyarrow as pa
        from pyarrow import compute

        found = self._column(name)
        try:
            found = compute.cast(found, pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise NetworkError(self.subject, f"column {name!r} holds {found.type}", "give text") from error
        self._refuse_empty(compute.equal(found, ""), name)
        return found

    def places(self, name: str, known: Sequence[str] | None = None, what: str | None = None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """int64[n]: the place of each cell in ``known``, and these names; None: those of the column, in order of appearance."""
        import pyarrow as pa
        from pyarrow import compute

        found = self.texts(name)
        names = tuple(found.unique().to_pylist()) if known is None else tuple(known)
        place = compute.index_in(found, value_set=pa.array(names, pa.string()))
        if place.null_count:
            row = int(np.flatnonzero(place.is_null().to_numpy(zero_copy_only=False))[0])
            raise self.error(row, f"has an unknown {what or name} {found[row].as_py()!r}", nearest(found[row].as_py(), names))
        return place.to_numpy().astype(np.int64), names

    def numbers(self, name: str, default: float | None = None) -> NDArray[np.float64]:
        """float64[n]: finite numbers >= 0; ``default``, if there is one, in every row where there is no such column."""
        import pyarrow as pa
        from pyarrow import compute

        if default is not None and not self.has(name):
            return np.full(self.n_rows, default)
        found = self._column(name)
        kind = found.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            found = compute.utf8_trim_whitespace(found)
            self._refuse_empty(compute.equal(found, ""), name)
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise NetworkError(self.subject, f"column {name!r} holds {kind}", "give numbers")
        try:
            values = compute.cast(found, pa.float64(), safe=False).to_numpy()
        except pa.ArrowInvalid as error:
            row = next(row for row, value in enumerate(found) if not _is_number(value))
            raise self.error(row, f"has the {name} {found[row].as_py()!r}", "give a number") from error
        wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if wrong.size:
            raise self.error(int(wrong[0]), f"has the {name} {values[wrong[0]]:g}", "give a finite number >= 0")
        return np.asarray(values)

    def _column(self, name: str) -> pa.Array:
        import pyarrow as pa

        found = self.table.schema.get_all_field_indices(name)
        if not found:
            raise NetworkError(self.subject, f"has no column {name!r}, only {', '.join(map(repr, self.table.column_names))}", "add it")
        if len(found) > 1:
            raise NetworkError(self.subject, f"has {len(found)} columns called {name!r}", "keep one")
        column = pa.concat_arrays(self.table.column(found[0]).chunks) if self.n_rows else pa.array([], pa.string())
        self._refuse_empty(column.is_null(), name)
        return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column

    def _refuse_empty(self, empty: pa.Array, name: str) -> None:
        rows = np.flatnonzero(empty.to_numpy(zero_copy_only=False)) if len(empty) else np.zeros(0, dtype=np.int64)
        if rows.size:
            raise self.error(int(rows[0]), f"has no {name}", "fill it in or leave the row out")


def columns_of(
    value: Any, what: str, folder: Path | None, text: Sequence[str], numbers: Sequence[str], defaults: Mapping[str, float]
) -> Columns:
    """The table ``value``: the path of a file, a list of rows, or a mapping of columns.

    Args:
        what: the key that holds it.
        folder: where relative paths start; they may not leave it. None: no file may be named.
        text, numbers: the columns known.
        defaults: what a row that stands in the network file itself may leave out; a table says it in every row or has no such column.

    Raises:
        NetworkError: in one line, what is wrong.
    """
    if isinstance(value, str):
        if folder is None:
            raise NetworkError(f"{what} {value!r}", "is the name of a file", "read the network with EdgeNetwork.from_file")
        path = Path(value).expanduser()
        if not path.is_absolute():
            path = folder / path
            if not path.resolve().is_relative_to(folder.resolve()):
                raise NetworkError(f"{what} {value!r}", "is outside the folder of the network file", "if meant, write its absolute path")
        return read_columns(path, text, numbers)
    known = [*text, *numbers]
    if isinstance(value, Mapping):
        refuse_unknown(value, known, f"column of {what}")
        cells = dict(value)
    elif isinstance(value, Sequence) and all(isinstance(row, Mapping) for row in value):
        for number, row in enumerate(value, 1):
            refuse_unknown(row, known, f"{what}: row {number}: key")
        present = [name for name in known if not value or any(name in row for row in value)]
        cells = {name: [row.get(name, defaults.get(name)) for row in value] for name in present}
    else:
        raise NetworkError(what, "is no table", "give the path of a CSV or Parquet file, or rows")
    return Columns(what, _table(cells, what, text))


def _table(cells: Mapping[str, Any], what: str, text: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    lengths = {len(column) if isinstance(column, Sequence) and not isinstance(column, str) else -1 for column in cells.values()}
    if len(lengths) > 1 or -1 in lengths:
        raise NetworkError(what, "has columns of different lengths", "give one value a row in every column")
    for name, column in cells.items():
        kinds = (str,) if name in text else (int, float)
        for row, cell in enumerate(column, 1):
            if cell is not None and (isinstance(cell, bool) or not isinstance(cell, kinds)):
                raise NetworkError(what, f"row {row} has the {name} {cell!r}", "give text" if name in text else "give a number")
    try:
        return pa.table({name: pa.array(column, pa.string() if name in text else pa.float64()) for name, column in cells.items()})
    except (pa.ArrowException, OverflowError) as error:  # whole numbers that no float holds
        raise NetworkError(what, f"holds a value that is too large ({error})", "give smaller numbers") from error


def read_columns(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Columns:
    """The table in a CSV file (UTF-8, commas, a heading) or, by its ending, a Parquet file.

    Other columns are ignored, unless their name begins like one of ``numbers``: a rate in another unit is no rate left out.

    Raises:
        NetworkError: the file cannot be read or holds no rows.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    file = str(path)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = parquet.ParquetFile(path).read()
        else:
            # Everything is read as text: a site called 007 is not 7, and a bad number is reported by its row. One thread, so that the
            # reader counts rows too.
            options = csv.ConvertOptions(column_types=dict.fromkeys((*text, *numbers), pa.string()))
            table = csv.read_csv(path, read_options=csv.ReadOptions(use_threads=False), convert_options=options)
    except FileNotFoundError:
        raise NetworkError(file, "does not exist", "give a CSV or Parquet file") from None
    except (pa.ArrowException, OSError) as error:
        # The reader counts the heading as row 1, we do not.
        line = re.sub(r"Row #(\d+)", lambda found: f"row {int(found[1]) - 1}", " ".join(str(error).split()))[:200]
        raise NetworkError(file, f"cannot be read: {line}", "give Parquet, or CSV with a heading") from error
    if table.num_rows == 0:
        raise NetworkError(file, "holds no rows", f"give rows of {', '.join((*text, *numbers[:1]))}")
    for name in table.column_names:
        if name not in (*text, *numbers) and name.lower().startswith(tuple(number.split("_")[0] for number in numbers)):
            raise NetworkError(file, f"has an unknown column {name!r}", nearest(name, numbers))
    return Columns(file, table)


def _is_number(value: pa.Scalar) -> bool:
    import pyarrow as pa

    try:
        value.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True
