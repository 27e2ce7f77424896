"""Request traces: who asked for which model, when and where; from a file, or drawn.

A trace file is Parquet or CSV with at least the columns

    time    seconds (any number), or a timestamp
    site    the edge server that was asked
    model   a name of the model-block graph
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimcache._files import atomic_write
from trimcache.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SWAP_SHARE", "Trace", "generate_trace", "swapped_ranks"]

SWAP_SHARE = 0.02
"""Of the ranks, that exchange their models where popularity drifts."""

_COLUMNS = ("time", "site", "model")


@dataclass(frozen=True, eq=False)
class Trace:
    """N requests in order of time; arrays read-only.

    Attributes:
        time_s: float64[N], seconds, finite, never falling.
        site, model: int32[N], indices into the names.
        site_names, model_names: unique names; some may occur in no request.

    Raises:
        UsageError: arrays of different lengths, an index out of range, times that fall or are not finite.
    """

    time_s: NDArray[np.float64]
    site: NDArray[np.int32]
    model: NDArray[np.int32]
    site_names: tuple[str, ...]
    model_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, dtype in (("time_s", np.float64), ("site", np.int32), ("model", np.int32)):
            array = np.array(getattr(self, name), dtype=dtype).reshape(-1)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        for what, names, rows in (("site", self.site_names, self.site), ("model", self.model_names, self.model)):
            if rows.size != self.time_s.size:
                raise UsageError("trace", f"{self.time_s.size} times, {rows.size} {what}s", "give rows")
            if rows.size and (rows.min() < 0 or rows.max() >= len(names)):
                raise UsageError("trace", f"a {what} index is outside the {len(names)} names", "use indices from 0")
            if len(set(names)) != len(names):
                raise UsageError("trace", f"a {what} name occurs twice", "name each once")
        if not np.isfinite(self.time_s).all() or bool((np.diff(self.time_s) < 0).any()):
            raise UsageError("trace", "times fall or are not finite", "sort the requests by time")

    @property
    def n_requests(self) -> int:
        """N."""
        return int(self.time_s.size)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Trace:
        """Read Parquet (``.parquet``) or CSV (anything else); rows are sorted by time, equal times stay in file order.

        Timestamps become seconds since the first request. Further columns are ignored.

        Raises:
            UsageError: the file cannot be read, a column is missing or of the wrong type, a value is empty.
        """
        subject = f"trace {os.fspath(path)}"
        table = _read(subject, Path(path))
        columns = {name: _column(subject, table, name) for name in _COLUMNS}
        time_s = _seconds(subject, columns["time"])
        site, site_names = _names(subject, "site", columns["site"])
        model, model_names = _names(subject, "model", columns["model"])
        order = np.argsort(time_s, kind="stable")
        return cls(time_s[order], site[order], model[order], site_names, model_names)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write Parquet (``.parquet``) or CSV (anything else), whole or not at all; UsageError where that is impossible."""
        import pyarrow as pa
        from pyarrow import csv, parquet

        def named(rows: NDArray[np.int32], names: tuple[str, ...]) -> Any:
            return pa.DictionaryArray.from_arrays(pa.array(rows), pa.array(names, pa.string())).cast(pa.string())

        columns = [pa.array(self.time_s), named(self.site, self.site_names), named(self.model, self.model_names)]
        table = pa.table(columns, names=list(_COLUMNS))
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                if Path(path).suffix == ".parquet":
                    parquet.write_table(table, file)
                else:
                    csv.write_csv(table, file)
        except OSError as error:
            raise UsageError(os.fspath(path), f"cannot be written ({error.strerror})", "choose another place") from error


def generate_trace(
    models: int | Sequence[str],
    n_requests: int,
    *,
    zipf: float = 0.8,
    sites: int | Sequence[str] = 1,
    ranking: str = "site",
    rate_hz: float = 1.0,
    swap_every: int = 0,
    swap_share: float = SWAP_SHARE,
    burst_every: int = 0,
    burst_requests: int = 0,
    burst_share: float = 0.5,
    seed: int = 0,
) -> Trace:
    """Independent requests: the model of rank r with probability proportional to ``r ** -zipf``, at a uniform site.

    Drift: after every ``swap_every`` requests ``swap_share`` of the ranks are drawn and exchange their models two by two. Bursts:
    after every ``burst_every`` requests one model, uniformly drawn, takes each of the next ``burst_requests`` requests with
    probability ``burst_share``. 0 turns either off.

    Every part of the randomness has a stream of its own, so a longer trace begins with the shorter one, and drift or bursts
    leave the ranks, sites and times that were drawn as they were.

    Args:
        models, sites: names, or how many (named ``m0``, ``m1``, ... and ``s0``, ``s1``, ...).
        zipf: >= 0; 0 is uniform.
        ranking: ``"site"``: each site has its own random order of models; ``"global"``: one random order for all.
        rate_hz: requests in a second on average, all sites together; a Poisson process.
        seed: same arguments, same trace.

    Raises:
        UsageError: a value out of its range, or requests without a model or a site.
    """
    model_names = tuple(f"m{i}" for i in range(models)) if isinstance(models, int) else tuple(models)
    site_names = tuple(f"s{i}" for i in range(sites)) if isinstance(sites, int) else tuple(sites)
    if ranking not in ("site", "global"):
        raise UsageError(f"ranking {ranking!r}", "is unknown", "there are site, global")
    _check_range("zipf", zipf, 0.0, np.inf)
    _check_range("rate", rate_hz, np.nextafter(0.0, 1.0), np.inf)
    _check_range("share of swapped ranks", swap_share, 0.0, 1.0)
    _check_range("share of a burst", burst_share, 0.0, 1.0)
    for what, count in (("requests", n_requests), ("swap_every", swap_every), ("burst_every", burst_every), ("burst", burst_requests)):
        _check_range(what, count, 0, 2**40)
    if n_requests and not (model_names and site_names):
        raise UsageError("trace", "has requests but no model or no site to ask for", "give at least one of each")
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(7)]
    ranks_rng, sites_rng, times_rng, order_rng, swap_rng, burst_rng, burst_model_rng = streams
    time_s = np.cumsum(times_rng.exponential(1.0 / rate_hz, n_requests))
    site = np.minimum((sites_rng.random(n_requests) * len(site_names)).astype(np.int32), max(len(site_names) - 1, 0))
    rank = _zipf_ranks(ranks_rng.random(n_requests), len(model_names), zipf)
    model = np.zeros(n_requests, dtype=np.int32)
    n_orders = len(site_names) if ranking == "site" else 1
    order = np.array([order_rng.permutation(len(model_names)) for _ in range(n_orders)]).reshape(n_orders, -1)
    step = swap_every or max(n_requests, 1)
    for start in range(0, n_requests, step):
        if start:
            for row in order:
                _swap(row, swapped_ranks(row.size, swap_share), swap_rng)
        now = slice(start, start + step)
        model[now] = order[site[now] if n_orders > 1 else 0, rank[now]]
    if burst_every and burst_requests:
        n = np.arange(n_requests)
        hot = burst_model_rng.integers(0, max(len(model_names), 1), n_requests // burst_every + 1)
        inside = (n >= burst_every) & (n % burst_every < burst_requests) & (burst_rng.random(n_requests) < burst_share)
        model = np.where(inside, hot[n // burst_every], model)
    return Trace(time_s, site, model.astype(np.int32), site_names, model_names)


def _zipf_ranks(uniform: NDArray[np.float64], n_models: int, exponent: float) -> NDArray[np.int64]:
    """int64[n]: ranks from 0, by inversion."""
    cumulative = np.cumsum(np.arange(1, n_models + 1, dtype=np.float64) ** -exponent)
    top = cumulative[-1] if n_models else 0.0
    return np.minimum(np.searchsorted(cumulative, uniform * top, side="right"), max(n_models - 1, 0))


def swapped_ranks(n_models: int, swap_share: float) -> int:
    """How many ranks exchange their models: ``swap_share`` of them, rounded, one fewer if odd."""
    n_ranks = round(swap_share * n_models)
    return n_ranks - n_ranks % 2


def _swap(order: NDArray[np.int64], n_ranks: int, rng: np.random.Generator) -> None:
    """``n_ranks`` ranks exchange their models in pairs; in place."""
    drawn = rng.permutation(order.size)[:n_ranks]
    order[drawn] = order[np.concatenate((drawn[drawn.size // 2 :], drawn[: drawn.size // 2]))]


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not (low <= value <= high and np.isfinite(value)):
        raise UsageError(what, f"{value} is out of range", f"give {low:g} or more" + (f", at most {high:g}" if high < np.inf else ""))


def _read(subject: str, path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix == ".parquet":
            return parquet.ParquetFile(path).read()
        # Names stay text: a model called 007 is not 7.
        return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types={"site": pa.string(), "model": pa.string()}))
    except FileNotFoundError:
        raise UsageError(subject, "does not exist", "give a Parquet or CSV file") from None
    except (pa.ArrowException, OSError) as error:
        line = " ".join(str(error).split())[:200]
        raise UsageError(subject, f"cannot be read: {line}", "give Parquet, or CSV with a header") from error


def _column(subject: str, table: pa.Table, name: str) -> pa.Array:
    """The one column of that name, without nulls."""
    import pyarrow as pa

    found = table.schema.get_all_field_indices(name)
    if len(found) != 1:
        problem = f"has {len(found)} columns called {name!r}" if found else f"has no column {name!r}, only {', '.join(table.column_names)}"
        raise UsageError(subject, problem, f"give the columns {', '.join(_COLUMNS)}")
    column = table.column(found[0])
    values = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if values.null_count:
        row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0]) + 1
        raise UsageError(subject, f"row {row} has no {name}", "fill it in or leave the row out")
    return values


def _seconds(subject: str, values: pa.Array) -> NDArray[np.float64]:
    import pyarrow as pa

    kind = values.type
    if len(values) == 0:
        return np.zeros(0)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        microseconds = values.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
        return np.asarray((microseconds - microseconds.min()) / 1e6, dtype=np.float64)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise UsageError(subject, f"column 'time' holds {kind}, not seconds or timestamps", "give numbers")
    time_s = values.cast(pa.float64(), safe=False).to_numpy()
    wrong = np.flatnonzero(~np.isfinite(time_s))
    if wrong.size:
        raise UsageError(subject, f"row {wrong[0] + 1} has the time {time_s[wrong[0]]}", "give finite seconds")
    return np.asarray(time_s, dtype=np.float64)


def _names(subject: str, what: str, values: pa.Array) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Codes int32[N] and names in order of first use; whole numbers are taken as names too."""
    import pyarrow as pa

    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind) or len(values) == 0
    if not (texts or pa.types.is_integer(kind)):
        raise UsageError(subject, f"column {what!r} holds {kind}, not names", "give text")
    coded = values.cast(pa.string()).dictionary_encode()
    names = tuple(coded.dictionary.to_pylist())
    codes = np.asarray(coded.indices.to_numpy(zero_copy_only=False), dtype=np.int32)
    if "" in names:
        row = int(np.flatnonzero(codes == names.index(""))[0]) + 1
        raise UsageError(subject, f"row {row} has no {what}", "fill it in or leave the row out")
    return codes, names
