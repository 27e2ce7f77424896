"""What every form of floating-car data is read as, and the CSV and Parquet forms, batch by batch."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimcache.errors import NetworkError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MAX_ID_LENGTH", "MAX_USERS", "Timestep", "read_table"]

MAX_USERS = 1_000_000  # all of them are held in memory
MAX_ID_LENGTH = 256
_BATCH_ROWS = 1 << 16
# Plain names, and those that SUMO derives from its XML when it writes CSV or Parquet itself.
_NAMES = {"time": "timestep_time", "id": "vehicle_id", "x": "vehicle_x", "y": "vehicle_y"}


class Timestep(NamedTuple):
    """Users at one time: unique ids, float64[n, 2] metres, and where in the file it is."""

    time_s: float
    ids: list[str]
    places_m: NDArray[np.float64]
    where: str


def read_table(path: Path) -> Iterator[Timestep]:
    """Timesteps of rows (time, id, x, y) in the order of the file: rows of one time follow each other.

    A row without id, x and y is a time at which nobody is there.

    Raises:
        NetworkError: a column is missing, or a value is not what it should be, with its row.
    """
    number = 0
    time_s, ids, places, row = np.nan, dict[str, None](), list[NDArray[np.float64]](), 0
    for batch in _batches(path):
        columns = [_numbers(path, batch.column(name), name, number) for name in ("time", "x", "y")]
        names = _texts(path, batch.column("id"), number)
        times = columns[0]
        places_m = np.stack(columns[1:], axis=1)
        there = np.array([name is not None for name in names])
        wrong = ~np.isfinite(times) | (there & ~np.isfinite(places_m).all(axis=1)) | (~there & ~np.isnan(places_m).all(axis=1))
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            values = f"time {times[first]:g}, id {names[first]!r}, x {places_m[first, 0]:g}, y {places_m[first, 1]:g}"
            raise NetworkError(f"{path} row {number + first + 1}", f"is not finite or not whole: {values}", "give time, id, x and y")
        cuts = np.flatnonzero(np.diff(times)) + 1
        for begin, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(names)], strict=True):
            if begin == end:
                continue
            if times[begin] != time_s:
                if number + begin:
                    yield Timestep(time_s, list(ids), np.concatenate(places), f"row {row}")
                time_s, ids, places = float(times[begin]), {}, []
            row = number + begin + 1
            for at in range(begin, end):
                name = names[at]
                if name is None:
                    continue
                if name in ids or not 0 < len(name) <= MAX_ID_LENGTH:
                    problem = f"{name!r} is there twice at time {time_s:g}" if name in ids else "id is empty or very long"
                    raise NetworkError(f"{path} row {number + at + 1}", problem, "give every vehicle one place")
                ids[name] = None
            if len(ids) > MAX_USERS:
                raise NetworkError(f"{path} row {row}", f"has more than {MAX_USERS} vehicles", "cut the file")
            places.append(places_m[begin:end][there[begin:end]])
        number += len(names)
    if number:
        yield Timestep(time_s, list(ids), np.concatenate(places), f"row {row}")


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches of the columns time, id, x and y, under these names."""
    from pyarrow import csv, parquet

    if path.suffix.lower() in (".parquet", ".pq"):
        with _arrow_errors(path), parquet.ParquetFile(path) as file:
            chosen = _chosen(path, file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(chosen.values())):
                yield batch.select(list(chosen.values())).rename_columns(list(chosen))
        return
    with _arrow_errors(path):
        import pyarrow as pa

        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            heading = file.readline(_BATCH_ROWS).decode("utf-8", "replace")
        separator = ";" if heading.count(";") > heading.count(",") else ","
        chosen = _chosen(path, [name.strip().strip('"').lstrip("\ufeff") for name in heading.split(separator)])
        types = {name: pa.string() if key == "id" else pa.float64() for key, name in chosen.items()}
        with csv.open_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False),  # so that a bad cell is named with its row
            parse_options=csv.ParseOptions(delimiter=separator),
            convert_options=csv.ConvertOptions(
                column_types=types, include_columns=list(chosen.values()), null_values=[""], strings_can_be_null=True
            ),
        ) as reader:
            for batch in reader:
                yield batch.rename_columns(list(chosen))


def _chosen(path: Path, there: list[str]) -> dict[str, str]:
    chosen = {}
    for plain, tagged in _NAMES.items():
        found = [name for name in there if name in (plain, tagged)]
        if len(found) != 1:
            problem = f"has {len(found)} columns {plain} or {tagged}"
            raise NetworkError(str(path), problem, f"give the columns {', '.join(_NAMES)}")
        chosen[plain] = found[0]
    return chosen


def _numbers(path: Path, column: pa.Array, name: str, before: int) -> NDArray[np.float64]:
    """float64, NaN for a null."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise NetworkError(f"{path} row {before + 1}", f"column {name} holds {kind}, not numbers", "give seconds and metres")
    values = column.cast(pa.float64(), safe=False)
    if name == "time" and values.null_count:
        row = before + int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0]) + 1
        raise NetworkError(f"{path} row {row}", "has no time", "fill it in or leave the row out")
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


def _texts(path: Path, column: pa.Array, before: int) -> list[str | None]:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise NetworkError(f"{path} row {before + 1}", f"column id holds {kind}, not names", "give text")
    found: list[str | None] = column.cast(pa.string()).to_pylist()
    return found


@contextmanager
def _arrow_errors(path: Path) -> Iterator[Any]:
    """Errors of reading as one line that names the file."""
    import zlib

    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise NetworkError(str(path), "does not exist", "check the path") from None
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        line = " ".join(str(error).split())[:200]
        raise NetworkError(str(path), f"cannot be read: {line}", "give the columns time, id, x and y") from error
